"""Changes of few rows that SQLite makes only when somebody looks: what can be seen is as in stock SQLite."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import inf

import apsw
import pytest

import rome
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import ConflictError, ForeignKeyViolation, InternalError, UniqueViolation
from rome.workingset.buffered import BufferedChange
from rome.workingset.workingset import WorkingSet
from tests.support.differential import Operation, Pair

SCHEMA = (
    "CREATE TABLE many (id INTEGER PRIMARY KEY, t TEXT, i INTEGER, n NUMERIC, r REAL, b BLOB, d DATETIME, "
    "c TEXT COLLATE NOCASE)",
    "CREATE INDEX many_t ON many (t, i)",
    "CREATE UNIQUE INDEX many_n ON many (n)",
    "CREATE TABLE strict_one (id INTEGER PRIMARY KEY, i INTEGER NOT NULL, t TEXT NOT NULL UNIQUE COLLATE NOCASE, "
    "v VARCHAR(5) DEFAULT 'x')",
    "CREATE TABLE checked (id INTEGER PRIMARY KEY, i INTEGER CHECK (i < 5), t TEXT)",
    "CREATE TABLE typed (id INTEGER PRIMARY KEY, i INT, t TEXT, r REAL) STRICT",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, many_id INTEGER REFERENCES many (id), "
    "named TEXT COLLATE NOCASE REFERENCES strict_one (t), v TEXT)",
    "CREATE TABLE plain (id INTEGER PRIMARY KEY, g INTEGER, v TEXT, w TEXT, UNIQUE (v, w))",
    "CREATE INDEX plain_g ON plain (g)",
    "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT UNIQUE, w)",
)
COLUMNS = {
    "many": ("t", "i", "n", "r", "b", "d", "c"),
    "strict_one": ("i", "t", "v"),
    "checked": ("i", "t"),
    "typed": ("i", "t", "r"),
    "child": ("many_id", "named", "v"),
    "counted": ("v", "w"),
    "plain": ("g", "v", "w"),
}
TABLES = (*COLUMNS, *("plain", "plain", "plain", "plain", "many", "counted"))
KEYS = {
    "many": ("id", "id", "n", "t"),
    "strict_one": ("id", "t"),
    "checked": ("id",),
    "typed": ("id",),
    "child": ("id",),
    "counted": ("id", "v"),
    "plain": ("id", "g", "g"),
}
VALUES: tuple[SqlValue, ...] = (
    *(None, 1, 2, 3, "a", "A", "b", "1", "x", 1.0, 2.5, b"a", b"1", "", -1, 0, 0.0, -0.0, inf, "2026-11-30 18:00:00"),
    *("1e3", " 7 ", "0x10", "5.0", "12abc", 2**53 + 1, 2**63 - 1, -(2**63), "é", "a\x00b", "9223372036854775808"),
)


@dataclass
class Maker:
    """Makes random operations. `last`: a table, and columns of its row that was written last; many look at it.

    `rows`: all that were inserted, or were to be. `is_plain`: the values of this statement are stored as they are.
    """

    random: random.Random
    last: tuple[str, dict[str, SqlValue]] = ("many", {})
    rows: list[tuple[str, dict[str, SqlValue]]] = field(default_factory=list)
    is_plain: bool = False

    def value(self, column: str = "") -> SqlValue:
        """Mostly one that the column stores as it is."""
        if column in ("many_id", "named") and self.random.random() < 0.5:
            return self.last[1].get("id" if column == "many_id" else "t")
        if self.is_plain or self.random.random() < 0.75:
            of_kind: dict[str, Sequence[SqlValue]] = {
                "i": (1, 2, 3, -1),
                "g": (1, 2, 3),
                "many_id": (1, 2, 3, 4),
                "n": range(20),
                "r": (1.0, 2.5, 3),
            }
            usual: Sequence[SqlValue] = of_kind.get(column, ("a", "b", "A", *"defghijkl", "2026-11-30 18:00:00"))
            return self.random.choice(usual)
        return self.random.choice(VALUES[: self.random.choice((7, 20, len(VALUES)))])

    def insert(self) -> Operation:
        table = self.random.choice((*TABLES, *[self.last[0]] * 3))
        if self.last[0] in ("many", "strict_one") and self.random.random() < 0.3:
            table = "child"
        columns = [column for column in COLUMNS[table] if self.random.random() < 0.9]
        marks = {column: self._mark() for column in columns}
        rows = [self._row(table, marks) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        text = f"INSERT INTO {table} ({', '.join(['id', *columns])}) VALUES "
        values = f"({', '.join(['?', *marks.values()])})"
        if self.random.random() < 0.3:
            return Operation(text + values, batch=tuple(rows))
        if self.random.random() < 0.2:  # not alike
            marks = {column: self._mark() for column in columns}
            rows.append(self._row(table, marks))
            values += f", ({', '.join(['?', *marks.values()])})"
            rows = rows[-2:]
        else:
            values = ", ".join([values] * len(rows))
        if self.random.random() < 0.4:
            shown = self.random.choice(("id", "*", 'id, "id" AS other', ", ".join([*columns, "id"]), "id, 1", "t.id"))
            values += f" RETURNING {shown}"
        return Operation(text + values, tuple(value for row in rows for value in row))

    def _mark(self) -> str:
        if self.random.random() < 0.85:
            return "?"
        return self.random.choice(("NULL", "'a'", "-1", "2.5", "x'61'", "1 + 1", "'1'"))

    def _row(self, table: str, marks: dict[str, str]) -> tuple[SqlValue, ...]:
        """The parameters of a row."""
        given = {column: self.value(column) for column, mark in marks.items() if mark == "?"}
        number = self.random.randrange(1, 20)
        self.last = table, {"id": number, **given}
        self.rows.append(self.last)
        return (number, *given.values())

    def _one(self) -> tuple[str, dict[str, SqlValue]]:
        """A table, and columns of a row that it may have, perhaps none."""
        return self.random.choice([*((table, {}) for table in COLUMNS), *self.rows[-20:], *self.rows[-20:]])

    def delete(self) -> Operation:
        table, row = self._one()
        key = self.random.choice([*row, *KEYS[table], self.random.choice(COLUMNS[table])])
        value = row[key] if key in row else self.random.randrange(1, 9) if key == "id" else self.value(key)
        where, parameters = f"{key} = ?", [value]
        if self.random.random() < 0.2:
            where += f" AND {self.random.choice(COLUMNS[table])} = ?"
            parameters.append(self.value())
        return Operation(f"DELETE FROM {table} WHERE {where}", tuple(parameters))

    def update(self) -> Operation:
        table, row = self._one()
        sets, parameters = [], []
        for column in self.random.sample(COLUMNS[table], self.random.choice((1, 1, 2))):
            value = self.random.choice(("?", "?", "?", "'a'", "NULL", "-2", f"{column} + ?", f"({table}.{column} - 1)"))
            sets.append(f"{column} = {value}")
            if "?" in value:
                parameters.append(self.value(column))
        key = self.random.choice((*row, *KEYS[table], self.random.choice(COLUMNS[table])))
        parameters.append(row[key] if key in row else self.random.randrange(1, 9) if key == "id" else self.value(key))
        where = f"{key} = ?"
        self.last = table, {key: parameters[-1]}
        if self.random.random() < 0.3:
            other = self.random.choice(COLUMNS[table])
            where += f" AND {other} = ?"
            parameters.append(self.value(other))
        return Operation(f"UPDATE {table} SET {', '.join(sets)} WHERE {where}", tuple(parameters))

    def look(self) -> Operation:
        table, row = self.last
        if row and self.random.random() < 0.5:
            key, value = self.random.choice([*row.items()])
            shown = ", ".join(["id", *COLUMNS[table]])
            return Operation(f"SELECT {shown} FROM {table} WHERE {key} = ? ORDER BY id", (value,))
        table = self.random.choice([*COLUMNS])
        if self.random.random() < 0.3:
            key = self.random.choice((*KEYS[table], *COLUMNS[table]))
            value = self.random.randrange(1, 9) if key == "id" else self.value(key)
            order = self.random.choice(("", "", " ORDER BY id", " ORDER BY id DESC LIMIT 2"))
            return Operation(f"SELECT id, {COLUMNS[table][-1]} FROM {table} WHERE {key} = ?{order}", (value,))
        return Operation(
            self.random.choice(
                (
                    f"SELECT * FROM {table} ORDER BY id",
                    f"SELECT count(*), max(id) FROM {table}",
                    "SELECT last_insert_rowid(), changes(), total_changes()",
                    f"DELETE FROM {table} WHERE id = 3",
                    "SELECT m.id, c.v FROM many m LEFT JOIN child c ON c.many_id = m.id ORDER BY 1, 2",
                    f"UPDATE {table} SET id = id + 10 WHERE id > 6",
                    "SAVEPOINT one",
                    "ROLLBACK TO one",
                    "RELEASE one",
                )
            )
        )

    def operation(self) -> Operation:
        self.is_plain = self.random.random() < 0.6
        return self.random.choice(
            (*[self.insert] * 3, self.update, self.update, self.delete, *[self.look] * 2, *[self.end] * 2)
        )()

    def end(self) -> Operation:
        return Operation(self.random.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK")))


@pytest.mark.memory
def test_random_changes_of_one_row_do_what_they_do_in_stock_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are committed before SQLite makes them, and many are made when a later statement looks."""
    made, kinds = 0, Counter[str]()
    buffer, make = WorkingSet.buffer, WorkingSet.make_buffered

    def count_buffered(working_set: WorkingSet, table: Table, changes: Sequence[BufferedChange]) -> None:
        kinds["again"] += table.id in working_set.buffered
        kinds["several"] += len(changes) > 1
        kinds["inserts" if changes[0].before is None else "updates" if changes[0].values else "deletes"] += 1
        kinds["shows"] += "RETURNING" in (changes[0].sql or "")
        buffer(working_set, table, changes)

    def count_made(working_set: WorkingSet) -> None:
        nonlocal made
        made += 1
        make(working_set)

    monkeypatch.setattr(WorkingSet, "buffer", count_buffered)
    monkeypatch.setattr(WorkingSet, "make_buffered", count_made)
    for seed in range(SEEDS):
        maker = Maker(random.Random(seed))
        with Pair(SCHEMA, ids=True, tables=dict.fromkeys(COLUMNS, "*")) as pair:
            for _ in range(40):
                pair.run(maker.operation())
            pair.check_tables()
    assert made > SEEDS / 2
    assert [kind for kind, least in LEAST.items() if kinds[kind] < least * SEEDS] == []


