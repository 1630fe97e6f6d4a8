"""executemany of INSERT past the guard loop: what it may skip it skips, and all else is as one by one."""

from __future__ import annotations

import sqlite3

import pytest

import rome.errors
from rome.dbapi import Connection
from rome.engine.writing.guard_loop import GuardLoop
from tests.support.databases import Connect
from tests.support.differential import Pair

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


PARENTS = "CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE COLLATE NOCASE)"
KINDS = {
    "no key": "CREATE TABLE c (k INT UNIQUE, name TEXT UNIQUE, parent INT, code TEXT)",
    "text key": "CREATE TABLE c (k TEXT PRIMARY KEY, name TEXT UNIQUE, parent INT, code TEXT)",
    "real key": "CREATE TABLE c (name TEXT UNIQUE, k REAL, parent INT, code TEXT, PRIMARY KEY (k, name))",
    "without rowid": "CREATE TABLE c (k NUMERIC PRIMARY KEY, name TEXT UNIQUE, parent INT, code TEXT) WITHOUT ROWID",
    "a foreign key": "CREATE TABLE c (k INTEGER PRIMARY KEY, name UNIQUE, parent INT REFERENCES parent, code TEXT)",
    "two foreign keys": "CREATE TABLE c (k INT UNIQUE, name TEXT UNIQUE, parent INT REFERENCES parent (id) ON DELETE "
    "CASCADE, code TEXT COLLATE NOCASE REFERENCES parent (code))",
    "itself": "CREATE TABLE c (k INTEGER PRIMARY KEY, name TEXT UNIQUE, parent INT REFERENCES c (k), code TEXT)",
}
INTO = "INSERT INTO c (k, name, parent, code) VALUES (?, ?, ?, ?)"


def children(first: int, count: int) -> list[tuple[object, ...]]:
    return [(n, f"n{n}", (n - 1) % 5 + 1, f"P{(n - 1) % 5 + 1}") for n in range(first, first + count)]


def prepared(connection: Connection | sqlite3.Connection, kind: str) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    for text in (PARENTS, KINDS[kind], "CREATE INDEX c_parent ON c (parent, code)"):
        connection.execute(text)
    connection.executemany("INSERT INTO parent VALUES (?, ?)", [(n, f"p{n}") for n in range(1, 9)])
    for row in children(1, 5):
        connection.execute(INTO, row)
    connection.commit()


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_table_needs_the_guard_loop(connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = connect(), connect()
    prepared(one, kind)
    monkeypatch.setattr(GuardLoop, "run", never)
    before = one.rome_stats.round_trips
    assert one.executemany(INTO, children(10, 30)).rowcount == 30
    assert one.rome_stats.round_trips == before + 1, "parents, keys and ids come on one trip"
    one.commit()
    two.executemany(INTO, children(50, 20))
    two.commit()
    for column in ("rowid", "k") if kind != "without rowid" else ("k",):
        assert one.execute(f"SELECT count(DISTINCT {column}) FROM c").fetchone() == (55,)
    assert one.execute("SELECT count(*) FROM c WHERE parent = 2 AND code = 'P2'").fetchone() == (11,)
    one.rollback()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "last",
    [
        (90, "more", 3, "P3"),
        (90, "more", None, None),
        (None, "more", 3, "P3"),
        ("90", "more", "3", "p3"),
        (90.0, "more", 3.0, "P3"),
        (90, "n12", 3, "P3"),  # the batch has the name
        (90, "n2", 3, "P3"),  # .. the store
        (12, "more", 3, "P3"),
        (2, "more", 3, "P3"),
        (90, "more", 77, "P3"),  # no such parent
        (90, "more", 90, "P3"),  # itself
        (90, "more", 3, "none"),
        (90, "more", 7, "P7"),  # deleted by this transaction
        (90, "more", 20, "P20"),  # added by it
        (90, "mine", 3, "P3"),  # it has the name
        ("x", "more", "x", "P3"),
    ],
)
def test_each_kind_of_table_is_as_on_sqlite(connect: Connect, kind: str, last: tuple[object, ...]) -> None:
    stock, one = sqlite3.connect(":memory:"), connect()
    seen = []
    for connection in (one, stock):
        prepared(connection, kind)
        cursor, words = connection.cursor(), []
        if kind != "itself":
            connection.execute("DELETE FROM parent WHERE id = 7")
        connection.execute("INSERT INTO parent VALUES (20, 'p20')")
        connection.execute("INSERT INTO c (k, name) VALUES (60, 'mine')")
        for batch in ([*children(10, 20), last], children(200, 20)):
            try:
                cursor.executemany(INTO, batch)
            except (sqlite3.IntegrityError, rome.errors.IntegrityError) as error:
                words.append(str(error))
        try:
            connection.commit()
        except (sqlite3.IntegrityError, rome.errors.IntegrityError):
            words.append("refused")
            connection.rollback()
        rows = connection.execute("SELECT k, typeof(k), name, parent, code FROM c ORDER BY name").fetchall()
        seen.append((words, rows))
    stock.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("kind", ["a foreign key", "two foreign keys"])
def test_a_parent_that_somebody_else_deletes_meanwhile(connect: Connect, kind: str) -> None:
    one, two = connect(), connect()
    prepared(one, kind)
    one.executemany(INTO, [(n, f"n{n}", 8, "p8") for n in range(10, 40)])
    two.execute("PRAGMA foreign_keys = ON")
    two.execute("DELETE FROM parent WHERE id = 8")
    two.commit()
    with pytest.raises(rome.errors.IntegrityError, match="FOREIGN KEY"):
        one.commit()
    one.rollback()
    assert one.execute("SELECT count(*) FROM c").fetchone() == (5,)


@pytest.mark.parametrize("rows", [2, 3])
@pytest.mark.parametrize("sets", [1, 2, 40])
@pytest.mark.parametrize(
    "table",
    [
        "(id TEXT PRIMARY KEY, a)",
        "(id, a)",
        "(id INTEGER PRIMARY KEY, a)",
        "(id TEXT PRIMARY KEY, a) WITHOUT ROWID",
        "(id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
        "(id INT UNIQUE, a UNIQUE)",
    ],
)
def test_several_rows_for_each_set_of_parameters(table: str, sets: int, rows: int) -> None:
    with Pair([f"CREATE TABLE t {table}"], ids=False) as pair:
        integers = "INTEGER" in table or "INT " in table
        for sql, width in (("(id, a) VALUES {}", 2), ("(a) VALUES {}", 1)):
            if width == 1 and "WITHOUT" in table:
                continue
            start = 1 if width == 2 else 1000
            numbers = iter(range(start, start + 2 * sets * rows + 2))
            text = f"INSERT INTO t {sql}".format(", ".join([f"({', '.join('?' * width)})"] * rows))
            batch = [
                tuple(
                    v
                    for _ in range(rows)
                    for n in [next(numbers)]
                    for v in ((n if integers else f"k{n}", n)[2 - width :])
                )
                for _ in range(sets)
            ]
            pair.execute(text, *batch)
            pair.execute(
                "SELECT rowid, * FROM t ORDER BY a" if "WITHOUT" not in table else "SELECT * FROM t ORDER BY a"
            )
            pair.execute(text, *batch)  # refused where there is a key: the first one is there
            pair.execute("SELECT count(*) FROM t")
            pair.execute("COMMIT")
        pair.check_tables()
