"""Queries of more rows than memory may be taken for: the result is that of a connection with room for all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, Error, OperationalError, WorkingSetFullError
from rome.store.memory import MemoryStore
from tests.support.databases import Connect

ROWS = 600
NARROW = "100kB"
SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, kind INT, name TEXT COLLATE NOCASE, r REAL, any, big INT);
    CREATE INDEX t_kind ON t (kind, id);
    CREATE TABLE words (word TEXT PRIMARY KEY, n INT);
    CREATE TABLE plain (n INT, s TEXT);
    CREATE TABLE computed (id INTEGER PRIMARY KEY, n INT, twice INT AS (2 * n));
    CREATE TABLE keyed (word TEXT PRIMARY KEY, n INT) WITHOUT ROWID;
    CREATE VIEW v AS SELECT * FROM t;
"""

STREAMED = [
    "SELECT count(*), sum(kind), total(kind), avg(r), min(name), max(any), sum(r) FROM t WHERE any IS NOT NULL OR 1",
    "SELECT kind, count(*), sum(id), avg(r), max(name), name FROM t GROUP BY kind",
    "SELECT kind % 3, count(DISTINCT name), group_concat(id) FROM t GROUP BY 1 HAVING count(*) > 5 ORDER BY 2, 1",
    "SELECT DISTINCT name FROM t WHERE name = 'N1' OR name > 'n7'",
    "SELECT typeof(any), count(*) FROM t GROUP BY typeof(any)",
    "SELECT count(*), sum(kind) FROM t WHERE kind = '3' OR kind > '5'",
    "SELECT max(name), rowid FROM t WHERE +kind = 3",
    "SELECT id, name FROM t WHERE name LIKE 'n1%' ORDER BY r DESC, id LIMIT 5 OFFSET 2",
    "SELECT id FROM t ORDER BY r, id LIMIT 3",
    "SELECT max(total) FROM (SELECT sum(r) AS total FROM t GROUP BY kind)",
    "WITH x AS (SELECT kind AS k, r FROM t) SELECT k, sum(r) FROM x GROUP BY k",
    "SELECT id, n FROM (SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id) AS n FROM t) WHERE n = 1",
    "SELECT u.kind, count(*) FROM t AS u WHERE u.kind BETWEEN 2 AND 4 AND u.r > 1 GROUP BY u.kind",
    "SELECT count(*) FILTER (WHERE kind = 1), count(any) FROM t",
    "SELECT kind FROM t WHERE r > 2 UNION SELECT 99 ORDER BY 1",
    "SELECT sum(n), max(word), min(word) FROM words WHERE n > 3",
    "SELECT sum(n), count(s), min(rowid), max(oid) FROM plain",
    "SELECT _rowid_, s FROM plain WHERE n % 100 = 7",
]
REFUSED = [
    "SELECT *, r || 'x', name || 'y' FROM t",
    "UPDATE t SET r = 0",
]