SEEDS = 40
LEAST = {"inserts": 2, "updates": 0.1, "deletes": 0.1, "several": 0.5, "again": 0.15, "shows": 0.25}
"""Of each kind so many are buffered for each seed."""


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(rome.connect("rome+memory:///buffering")) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO many (id, t, i) VALUES (1, 'a', 1)")
        connection.commit()
        yield connection
    rome.drop_database("rome+memory:///buffering")


@pytest.mark.memory
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_last_insert_rowid_tells_of_a_row_that_sqlite_never_had(connection: Connection, end: str) -> None:
    assert connection.execute("INSERT INTO many (t) VALUES ('b')").lastrowid == 2
    getattr(connection, end)()
    assert connection.execute("SELECT last_insert_rowid(), changes(), total_changes()").fetchone() == (2, 1, 2)


@pytest.mark.memory
def test_a_row_that_was_changed_is_validated(connection: Connection) -> None:
    with closing(rome.connect("rome+memory:///buffering")) as other:
        assert connection.execute("SELECT i FROM many WHERE id = 1").fetchall() == [(1,)]
        connection.execute("UPDATE many SET i = i + 1 WHERE id = 1")
        other.execute("UPDATE many SET i = i + 1 WHERE id = 1")
        other.commit()
        with pytest.raises(ConflictError):
            connection.commit()


