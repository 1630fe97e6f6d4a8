"""Rome's internal exceptions never reach the application, which sees only results and errors of PEP 249."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import rome
from rome.errors import Error, WorkingSetFullError
from tests.support.databases import database, on

STATEMENTS = [
    "SELECT min(k) FROM t",
    "SELECT max(k), count(*) FROM t",
    "SELECT min(k) FROM t WHERE v > ''",
    "SELECT min(id), max(id) FROM t WHERE id > 1",
    "SELECT count(*) FROM t WHERE k = 1",
    "SELECT v FROM t WHERE id = 1",
    "SELECT v FROM t WHERE id IN (1, 2, 3)",
    "SELECT v FROM t WHERE k BETWEEN 0 AND 9 ORDER BY k LIMIT 1",
    "SELECT length(v) FROM t ORDER BY id LIMIT 2",
    "SELECT sum(length(v)) FROM t",
    "SELECT a.id FROM t a JOIN t b ON a.k = b.id",
    "SELECT id FROM t WHERE v IN (SELECT v FROM t)",
    "SELECT * FROM both",
    "WITH RECURSIVE r (n) AS (SELECT 0 UNION SELECT k + 1 FROM t JOIN r ON t.id = r.n) SELECT count(*) FROM r",
    "SELECT v FROM t WHERE id = 1 FOR UPDATE",
    "INSERT INTO t (id, k, v) VALUES (1, 1, 'x')",
    "INSERT INTO t (k, v) SELECT k, v FROM t",
    "INSERT INTO t (id, k, v) VALUES (1, 1, 'x') ON CONFLICT (id) DO UPDATE SET v = 'y'",
    "REPLACE INTO t (id, k, v) VALUES (1, 1, 'x')",
    "UPDATE t SET v = 'y' WHERE k >= 0",
    "UPDATE t SET k = k + 1",
    "DELETE FROM t WHERE id = 1",
    "DELETE FROM t",
    "DELETE FROM p WHERE id = 1",
    "CREATE INDEX t_v ON t (v)",
    "CREATE UNIQUE INDEX t_u ON t (k, v)",
    "CREATE TABLE copy AS SELECT * FROM t",
    "ALTER TABLE t ADD CHECK (k >= 0)",
    "ALTER TABLE t ADD COLUMN more AS (k + 1) CHECK (more > 0)",
    "DROP TABLE p",
    "PRAGMA foreign_key_check",
    "EXPLAIN ROME SELECT min(k) FROM t",
    "EXPLAIN ROME ANALYZE SELECT min(k) FROM t",
    "EXPLAIN ROME ANALYZE UPDATE t SET v = 'z'",
    "VACUUM",
    "COMMIT",
]


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url, closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        connection.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, k INT REFERENCES p DEFERRABLE INITIALLY DEFERRED, v TEXT)"
        )
        connection.execute("CREATE INDEX t_k ON t (k)")
        connection.execute("CREATE VIEW both AS SELECT t.v, u.v AS w FROM t, t AS u")
        connection.executemany("INSERT INTO p VALUES (?)", [(n,) for n in range(5)])
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n, "x" * 20_000) for n in range(4)])
        connection.commit()
        yield url


def outcome(connection: rome.dbapi.Connection, statement: str) -> object:
    """Its rows, or its error, which must be one of Rome's."""
    try:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description is not None else None
    except Error as error:
        return type(error)
    finally:
        connection.rollback()


@pytest.mark.parametrize("size", [20_000, 100_000, 300_000])
@pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED", "AUTOCOMMIT"])
def test_statement_that_finds_no_room(url: str, size: int, level: str) -> None:
    """It says so, or comes out as if there were room."""
    seen = set()
    for statement in STATEMENTS:
        if level == "AUTOCOMMIT" and not statement.startswith("SELECT"):
            continue
        with (
            closing(rome.connect(url, max_working_set=str(size), isolation_level=level)) as small,
            closing(rome.connect(url, isolation_level=level)) as large,
        ):
            found = outcome(small, statement)
            seen.add(found is WorkingSetFullError)
            if found is not WorkingSetFullError and "EXPLAIN" not in statement:
                assert found == outcome(large, statement), statement
    assert True in seen


@pytest.mark.parametrize("first", ["SELECT count(*) FROM t", "SELECT 1", "SELECT id FROM p WHERE id = 1", None])
def test_schema_that_moves(url: str, first: str | None) -> None:
    """By another client: before the first statement, and between two of them, the last of which may be COMMIT."""
    for number, statement in enumerate(STATEMENTS):
        with closing(rome.connect(url)) as one, closing(rome.connect(url)) as other:
            one.execute("SELECT count(*) FROM t").fetchall()
            one.rollback()
            if first is not None:
                one.execute(first).fetchall()
            other.execute(f"CREATE TABLE moved{number} (id INTEGER PRIMARY KEY)")
            other.commit()
            outcome(one, statement)
            other.execute(f"CREATE INDEX moved_{number} ON p (id)")
            other.commit()
            try:
                one.execute("INSERT INTO t (id, k) VALUES (90, NULL)")
                one.execute("UPDATE t SET k = 7 WHERE id = 90")
                one.commit()
            except Error:
                one.rollback()


def test_answer_of_a_table_whose_rows_are_too_large(url: str) -> None:
    with closing(rome.connect(url, max_working_set="50000")) as small:
        assert small.execute("SELECT min(k), count(*) FROM t").fetchall() == [(0, 4)]
        with pytest.raises(WorkingSetFullError, match="rows of t by their keys"):
            small.execute("SELECT v FROM t WHERE id = 1")
