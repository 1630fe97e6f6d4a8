"""A condition on a value that some row has shown implies nothing about other rows, nor about the current row.

Each statement was once given a plan that is too small. Stock SQLite answers on all rows; `right` is what it says, too.
"""

from __future__ import annotations

import pytest

from tests.support.differential import Operation, Pair

SCHEMA = [
    "CREATE TABLE l (id INTEGER PRIMARY KEY, a INT, b INT, x INT DEFAULT 0)",
    "CREATE INDEX l_a ON l (a)",
    "CREATE TABLE r (id INTEGER PRIMARY KEY, l INT, m INT, e TEXT COLLATE NOCASE)",
    "CREATE INDEX r_p ON r (l) WHERE m IS NOT NULL",
    "CREATE INDEX r_open ON r (l) WHERE m IS NULL",
    "CREATE INDEX r_m ON r (m)",
    "CREATE INDEX r_e ON r (e COLLATE BINARY)",
]
ROWS = [
    "INSERT INTO l (id, a, b) VALUES (1, 5, 0), (2, 5, 1), (3, NULL, 1), (4, 7, 1)",
    "INSERT INTO r VALUES (1, 1, 4, 'A'), (2, 1, NULL, 'a'), (3, 2, 5, 'b'), (4, 4, NULL, NULL), (5, 4, 4, 'B')",
]
LAST = "(SELECT r.m FROM r WHERE r.l = l.id ORDER BY r.id DESC LIMIT 1)"
FIRST = "(SELECT r.m FROM r WHERE r.l = l.id ORDER BY r.id LIMIT 1)"
MANY = "(SELECT m FROM (SELECT r.m, r.id FROM r WHERE r.l = l.id UNION ALL SELECT 4, 0) ORDER BY id DESC LIMIT 1)"


def check(sql: str, right: list[int] | None = None) -> None:
    with Pair(SCHEMA, ids=True) as pair:
        for statement in [*ROWS, "COMMIT"]:
            pair.execute(statement)
        seen = pair.run(Operation(sql))
        assert seen.error is None
        if right is not None:
            assert [row[0] for row in seen.rows] == right
        pair.check_tables()


@pytest.mark.parametrize(
    ("condition", "right"),
    [
        (f"{LAST} = 4", [4]),
        (f"4 = {LAST}", [4]),
        (f"{LAST} IN (4, 5)", [2, 4]),
        (f"{LAST} > 3", [2, 4]),
        (f"{LAST} <> 9", [2, 4]),
        (f"{LAST} BETWEEN 4 AND 5", [2, 4]),
        (f"{LAST} IS NOT NULL", [2, 4]),
        (f"{LAST} IS NULL", [1, 3]),
        (f"{FIRST} IS NULL", [3, 4]),
        (f"{LAST} IS 4", [4]),
        (f"({LAST}, 1) = (4, 1)", [4]),
        (f"({LAST}, 1) IN (VALUES (4, 1), (5, 1))", [2, 4]),
        (f"({LAST}, 1) > (3, 1)", [2, 4]),
        (f"{LAST} = l.id", [4]),
        (f"{LAST} <> l.b", [2, 4]),
        (f"({LAST} = 4 OR {LAST} = 5)", [2, 4]),
        (f"{LAST} IN (SELECT m FROM r WHERE id = 1)", [4]),
        (f"({LAST} COLLATE NOCASE) = 4", [4]),
        (f"EXISTS (SELECT 1 WHERE {LAST} = 4)", [4]),
        (f"{MANY} = 4", [3, 4]),
    ],
)
def test_a_comparison_with_a_scalar_subquery_selects_none_of_its_rows(condition: str, right: list[int]) -> None:
    check(f"SELECT id FROM l WHERE {condition} ORDER BY id", right)
    check(f"SELECT l.id FROM l JOIN l AS o ON o.id = l.id WHERE {condition} ORDER BY 1", right)
    check(f"SELECT l.id FROM l JOIN l AS o ON o.id = l.id AND {condition} ORDER BY 1", right)
    check(f"SELECT id FROM (SELECT id FROM l WHERE {condition}) ORDER BY id", right)
    check(f"WITH c AS (SELECT * FROM l) SELECT id FROM c AS l WHERE {condition} ORDER BY id", right)
    check(f"UPDATE l SET x = 1 WHERE {condition}")
    check(f"UPDATE l SET x = {LAST} WHERE {condition}")
    check(f"DELETE FROM l WHERE {condition}")
    check(f"INSERT INTO l (id, a) SELECT id + 10, a FROM l WHERE {condition}")
    check(f"UPDATE l SET x = o.id FROM l AS o WHERE o.id = l.id AND {condition}")


