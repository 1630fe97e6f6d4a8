"""executemany: running all sets of parameters as one statement gives the same as running them one by one."""

from __future__ import annotations

import sqlite3

import pytest

import rome.errors
from rome.dbapi import Connection
from tests.support.databases import Connect

TABLES = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n REAL)",
    "CREATE TABLE child (name TEXT PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE)",
    "CREATE TABLE counted (id INTEGER PRIMARY KEY, before DEFAULT (changes()))",
)


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    for table in TABLES:
        connection.execute(table)
    connection.executemany("INSERT INTO parent VALUES (?, ?, ?)", [(n, f"p{n}", n) for n in range(1, 51)])
    connection.executemany("INSERT INTO child VALUES (?, ?)", [(f"c{n}", n) for n in range(1, 51)])
    connection.commit()
    return connection


@pytest.fixture
def two(one: Connection, connect: Connect) -> Connection:
    return connect()


class TestRoundTrips:
    @pytest.mark.parametrize(
        ("sql", "batch"),
        [
            ("INSERT INTO parent VALUES (?, ?, 0)", [(100 + n, f"x{n}") for n in range(40)]),
            ("INSERT INTO parent (name) VALUES (?)", [(f"x{n}",) for n in range(40)]),
            ("INSERT INTO child VALUES (?, ?)", [(f"x{n}", 1 + n) for n in range(40)]),
            ("UPDATE parent SET n = n + ? WHERE id = ?", [(n, 1 + n) for n in range(40)]),
            ("DELETE FROM child WHERE name = ?", [(f"c{n}",) for n in range(1, 41)]),
        ],
    )
    def test_a_batch_takes_one(self, two: Connection, sql: str, batch: list[tuple[object, ...]]) -> None:
        two.execute("SELECT count(*) FROM counted").fetchall()  # fixes the snapshot, and brings the schema
        before = two.rome_stats.round_trips
        assert two.executemany(sql, batch).rowcount == 40
        assert two.rome_stats.round_trips == before + 1

    def test_what_a_run_needs_may_depend_on_those_before(self, one: Connection) -> None:
        one.execute("UPDATE parent SET name = 'p' || (id + 1)  WHERE 0")
        moves = [(n, n + 1) for n in range(1, 5)]
        follow = "UPDATE parent SET n = ? WHERE n = (SELECT p.n FROM parent AS p WHERE p.id = ?) - 1"
        assert one.executemany(follow, moves).rowcount == 4
        assert one.execute("SELECT n FROM parent WHERE id < 6 ORDER BY id").fetchall() == [(1,), (2,), (3,), (4,), (5,)]


class TestFailures:
    def test_rows_before_the_one_that_fails_stay(self, two: Connection) -> None:
        batch = [(100, "a"), (101, "b"), (102, "p7"), (103, "c")]
        cursor = two.cursor()
        with pytest.raises(rome.errors.UniqueViolation, match=r"UNIQUE constraint failed: parent\.name"):
            cursor.executemany("INSERT INTO parent (id, name) VALUES (?, ?)", batch)
        two.commit()
        assert two.execute("SELECT id FROM parent WHERE id > 50").fetchall() == [(100,), (101,)]

    def test_ids_after_a_failure_are_those_of_one_by_one(self, two: Connection) -> None:
        with pytest.raises(rome.errors.UniqueViolation):
            two.executemany("INSERT INTO parent (name) VALUES (?)", [("a",), ("b",), ("a",), ("c",)])
        ids = [number for (number,) in two.execute("SELECT id FROM parent WHERE id > 50").fetchall()]
        assert ids == [51, 52]
        assert two.execute("INSERT INTO parent (name) VALUES ('d')").lastrowid == 53  # the batch had four
        assert ids == [ids[0], ids[0] + 1]

    def test_missing_parent(self, two: Connection) -> None:
        with pytest.raises(rome.errors.ForeignKeyViolation):
            two.executemany("INSERT INTO child VALUES (?, ?)", [("a", 1), ("b", 99), ("c", 2)])
        assert two.execute("SELECT name FROM child WHERE name < 'c'").fetchall() == [("a",)]

    def test_text_that_is_not_utf8(self, two: Connection) -> None:
        with pytest.raises(rome.errors.DataError):
            two.executemany("UPDATE parent SET name = CAST(? AS TEXT) WHERE id = ?", [(b"ok", 1), (b"\xff", 2)])
        assert two.execute("SELECT name FROM parent WHERE id < 3 ORDER BY id").fetchall() == [("ok",), ("p2",)]

    def test_rows_that_find_no_room_together(self, connect: Connect, one: Connection) -> None:
        one.execute("UPDATE parent SET name = name || ?", ("x" * 1000,))
        one.commit()
        narrow = connect(max_working_set="20kB")
        with pytest.raises(rome.errors.WorkingSetFullError):
            narrow.execute("UPDATE parent SET n = -1 WHERE id <= 10")
        assert narrow.executemany("UPDATE parent SET n = -1 WHERE id = ?", [(n,) for n in range(1, 11)]).rowcount == 10

    @pytest.mark.parametrize("key", ["g AS (name || '-') STORED UNIQUE", "g AS (name || '-'), UNIQUE (name)"])
    def test_a_key_that_a_later_run_would_take_away(self, connect: Connect, key: str) -> None:
        filler = connect()
        filler.execute(f"CREATE TABLE generated (id INTEGER PRIMARY KEY, name TEXT, {key})")
        filler.execute("INSERT INTO generated (id, name) VALUES (1, 'a'), (2, 'b')")
        filler.commit()
        with pytest.raises(rome.errors.UniqueViolation):
            connect().executemany("UPDATE generated SET name = ? WHERE id = ?", [("b", 1), ("c", 1)])


