"""Changes of stored rows that wait beside each other, and that name other parents: as in stock SQLite."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import pytest

import rome
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.engine.writing.guard_loop import GuardLoop
from rome.errors import ForeignKeyViolation
from rome.workingset.buffered import BufferedChange
from rome.workingset.workingset import WorkingSet
from tests.support.differential import MiscountedError, Operation, Pair

SCHEMA = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v)",
    "CREATE TABLE k (k TEXT COLLATE NOCASE, i INTEGER, v, PRIMARY KEY (k, i)) WITHOUT ROWID",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, u TEXT REFERENCES p (u) ON UPDATE CASCADE, "
    "g INTEGER, v)",
    "CREATE INDEX c_p ON c (p)",
    "CREATE INDEX c_g ON c (g)",
    "CREATE TABLE d (id INTEGER PRIMARY KEY, k TEXT COLLATE NOCASE, i INTEGER, p TEXT REFERENCES p, g INTEGER, v, "
    "FOREIGN KEY (k, i) REFERENCES k ON DELETE SET NULL)",
    "CREATE INDEX d_g ON d (g)",
    "CREATE TABLE tree (id INTEGER PRIMARY KEY, p INTEGER REFERENCES tree, g INTEGER, v)",
    "CREATE TABLE late (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED, g INTEGER, v)",
    "CREATE TABLE checked (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p CHECK (p <> 2), g INTEGER, v)",
    "CREATE TABLE made (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, g INTEGER, v, w AS (p + 1))",
    "CREATE TABLE typed (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, g INTEGER, v TEXT) STRICT",
    "CREATE TABLE alone (id INTEGER PRIMARY KEY, p INTEGER UNIQUE REFERENCES p, g INTEGER, v)",
    "CREATE TABLE fires (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, g INTEGER, v)",
    "CREATE TRIGGER fired AFTER UPDATE ON fires WHEN new.p = 2 BEGIN SELECT RAISE(ABORT, 'fired'); END",
)
NAMES = {
    **dict.fromkeys(("tree", "late", "checked", "made", "typed", "alone", "fires"), ("p",)),
    "c": ("p", "u"),
    "d": ("k", "i", "p"),
}
"""The columns of foreign keys, by table."""
TABLES = (*["c"] * 7, *["d"] * 3, *NAMES)
ROWS = range(1, 7)
FILLED = (
    *(f"INSERT INTO p VALUES ({n}, 'u{n}', 0)" for n in ROWS),
    *(f"INSERT INTO k VALUES ('k{n % 2}', {n}, 0)" for n in ROWS),
    *(f"INSERT INTO c VALUES ({n}, {n % 3 + 1}, 'u{n}', {n % 3}, 0)" for n in ROWS),
    *(f"INSERT INTO d VALUES ({n}, 'K{n % 2}', {n}, '1', {n % 3}, 0)" for n in ROWS),
    *(f"INSERT INTO {name} (id, p, g) VALUES ({n}, {n}, {n % 3})" for name in NAMES if name not in "cd" for n in (1,)),
    *(f"INSERT INTO {name} (id, p, g) VALUES (3, 1, 0)" for name in ("late", "checked", "typed", "fires", "made")),
)


@dataclass
class Changer:
    """Makes random operations about few rows. `saved`: whether there is a savepoint; `begun`: and a transaction."""

    random: random.Random
    tables: Sequence[str] = TABLES
    saved: bool = False
    begun: bool = False

    def operation(self) -> Operation:
        changes = (*[self.name_parent] * 3, *[self.change] * 4, self.delete, self.delete, self.add, self.parent)
        makes = (*changes, self.look, self.look)
        made = self.random.choice((*makes, self.end, self.end))()
        self.begun = made.sql not in ("COMMIT", "ROLLBACK") and (self.begun or made.sql.startswith("UPDATE"))
        return made

    def value(self, column: str) -> SqlValue:
        chosen = self.random.random()
        if chosen < 0.1:
            return None
        if chosen < 0.2:
            return self.random.choice((9, "1", 2.0, "U1", "é", b"1", 2**60, "2 "))
        number = self.random.choice(ROWS)
        return {"u": f"u{number}", "k": f"{self.random.choice('kK')}{number % 2}"}.get(column, number)

    def where(self, table: str) -> tuple[str, tuple[SqlValue, ...]]:
        column = self.random.choice(("id", "id", "id", "g", NAMES[table][0]))
        found, values = f"{column} = ?", (self.value(column) if column != "g" else self.random.randrange(3),)
        if self.random.random() < 0.2:
            return f"{found} AND v = ?", (*values, self.random.choice((0, 1, "a")))
        return found, values

    def name_parent(self) -> Operation:
        table = self.random.choice(self.tables)
        columns = self.random.sample(NAMES[table], self.random.randint(1, len(NAMES[table])))
        sets = [f"{column} = ?" for column in columns]
        values = tuple([self.value(column) for column in columns])
        if self.random.random() < 0.4:
            sets, values = [*sets, "v = ?"], (*values, self.random.choice((0, 1, "a")))
        where, found = self.where(table)
        clause = self.random.choice(("", "", "", "", "", "OR IGNORE ", "OR REPLACE ", "OR ROLLBACK "))
        shown = self.random.choice(("", "", "", " RETURNING id, v"))
        return Operation(f"UPDATE {clause}{table} SET {', '.join(sets)} WHERE {where}{shown}", (*values, *found))

    def change(self) -> Operation:
        table = self.random.choice(self.tables)
        where, found = self.where(table)
        value = self.random.choice(("v = ?", "g = ?", "g = g + ?"))
        return Operation(f"UPDATE {table} SET {value} WHERE {where}", (self.random.choice((0, 1, 2)), *found))

    def delete(self) -> Operation:
        table = self.random.choice(self.tables)
        if self.random.random() < 0.3:
            empty = self.random.choice(("(SELECT 1 FROM (SELECT 1) WHERE 1 != 1)", "(SELECT id FROM k WHERE i = 77)"))
            return Operation(f"DELETE FROM {self.random.choice((table, 'p'))} WHERE id IN {empty.replace('id', 'v')}")
        where, found = self.where(table)
        return Operation(f"DELETE FROM {table} WHERE {where}", found)

    def add(self) -> Operation:
        table = self.random.choice((*self.tables, "p", "p"))
        if table == "p":
            return Operation("INSERT INTO p VALUES (?, ?, 1)", (self.random.randrange(5, 11), self.value("u")))
        column = NAMES[table][0]
        values = self.random.randrange(5, 11), self.value(column), self.random.randrange(3)
        return Operation(f"INSERT INTO {table} (id, {column}, g) VALUES (?, ?, ?)", values)

    def parent(self) -> Operation:
        """A change of a row that others may refer to."""
        number = self.random.choice((*ROWS, 9))
        if self.begun and self.random.random() < 0.1:
            return Operation("PRAGMA defer_foreign_keys=ON")
        return Operation(
            self.random.choice(
                (
                    f"DELETE FROM p WHERE id = {number}",
                    f"UPDATE p SET v = v + 1 WHERE id = {number}",
                    f"UPDATE p SET u = 'w{number}' WHERE id = {number}",
                    f"UPDATE p SET id = id + 10 WHERE id = {number}",
                    f"DELETE FROM k WHERE i = {number}",
                    f"DELETE FROM tree WHERE id = {number}",
                )
            )
        )

    def look(self) -> Operation:
        if self.random.random() < 0.3:
            table, number = self.random.choice(self.tables), self.random.choice(ROWS)
            return Operation(f"SELECT * FROM {table} WHERE id = {number}")
        looks = ["SELECT * FROM c ORDER BY id", "SELECT changes(), total_changes()", "SAVEPOINT one"]
        if self.saved:
            looks += ["ROLLBACK TO one"] * 3
        sql = self.random.choice(looks)
        self.saved = self.saved or sql.startswith("SAVEPOINT")
        return Operation(sql)

    def end(self) -> Operation:
        self.saved = False
        return Operation(self.random.choice(("COMMIT", "COMMIT", "ROLLBACK")))


SEEDS = 25
LEAST = {"names parents": 0.3, "beside": 0.3, "deletes beside": 0.02}
"""Of each kind so many are buffered for each seed."""


@pytest.mark.memory
def test_random_changes_of_stored_rows_do_what_they_do_in_stock_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, buffer = Counter[str](), WorkingSet.buffer

    def count(working_set: WorkingSet, table: Table, changes: Sequence[BufferedChange]) -> None:
        first, waits = changes[0], table.id in working_set.buffered
        named = {table.positions[name] for name in NAMES.get(table.name, ())}
        kinds["names parents"] += first.before is not None and not named.isdisjoint(first.positions)
        kinds["beside"] += waits and first.before is not None
        kinds["deletes beside"] += waits and first.values is None
        buffer(working_set, table, changes)

    monkeypatch.setattr(WorkingSet, "buffer", count)
    for seed in range(SEEDS):
        changer = Changer(random.Random(seed), TABLES if seed % 3 else ("c",))
        with Pair(SCHEMA, ids=True, tables={**dict.fromkeys(("p", "k", *NAMES), "*")}) as pair:
            for sql in FILLED:
                pair.run(Operation(sql))
            pair.run(Operation("COMMIT"))
            with suppress(MiscountedError):
                for _ in range(50):
                    pair.run(changer.operation())
                pair.check_tables()
    assert {kind: kinds[kind] for kind, least in LEAST.items() if kinds[kind] < least * SEEDS} == {}


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(rome.connect("rome+memory:///side_by_side")) as connection:
        for statement in (*SCHEMA, *FILLED):
            connection.execute(statement)
        connection.commit()
        yield connection
    rome.drop_database("rome+memory:///side_by_side")


@pytest.mark.memory
def test_rows_of_one_table_are_changed_one_after_the_other_without_sqlite(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkingSet, "make_buffered", None)
    for number, value in ((1, "a"), (2, "b"), (3, "c")):
        before = connection.rome_stats.round_trips
        changed = connection.execute("UPDATE c SET p = ?, v = ? WHERE id = ?", (number + 3, value, number))
        assert (changed.rowcount, connection.rome_stats.round_trips - before) == (1, 1)
    assert connection.execute("DELETE FROM c WHERE id = 4").rowcount == 1
    connection.commit()
    monkeypatch.undo()
    shown = connection.execute("SELECT id, p, v FROM c WHERE v <> 0 OR id = 4 ORDER BY id").fetchall()
    assert shown == [(1, 4, "a"), (2, 5, "b"), (3, 6, "c")]
    assert connection.execute("SELECT id FROM c WHERE p = 4").fetchall() == [(1,)]


@pytest.mark.memory
@pytest.mark.parametrize(
    ("table", "sets", "value"),
    [("c", "p = ?", 6), ("c", "u = ?", "u4"), ("c", "p = ?", None), ("d", "k = 'k1', i = ?", 3)],
)
def test_the_guard_loop_is_passed_by_where_the_parents_are_known(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, table: str, sets: str, value: SqlValue
) -> None:
    monkeypatch.setattr(GuardLoop, "run", None)
    before = connection.rome_stats.round_trips
    assert connection.execute(f"UPDATE {table} SET {sets} WHERE id = 2", (value,)).rowcount == 1
    assert connection.rome_stats.round_trips == before + 1
    connection.commit()


@pytest.mark.memory
def test_a_parent_that_is_not_there_is_missed(connection: Connection) -> None:
    connection.execute("UPDATE c SET p = 3 WHERE id = 1")
    with pytest.raises(ForeignKeyViolation, match="FOREIGN KEY constraint failed"):
        connection.execute("UPDATE c SET p = 77 WHERE id = 2")
    connection.commit()
    assert connection.execute("SELECT p FROM c WHERE id < 3 ORDER BY id").fetchall() == [(3,), (3,)]


@pytest.mark.memory
def test_a_parent_that_goes_before_commit_is_noticed(connection: Connection) -> None:
    with closing(rome.connect("rome+memory:///side_by_side")) as other:
        connection.execute("UPDATE c SET p = 6 WHERE id = 2")
        other.execute("DELETE FROM c WHERE u = 'u6'")
        other.execute("DELETE FROM alone")
        other.execute("DELETE FROM p WHERE id = 6")
        other.commit()
        with pytest.raises(ForeignKeyViolation):
            connection.commit()


@pytest.mark.memory
@pytest.mark.parametrize("changed", [False, True])
def test_a_delete_that_finds_no_row_needs_no_foreign_keys(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, *, changed: bool
) -> None:
    if changed:
        connection.execute("UPDATE tree SET v = 5 WHERE id = 1")
    monkeypatch.setattr(GuardLoop, "run", None)
    before = connection.rome_stats.round_trips
    empty = connection.execute("DELETE FROM tree WHERE id IN (SELECT 1 FROM (SELECT 1) WHERE 1 != 1)")
    assert (empty.rowcount, connection.rome_stats.round_trips) == (0, before)
    monkeypatch.undo()
    connection.execute("INSERT INTO tree VALUES (5, 1, 0, 0)")
    with pytest.raises(ForeignKeyViolation):
        connection.execute("DELETE FROM tree WHERE id = 1")
