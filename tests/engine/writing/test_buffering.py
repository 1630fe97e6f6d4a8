"""Changes of one row that SQLite makes only when somebody looks: nothing that can be seen differs from stock SQLite."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from math import inf

import apsw
import pytest

import rome
from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import ConflictError, ForeignKeyViolation, InternalError
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
    "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT UNIQUE, w)",
)
COLUMNS = {
    "many": ("t", "i", "n", "r", "b", "d", "c"),
    "strict_one": ("i", "t", "v"),
    "checked": ("i", "t"),
    "typed": ("i", "t", "r"),
    "child": ("many_id", "named", "v"),
    "counted": ("v", "w"),
}
KEYS = {
    "many": ("id", "id", "n", "t"),
    "strict_one": ("id", "t"),
    "checked": ("id",),
    "typed": ("id",),
    "child": ("id",),
    "counted": ("id", "v"),
}
VALUES: tuple[SqlValue, ...] = (
    *(None, 1, 2, 3, "a", "A", "b", "1", "x", 1.0, 2.5, b"a", b"1", "", -1, 0, 0.0, -0.0, inf, "2026-11-30 18:00:00"),
    *("1e3", " 7 ", "0x10", "5.0", "12abc", 2**53 + 1, 2**63 - 1, -(2**63), "é", "a\x00b", "9223372036854775808"),
)


@dataclass
class Maker:
    """Makes random operations. `last`: a table, and columns of its row that was written last; many look at it."""

    random: random.Random
    last: tuple[str, dict[str, SqlValue]] = ("many", {})

    def value(self, column: str = "") -> SqlValue:
        """Mostly one that the column stores as it is."""
        if column in ("many_id", "named") and self.random.random() < 0.5:
            return self.last[1].get("id" if column == "many_id" else "t")
        if self.random.random() < 0.75:
            of_kind = {"i": (1, 2, 3, -1), "many_id": (1, 2, 3, 4), "n": (1, 2, 3, 4, 5, 6, 7), "r": (1.0, 2.5, 3)}
            return self.random.choice(of_kind.get(column, ("a", "b", "A", "d", "e", "f", "2026-11-30 18:00:00")))
        return self.random.choice(VALUES[: self.random.choice((7, 20, len(VALUES)))])

    def insert(self) -> Operation:
        table = self.random.choice([*COLUMNS])
        if self.last[0] in ("many", "strict_one") and self.random.random() < 0.3:
            table = "child"
        columns = [column for column in COLUMNS[table] if self.random.random() < 0.9]
        given: dict[str, SqlValue] = {}
        parameters: list[SqlValue] = [self.random.randrange(1, 9)]
        values = ["?"]
        for column in columns:
            if self.random.random() < 0.15:
                values.append(self.random.choice(("NULL", "'a'", "-1", "2.5", "x'61'", "1 + 1", "'1'")))
            else:
                values.append("?")
                given[column] = self.value(column)
                parameters.append(given[column])
        names = ", ".join(["id", *columns])
        self.last = table, {"id": parameters[0], **given}
        return Operation(f"INSERT INTO {table} ({names}) VALUES ({', '.join(values)})", tuple(parameters))

    def update(self) -> Operation:
        table = self.random.choice([*COLUMNS])
        sets, parameters = [], []
        for column in self.random.sample(COLUMNS[table], self.random.choice((1, 1, 2))):
            value = self.random.choice(("?", "?", "?", "'a'", "NULL", "-2", f"{column} + ?", f"({table}.{column} - 1)"))
            sets.append(f"{column} = {value}")
            if "?" in value:
                parameters.append(self.value(column))
        key = self.random.choice(KEYS[table])
        parameters.append(self.random.randrange(1, 9) if key == "id" else self.value(key))
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
        return self.random.choice(
            (self.insert, self.insert, self.update, self.update, self.look, self.look, self.end, self.end)
        )()

    def end(self) -> Operation:
        return Operation(self.random.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK")))


@pytest.mark.memory
def test_random_changes_of_one_row_do_what_they_do_in_stock_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are committed before SQLite makes them, and many are made when a later statement looks."""
    made = buffered = 0
    buffer, make = WorkingSet.buffer, WorkingSet.make_buffered

    def count_buffered(working_set: WorkingSet, *arguments: object) -> None:
        nonlocal buffered
        buffered += 1
        buffer(working_set, *arguments)  # type: ignore[arg-type]

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
    assert (buffered > 2 * SEEDS, made > SEEDS) == (True, True)


SEEDS = 30


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
