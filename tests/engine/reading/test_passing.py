"""Queries that pass over a large table once do not hydrate it, and show what they would show of the hydrated one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

import rome
from rome import compiled
from rome.catalog import rows
from rome.codec.keys import encode_key
from rome.codec.rows import encode_record
from rome.dbapi import Connection
from rome.errors import ConflictError, CorruptRecordError, OperationalError
from rome.workingset.workingset import WorkingSet
from tests.support.databases import Connect, database, on

ROWS = 500
SCHEMA = """
    CREATE TABLE t (kind INT, id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, r REAL, any, big INT);
    CREATE TABLE u (t_id INT, note TEXT);
    CREATE INDEX u_t ON u (t_id);
    CREATE VIEW v AS SELECT * FROM t;
"""
PASSED = [
    "SELECT kind, count(*), sum(id), max(name), min(any), max(any) FROM t GROUP BY kind",
    "SELECT count(*) FROM t WHERE name LIKE '%7'",
    "SELECT id FROM t ORDER BY r DESC, id LIMIT 10",
    "SELECT * FROM t WHERE any IS NOT NULL AND kind = '3'",
    "SELECT typeof(any), any, typeof(kind), r FROM t AS x WHERE x.name = 'N1'",
    "SELECT DISTINCT name FROM t WHERE r + 0 > 1",
    "SELECT t.rowid, t._rowid_, oid, t.id FROM t WHERE r > 3 ORDER BY t.id",
    "SELECT max(name), id FROM t WHERE +kind = 3",
    "SELECT count(*) FROM t WHERE NOT EXISTS (SELECT * FROM u WHERE u.t_id = t.id)",
    "SELECT t.id, u.note FROM t LEFT JOIN u ON u.t_id = t.id WHERE t.r > 50 ORDER BY t.id, u.note",
    "WITH x AS (SELECT kind AS k, r FROM t) SELECT k, count(r) FROM x GROUP BY k",
    "SELECT id, n FROM (SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id) AS n FROM t) WHERE n = 1",
    "SELECT t_id, count(*) FROM u GROUP BY t_id % 9",
    "SELECT rowid, note FROM u WHERE note LIKE '%3'",
]
HYDRATED = [
    "SELECT a.id FROM t AS a, t AS b WHERE a.id = b.kind + 1 AND a.r > 60",
    "SELECT count(*) FROM v WHERE r > 3",
    "SELECT count(*) FROM main.t WHERE r > 3",
    "SELECT note, (SELECT count(*) FROM t WHERE kind = t_id) FROM u WHERE rowid < 20",
]


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that SQLite runs with a function in place of a table."""
    if compiled.library() is None:
        pytest.skip(compiled.described())
    seen: list[str] = []
    true = WorkingSet.query_passing

    def spy(self: WorkingSet, sql: str, *rest: Any) -> Sequence[object]:
        seen.append(sql)
        return true(self, sql, *rest)

    monkeypatch.setattr(WorkingSet, "query_passing", spy)
    return seen


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


def _fill(connection: Connection | sqlite3.Connection) -> None:
    connection.executescript(SCHEMA)
    values = [None, 1, 1.0, "x", b"x", -0.0]
    numbers = range(1, ROWS + 1)
    many = [(n % 7, n, f"{'nN'[n % 2]}{n % 10}", n / 7, values[n % 6], 1 << 62) for n in numbers]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", many)
    connection.executemany("INSERT INTO u VALUES (?, ?)", [(n * 3 % 700, f"note {n}") for n in numbers])
    connection.commit()


@pytest.fixture
def both(connect: Connect) -> Iterator[tuple[Connection, sqlite3.Connection]]:
    ours = connect()
    with closing(sqlite3.connect(":memory:")) as theirs:
        for connection in (ours, theirs):
            _fill(connection)
        yield ours, theirs


def _exact(rows: Sequence[Sequence[object]]) -> list[list[str]]:
    return [[repr(value) for value in row] for row in rows]


