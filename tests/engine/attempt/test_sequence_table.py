"""sqlite_sequence is the store's sequences: read and written as SQLite's, by statements that SQLite runs beside."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import rome
from rome.dbapi import Connection
from rome.dbapi.url import make_url, parse_url, store_of
from rome.engine.writing.sequence_marks import UNKNOWN, mark_of
from rome.errors import ConflictError, NotSupportedError, OperationalError
from rome.store.spi import CommitRequest
from tests.support.databases import Connect, database, on

TABLES = """
    CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v UNIQUE);
    CREATE TABLE "a b" (n INTEGER, id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE plain (id INTEGER PRIMARY KEY, v DEFAULT 'autoincrement');
    INSERT INTO t (v) VALUES ('a'), ('b'), ('c');
    INSERT INTO plain (v) VALUES ('p');
"""
ALL = "SELECT * FROM sqlite_sequence ORDER BY name"


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(TABLES)
    return connection


SCRIPTS = {
    "read": ["SELECT seq FROM sqlite_sequence WHERE name = 't'", "SELECT count(*), max(seq) FROM main.sqlite_sequence"],
    "insert": ["INSERT INTO t (v) VALUES ('d')", ALL, 'INSERT INTO "a b" (n) VALUES (1), (2)', ALL],
    "explicit": ["INSERT INTO t VALUES (40, 'd')", ALL, "INSERT INTO t (v) VALUES ('e') RETURNING id", ALL],
    "negative": ['INSERT INTO "a b" VALUES (1, -7)', ALL, 'INSERT INTO "a b" (n) VALUES (2) RETURNING id'],
    "raise": [
        "UPDATE sqlite_sequence SET seq = 50 WHERE name = 't'",
        ALL,
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        ALL,
        "COMMIT",
        "INSERT INTO t (v) VALUES ('e') RETURNING id",
        ALL,
    ],
    "rolled back": [
        "UPDATE sqlite_sequence SET seq = 50 WHERE name = 't'",
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        "ROLLBACK",
        ALL,
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
    ],
    "savepoint": [
        "SAVEPOINT s",
        "UPDATE sqlite_sequence SET seq = 50",
        "SAVEPOINT u",
        "DELETE FROM sqlite_sequence",
        ALL,
        "ROLLBACK TO u",
        ALL,
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        "ROLLBACK TO s",
        ALL,
        "RELEASE s",
        "COMMIT",
        ALL,
    ],
    "lower": [
        "UPDATE sqlite_sequence SET seq = 0",
        ALL,
        "COMMIT",
        ALL,
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        "COMMIT",
        ALL,
    ],
    "flush": [
        "DELETE FROM t",
        ALL,
        "UPDATE sqlite_sequence SET seq = 0 WHERE name IN ('t', 'plain')",
        "COMMIT",
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        "COMMIT",
        "SELECT * FROM t",
        ALL,
    ],
    "delete": [
        "DELETE FROM t WHERE id > 1",
        "DELETE FROM sqlite_sequence WHERE name = 't'",
        ALL,
        "COMMIT",
        ALL,
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        ALL,
        "COMMIT",
        "INSERT INTO t (v) VALUES ('e') RETURNING id",
    ],
    "delete and insert": [
        "DELETE FROM sqlite_sequence",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('t', 70), ('a b', 7)",
        ALL,
        "COMMIT",
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        'INSERT INTO "a b" (n) VALUES (1) RETURNING id',
        "COMMIT",
        ALL,
    ],
    "null": [
        "UPDATE sqlite_sequence SET seq = (SELECT max(id) FROM t WHERE v = 'x') WHERE name = 't'",
        ALL,
        "COMMIT",
        ALL,
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
        ALL,
    ],
    "from the rows": [
        "DELETE FROM t WHERE v = 'c'",
        "UPDATE sqlite_sequence SET seq = (SELECT max(id) FROM t) WHERE name = 't' RETURNING name, seq",
        "INSERT INTO t (v) VALUES ('d') RETURNING id",
    ],
    "joins": [
        "SELECT t.*, s.seq FROM t JOIN sqlite_sequence s ON s.seq = t.id AND s.name = 't'",
        "SELECT s.name, count(t.id) FROM sqlite_sequence AS s LEFT JOIN t ON t.id < s.seq GROUP BY s.name",
        "SELECT v, seq FROM t, sqlite_sequence WHERE id = seq AND seq = 3",
        "SELECT v FROM t WHERE id IN (SELECT seq FROM sqlite_sequence WHERE name = 't')",
        "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 't'), v FROM t WHERE id = 1",
        "SELECT m.name, s.seq FROM sqlite_master m LEFT JOIN sqlite_sequence s USING (name) ORDER BY m.name",
    ],
    "emptied and rolled back rows": [
        "INSERT INTO t (v) VALUES ('d')",
        "DELETE FROM t",
        ALL,
        "COMMIT",
        ALL,
        "INSERT INTO t (v) VALUES ('e') RETURNING id",
    ],
    "dropped": [
        "DROP TABLE t",
        ALL,
        "COMMIT",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v UNIQUE)",
        ALL,
        "INSERT INTO t (v) VALUES ('a') RETURNING id",
        "UPDATE sqlite_sequence SET seq = 9",
        "INSERT INTO t (v) VALUES ('b') RETURNING id",
        ALL,
        "COMMIT",
        ALL,
        "INSERT INTO t (v) VALUES ('c') RETURNING id",
    ],
    "renamed": [
        "UPDATE sqlite_sequence SET seq = 9",
        "ALTER TABLE t RENAME TO renamed",
        ALL,
        "COMMIT",
        ALL,
        "INSERT INTO renamed (v) VALUES ('d') RETURNING id",
    ],
    "nothing changes": ["UPDATE sqlite_sequence SET seq = seq", "DELETE FROM sqlite_sequence WHERE seq > 1000", ALL],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_as_on_sqlite(one: Connection, two: Connection, script: list[str]) -> None:
    """Results, rowcounts, and what another connection sees in the end, and whether it goes on from there."""
    stock = sqlite3.connect(":memory:", isolation_level=None)
    stock.executescript(TABLES)
    stock.execute("BEGIN")
    for sql in script:
        shown = one.execute(sql)
        expected = stock.execute(sql)
        assert (shown.fetchall() if shown.description else []) == expected.fetchall(), sql
        if sql.startswith(("UPDATE", "DELETE", "INSERT")) and "RETURNING" not in sql:
            assert shown.rowcount == expected.rowcount, sql
        if sql in ("COMMIT", "ROLLBACK"):
            stock.execute("BEGIN")
    one.commit()
    assert two.execute(ALL).fetchall() == stock.execute(ALL).fetchall()
    table = "renamed" if "renamed" in script[-1] else "t"
    going_on = f"INSERT INTO {table} (v) VALUES ('on') RETURNING id"
    assert two.execute(going_on).fetchall() == stock.execute(going_on).fetchall()
    assert one.execute("INSERT INTO plain (v) VALUES ('on') RETURNING id").fetchall() == [(2,)]


def test_no_table_with_autoincrement(connection: Connection) -> None:
    connection.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, v DEFAULT 'AUTOINCREMENT')")
    with pytest.raises(OperationalError, match="no such table: sqlite_sequence"):
        connection.execute(ALL)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("INSERT INTO sqlite_sequence VALUES ('plain', 3)", "'plain' is not the name of a table with AUTOINCREMENT"),
        ("INSERT INTO sqlite_sequence VALUES ('T', 3)", "'T' is not the name"),
        ("INSERT INTO sqlite_sequence VALUES ('t', 3)", "a row for t already: UPDATE it"),
        ("UPDATE sqlite_sequence SET seq = -1", "seq of t is -1"),
        ("UPDATE sqlite_sequence SET seq = '7'", "seq of t is '7'"),
        ("UPDATE sqlite_sequence SET seq = 1.5", "seq of t is 1.5"),
        ("INSERT INTO plain (v) SELECT seq FROM sqlite_sequence", "read sqlite_sequence and write rows"),
        ("UPDATE t SET v = 'x' WHERE id = (SELECT seq FROM sqlite_sequence)", "read sqlite_sequence and write rows"),
        ("SELECT * FROM t, sqlite_sequence, sqlite_master", "both the schema and rows of t"),
    ],
)
def test_refused_by_name(one: Connection, two: Connection, sql: str, reason: str) -> None:
    with pytest.raises(NotSupportedError, match=reason):
        one.execute(sql)
    assert one.execute(ALL).fetchall() == [("t", 3)]
    one.commit()
    assert two.execute("INSERT INTO t (v) VALUES ('next')").lastrowid == 4


def test_temporary_table_with_a_sequence_of_its_own(one: Connection) -> None:
    one.execute("CREATE TEMP TABLE own (id INTEGER PRIMARY KEY AUTOINCREMENT)")
    with pytest.raises(NotSupportedError, match=r"write main\.sqlite_sequence"):
        one.execute("SELECT * FROM sqlite_sequence")
    assert one.execute("SELECT * FROM main.sqlite_sequence").fetchall() == [("t", 3)]


def test_batch(one: Connection) -> None:
    one.execute('INSERT INTO "a b" (n) VALUES (1)')
    cursor = one.executemany("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", [(10, "t"), (20, "a b"), (1, "no")])
    assert cursor.rowcount == 2
    assert one.execute(ALL).fetchall() == [("a b", 20), ("t", 10)]


def test_rows_of_others_in_the_way_of_a_setting(one: Connection, two: Connection) -> None:
    """SQLite lets one of them write at a time; here the second to commit runs again, or fails."""
    one.execute("UPDATE sqlite_sequence SET seq = 50 WHERE name = 't'")
    assert one.execute("INSERT INTO t (v) VALUES ('mine') RETURNING id").fetchall() == [(51,)]
    two.execute("INSERT INTO t (v) VALUES ('theirs')")
    two.commit()
    one.commit()
    assert one.rome_stats.replays == 1
    assert one.execute("SELECT id FROM t WHERE id > 3").fetchall() == [(4,), (51,)]
    one.execute("DELETE FROM sqlite_sequence")
    assert one.execute("INSERT INTO t (v) VALUES ('again') RETURNING id").fetchall() == [(52,)]
    two.execute("INSERT INTO t (id, v) VALUES (60, 'theirs again')")
    two.commit()
    with pytest.raises(ConflictError):  # it would be 61 now
        one.commit()


def test_lowered_while_another_has_taken_ids(one: Connection, two: Connection) -> None:
    """Its row is there once it commits, and the next id is beyond it."""
    mine = one.execute("INSERT INTO t (v) VALUES ('taken')").lastrowid
    assert mine is not None
    two.execute("DELETE FROM sqlite_sequence")
    two.commit()
    one.commit()
    assert two.execute(ALL).fetchall() == [("t", mine)]
    assert two.execute("INSERT INTO t (v) VALUES ('next')").lastrowid == mine + 1


def test_what_was_read_is_validated_for_a_transaction_that_writes(one: Connection, two: Connection) -> None:
    assert one.execute("SELECT seq FROM sqlite_sequence").fetchall() == [(3,)]
    one.execute("INSERT INTO plain (v) VALUES ('it was 3')")
    two.execute("INSERT INTO t (v) VALUES ('d')")
    two.commit()
    assert one.execute("SELECT seq FROM sqlite_sequence").fetchall() == [(3,)]
    with pytest.raises(ConflictError):
        one.commit()


def test_each_statement_looks_again_at_read_committed(connect: Connect, one: Connection, two: Connection) -> None:
    reading = connect(isolation_level="READ COMMITTED")
    assert reading.execute(ALL).fetchall() == [("t", 3)]
    two.execute("INSERT INTO t (v) VALUES ('d')")
    two.commit()
    assert reading.execute(ALL).fetchall() == [("t", 4)]
    reading.execute("UPDATE sqlite_sequence SET seq = 20")
    two.execute("INSERT INTO t (v) VALUES ('e')")
    assert reading.execute(ALL).fetchall() == [("t", 20)]
    reading.commit()
    assert one.execute(ALL).fetchall() == [("t", 20)]


def test_ids_that_were_rolled_back_do_not_show(one: Connection, two: Connection) -> None:
    one.execute("INSERT INTO t (v) VALUES ('gone')")
    assert two.execute(ALL).fetchall() == [("t", 3)]
    one.rollback()
    assert one.execute(ALL).fetchall() == [("t", 3)]


def test_blocks(url: str, one: Connection) -> None:
    with_blocks = rome.connect(url, ids="blocks")
    with_blocks.execute("INSERT INTO t (v) VALUES ('d')")
    with_blocks.commit()
    assert with_blocks.execute(ALL).fetchall() == [("t", 4)]
    with_blocks.execute("UPDATE sqlite_sequence SET seq = 100")
    with_blocks.commit()
    assert with_blocks.execute("INSERT INTO t (v) VALUES ('e')").lastrowid == 101
    with_blocks.close()


def test_dumps_keep_the_counters(one: Connection, tmp_path: Path) -> None:
    one.execute("DELETE FROM t WHERE id > 1")
    one.commit()
    script = list(one.iterdump())
    assert script[-3:-1] == ['DELETE FROM "sqlite_sequence";', "INSERT INTO \"sqlite_sequence\" VALUES('t',3);"]
    stock = sqlite3.connect(":memory:")
    stock.executescript("".join(script))
    assert stock.execute(ALL).fetchall() == [("t", 3)]
    one.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as backup:
        assert backup.execute(ALL).fetchall() == [("t", 3)]
        assert backup.execute("SELECT id FROM t").fetchall() == [(1,)]
    copy = rome.connect("rome+memory://")
    copy.executescript("".join(stock.iterdump()))
    assert copy.execute(ALL).fetchall() == [("t", 3)]
    assert copy.execute("INSERT INTO t (v) VALUES ('x')").lastrowid == 4
    copy.close()


def test_database_that_an_earlier_rome_has_filled(url: str, one: Connection, two: Connection) -> None:
    """It kept no marks: the rows tell."""
    made = make_url(url)
    store = store_of(made).open(parse_url(made).location)
    snapshot = store.read(None, ()).snapshot
    marks = {mark_of(number): UNKNOWN for number in range(100)}
    store.commit(CommitRequest(secrets.token_bytes(16), snapshot, settings=marks))
    store.close()
    assert two.execute(ALL).fetchall() == [("t", 3)]
    two.execute("DELETE FROM t WHERE v = 'c'")
    two.commit()
    assert two.execute(ALL).fetchall() == [("t", 2)]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sqlite_sequence SET seq = 9",
        "DELETE FROM sqlite_sequence",
        "INSERT INTO sqlite_sequence VALUES ('a b', 5)",
    ],
)
def test_query_only_keeps_it_as_it_is(one: Connection, sql: str) -> None:
    one.execute("PRAGMA query_only = ON")
    with pytest.raises(OperationalError, match=r"^attempt to write a readonly database$"):
        one.execute(sql)
    one.commit()
    assert one.execute(ALL).fetchall() == [("t", 3)]


def test_a_change_of_it_begins_a_transaction_as_a_change_of_rows_does(one: Connection) -> None:
    one.commit()
    one.execute("UPDATE sqlite_sequence SET seq = 9")
    with pytest.raises(OperationalError, match="within a transaction"):
        one.execute("BEGIN")
    one.rollback()
    assert one.execute(ALL).fetchall() == [("t", 3)]
