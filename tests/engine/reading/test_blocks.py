"""Many rows of a range come as a block: statements do with it what they do with rows, compiled or in Python."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

import rome
from rome import compiled
from rome.catalog import rows
from rome.codec.keys import encode_key
from rome.codec.rows import encode_record
from rome.dbapi import Connection
from rome.errors import CorruptRecordError, Error
from tests.support.databases import database, on

ROWS = 150
SCHEMA = """
    CREATE TABLE t (a, id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, r REAL, n NUMERIC);
    CREATE INDEX t_name ON t (name);
    CREATE TABLE plain (n INT, s TEXT UNIQUE);
    CREATE TABLE keyed (word TEXT, n INT, more, PRIMARY KEY (n, word)) WITHOUT ROWID;
    CREATE TABLE computed (id INTEGER PRIMARY KEY, n INT, twice INT AS (2 * n) STORED, half INT AS (n / 2));
    CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, t_id INT NOT NULL REFERENCES t (id) ON DELETE CASCADE);
    CREATE INDEX child_t ON child (t_id);
"""
VALUES = (
    None,
    0.0,
    -0.0,
    "nul\0 inside",
    b"\0\1",
    "",
    b"",
    2**63 - 1,
    -(2**63),
    "ä€😀",
    1e300,
    float("inf"),
    1.5,
    "1.0",
)
LATER = """
    ALTER TABLE t ADD COLUMN later TEXT DEFAULT 'before';
    ALTER TABLE t ADD COLUMN number REAL DEFAULT 7;
    ALTER TABLE plain DROP COLUMN n;
