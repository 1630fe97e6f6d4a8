"""A statement stands, or nothing of it is left, also when it fails after SQLite has run it; as in stock SQLite.

The working set keeps no index that is not unique: what its expressions raise comes up when the entries are computed.
"""

from __future__ import annotations

from contextlib import closing, suppress

import pytest

import rome
from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import DataError, OperationalError
from tests.support.databases import Connect
from tests.support.differential import Pair
from tests.support.stored_entries import check_entries

# Pair leaves what begins with CREATE INDEX out of stock SQLite.
FAILING = {
    "expression": ("create index i ON p (json_extract(v, '$.a'))", "'bad'", "'{}'"),
    "condition": ("create index i ON p (n) WHERE json_extract(v, '$.a') IS NULL", "'bad'", "'{}'"),
    "overflow": ("create index i ON p (abs(v))", "-9223372036854775808", "-5"),
    "operator": ("create index i ON p (v ->> 'a')", "'bad'", "'{}'"),
    "unique": ("create unique index i ON p (json_extract(v, '$.a'), id)", "'bad'", "'{}'"),
    "second": ("create index i ON p (lower(v), json_extract(v, '$.a'))", "'bad'", "'{}'"),
}
TABLES = [
    "CREATE TABLE p (id INTEGER PRIMARY KEY, n INT UNIQUE, v)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, pid INT REFERENCES p ON UPDATE CASCADE ON DELETE SET NULL, x INT)",
]


@pytest.fixture(params=list(FAILING))
def failing(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """An index, a value for which it fails, and one for which it does not."""
    return FAILING[request.param]


STATEMENTS = [
    "INSERT INTO p VALUES (9, 9, {bad})",
    "INSERT INTO p VALUES (9, 9, {good}), (10, 10, {bad}), (11, 11, {good})",
    "INSERT INTO p SELECT id + 20, n + 20, CASE id WHEN 2 THEN {bad} ELSE v END FROM p",
    "INSERT OR IGNORE INTO p VALUES (1, 8, {bad}), (9, 9, {bad})",
    "INSERT OR IGNORE INTO p VALUES (1, 8, {bad})",
    "INSERT OR REPLACE INTO p VALUES (1, 2, {bad})",
    "INSERT OR FAIL INTO p VALUES (9, 9, {good}), (10, 10, {bad})",
    "INSERT INTO p VALUES (1, 7, {bad})",
    "INSERT INTO p VALUES (1, 7, {bad}) ON CONFLICT DO NOTHING",
    "INSERT INTO p VALUES (1, 7, {good}) ON CONFLICT (id) DO UPDATE SET v = {bad}",
    "UPDATE p SET id = id + 100, v = CASE id WHEN 3 THEN {bad} ELSE v END",
    "UPDATE p SET id = 50, v = {bad} WHERE id = 1",
    "UPDATE p SET v = {bad} WHERE id = 1 RETURNING id, v",
    "UPDATE OR REPLACE p SET n = 2, v = {bad} WHERE id = 1",
]


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("known", [False, True])  # are the rows in the working set?
def test_a_statement_that_fails_leaves_nothing(failing: tuple[str, str, str], statement: str, known: bool) -> None:
    index, bad, good = failing
    with Pair([*TABLES, index], ids=True) as pair:
        pair.execute(f"INSERT INTO p VALUES (1, 1, {good}), (2, 2, {good}), (3, 3, {good})")
        pair.execute("INSERT INTO c VALUES (1, 1, 0), (2, 2, 0), (3, NULL, 0)")
        pair.execute("COMMIT")
        if known:
            pair.execute("SELECT * FROM p")
        pair.execute("UPDATE c SET x = 1")
        pair.execute(statement.format(bad=bad, good=good))
        pair.execute(f"INSERT INTO p VALUES (70, 70, {good})")
        pair.execute("DELETE FROM p WHERE id = 2")
        pair.check_tables()


def test_executemany_keeps_the_runs_before_the_one_that_fails(failing: tuple[str, str, str]) -> None:
    index, bad, good = failing
    bound: dict[str, SqlValue] = {"'bad'": "bad", "'{}'": "{}", "-5": -5, "-9223372036854775808": -(1 << 63)}
    with Pair([*TABLES, index], ids=True) as pair:
        rows: list[tuple[SqlValue, ...]] = [(i, i, bound[good]) for i in range(1, 6)]
        seen = pair.execute("INSERT INTO p VALUES (?, ?, ?)", *rows, (6, 6, bound[bad]), (7, 7, bound[good]))
        assert seen.error is not None
        pair.execute("UPDATE p SET v = ? WHERE id = ?", (bound[good], 1), (bound[bad], 2), (bound[good], 3))
        pair.check_tables()


def test_index_over_rows_for_which_it_fails(failing: tuple[str, str, str]) -> None:
    index, bad, good = failing
    with Pair(TABLES, ids=True) as pair:
        pair.execute(f"INSERT INTO p VALUES (1, 1, {good}), (2, 2, {bad})")
        pair.execute("COMMIT")
        pair.execute(f"INSERT INTO p VALUES (3, 3, {good})")
        assert pair.execute(index).error is not None
        pair.execute(f"INSERT INTO p VALUES (4, 4, {bad})")
        pair.execute("DELETE FROM p WHERE id IN (2, 4)")
        assert pair.execute(index).error is None
        assert pair.execute(f"INSERT INTO p VALUES (5, 5, {bad})").error is not None
        pair.check_tables()


def test_generated_columns_that_fail() -> None:
    schema = [
        "CREATE TABLE p (id INTEGER PRIMARY KEY, v, s AS (abs(v)) STORED, w AS (json_extract(v, '$.a')))",
        "create index i ON p (w)",
    ]
    with Pair(schema, ids=True, tables={"p": "id, v, s"}) as pair:
        pair.execute("INSERT INTO p (id, v) VALUES (1, '1'), (2, '2')")
        pair.execute("COMMIT")
        for statement in (
            "INSERT INTO p (id, v) VALUES (3, 3), (4, -9223372036854775808)",
            "INSERT INTO p (id, v) VALUES (3, 3), (4, 'bad')",
            "UPDATE p SET id = id + 10, v = CASE id WHEN 2 THEN 'bad' ELSE v END",
        ):
            assert pair.execute(statement).error is not None
        pair.execute("INSERT INTO p (id, v) VALUES (5, '5')")
        pair.check_tables()


def test_converted_rows_for_which_an_index_fails(connection: Connection) -> None:
    connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT)")
    connection.execute("CREATE INDEX i ON p (abs(v))")
    connection.execute("INSERT INTO p VALUES (1, '-9223372036854775808')")
    connection.commit()
    with pytest.raises(OperationalError, match="integer overflow"):
        connection.execute("ALTER TABLE p ALTER COLUMN v TYPE INTEGER")
    assert connection.execute("SELECT typeof(v) FROM p").fetchall() == [("text",)]
    connection.commit()
    connection.execute("SELECT 1 FROM p")
    check_entries(connection)