class TestCounts:
    def test_no_parameters_run_nothing(self, two: Connection) -> None:
        insert = "INSERT INTO parent VALUES (?, ?, 0)"
        two.execute(insert, (100, "x"))
        with pytest.raises(rome.errors.UniqueViolation):
            two.execute(insert, (100, "y"))
        assert two.executemany(insert, []).rowcount == 0
        assert two.execute("SELECT changes()").fetchall() == [(0,)]

    def test_what_foreign_keys_do_is_not_counted(self, two: Connection) -> None:
        assert two.executemany("DELETE FROM parent WHERE id = ?", [(1,), (2,), (99,)]).rowcount == 2
        assert two.execute("SELECT count(*) FROM child").fetchall() == [(48,)]

    def test_counters_are_sqlites(self, two: Connection) -> None:
        stock = sqlite3.connect(":memory:")
        counters = "SELECT changes(), total_changes(), last_insert_rowid()"
        for table in TABLES:
            stock.execute(table)
        stock_before, before = (each.execute(counters).fetchone() for each in (stock, two))
        statements = (
            ("INSERT INTO parent VALUES (?, ?, 0)", [(100 + n, f"x{n}") for n in range(4)]),
            ("UPDATE parent SET n = 1 WHERE id >= ?", [(102,), (103,), (999,)]),
            ("INSERT INTO counted (id) VALUES (?)", [(n,) for n in range(1, 4)]),
        )
        for sql, batch in statements:
            assert two.executemany(sql, batch).rowcount == stock.executemany(sql, batch).rowcount
            ours, stocks = (each.execute(counters).fetchone() for each in (two, stock))
            assert (ours[0], ours[1] - before[1], ours[2]) == (stocks[0], stocks[1] - stock_before[1], stocks[2])
        query = "SELECT before FROM counted ORDER BY id"
        assert two.execute(query).fetchall() == stock.execute(query).fetchall()

    def test_returned_rows_come_in_order(self, two: Connection) -> None:
        cursor = two.executemany("INSERT INTO parent (name) VALUES (?) RETURNING id, name", [("b",), ("a",), ("c",)])
        rows = cursor.fetchall()
        assert [name for _, name in rows] == ["b", "a", "c"]
        assert [number - rows[0][0] for number, _ in rows] == [0, 1, 2]


class TestReplay:
    @pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "b", "a"]])
    def test_ids_are_handed_out_again(self, one: Connection, two: Connection, names: list[str]) -> None:
        one.execute("SELECT name FROM parent WHERE id = 1").fetchall()
        try:
            one.executemany("INSERT INTO parent (name) VALUES (?)", [(name,) for name in names])
        except rome.errors.UniqueViolation:
            assert names[2] == "a"
        ids = one.execute("SELECT id FROM parent WHERE name < 'p'").fetchall()
        two.execute("UPDATE parent SET n = -1 WHERE id = 1")
        two.commit()
        one.commit()
        assert one.rome_stats.replays == 1
        assert two.execute("SELECT id FROM parent WHERE name < 'p'").fetchall() == ids
