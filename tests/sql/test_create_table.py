"""Every edit of a CREATE TABLE makes what SQLite understands by it, whatever the text looks like."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from rome.sql.create_table import CreateTable

TEXTS = [
    "CREATE TABLE t(a,b)",
    "CREATE TABLE t (a INTEGER PRIMARY /*c*/ KEY, b TEXT)",
    "CREATE TABLE t (a INTEGER CONSTRAINT p PRIMARY KEY DESC ON CONFLICT ABORT, b DECIMAL(10, -5) NULL)",
    "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)",
    'CREATE TABLE "t" ("a" INTEGER, [b, (] "odd ) type" (3), PRIMARY KEY ("a" ASC) ON CONFLICT FAIL)',
    "CREATE TABLE t (a INTEGER, b, PRIMARY KEY(a AUTOINCREMENT))",
    "CREATE TABLE t (\n\ta UNSIGNED BIG INT DEFAULT -1 NOT NULL, -- first, (\n\tb DEFAULT (1 + (2)) COLLATE nocase)",
    "CREATE TABLE t (a DEFAULT NULL CONSTRAINT n, b DEFAULT CURRENT_TIMESTAMP CHECK (b <> ')') UNIQUE, c DEFAULT x)",
    "CREATE TABLE t (a, b GENERATED ALWAYS AS (a || ',') STORED UNIQUE, c AS (a), d INT AS (a + 1) VIRTUAL NOT NULL)",
    "CREATE TABLE t (a REFERENCES p (x) ON DELETE SET NULL ON UPDATE NO ACTION MATCH FULL NOT DEFERRABLE INITIALLY "
    "IMMEDIATE NOT NULL DEFAULT 5, b REFERENCES p DEFERRABLE, c NOT DEFERRABLE)",
    "CREATE TABLE t (a, b, CONSTRAINT one CHECK (a > 0) CONSTRAINT two UNIQUE (a COLLATE nocase, b), "
    "CONSTRAINT three FOREIGN KEY (a, b) REFERENCES p (x, y) ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED "
    "CONSTRAINT four CHECK (b))",
    'CREATE TABLE t (a, b, CONSTRAINT alone, CONSTRAINT "o\'n,e" PRIMARY KEY (b)) WITHOUT ROWID, STRICT'.replace(
        "(a, b,", "(a ANY, b ANY,"
    ),
    "CREATE TABLE t (a, 'b' NOT NULL ON CONFLICT IGNORE, CONSTRAINT 'one' CHECK (a) ON CONFLICT FAIL)",
]


@pytest.fixture(params=TEXTS)
def text(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def database() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    yield connection
    connection.close()


Columns = dict[str, tuple[object, ...]]


def columns(database: apsw.Connection, sql: str) -> Columns:
    """Name -> type, not null, default, place in the key, kind; as SQLite understands the text."""
    database.execute("DROP TABLE IF EXISTS t")
    database.execute(sql)
    return {row[1]: row[2:] for row in database.execute("PRAGMA table_xinfo(t)")}


def test_columns_are_those_that_sqlite_finds(text: str, database: apsw.Connection) -> None:
    assert [column.name for column in CreateTable(text).columns] == list(columns(database, text))


def test_named_constraint_goes_and_all_else_stays(text: str, database: apsw.Connection) -> None:
    table = CreateTable(text)
    before = columns(database, text)
    every = [*table.constraints, *(clause for column in table.columns for clause in column.clauses)]
    for clause in every:
        if clause.name is None or (clause.kind == "PRIMARY KEY" and "WITHOUT ROWID" in text):
            continue
        assert table.constraint(clause.name.upper()) == clause
        left = CreateTable(table.without([clause]))
        after = columns(database, left.sql)
        if clause.kind != "PRIMARY KEY":
            assert after == before
        assert left.constraint(clause.name) is None
        others = [left.constraint(other.name) for other in every if other.name is not None and other is not clause]
        assert None not in others


def test_constraint_comes_and_goes(text: str, database: apsw.Connection) -> None:
    before = columns(database, text)
    made = CreateTable(text).with_constraint("CONSTRAINT new UNIQUE (a)", ())
    assert columns(database, made) == before
    assert any(row[2] for row in database.execute("PRAGMA index_list(t)"))
    table = CreateTable(made)
    new = table.constraint("new")
    assert new is not None
    assert new.columns == {"a"}
    assert table.without([new]) == text


def test_primary_key_is_not_null(database: apsw.Connection) -> None:
    made = CreateTable("CREATE TABLE t (a, b NOT NULL, c) -- end").with_constraint("PRIMARY KEY (a, b)", {"a", "b"})
    found = columns(database, made)
    assert {name: (column[1], column[3]) for name, column in found.items()} == {"a": (1, 1), "b": (1, 2), "c": (0, 0)}


def test_type_default_and_not_null(text: str, database: apsw.Connection) -> None:
    before = columns(database, text)
    name = "a"
    kept = {other: column for other, column in before.items() if other != name}
    declared, not_null, default, *rest = before[name]
    typed = "INTEGER" if "AUTOINCREMENT" in text or "STRICT" in text else "NUMERIC (4, 2)"
    for edited, expected in [
        (CreateTable(text).with_type(name, typed, ""), (typed.replace(" ", ""), not_null, default)),
        (CreateTable(text).with_clause(name, "DEFAULT", "DEFAULT (7)"), (declared, not_null, "7")),
        (CreateTable(text).with_clause(name, "DEFAULT", ""), (declared, not_null, None)),
        (CreateTable(text).with_clause(name, "NOT NULL", "NOT NULL"), (declared, 1, default)),
        (CreateTable(text).with_clause(name, "NOT NULL", ""), (declared, 0, default)),
    ]:
        after = columns(database, edited)
        assert {other: column for other, column in after.items() if other != name} == kept
        assert (str(after[name][0]).replace(" ", ""), *after[name][1:]) == (
            str(expected[0]).replace(" ", ""),
            *expected[1:],
            *rest,
        )


def test_collation_takes_the_place_of_the_one_before(database: apsw.Connection) -> None:
    for text in ("CREATE TABLE t (a TEXT COLLATE rtrim NOT NULL)", "CREATE TABLE t (a NOT NULL COLLATE rtrim)"):
        made = CreateTable(text).with_type("A", "CLOB", "COLLATE nocase")
        assert columns(database, made)["a"][:2] == ("CLOB", 1)
        assert database.column_metadata("main", "t", "a")[1] == "nocase"