def test_key_that_is_not_utf_8(connection: Connection, connect: Connect) -> None:
    """SQLite keeps it; Rome, which cannot, says so at the statement."""
    connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, v BLOB)")
    connection.execute("CREATE INDEX i ON p (CAST(v AS TEXT))")
    connection.execute("INSERT INTO p VALUES (1, x'41')")
    connection.commit()
    connection.execute("INSERT INTO p VALUES (2, x'42')")
    with pytest.raises(DataError, match="not UTF-8"):
        connection.execute("UPDATE p SET id = 5, v = x'ff' WHERE id = 1")
    connection.commit()
    with closing(connect()) as other:
        assert other.execute("SELECT id, v FROM p").fetchall() == [(1, b"A"), (2, b"B")]
        check_entries(other)


def test_a_row_that_failed_is_not_taken_for_the_next(connection: Connection) -> None:
    """Keys are computed in a table of their own, where a row that failed used to stay."""
    connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, v)")
    connection.execute("CREATE INDEX i ON p (json_extract(v, '$.a'))")
    connection.commit()
    for _ in range(3):
        with suppress(OperationalError):
            connection.execute("INSERT INTO p VALUES (1, 'bad')")
        connection.rollback()
    connection.execute("""INSERT INTO p VALUES (1, '{"a": 5}'), (2, '{"a": 6}')""")
    connection.commit()
    connection.execute("SELECT 1 FROM p")
    check_entries(connection)
    assert connection.execute("SELECT id FROM p WHERE json_extract(v, '$.a') = 6").fetchall() == [(2,)]


def test_errors_of_sqlite_are_pep_249s_everywhere(connection: Connection) -> None:
    connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, v)")
    connection.execute("CREATE UNIQUE INDEX i ON p (json_extract(v, '$.a'))")
    for sql in ("INSERT INTO p VALUES (1, 'bad')", "EXPLAIN ROME ANALYZE INSERT INTO p VALUES (1, 'bad')"):
        with pytest.raises(rome.dbapi.OperationalError, match="malformed JSON"):
            connection.execute(sql)
    assert connection.execute("SELECT count(*) FROM p").fetchone() == (0,)


def test_failing_index_expression_leaves_no_orphan(connection: Connection) -> None:
    for sql in (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, j)",
        "CREATE INDEX i ON p (json_extract(j, '$.a'))",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, pid INT REFERENCES p ON UPDATE CASCADE, x INT)",
        "INSERT INTO p VALUES (1, '{}')",
        "INSERT INTO c VALUES (1, 1, 0)",
    ):
        connection.execute(sql)
    connection.commit()
    connection.execute("UPDATE c SET x = 1")
    with pytest.raises(OperationalError, match="malformed JSON"):
        connection.execute("UPDATE p SET id = 2, j = 'bad'")
    connection.commit()
    assert connection.execute("SELECT id FROM p").fetchall() == [(1,)]
    assert connection.execute("SELECT pid, x FROM c").fetchall() == [(1, 1)]
    connection.execute("INSERT INTO p VALUES (7, '{}')")
    connection.commit()
    connection.execute("SELECT 1 FROM p")
    check_entries(connection)
