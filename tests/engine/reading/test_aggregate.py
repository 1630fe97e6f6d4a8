"""Counts, least and greatest values: the same as stock SQLite's, without reading rows, and validated at COMMIT."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError
from tests.support.databases import Connect
from tests.support.differential import Pair

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT NOT NULL, r REAL, n, c TEXT COLLATE NOCASE)"
INDEXES = [
    f"CREATE INDEX t_{columns.replace(', ', '_')} ON t ({columns})" for columns in ("a", "a, b", "r", "n", "c", "n, a")
]
VIEWS = ["CREATE VIEW different AS SELECT DISTINCT a FROM t", "CREATE VIEW two AS SELECT a FROM t LIMIT 2"]
ROWS = [
    "INSERT INTO t VALUES (1, 1, 'x', -0.0, 1, 'a'), (2, 1, 'y', 0.0, 1.0, 'A'), (3, NULL, 'x', 1.5, 'q', 'b')",
    "INSERT INTO t VALUES (4, 2, 'z', NULL, NULL, NULL), (5, 3, 'x', -2.5, x'00', 'B'), (6, 3, 'y', 7.0, 2, 'ab')",
]

WITHOUT_ROWS = [
    "SELECT count(*) FROM t",
    "SELECT count(*) AS n FROM main.t AS u WHERE u.a = 1",
    "SELECT count(id), count(b), count() FROM t WHERE a = 1 AND b > 'w'",
    "SELECT count(*) FROM t WHERE a IN (1, 3, NULL, 9) AND b >= 'y'",
    "SELECT count(*) FROM t WHERE a IS NULL",
    "SELECT count(*) FROM t WHERE a BETWEEN 1 AND 2",
    "SELECT count(*) FROM t WHERE a = '1'",
    "SELECT count(*) FROM t WHERE a IS NOT NULL",
    "SELECT count(*) FROM t WHERE a = 3 AND b NOTNULL",
    "SELECT count(*) FROM t WHERE r IS NOT NULL AND r < 5",
    "SELECT count(*) FROM t WHERE a > 'x'",
    "SELECT count(*) FROM t WHERE r < 1",
    "SELECT count(*) FROM t WHERE c = 'a'",
    "SELECT count(*) FROM t WHERE id >= 2 AND id < 5",
    "SELECT count(*) FROM (SELECT id, a + 1 FROM t WHERE a = 3 ORDER BY b) AS anon_1",
]
ONE_ROW_EACH = [
    "SELECT min(id), max(id) FROM t",
    "SELECT min(a), max(a) FROM t",
    "SELECT max(a) FROM t WHERE a < 3",
    "SELECT min(r), max(r) FROM t",
    "SELECT max(b) FROM t WHERE a = 1",
    "SELECT min(id), count(*) FROM t WHERE id > 3",
    "SELECT max(n) FROM t",
]
NOTHING_FOUND = [
    "SELECT count(*) FROM t WHERE a IN ()",
    "SELECT count(*) FROM t WHERE a = NULL",
    "SELECT max(id) FROM t WHERE id > 100",
    "SELECT min(a) FROM t WHERE a > 'x'",
]
BY_READING = [
    "SELECT min(r) FROM t WHERE r > -1",
    "SELECT min(n) FROM t WHERE n >= 1",
    "SELECT min(c), max(c) FROM t",
    "SELECT count(a) FROM t",
    "SELECT count(*) FROM t WHERE a IS NOT NULL AND r IS NOT NULL",
    "SELECT count(*) FROM t WHERE a <> 1",
    "SELECT count(*) FROM t WHERE a = 1 AND a = 2",
    "SELECT count(*) FROM t WHERE a = 1 OR a = 2",
    "SELECT count(*) FROM t WHERE NOT a = 1",
    "SELECT count(*) FROM t WHERE (a, b) > (1, 'x')",
    "SELECT count(*) FROM t WHERE c = 'a' COLLATE BINARY",
    "SELECT count(*) FROM t WHERE a = id",
    "SELECT count(*) FROM t WHERE +a = 1",
    "SELECT count(*), sum(a) FROM t",
    "SELECT count(DISTINCT a) FROM t",
    "SELECT count(*) FILTER (WHERE a = 1) FROM t",
    "SELECT count(*) OVER () FROM t",
    "SELECT count(*) FROM t GROUP BY a",
    "SELECT count(*) FROM t HAVING count(*) > 100",
    "SELECT count(*) FROM t LIMIT 0",
    "SELECT count(*) FROM t, t AS u",
    "SELECT count(*) FROM (SELECT DISTINCT a FROM t)",
    "SELECT count(*) FROM (SELECT a FROM t LIMIT 2)",
    "SELECT count(*) FROM (SELECT max(a) FROM t)",
    "SELECT count(*) FROM (SELECT a FROM t) WHERE a = 1",
    "SELECT count(*) FROM (SELECT * FROM different)",
    "SELECT count(*) FROM different",
    "SELECT count(*) FROM two",
    "SELECT min(a, r) FROM t WHERE id = 1",
    "SELECT max(a) FROM t WHERE a IN (1, 2)",
]
EVERY_ONE = [*WITHOUT_ROWS, *ONE_ROW_EACH, *NOTHING_FOUND, *BY_READING]


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(";".join([TABLE, *INDEXES, *ROWS]))
    return connection


def cost(connection: Connection, sql: str) -> tuple[int, int]:
    """Round trips and rows read."""
    before = connection.rome_stats
    connection.execute(sql).fetchall()
    after = connection.rome_stats
    return after.round_trips - before.round_trips, after.rows - before.rows


@pytest.mark.parametrize("between", [[], ["UPDATE t SET a = 3, r = 9 WHERE id = 1"], ["DELETE FROM t"]], ids=repr)
def test_answers_are_those_of_sqlite(between: list[str]) -> None:
    with Pair([TABLE, *VIEWS], ids=True) as pair:
        for index in INDEXES:
            pair.rome.execute(index)
        for statement in [*ROWS, "COMMIT", *EVERY_ONE, "COMMIT", *between, *EVERY_ONE, "ROLLBACK"]:
            pair.execute(statement)


@pytest.mark.parametrize("sql", WITHOUT_ROWS)
def test_counting_reads_no_rows(filled: Connection, sql: str) -> None:
    assert cost(filled, sql) == (1, 0)


@pytest.mark.parametrize("sql", ONE_ROW_EACH)
def test_an_extreme_reads_its_row(filled: Connection, sql: str) -> None:
    trips, rows = cost(filled, sql)
    assert (trips, rows) == (1, sql.count("min") + sql.count("max"))


def test_what_the_transaction_has_read_or_written_is_not_asked_of_the_store(filled: Connection) -> None:
    filled.execute("SELECT * FROM t WHERE a IS 3").fetchall()
    assert cost(filled, "SELECT count(*) FROM t WHERE a = 3") == (0, 0)
    filled.execute("INSERT INTO t (a, b) VALUES (4, 'w')")
    assert filled.execute("SELECT count(*), max(a) FROM t").fetchall() == [(7, 4)]


def test_a_table_made_by_the_transaction_is_counted(filled: Connection) -> None:
    filled.execute("CREATE TABLE u (id INTEGER PRIMARY KEY)")
    filled.execute("INSERT INTO u VALUES (5), (6)")
    assert filled.execute("SELECT count(*), max(id) FROM u").fetchall() == [(2, 6)]


@pytest.mark.parametrize(
    ("asked", "change", "conflicts"),
    [
        ("SELECT count(*) FROM t WHERE a = 3", "INSERT INTO t (a, b) VALUES (3, 'new')", True),
        ("SELECT count(*) FROM t WHERE a = 3", "UPDATE t SET a = 4 WHERE id = 5", True),
        ("SELECT count(*) FROM t WHERE a = 3", "UPDATE t SET r = 4 WHERE id = 5", False),
        ("SELECT count(*) FROM t WHERE a = 3", "INSERT INTO t (a, b) VALUES (2, 'new')", False),
        ("SELECT min(a) FROM t WHERE a >= 2", "INSERT INTO t (a, b) VALUES (3, 'new')", False),
        ("SELECT min(a) FROM t WHERE a >= 3", "DELETE FROM t WHERE id = 5", True),
        ("SELECT max(a) FROM t", "INSERT INTO t (a, b) VALUES (4, 'new')", True),
        ("SELECT max(a) FROM t WHERE a > 5", "INSERT INTO t (a, b) VALUES (6, 'new')", True),
    ],
)
def test_an_answer_that_is_no_longer_true_is_a_conflict(
    filled: Connection, connect: Connect, asked: str, change: str, conflicts: bool
) -> None:
    connection, other = connect(replay="off"), connect()
    connection.execute(asked).fetchall()
    connection.execute("UPDATE t SET c = 'mine' WHERE id = 4")
    other.execute(change)
    other.commit()
    if conflicts:
        with pytest.raises(ConflictError):
            connection.commit()
    else:
        connection.commit()


def test_explain_shows_that_no_rows_are_read(filled: Connection) -> None:
    shown = filled.execute("EXPLAIN ROME SELECT count(*), max(b) FROM t WHERE a = 3").fetchall()
    assert [(*row[1:5], row[6]) for row in shown if row[1]] == [
        ("t", "count of index t_a", "a = 3", "reads no rows", 0),
        ("t", "last of index t_a_b", "a = 3", "reads one row", 1),
    ]