"""
TRANSACTION = [
    "SELECT a, typeof(a), hex(a), id, name, r, typeof(n), n, later, number FROM t ORDER BY id + 0",
    "SELECT name, count(*), max(a), min(a) FROM t GROUP BY name ORDER BY 1",
    "SELECT rowid, s FROM plain ORDER BY +rowid",
    "SELECT *, typeof(more) FROM keyed ORDER BY n + 0, word",
    "SELECT * FROM computed WHERE twice % 3 = 0 AND half > 2 ORDER BY id + 0",
    "SELECT count(*), max(t.name) FROM t JOIN child ON child.t_id = t.id",
    "SELECT count(*) FROM t WHERE NOT EXISTS (SELECT * FROM child WHERE child.t_id = t.id)",
    "SELECT name, later FROM t WHERE id = 100",
    "INSERT INTO t (id, name) VALUES (100, 'taken')",
    "INSERT INTO plain (s) VALUES ('S7')",
    "INSERT INTO plain (s) VALUES ('s7')",
    "UPDATE t SET name = name || '!', r = -r WHERE r > 3 AND a IS NOT NULL",
    "SAVEPOINT s",
    "DELETE FROM t WHERE id % 5 = 0",
    "SELECT count(*) FROM child",
    "UPDATE keyed SET n = -n, more = word WHERE n % 2",
    "UPDATE computed SET n = n + 1",
    "SELECT sum(twice), sum(half) FROM computed",
    "SELECT count(*), sum(n), max(more) FROM keyed",
    "ROLLBACK TO s",
    "SELECT count(*), total(r), group_concat(name) FROM (SELECT * FROM t ORDER BY id)",
    "SELECT count(*), sum(n), max(more) FROM keyed",
    "DELETE FROM t WHERE id % 7 = 0",
    "INSERT OR REPLACE INTO keyed VALUES ('w3', 3, 'replaced'), ('w3', 3, 'again')",
    "INSERT INTO child (t_id) VALUES (3)",
    "UPDATE OR IGNORE plain SET s = 's1' WHERE rowid < 5",
    "SELECT * FROM keyed WHERE n BETWEEN 1 AND 5 ORDER BY n, word",
    "SELECT a, id, name, r FROM t ORDER BY id + 0",
]


@pytest.fixture(params=["compiled", "Python"])
def decoding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "Python":
        monkeypatch.setattr(compiled, "library", lambda: None)
    elif compiled.library() is None:
        pytest.skip(compiled.described())
    return str(request.param)


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def block_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


def _fill(connection: Connection | sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(SCHEMA)
    numbers = range(1, ROWS + 1)
    many = [(VALUES[n % len(VALUES)], n * 3 if n % 2 else n, f"N{n % 9}", n / 7, n / 2) for n in numbers]
    connection.executemany("INSERT OR IGNORE INTO t VALUES (?, ?, ?, ?, ?)", many)
    connection.executemany("INSERT INTO plain VALUES (?, ?)", [(n, f"s{n * 37 % 151}") for n in numbers])
    more = [(f"w{n % 4}", n, VALUES[n % len(VALUES)]) for n in numbers]
    connection.executemany("INSERT INTO keyed VALUES (?, ?, ?)", more)
    connection.executemany("INSERT INTO computed (n) VALUES (?)", [(n,) for n in numbers])
    connection.executemany("INSERT INTO child (t_id) SELECT id FROM t WHERE id = ?", [(n,) for n in numbers])
    connection.commit()


def _seen(connection: Connection | sqlite3.Connection, sql: str) -> object:
    try:
        cursor = connection.execute(sql)
        rows = cursor.fetchall()
    except (Error, sqlite3.Error) as error:
        return str(error)
    return [[(type(value), repr(value)) for value in row] for row in rows], cursor.rowcount


@pytest.mark.parametrize("schema", ["", LATER], ids=["as it was", "changed"])
def test_a_transaction_sees_and_writes_what_sqlite_does(block_url: str, decoding: str, schema: str) -> None:
    with closing(rome.connect(block_url)) as ours, closing(sqlite3.connect(":memory:")) as theirs:
        for connection in (ours, theirs):
            _fill(connection)
            connection.executescript(schema)
            connection.commit()
            connection.execute("UPDATE t SET name = 'newer' WHERE id IN (3, 4)")  # these have the newest layout
            connection.commit()
        for sql in TRANSACTION:
            assert _seen(ours, sql) == _seen(theirs, sql), sql
        ours.commit()
        theirs.commit()
        for table in ("t", "plain", "keyed", "computed", "child"):
            sql = f"SELECT * FROM {table}"
            assert sorted(map(repr, ours.execute(sql))) == sorted(map(repr, theirs.execute(sql)))


@pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED"])
def test_another_snapshot_has_other_rows(block_url: str, decoding: str, level: str) -> None:
    with closing(rome.connect(block_url, isolation_level=level)) as ours, closing(rome.connect(block_url)) as other:
        _fill(other)
        sql = "SELECT count(*), sum(n), max(s) FROM plain WHERE n + 0 > 0"
        before = ours.execute(sql).fetchall()
        assert ours.execute(sql).fetchall() == before
        other.execute("UPDATE plain SET n = n + 1000, s = 't' || n")
        other.commit()
        if level == "SERIALIZABLE":
            assert ours.execute(sql).fetchall() == before
            ours.rollback()
        assert ours.execute(sql).fetchall() == other.execute(sql).fetchall() != before
        ours.execute("UPDATE plain SET n = 0 WHERE rowid = 1")
        other.rollback()
        other.execute("UPDATE plain SET n = 1 WHERE rowid = 2")
        other.commit()
        sql = "SELECT n, count(*) FROM plain WHERE n + 0 < 2 GROUP BY n"
        assert ours.execute(sql).fetchall() == ([(0, 1)] if level == "SERIALIZABLE" else [(0, 1), (1, 1)])
        ours.rollback()


@pytest.mark.parametrize("damage", [b"", b"\x93", b"\x95\x01\x01\x01\x01\x01\x01", b"\x94\x09\x01\x01\x01"])
def test_a_record_that_is_corrupt_is_named(
    block_url: str, decoding: str, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(rome.connect(block_url)) as connection:
        connection.execute("CREATE TABLE words (word TEXT PRIMARY KEY, n INT)")
        with monkeypatch.context() as patch:
            patch.setattr(rows, "encode_record", lambda *row: damage if row[1] == 77 else encode_record(*row))
            connection.executemany("INSERT INTO words VALUES (?, ?)", [(f"w{n:03}", n) for n in range(1, ROWS + 1)])
            connection.commit()
        key = encode_key(["w077"], ["BINARY"])
        with pytest.raises(CorruptRecordError, match=f"table words, key {key.hex()}"):
            connection.execute("SELECT count(*), max(word) FROM words WHERE n + 0 > 0").fetchall()
        connection.rollback()
        assert connection.execute("SELECT n FROM words WHERE word = 'w078'").fetchall() == [(78,)]
