"""`IN ()`, and what SQLAlchemy writes for it: no row is read, whether or not an index has the column."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cost import cost
from tests.support.differential import Pair

EMPTY = "IN (SELECT 1 FROM (SELECT 1) WHERE 1!=1)"
EMPTY_PAIR = "IN (SELECT 1, 1 FROM (SELECT 1, 1) WHERE 1!=1)"
SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT)",
    "CREATE INDEX t_b ON t (b)",
    "CREATE TABLE u (k TEXT, l INT, m, PRIMARY KEY (k, l)) WITHOUT ROWID",
    "CREATE TABLE p (id INTEGER PRIMARY KEY, x, y)",
]
ROWS = [
    "INSERT INTO t VALUES (?, ?, ?)",
    "INSERT INTO u VALUES ('k' || ?, 1, ifnull(?, 0) + ?)",
    "INSERT INTO p VALUES (?, ifnull(?, 3), ?)",
]
NOTHING = ["a IN ()", f"a {EMPTY}", f"(a, b) {EMPTY_PAIR}", "b BETWEEN 1 AND 2 AND a IN ()", "a = '3' AND b IN ()"]
SOMETHING = [
    f"a {EMPTY} OR b = 2",
    f"NOT (a {EMPTY})",
    "a NOT IN ()",
    "id = 3 OR (id = 4 AND a IN ())",
    "a IN () IS NULL",
    "(a IN ()) = 0",
]
QUERIES = [
    "SELECT * FROM t WHERE {}",
    "SELECT count(*), max(b) FROM t WHERE {}",
    "SELECT b, count(*) FROM t WHERE {} GROUP BY b ORDER BY b",
    "SELECT * FROM t WHERE {} ORDER BY b DESC, id LIMIT 3",
    "SELECT t.id, x FROM p LEFT JOIN t ON x = t.id AND {} ORDER BY 1, 2",
    "SELECT t.id, x FROM p JOIN t ON x = t.id WHERE {} ORDER BY 1, 2",
    "SELECT t.id, x FROM t LEFT JOIN p ON x = t.id WHERE {} ORDER BY 1, 2",
    "SELECT t.id, x FROM t LEFT JOIN p ON x = t.id AND {} ORDER BY 1, 2",
    "SELECT x FROM p WHERE EXISTS (SELECT 1 FROM t WHERE t.id = x AND {}) ORDER BY 1",
    "SELECT x FROM p WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.id = x AND {}) ORDER BY 1",
    "SELECT x, (SELECT count(*) FROM t WHERE t.id = x AND {}) FROM p ORDER BY 1",
    "SELECT id FROM t WHERE {} UNION SELECT x FROM p WHERE y IN () ORDER BY 1",
    "DELETE FROM t WHERE {} RETURNING id",
    "UPDATE t SET a = a || 'x' WHERE {} RETURNING id, a",
    "INSERT INTO p (x, y) SELECT id, b FROM t WHERE {} RETURNING x",
]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(SCHEMA, ids=False, tables={"t": "*", "p": "*"}) as pair:
        for sql in ROWS:
            pair.execute(sql, *((n, str(n) if n % 5 else None, n % 4) for n in range(20)))
        pair.execute("COMMIT")
        yield pair


@pytest.mark.parametrize("condition", [*NOTHING, *SOMETHING])
def test_as_in_sqlite(pair: Pair, condition: str) -> None:
    for query in QUERIES:
        pair.execute(query.format(condition))
        if not query.startswith("SELECT"):
            pair.execute("SELECT * FROM t")
            pair.execute("SELECT * FROM p ORDER BY id")
            pair.execute("ROLLBACK")


@pytest.mark.parametrize("condition", NOTHING)
def test_no_row_is_read(pair: Pair, condition: str) -> None:
    for query in (
        "SELECT * FROM t WHERE {}",
        "DELETE FROM t WHERE {}",
        "SELECT p.x FROM p JOIN t ON p.x = t.id WHERE {}",
    ):
        assert cost(pair.rome, query.format(condition))[1] == 0


def test_no_row_of_a_table_without_rowid_is_read(pair: Pair) -> None:
    pair.execute("SELECT * FROM u WHERE m IN () ORDER BY k LIMIT 1")
    pair.execute("ROLLBACK")
    assert cost(pair.rome, "SELECT * FROM u WHERE m IN ()") == (0, 0)