@pytest.mark.parametrize(
    ("sql", "right"),
    [
        ("SELECT count(*) FROM l WHERE (SELECT l.a WHERE l.b = 1) = 5", [1]),
        ("SELECT count(*) FROM l WHERE (SELECT a WHERE b = 1) IS NOT NULL", [2]),
        ("SELECT count(*) FROM l WHERE (SELECT a LIMIT 0) = 5", [0]),
        ("SELECT max(id) FROM l WHERE (SELECT l.a WHERE l.b = 0) = 5", [1]),
        ("SELECT id, a FROM l WHERE (SELECT l.a WHERE l.b = 1) = 5", [2]),
        ("SELECT count(*) FROM (SELECT a FROM l WHERE (SELECT l.a WHERE l.b = 1) = 5)", [1]),
    ],
)
def test_a_scalar_subquery_without_rows_of_its_own_is_not_the_column_that_it_shows(sql: str, right: list[int]) -> None:
    """It may have no row; the answer was taken from an index, or from the stored rows, by the column alone."""
    check(sql, right)


@pytest.mark.parametrize(
    "condition",
    [
        "(SELECT l.a FROM r WHERE r.id = 99) IS NULL",
        "(SELECT z FROM (SELECT l.a AS z FROM r WHERE r.id = 99)) IS NULL",
        "(SELECT z FROM (SELECT l.a AS z FROM r WHERE r.id = 99)) IS NULL AND l.b >= 0",
        "EXISTS (SELECT 1 FROM r LEFT JOIN (SELECT l.a AS z FROM r AS s) AS d ON d.z = r.id WHERE d.z IS NULL)",
        "EXISTS (SELECT 1 FROM r LEFT JOIN (SELECT l.a AS z) AS d ON d.z = 99 WHERE d.z IS NULL)",
        "EXISTS (SELECT 1 FROM (SELECT l.a AS z) AS d RIGHT JOIN r ON d.z = 99 WHERE d.z IS NULL)",
        "EXISTS (WITH c AS (SELECT l.a AS z) SELECT 1 FROM r LEFT JOIN c ON c.z = 99 WHERE c.z IS NULL)",
    ],
)
def test_a_column_of_the_query_around_may_be_null_inside_and_not_outside(condition: str) -> None:
    check(f"SELECT id FROM l WHERE {condition} ORDER BY id", [1, 2, 3, 4])
    check(f"UPDATE l SET x = 1 WHERE {condition}")
    check(f"DELETE FROM l WHERE {condition}")


@pytest.mark.parametrize("hint", ["MATERIALIZED ", "NOT MATERIALIZED ", ""])
def test_distinct_makes_one_of_rows_that_differ_under_another_collation(hint: str) -> None:
    query = f"WITH c AS {hint}(SELECT DISTINCT e FROM r) SELECT count(*) FROM c"
    check(f"{query} WHERE e = 'a' COLLATE BINARY")
    check(f"{query} WHERE e > 'Z' COLLATE BINARY")
    check(f"{query} AS c JOIN l ON l.id = (SELECT 1 WHERE c.e = 'a' COLLATE BINARY)")