@pytest.fixture
def wide(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(SCHEMA)
    values = [None, 1, 1.0, "x", b"x"]
    numbers = range(1, ROWS + 1)
    rows = [(n, n % 7, f"{'nN'[n % 2]}{n % 10}", n / 7, values[n % 5], 1 << 62) for n in numbers]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO words VALUES (?, ?)", [(f"word {n * 7919 % 1000}", n) for n in numbers])
    connection.executemany("INSERT INTO plain VALUES (?, ?)", [(n, "s" * (n % 3)) for n in numbers])
    connection.executemany("INSERT INTO computed (n) VALUES (?)", [(n,) for n in numbers])
    connection.executemany("INSERT INTO keyed VALUES (?, ?)", [(f"word {n}", n) for n in numbers])
    connection.commit()
    return connection


@pytest.fixture
def narrow(wide: Connection, connect: Connect) -> Connection:
    return connect(max_working_set=NARROW, replay="off")


@pytest.mark.parametrize("sql", STREAMED)
def test_the_result_is_that_of_the_table(wide: Connection, narrow: Connection, sql: str) -> None:
    expected = wide.execute(sql).fetchall()
    assert narrow.execute(sql).fetchall() == expected
    assert narrow.rome_stats.rows > 100
    assert narrow.execute(sql).fetchall() == expected


@pytest.mark.parametrize("sql", STREAMED)
def test_rows_that_the_transaction_wrote_are_among_them(wide: Connection, narrow: Connection, sql: str) -> None:
    for connection in (wide, narrow):
        connection.execute("UPDATE t SET kind = 3, name = 'changed', r = -5 WHERE id IN (1, 20)")
        connection.execute("DELETE FROM t WHERE id IN (7, 8, 9)")
        connection.execute("INSERT INTO t VALUES (5000, 1, 'new', 0.5, 'new', 0)")
        connection.execute("DELETE FROM words WHERE word = 'word 19'")
        connection.execute("UPDATE plain SET s = 'changed' WHERE rowid = 7")
    expected = wide.execute(sql).fetchall()
    assert narrow.execute(sql).fetchall() == expected
    narrow.rollback()


@pytest.mark.parametrize("sql", REFUSED)
def test_what_cannot_be_streamed_is_refused(narrow: Connection, sql: str) -> None:
    with pytest.raises(WorkingSetFullError):
        narrow.execute(sql)
    assert narrow.execute("SELECT name FROM t WHERE id = 1").fetchall() == [("N1",)]


def test_the_table_is_itself_again_afterwards(narrow: Connection) -> None:
    sql = "SELECT sum(kind) FROM t WHERE r > ?"
    assert narrow.execute(sql, (10**6,)).fetchall() == [(None,)]
    narrow.execute("SAVEPOINT a")
    narrow.execute("INSERT INTO t VALUES (5000, 4, 'new', 1e9, NULL, 0)")
    assert narrow.execute(sql, (10**6,)).fetchall() == [(4,)]
    narrow.execute("ROLLBACK TO a")
    assert narrow.execute(sql, (10**6,)).fetchall() == [(None,)]
    narrow.execute("UPDATE t SET r = 1e9 WHERE id = 5")
    narrow.commit()
    assert narrow.execute("SELECT count(*) FROM t WHERE r > 1e6 OR 0").fetchall() == [(1,)]


def test_an_error_in_the_middle_leaves_the_transaction_usable(narrow: Connection) -> None:
    narrow.execute("UPDATE t SET name = 'mine' WHERE id = 5")
    with pytest.raises(OperationalError, match="integer overflow"):
        narrow.execute("SELECT sum(big) FROM t")
    assert narrow.execute("SELECT sum(kind), max(name) FROM t WHERE big > 0").fetchall() == [(1800, "N9")]
    narrow.commit()


def test_what_a_function_raises_is_said(narrow: Connection) -> None:
    narrow.create_function("fail", 1, lambda value: 1 / (value - 300))
    with pytest.raises(Error, match="user-defined function"):
        narrow.execute("SELECT sum(fail(id)) FROM t")


@pytest.mark.parametrize(
    ("change", "index_trips", "conflicts"), [("kind = 4", 1, True), ("kind = 6", 1, False), ("kind = 6", 2, True)]
)
def test_what_was_streamed_is_validated(
    wide: Connection,
    narrow: Connection,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    index_trips: int,
    conflicts: bool,
) -> None:
    """To a store that wants to know which rows an index led to, it is the whole table that was read."""
    monkeypatch.setattr(MemoryStore, "capabilities", replace(MemoryStore.capabilities, index_trips=index_trips))
    narrow.execute("SELECT sum(r) FROM t WHERE kind BETWEEN 1 AND 5 AND r > 0").fetchall()
    narrow.execute("INSERT INTO plain VALUES (0, 'mine')")
    wide.execute(f"UPDATE t SET r = 0 WHERE {change}")
    wide.commit()
    if conflicts:
        with pytest.raises(ConflictError):
            narrow.commit()
    else:
        narrow.commit()


def test_an_error_is_validated_like_a_result(wide: Connection, narrow: Connection) -> None:
    with pytest.raises(OperationalError, match="integer overflow"):
        narrow.execute("SELECT sum(big) FROM t")
    narrow.execute("INSERT INTO plain VALUES (0, 'mine')")
    wide.execute("UPDATE t SET big = 0")
    wide.commit()
    with pytest.raises(ConflictError):
        narrow.commit()


def test_every_statement_of_read_committed_sees_what_is_committed(wide: Connection, narrow: Connection) -> None:
    narrow.rollback()
    narrow.isolation_level = "READ COMMITTED"
    sql = "SELECT count(*) FROM t WHERE r > -1 OR id < 0"
    assert narrow.execute(sql).fetchall() == [(ROWS,)]
    wide.execute("DELETE FROM t WHERE kind = 3 AND id < 100")
    wide.commit()
    assert narrow.execute(sql).fetchall() == [(ROWS - 14,)]
