"""Which texts name a function in place of a table, and that SQLite runs them as it runs the statement."""

from __future__ import annotations

import apsw
import pytest

from rome import compiled
from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.schema import Table
from rome.workingset.block_loader import BlockLoader, function_name
from rome.workingset.passing import can_pass, has_same_plan, rewritten

SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, kind INT, name TEXT COLLATE NOCASE UNIQUE);
    CREATE TABLE u (id INTEGER PRIMARY KEY, t_id INT, note);
    CREATE INDEX u_t ON u (t_id);
    CREATE TABLE plain (a, b);
    CREATE TABLE word (w TEXT PRIMARY KEY, n);
    CREATE TABLE without (k INTEGER PRIMARY KEY, n) WITHOUT ROWID;
    CREATE TABLE computed (id INTEGER PRIMARY KEY, n, twice AS (2 * n));
"""


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    mirror = Mirror()
    mirror.connection.execute(SCHEMA)
    return dict(Definition.empty().evolve(mirror).definition.catalog.tables)


def test_the_rows_of_a_block_must_be_in_the_order_of_rowids(tables: dict[str, Table]) -> None:
    assert {name for name, table in tables.items() if can_pass(table)} == {"t", "u", "plain"}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT kind FROM t", 'SELECT kind FROM f AS "t"'),
        ("select T.kind from T where t.id > 1", 'select T.kind from f AS "t" where t.id > 1'),
        ("SELECT x.kind FROM t x", "SELECT x.kind FROM f x"),
        ('SELECT "x".kind FROM "t" AS "x"', 'SELECT "x".kind FROM f AS "x"'),
        ("SELECT * FROM u LEFT JOIN t ON t.id = t_id", 'SELECT * FROM u LEFT JOIN f AS "t" ON t.id = t_id'),
        ("SELECT * FROM u, t WHERE 1", 'SELECT * FROM u, f AS "t" WHERE 1'),
        ("SELECT * FROM (SELECT * FROM t) GROUP BY 1", 'SELECT * FROM (SELECT * FROM f AS "t") GROUP BY 1'),
        ("SELECT * FROM t CROSS JOIN u", 'SELECT * FROM f AS "t" CROSS JOIN u'),
        ("SELECT 't.' || kind /* t */ FROM t -- t", "SELECT 't.' || kind /* t */ FROM f AS \"t\" -- t"),
        ("SELECT 't' FROM t", None),
        ("SELECT * FROM main.t", None),
        ("SELECT t FROM t", None),
        ("SELECT * FROM t AS a, t AS b", None),
        ("SELECT * FROM t UNION SELECT * FROM t", None),
        ("WITH t AS (SELECT 1) SELECT * FROM t", None),
        ("SELECT * FROM v", None),
        ("SELECT 1 IN t", None),
        ("t", None),
    ],
)
def test_text(tables: dict[str, Table], sql: str, expected: str | None) -> None:
    assert rewritten(sql, tables["t"], "f") == expected


@pytest.fixture
def loader() -> BlockLoader:
    if compiled.library() is None:
        pytest.skip(compiled.described())
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    made = BlockLoader(connection)
    assert made.is_available
    return made


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("SELECT kind, count(*) FROM t GROUP BY kind", True),
        ("SELECT * FROM t ORDER BY id", True),
        ("SELECT * FROM t ORDER BY rowid LIMIT 3", True),
        ("SELECT kind FROM t ORDER BY kind DESC, id LIMIT ?", True),
        ("SELECT * FROM t WHERE name LIKE ? OR kind = 3", True),
        ("SELECT count(kind) FROM t WHERE NOT EXISTS (SELECT * FROM u WHERE u.t_id = t.id)", True),
        ("SELECT sum(kind + (SELECT count(*) FROM u WHERE u.t_id = t.id)) FROM t", True),
        ("SELECT count(*) FROM t WHERE NOT EXISTS (SELECT * FROM u WHERE u.t_id = t.id)", False),  # by the unique index
        ("SELECT * FROM t JOIN u ON u.t_id = t.kind", True),
        ("SELECT (SELECT max(kind) FROM t) FROM plain", True),
        ("SELECT a, (SELECT count(*) FROM t WHERE kind = a) FROM plain", False),  # once for each row
        ("SELECT * FROM plain CROSS JOIN t", False),  # once for each row
        ("SELECT * FROM t CROSS JOIN plain", True),
        ("SELECT * FROM t WHERE id > 5", False),
        ("SELECT * FROM t WHERE name = 'x'", False),
        ("SELECT name FROM t", False),  # in the order of the unique index
        ("SELECT * FROM t ORDER BY id DESC", False),
        ("SELECT min(name) FROM t", False),
        ("SELECT * FROM plain JOIN t ON t.id = a", False),
    ],
)
def test_plan(tables: dict[str, Table], loader: BlockLoader, sql: str, same: bool) -> None:
    other = rewritten(sql, tables["t"], function_name(loader.function_of(tables["t"], 0)))
    assert other is not None
    assert has_same_plan(loader._connection, sql, other, sql.count("?")) is same