@pytest.mark.parametrize("sql", PASSED)
def test_the_result_is_that_of_sqlite(both: tuple[Connection, sqlite3.Connection], passed: list[str], sql: str) -> None:
    ours, theirs = both
    expected = _exact(theirs.execute(sql).fetchall())
    for times in (1, 2):
        cursor = ours.execute(sql)
        assert _exact(cursor.fetchall()) == expected
        assert [column[0] for column in cursor.description or ()] == [
            column[0] for column in theirs.execute(sql).description
        ]
        assert len(passed) == times
    # The transaction's own changes are in the working set only.
    for connection in both:
        connection.execute("UPDATE t SET kind = 3, name = 'changed', r = -5 WHERE id IN (1, 20)")
        connection.execute("DELETE FROM u WHERE t_id % 5 = 2")
        connection.execute("INSERT INTO t VALUES (1, 5000, 'new', 0.5, 'new', 0)")
    assert _exact(ours.execute(sql).fetchall()) == _exact(theirs.execute(sql).fetchall())
    assert len(passed) == 2


@pytest.mark.parametrize("sql", HYDRATED)
def test_other_statements_are_run_as_they_are(
    both: tuple[Connection, sqlite3.Connection], passed: list[str], sql: str
) -> None:
    ours, theirs = both
    for _ in range(2):
        assert sorted(_exact(ours.execute(sql).fetchall())) == sorted(_exact(theirs.execute(sql).fetchall()))
    assert passed == []


def test_without_the_compiled_part_nothing_is_passed_over(
    url: str, passed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(rome.connect(url)) as connection:
        _fill(connection)
    monkeypatch.setattr(compiled, "library", lambda: None)
    with closing(rome.connect(url)) as connection:
        assert connection.execute(PASSED[1]).fetchall() == [(50,)]
    assert passed == []


def test_a_new_schema_has_other_functions(both: tuple[Connection, sqlite3.Connection], passed: list[str]) -> None:
    sql = "SELECT * FROM t WHERE r > 60"
    for change in ("ALTER TABLE t ADD COLUMN more TEXT DEFAULT 'm'", "ALTER TABLE t DROP COLUMN any"):
        before = len(passed)
        for connection in both:
            connection.execute(sql).fetchall()
            connection.execute(change)
            connection.commit()
        ours, theirs = (_exact(connection.execute(sql).fetchall()) for connection in both)
        assert ours == theirs
        assert len(passed) == before + 2


def test_a_temporary_table_hides_the_table(both: tuple[Connection, sqlite3.Connection], passed: list[str]) -> None:
    for connection in both:
        connection.execute("SELECT count(*) FROM t WHERE r > 60").fetchall()
        connection.execute("CREATE TEMP TABLE t AS SELECT 61 AS r")
    ours, theirs = (connection.execute("SELECT count(*) FROM t WHERE r > 60").fetchall() for connection in both)
    assert ours == theirs == [(1,)]
    assert len(passed) == 1


def test_what_was_passed_over_is_validated(url: str, passed: list[str]) -> None:
    with closing(rome.connect(url, replay="off")) as one, closing(rome.connect(url)) as other:
        _fill(one)
        one.execute(PASSED[1]).fetchall()
        one.execute("INSERT INTO u VALUES (1, 'x')")
        other.execute("UPDATE t SET r = 0 WHERE id = 77")
        other.commit()
        with pytest.raises(ConflictError):
            one.commit()
        assert one.execute("SELECT count(*) FROM t WHERE r = 0").fetchall() == [(1,)]
    assert len(passed) == 2


def test_errors_are_the_statements_own(both: tuple[Connection, sqlite3.Connection], passed: list[str]) -> None:
    ours, theirs = both
    with pytest.raises(OperationalError, match="integer overflow"):
        ours.execute("SELECT sum(big) FROM t").fetchall()
    for connection in both:
        connection.create_function("fails", 1, lambda value: 1 // (value - 400))
    with pytest.raises(OperationalError, match="user-defined function raised exception"):
        ours.execute("SELECT sum(fails(id)) FROM t").fetchall()
    assert len(passed) == 2
    assert ours.execute(PASSED[1]).fetchall() == theirs.execute(PASSED[1]).fetchall()


def test_a_record_that_is_corrupt_is_named(url: str, passed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT)")
        with monkeypatch.context() as patch:
            patch.setattr(rows, "encode_record", lambda *row: b"\x93" if row[1] == 377 else encode_record(*row))
            connection.executemany("INSERT INTO numbers VALUES (?, ?)", [(n, n) for n in range(1, ROWS + 1)])
            connection.commit()
        key = encode_key([377], ["BINARY"])
        with pytest.raises(CorruptRecordError, match=f"table numbers, key {key.hex()}"):
            connection.execute("SELECT count(*) FROM numbers WHERE n + 0 > 0").fetchall()
        assert len(passed) == 1
        assert connection.execute("SELECT n FROM numbers WHERE id = 378").fetchall() == [(378,)]