@pytest.mark.memory
def test_a_change_that_sqlite_refuses_after_all_ends_the_transaction(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a fault of Rome's: nothing of the transaction may be committed then."""

    def refuse(*_: object) -> None:
        raise apsw.ConstraintError("refused")

    connection.execute("UPDATE many SET t = upper(t)")
    connection.execute("INSERT INTO counted (v) VALUES ('b')")
    monkeypatch.setattr(WorkingSet, "_make", refuse)
    with pytest.raises(InternalError, match="a row of table counted was planned, and refused: refused"):
        connection.execute("SELECT count(*) FROM counted, many")
    connection.commit()
    assert connection.execute("SELECT t FROM many").fetchall() == [("a",)]
    assert connection.execute("SELECT * FROM counted").fetchall() == []


@pytest.mark.memory
@pytest.mark.parametrize(("column", "there", "missing"), [("many_id", 7, 8), ("named", "X", "y")])
def test_a_child_may_name_the_parent_that_sqlite_has_not_been_given(
    connection: Connection, column: str, there: SqlValue, missing: SqlValue
) -> None:
    other = "named" if column == "many_id" else "many_id"
    add_parents = ("INSERT INTO many (id) VALUES (7)", "INSERT INTO strict_one (i, t, v) VALUES (1, 'x', NULL)")
    for statement in add_parents:
        connection.execute(statement)
    with pytest.raises(ForeignKeyViolation):
        connection.execute(f"INSERT INTO child ({column}, {other}) VALUES (?, NULL)", (missing,))
    connection.rollback()
    for statement in add_parents:
        connection.execute(statement)
    connection.execute(f"INSERT INTO child ({column}, {other}, v) VALUES (?, NULL, 'c')", (there,))
    assert connection.execute("SELECT v FROM child WHERE id = 1").fetchall() == [("c",)]
    connection.commit()
    assert connection.execute(f"SELECT {column} FROM child").fetchall() == [(there,)]


@pytest.mark.memory
def test_rows_of_one_statement_come_back_and_are_committed_without_sqlite(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkingSet, "make_buffered", None)
    added = connection.execute("INSERT INTO plain (g, v) VALUES (1, ?), (1, ?) RETURNING v, id", ("a", "b"))
    assert (added.fetchall(), added.rowcount) == ([("a", 1), ("b", 2)], 2)
    assert connection.executemany("INSERT INTO plain (g, v) VALUES (?, ?)", [(2, "c"), (2, "d")]).rowcount == 2
    assert connection.execute("INSERT INTO plain (g, v) VALUES (1, 'e')").lastrowid == 5
    assert connection.execute("SELECT v FROM plain WHERE g = 1 ORDER BY id").fetchall() == [("a",), ("b",), ("e",)]
    connection.commit()
    assert connection.execute("UPDATE plain SET v = NULL, g = g + 1 WHERE g = 1").rowcount == 3
    connection.commit()
    assert connection.execute("DELETE FROM plain WHERE g = 2 AND v = 'c'").rowcount == 1
    connection.commit()
    monkeypatch.undo()
    shown = connection.execute("SELECT * FROM plain ORDER BY id").fetchall()
    assert shown == [(1, 2, None, None), (2, 2, None, None), (4, 2, "d", None), (5, 2, None, None)]


@pytest.mark.memory
@pytest.mark.parametrize(
    "again", ["INSERT INTO plain (v, w) VALUES (?, 'w')", "INSERT INTO plain (id, v) VALUES (2, ?)"]
)
def test_a_row_that_sqlite_has_not_been_given_keeps_its_keys(connection: Connection, again: str) -> None:
    with pytest.raises(UniqueViolation):
        connection.execute("INSERT INTO plain (v, w) VALUES (?, 'w'), (?, 'w')", ("a", "a"))
    connection.execute("INSERT INTO plain (id, v, w) VALUES (2, 'b', 'w')")
    with pytest.raises(UniqueViolation):
        connection.execute(again, ("b",))
    connection.commit()
    assert connection.execute("SELECT id, v FROM plain").fetchall() == [(2, "b")]


@pytest.mark.memory
def test_a_replay_gives_waiting_rows_the_same_ids(connection: Connection) -> None:
    with closing(rome.connect("rome+memory:///buffering")) as other:
        connection.execute("INSERT INTO plain (g, v) VALUES (1, 'a'), (1, 'b') RETURNING id").fetchall()
        connection.execute("UPDATE many SET i = 5 WHERE id = 1")
        other.execute("UPDATE many SET t = 'other' WHERE id = 1")
        other.execute("INSERT INTO plain (g, v) VALUES (1, 'c')")
        other.commit()
        connection.commit()
    assert connection.execute("SELECT id, v FROM plain ORDER BY id").fetchall() == [(1, "a"), (2, "b"), (3, "c")]
    assert connection.execute("SELECT t, i FROM many").fetchall() == [("other", 5)]


@pytest.mark.parametrize(
    "change", ["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (5, 5)", "UPDATE t SET a = 1 WHERE id = 1"]
)
@pytest.mark.parametrize("value", ["9007199254740992.0", "9e999", "-9e999", "'9007199254740993'", "1e0"])
def test_look_by_a_number_that_makes_no_certain_key(change: str, value: str) -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, a)"], ids=False) as pair:
        pair.execute("INSERT INTO t VALUES (1, 2)")
        pair.execute("COMMIT")
        for sql in ("SELECT a FROM t WHERE id = {}", "UPDATE t SET a = 9 WHERE id = {}", "DELETE FROM t WHERE id = {}"):
            pair.execute(change)
            pair.execute(sql.format(value))
            pair.execute("SELECT * FROM t ORDER BY id")
            pair.execute("ROLLBACK")
