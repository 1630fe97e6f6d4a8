"""executemany of INSERT past the guard loop: what it may skip it skips, and all else is as one by one."""

from __future__ import annotations

import sqlite3

import pytest

import rome.errors
from rome.dbapi import Connection
from rome.engine.writing.guard_loop import GuardLoop
from tests.support.databases import Connect

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n NOT NULL CHECK (n <> 13), late COLLATE NOCASE)"
INDEX = "CREATE INDEX by_late ON t (late, id)"
INSERT = "INSERT INTO t (id, name, n, late) VALUES (?, ?, ?, ?)"


def rows(first: int, count: int) -> list[tuple[object, ...]]:
    return [(n, f"n{n}", n * 1.5, f"L{n}") for n in range(first, first + count)]


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    for text in (TABLE, INDEX):
        connection.execute(text)
    connection.executemany(INSERT, rows(1, 20))
    connection.commit()
    return connection


@pytest.fixture
def two(one: Connection, connect: Connect) -> Connection:
    return connect()


def never(*_: object) -> None:
    raise AssertionError("the guard loop has run")


@pytest.mark.parametrize(
    ("sql", "batch"),
    [
        (INSERT, rows(100, 30)),
        ("INSERT INTO t (name, n) VALUES (?, 1)", [(f"x{n}",) for n in range(30)]),
        (INSERT, [(n, None, b"\x00", "ä☃") for n in range(100, 130)]),
    ],
)
def test_the_guard_loop_is_not_needed(
    one: Connection, two: Connection, sql: str, batch: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GuardLoop, "run", never)
    assert one.executemany(sql, batch).rowcount == 30
    assert one.execute("SELECT count(*), max(id) FROM t").fetchall()[0][0] == 50, "it sees them itself"
    one.commit()
    assert two.execute("SELECT count(*) FROM t").fetchone() == (50,)
    by_index = two.execute("SELECT id FROM t WHERE late = ? COLLATE NOCASE", (str(batch[-1][-1]).lower(),)).fetchall()
    assert len(by_index) == (0 if len(batch[0]) == 1 else sum(row[-1] == batch[-1][-1] for row in batch))


@pytest.mark.parametrize(
    "batch",
    [
        [*rows(100, 20), (7, "seven", 1, None)],  # the store has the id
        [*rows(100, 20), (200, "n7", 1, None)],  # .. the name
        [*rows(100, 20), (200, "n105", 1, None)],  # the batch has it
        [*rows(100, 20), (105, "other", 1, None)],
        [*rows(100, 20), (30, "mine", 1, None)],  # this transaction has it
        [*rows(100, 20), (200, "x", None, None)],
        [*rows(100, 20), (200, "x", 13, None)],
        [*rows(100, 20), ("200", 77, "13", None)],  # nothing is wrong with it
        [*rows(100, 20), ("x", "x", 1, None)],
        [*rows(100, 20), (None, "x", 1, None)],
        [*rows(100, 20), (2.0, "x", 1, None)],
        [*rows(100, 20), (3, "n3", 1, None)],  # deleted by this transaction
    ],
)
def test_it_is_as_on_sqlite(one: Connection, batch: list[tuple[object, ...]]) -> None:
    stock = sqlite3.connect(":memory:")
    for text in (TABLE, INDEX):
        stock.execute(text)
    stock.executemany(INSERT, rows(1, 20))
    seen = []
    for connection in (one, stock):
        connection.execute("INSERT INTO t (id, name, n) VALUES (30, 'thirty', 0)")
        connection.execute("DELETE FROM t WHERE id = 3")
        cursor, words = connection.cursor(), ""
        try:
            cursor.executemany(INSERT, batch)
        except (sqlite3.IntegrityError, rome.errors.IntegrityError) as error:
            words = str(error)
        connection.commit()
        seen.append((words, connection.execute("SELECT *, typeof(n) FROM t ORDER BY id").fetchall()))
    stock.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((2**63, "x", 1, None), rome.errors.DataError),
        ((200, "\ud800", 1, None), rome.errors.DataError),
        ((200, "x", 1), rome.errors.ProgrammingError),
        ((200, "x", 1, object()), rome.errors.ProgrammingError),
    ],
)
def test_values_that_sqlite_does_not_know_are_refused_before_any_row(
    one: Connection, bad: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        one.executemany(INSERT, [*rows(100, 20), bad])
    assert one.execute("SELECT count(*) FROM t").fetchone() == (20,)


@pytest.mark.parametrize("other", [(100, "other", 1, None), (200, "n105", 1, None)])
def test_a_key_that_somebody_else_has_taken_meanwhile(
    one: Connection, two: Connection, other: tuple[object, ...]
) -> None:
    one.executemany(INSERT, rows(100, 20))
    two.executemany(INSERT, [other, (300, "more", 1, None)])
    two.commit()
    with pytest.raises(rome.errors.UniqueViolation, match=r"UNIQUE constraint failed: t\.(id|name)"):
        one.commit()
    one.rollback()
    assert one.execute("SELECT count(*) FROM t").fetchone() == (22,)


def test_ids_rise_and_are_not_given_twice(one: Connection, two: Connection) -> None:
    batch = [(n, n) for n in range(20, 50)]
    one.executemany("INSERT INTO t (name, n) VALUES ('a' || ?, ?)", batch)
    two.executemany("INSERT INTO t (name, n) VALUES ('b' || ?, ?)", batch)
    one.commit()
    two.commit()
    for start in "ab":
        ids = [
            number for (number,) in one.execute(f"SELECT id FROM t WHERE name LIKE '{start}%' ORDER BY n").fetchall()
        ]
        assert ids == [*range(ids[0], ids[0] + 30)]
