"""The ways past the guard loop: what takes them, and that it does what stock SQLite does, also where they are left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from rome.dbapi import Connection, IntegrityError
from rome.engine.writing.guard_loop import GuardLoop
from rome.workingset.workingset import StatementRun, WorkingSet
from tests.support.databases import Connect
from tests.support.differential import OTHER_CLIENT, Pair

TABLES = [
    "CREATE TABLE p "
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT NOT NULL UNIQUE, n INT CHECK (n < 100), r REAL UNIQUE)",
    "CREATE TABLE c "
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT NOT NULL REFERENCES p (k), pid INT REFERENCES p, n INT)",
    "CREATE TABLE q (id INTEGER PRIMARY KEY, n INT)",
    "CREATE TABLE tree (id INTEGER PRIMARY KEY AUTOINCREMENT, up INT REFERENCES tree, n INT)",
]
FILLED = [
    "INSERT INTO p VALUES (1, 'a', 1, 1.0), (2, 'b', 2, 2.0), (3, 'c', 3, NULL)",
    "INSERT INTO c VALUES (1, 'a', 1, 1), (2, 'b', 2, 2)",
    "INSERT INTO tree VALUES (1, NULL, 1), (2, 1, 2)",
    "INSERT INTO q VALUES (1, 1), (2, 2)",
    "COMMIT",
]
HISTORIES = {
    "parents that the store has": [
        "INSERT INTO c (k, pid, n) VALUES ('a', 2, 1)",
        "INSERT INTO c (k, pid, n) VALUES ('a', NULL, 2)",
        "INSERT INTO c (id, k, pid, n) VALUES (20, 'c', 3, 3)",
        "INSERT INTO c (k, pid, n) VALUES ('b', 1, 4)",
        "SELECT c.id, p.id FROM c JOIN p USING (k) ORDER BY c.id",
    ],
    "parents that are missing": [
        "INSERT INTO c (k, pid, n) VALUES ('z', 1, 1)",
        "INSERT INTO c (k, pid, n) VALUES ('a', 9, 1)",
        "INSERT INTO c (k, pid, n) VALUES ('a', 1, 1)",
        "SELECT id FROM c",
    ],
    "parents that an UPDATE sets": [
        "UPDATE c SET pid = 3, k = 'c' WHERE id = 1",
        "UPDATE c SET pid = 9 WHERE id = 2",
        "UPDATE c SET k = 'z', n = 7 WHERE id = 2",
        "UPDATE c SET pid = '2' WHERE id = 2",
        "UPDATE c SET pid = 9 WHERE id = 77",
        "UPDATE tree SET up = id + 1 WHERE id = 1",
        "UPDATE tree SET up = 9 WHERE id = 2",
        "UPDATE c SET pid = NULL WHERE id = 1",
        "SELECT * FROM c",
    ],
    "parents that come and go": [
        "INSERT INTO p (k, n, r) VALUES ('z', 1, 5)",
        "INSERT INTO c (k, pid, n) VALUES ('z', 1, 1)",
        "DELETE FROM p WHERE k = 'c'",
        "INSERT INTO c (k, pid, n) VALUES ('c', 1, 1)",
        "UPDATE p SET k = 'y' WHERE k = 'z'",
        "UPDATE p SET k = 'd' WHERE id = 3",
    ],
    "a parent that has another key now": [
        "DELETE FROM c WHERE k = 'b'",
        "UPDATE p SET k = 'B' WHERE k = 'b'",
        "INSERT INTO c (k, pid, n) VALUES ('b', 1, 1)",
        "INSERT INTO c (k, pid, n) VALUES ('B', 2, 1)",
    ],
    "a table of parents that was read whole": [
        "SELECT * FROM p NOT INDEXED",
        "INSERT INTO c (k, pid, n) VALUES ('z', 1, 1)",
        "INSERT INTO c (k, pid, n) VALUES ('a', 9, 1)",
        "INSERT INTO c (k, pid, n) VALUES ('b', 3, 1)",
    ],
    "foreign keys that SQLite was told to enforce": [
        "DELETE FROM p WHERE k = 'c'",
        "INSERT INTO c (k, pid, n) VALUES ('a', 1, 1)",
        "DELETE FROM p WHERE k = 'a'",
        "INSERT INTO p (k, n, r) VALUES ('e', 1, 7)",
        "INSERT INTO c (k, pid, n) VALUES ('b', NULL, 1)",
    ],
    "parents in the table itself": [
        "INSERT INTO tree (up, n) VALUES (2, 1)",
        "INSERT INTO tree (up, n) VALUES (3, 1)",
        "INSERT INTO tree (id, up, n) VALUES (9, 9, 1)",
        "INSERT INTO tree (up, n) VALUES (11, 1)",
        "INSERT INTO tree (up, n) VALUES (77, 1)",
        "INSERT INTO tree (up, n) VALUES (NULL, 1)",
    ],
    "keys that are taken": [
        "INSERT INTO p (k, n, r) VALUES ('a', 1, 9)",
        "INSERT INTO p (k, n, r) VALUES ('x', 1, 1)",
        "INSERT INTO p (id, k, n, r) VALUES (2, 'x', 1, 9)",
        "INSERT INTO p (id, k, n, r) VALUES (2, 'a', 1, 1.0)",
        "INSERT INTO p (k, n, r) VALUES ('x', 1, 9)",
        "INSERT INTO p (k, n, r) VALUES ('x', 1, 10)",
        "INSERT INTO p (id, k, n, r) VALUES (4, 'y', 1, 11)",
        "INSERT INTO p (k, n, r) VALUES ('y', 1, NULL)",
    ],
    "keys that are free again": [
        "DELETE FROM c",
        "DELETE FROM p WHERE id = 2",
        "INSERT INTO p (k, n, r) VALUES ('b', 1, 2)",
        "UPDATE p SET k = 'A' WHERE k = 'a'",
        "INSERT INTO p (k, n, r) VALUES ('a', 1, 8)",
    ],
    "refused by another constraint": [
        "INSERT INTO p (k, n, r) VALUES ('x', 100, 9)",
        "INSERT INTO p (k, n, r) VALUES (NULL, 1, 9)",
        "INSERT INTO c (k, pid, n) VALUES (NULL, 1, 9)",
        "INSERT INTO p (k, n, r) VALUES ('x', 1, 9)",
        "SELECT id, k FROM p",
    ],
    "updates": [
        "UPDATE p SET n = n + 1 WHERE k = 'a'",
        "UPDATE p SET n = n + 97",
        "UPDATE p SET n = n + 1, k = k WHERE id > 1",
        "UPDATE p SET n = 7 WHERE k = 'none'",
        "UPDATE tree SET n = 5 RETURNING id, n",
        "UPDATE p SET n = CAST(x'ff' AS TEXT) WHERE id > 1",
        "UPDATE c SET n = (SELECT max(n) FROM p) WHERE k = 'b'",
        "DELETE FROM c WHERE n = 99",
        "DELETE FROM c WHERE k = 'a'",
        "DELETE FROM q WHERE n > 1 RETURNING *",
        "SELECT * FROM p",
    ],
    "two clients": [
        "INSERT INTO c (k, pid, n) VALUES ('a', 2, 1)",
        "COMMIT",
        OTHER_CLIENT,
        "INSERT INTO c (k, pid, n) VALUES ('b', 2, 1)",
        "UPDATE p SET n = 50 WHERE id = 2",
        "COMMIT",
        OTHER_CLIENT,
        "INSERT INTO p (k, n, r) VALUES ('x', 1, 9)",
        "UPDATE p SET n = n + 1 WHERE id = 2",
    ],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("at_once", [True, False], ids=["one transaction", "each committed"])
def test_they_do_what_stock_sqlite_does(history: list[str], at_once: bool) -> None:
    with Pair(TABLES, ids=False, tables=dict.fromkeys(["p", "c", "q", "tree"], "*")) as pair:
        for sql in (*FILLED, *history):
            pair.execute(sql)
            if not at_once:
                pair.execute("COMMIT")
        pair.check_tables()


@pytest.fixture
def filled(connect: Connect) -> Iterator[Connection]:
    with connect() as connection:
        for sql in (*TABLES, *FILLED):
            connection.execute(sql)
        yield connection


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO c (k, pid, n) VALUES ('a', 2, 1)",
        "INSERT INTO c (id, k, pid, n) VALUES (77, 'a', NULL, 1)",
        "INSERT INTO p (k, n, r) VALUES ('x', 1, 9)",
        "UPDATE p SET n = n + 1 WHERE k = 'a'",
        "UPDATE c SET n = 1",
        "DELETE FROM q WHERE n = 1",
    ],
)
def test_the_guard_loop_is_passed_by(filled: Connection, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardLoop, "run", None)
    assert filled.execute(sql).rowcount > 0


def test_an_update_reads_the_parents_that_it_sets_on_its_own_trip(
    filled: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run = 0, WorkingSet.run

    def counted(working_set: WorkingSet, *arguments: Any) -> StatementRun:
        nonlocal runs
        runs += 1
        return run(working_set, *arguments)

    monkeypatch.setattr(WorkingSet, "run", counted)
    filled.execute("INSERT INTO c VALUES (3, 'a', NULL, 1)")
    filled.commit()
    before = filled.rome_stats.round_trips
    assert filled.execute("UPDATE c SET pid = ? WHERE id = 3", (3,)).rowcount == 1
    assert (filled.rome_stats.round_trips - before, runs) == (1, 0)


def test_an_insert_leaves_its_parents_in_the_store(filled: Connection) -> None:
    """They come into the working set when somebody reads them."""
    filled.execute("INSERT INTO c (k, pid, n) VALUES ('a', 2, 1)")
    before = filled.rome_stats.round_trips
    assert filled.execute("SELECT p.n FROM p WHERE k = 'a'").fetchall() == [(1,)]
    assert filled.rome_stats.round_trips == before


def test_a_parent_that_goes_meanwhile_is_a_conflict(filled: Connection, connect: Connect) -> None:
    with connect() as other:
        filled.execute("INSERT INTO c (k, pid, n) VALUES ('c', NULL, 1)")
        other.execute("DELETE FROM p WHERE k = 'c'")
        other.commit()
        with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
            filled.commit()
        filled.rollback()


def test_a_parent_that_is_updated_meanwhile_is_none(filled: Connection, connect: Connect) -> None:
    with connect() as other:
        filled.execute("INSERT INTO c (k, pid, n) VALUES ('c', NULL, 1)")
        other.execute("UPDATE p SET n = 50 WHERE k = 'c'")
        other.commit()
        filled.commit()
        assert filled.rome_stats.conflicts == 0


def test_an_insert_that_is_refused_leaves_its_id_to_the_next(filled: Connection) -> None:
    for _ in range(3):
        with pytest.raises(IntegrityError, match="CHECK constraint failed"):
            filled.execute("INSERT INTO p (k, n, r) VALUES ('x', 100, 9)")
    assert filled.execute("INSERT INTO p (k, n, r) VALUES ('x', 1, 9)").lastrowid == 4


def test_a_column_that_is_named_twice_has_its_first_value(filled: Connection) -> None:
    """Foreign keys were looked at for the last one, and the row was left without a parent."""
    with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
        filled.execute("INSERT INTO c (k, k, n) VALUES (?, ?, 1)", ("none", "a"))
    assert filled.execute("INSERT INTO c (k, k, n) VALUES (?, ?, 1)", ("a", "none")).rowcount == 1


def test_nan_in_a_unique_column_is_null(filled: Connection) -> None:
    for key in "xy":
        filled.execute("INSERT INTO p (k, n, r) VALUES (?, 1, ?)", (key, math.nan))
    filled.commit()
    assert filled.execute("SELECT r FROM p WHERE k IN ('x', 'y')").fetchall() == [(None,), (None,)]
