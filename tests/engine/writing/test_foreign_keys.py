"""Foreign keys are enforced by SQLite, and switched on only for a statement that needs it: each switch is dear.

What is switched on stays on. So every statement is run after one that left them on, and after one that left them off;
and whatever Rome itself writes into the working set must find them off.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rome.errors import ForeignKeyViolation
from tests.support.databases import Connect
from tests.support.differential import Operation, Pair

SCHEMA = [
    "CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON UPDATE CASCADE, u TEXT REFERENCES p (u), a)",
    "CREATE TABLE n (id INTEGER PRIMARY KEY, c INTEGER REFERENCES c ON DELETE CASCADE, r INTEGER UNIQUE REFERENCES n)",
]
ROWS = [
    "INSERT INTO p VALUES (1, 'u1', 0), (2, 'u2', 0), (3, 'U3', 0)",
    "INSERT INTO c VALUES (1, 1, 'u1', 0), (2, 2, NULL, 0), (3, NULL, 'U3', 0)",
    "INSERT INTO n VALUES (1, 1, NULL), (2, 2, 1)",
    "COMMIT",
]
LEAVES_ON, LEAVES_OFF = "INSERT INTO n SELECT 7, 1, 2", "SELECT * FROM c, n"
"""The first needs them on; the second has rows hydrated of tables that have foreign keys."""

STATEMENTS = [
    "INSERT INTO c VALUES (4, 1, 'u2', 0)",
    "INSERT INTO c VALUES (4, 9, 'u2', 0)",
    "INSERT INTO c VALUES (4, NULL, 'nobody', 0)",
    "INSERT INTO c VALUES (4, '1', 'u3', 0)",
    "INSERT INTO c VALUES (4, 1.0, NULL, 0)",
    "INSERT INTO c VALUES (4, 1 + 1, lower('U1'), 0)",
    "INSERT INTO c VALUES (4, 8 + 1, NULL, 0)",
    "INSERT INTO c (id, p) VALUES (4, 1), (5, 2), (6, 3), (8, 9)",
    "INSERT INTO c (id, p) VALUES (4, 1), (5, 2), (6, 3)",
    "INSERT INTO n VALUES (8, 1, 8)",
    "INSERT INTO n VALUES (8, 1, 9), (9, 1, NULL)",
    "INSERT INTO c (id, p) SELECT 4, max(id) FROM p",
    "INSERT INTO c (id, p) SELECT 4, max(id) + 1 FROM p",
    "INSERT INTO c (id, p) VALUES (1, 1) ON CONFLICT DO UPDATE SET p = 9",
    "INSERT INTO p (id, u) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET u = excluded.u",
    "INSERT INTO p (id, u) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET a = 1",
    "REPLACE INTO p VALUES (1, 'u1', 5)",
    "REPLACE INTO p VALUES (9, 'u1', 5)",
    "REPLACE INTO c VALUES (1, 2, NULL, 5)",
    "UPDATE p SET a = 1",
    "UPDATE p SET id = id + 10",
    "UPDATE p SET rowid = 11 WHERE id = 1",
    "UPDATE p SET u = 'v' WHERE id = 2",
    "UPDATE p SET u = 'v' WHERE id = 1",
    "UPDATE c SET a = 1",
    "UPDATE c SET p = 3",
    "UPDATE c SET p = 9 WHERE id = 2",
    "UPDATE c SET id = 20 WHERE id = 2",
    "UPDATE OR REPLACE n SET r = 1 WHERE id = 1",
    "UPDATE OR REPLACE c SET id = 3 WHERE id = 2",
    "DELETE FROM p WHERE id = 3",
    "DELETE FROM p WHERE id = 1",
    "DELETE FROM c WHERE id = 2",
    "DROP TABLE n",
]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(SCHEMA, ids=True, tables={"p": "id, u, a", "c": "id, p, u, a"}) as pair:
        for sql in ROWS:
            pair.run(Operation(sql))
        yield pair


@pytest.mark.parametrize("before", ["COMMIT", LEAVES_ON, LEAVES_OFF], ids=["first", "after on", "after off"])
@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement(pair: Pair, before: str, sql: str) -> None:
    for each in (before, sql, LEAVES_OFF if sql != "DROP TABLE n" else "SELECT 1", "SELECT * FROM p", "COMMIT"):
        pair.run(Operation(each))
    pair.check_tables()


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_parent_that_has_gone_in_this_transaction(pair: Pair, sql: str) -> None:
    for each in ("DELETE FROM n", "DELETE FROM c WHERE id = 2", "DELETE FROM p WHERE id = 2", sql, "COMMIT"):
        pair.run(Operation(each))
    pair.check_tables()


def test_many_rows_at_once(pair: Pair) -> None:
    sql = "INSERT INTO c (id, p) VALUES (?, ?)"
    pair.run(Operation(sql, batch=((4, 1), (5, 2), (6, None))))
    pair.run(Operation(sql, batch=((7, 3), (8, 9), (9, 1))))
    pair.check_tables()


def test_switched_off_by_the_application(connect: Connect) -> None:
    connection = connect()
    for sql in [*SCHEMA, *ROWS, LEAVES_ON, "COMMIT", "PRAGMA foreign_keys=OFF"]:
        connection.execute(sql)
    connection.execute("INSERT INTO c VALUES (4, 9, 'nobody', 0)")
    connection.execute("DELETE FROM p WHERE id = 2")
    connection.commit()
    assert connection.execute("SELECT id, p FROM c ORDER BY id").fetchall() == [(1, 1), (2, 2), (3, None), (4, 9)]
    connection.rollback()
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(ForeignKeyViolation):
        connection.execute("INSERT INTO c VALUES (5, 9, NULL, 0)")


UNSOUND = [
    "CREATE TABLE p (id INTEGER PRIMARY KEY, a, b TEXT UNIQUE COLLATE NOCASE)",
    "CREATE TABLE q (a)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES {parent}{deferred})",
    "CREATE TABLE o (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)",
]
"""Keys that name what is no key of their parent, or wait for COMMIT: SQLite refuses some statements for them."""


@pytest.mark.parametrize("deferred", ["", " DEFERRABLE INITIALLY DEFERRED"], ids=["immediate", "deferred"])
@pytest.mark.parametrize("parent", ["p (a)", "q", "nowhere", "p (gone)", "p (b)"])
@pytest.mark.parametrize("leaves", [["INSERT INTO o SELECT 5, 1", "SELECT * FROM p"], ["SELECT * FROM o, p"]])
def test_keys_that_are_none(leaves: list[str], parent: str, deferred: str) -> None:
    schema = [sql.format(parent=parent, deferred=deferred) for sql in UNSOUND]
    statements = [
        "INSERT INTO p VALUES (1, 1, 'x')",
        "INSERT INTO p VALUES (2, 2, 'y'), (3, 3, 'z')",
        "INSERT INTO p SELECT 4, 4, 'w'",
        "INSERT INTO q VALUES (1)",
        "INSERT INTO q VALUES (1), (2)",
        "INSERT INTO o VALUES (1, 1)",
        "COMMIT",
        "INSERT INTO c VALUES (1, NULL)",
        "INSERT INTO c VALUES (2, 1)",
        "INSERT INTO c VALUES (3, 'X')",
        "UPDATE p SET b = 'v' WHERE id = 2",
        "UPDATE p SET a = 7",
        "UPDATE c SET id = 9",
        "DELETE FROM q",
        "DELETE FROM p WHERE id = 3",
        "COMMIT",
    ]
    with Pair(schema, ids=True, tables={"p": "id, a, b", "c": "id, p", "o": "id, p"}) as pair:
        for sql in statements:
            pair.run(Operation(sql))
            for left in leaves:
                pair.run(Operation(left))
        pair.check_tables()


def test_rows_come_in_whatever_refers_to_them(connect: Connect) -> None:
    connection = connect()
    refers = {"parent": "p (a)", "deferred": " DEFERRABLE INITIALLY DEFERRED"}
    for sql in [*(sql.format(**refers) for sql in UNSOUND), "COMMIT", "PRAGMA foreign_keys=OFF"]:
        connection.execute(sql)
    connection.execute("INSERT INTO p VALUES (1, 1, 'x')")
    connection.commit()
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("INSERT INTO o SELECT 6, NULL")
    assert connection.execute("SELECT * FROM p").fetchall() == [(1, 1, "x")]
