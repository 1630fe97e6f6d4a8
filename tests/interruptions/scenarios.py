"""What is interrupted, and what must hold afterwards."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import rome
from rome.dbapi import Connection
from rome.errors import CatalogChangedError, IntegrityError, InterruptedTransactionError
from tests.interruptions.points import Interruption, interrupted_at

SCHEMA = [
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, n INT UNIQUE, v TEXT)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, pid INT REFERENCES parent (n) ON UPDATE CASCADE, x INT)",
    "CREATE INDEX by_v ON parent (lower(v))",
    "CREATE TABLE entry (id INTEGER PRIMARY KEY, what TEXT)",
    "CREATE TABLE probe (id INTEGER PRIMARY KEY, n INT)",
    "INSERT INTO parent VALUES (1, 10, 'a'), (2, 20, 'b')",
    "INSERT INTO child VALUES (1, 10, 0), (2, 20, 0), (3, 10, 0)",
    "INSERT INTO probe VALUES (1, 0)",
]

Operation = str | tuple[str, list[tuple[object, ...]]]
"""A statement, with batches for executemany; COMMIT and ROLLBACK are the methods."""


@dataclass(frozen=True)
class Scenario:
    """A transaction that does `before`, and whose last operation is interrupted."""

    before: list[Operation]
    last: Operation
    level: str = "SERIALIZABLE"


_ADD = "UPDATE parent SET v = v || 'x' WHERE id = 1"
_CASCADE = "UPDATE parent SET n = -n"
_NOTE = "INSERT INTO entry (what) VALUES ('note')"

SCENARIOS = {
    "select by key": Scenario([_ADD], "SELECT * FROM child WHERE id = 2"),
    "select through SQLite": Scenario([_ADD], "SELECT count(*), max(n) FROM parent JOIN child ON pid = n"),
    "insert": Scenario([_ADD], _NOTE),
    "insert first": Scenario([], _NOTE),
    "update with cascade": Scenario([_ADD], _CASCADE),
    "update first": Scenario([], _CASCADE),
    "delete": Scenario([_NOTE], "DELETE FROM entry"),
    "upsert": Scenario([_ADD], "INSERT INTO parent VALUES (2, 99, 'c') ON CONFLICT (id) DO UPDATE SET v = v || 'y'"),
    "executemany": Scenario([_ADD], ("INSERT INTO entry (what) VALUES (?)", [("p",), ("q",), ("r",)])),
    "failing statement": Scenario([_ADD], "INSERT INTO parent VALUES (1, 1, 'c')"),
    "savepoint": Scenario([_ADD], "SAVEPOINT s"),
    "rollback to": Scenario([_ADD, "SAVEPOINT s", _CASCADE], "ROLLBACK TO s"),
    "release": Scenario([_ADD, "SAVEPOINT s", _CASCADE], "RELEASE s"),
    "for update": Scenario([_NOTE], "SELECT * FROM parent WHERE id = 1 FOR UPDATE"),
    "read committed": Scenario([_ADD], "UPDATE child SET x = x + 1 WHERE id = 1", "READ COMMITTED"),
    "create table": Scenario([_ADD], "CREATE TABLE IF NOT EXISTS made (a)"),
    "create index": Scenario([_ADD], "CREATE INDEX IF NOT EXISTS made_index ON parent (v)"),
    "temporary table": Scenario([_ADD], "CREATE TEMP TABLE IF NOT EXISTS passing (a)"),
    "autocommit": Scenario([], _CASCADE, "AUTOCOMMIT"),
    "release that commits": Scenario(["SAVEPOINT s", _CASCADE], "RELEASE s", "AUTOCOMMIT"),
    "commit": Scenario([_CASCADE, _NOTE], "COMMIT"),
    "commit of reads": Scenario(["SELECT * FROM parent"], "COMMIT"),
    "commit of a lock": Scenario(["SELECT * FROM parent WHERE id = 1 FOR UPDATE"], "COMMIT"),
    "commit of DDL": Scenario([_ADD, "CREATE TABLE IF NOT EXISTS made (a)"], "COMMIT"),
    "commit with a temporary table": Scenario([_ADD, "CREATE TEMP TABLE IF NOT EXISTS passing (a)"], "COMMIT"),
    "rollback": Scenario([_CASCADE], "ROLLBACK"),
}

State = list[tuple[object, ...]]


def do(connection: Connection, operation: Operation) -> None:
    if operation == "COMMIT":
        connection.commit()
    elif operation == "ROLLBACK":
        connection.rollback()
    elif isinstance(operation, str):
        connection.execute(operation)
    else:
        connection.executemany(*operation)


def state(connection: Connection) -> State:
    """All that a connection sees; of what has ids from the store, without them."""
    found: State = [("parent", *row) for row in connection.execute("SELECT * FROM parent ORDER BY id")]
    found += [("child", *row) for row in connection.execute("SELECT * FROM child ORDER BY id")]
    found += [("entry", *row) for row in connection.execute("SELECT what FROM entry ORDER BY 1")]
    found += [("probe", *row) for row in connection.execute("SELECT * FROM probe")]
    return found + connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'made%' ORDER BY 1").fetchall()


class Bench:
    """A database with a connection to interrupt, one that looks at what is left, and one that shows what should be."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.other, self.example = rome.connect(url), rome.connect(url)
        for sql in SCHEMA:
            self.other.execute(sql)
        self.other.commit()
        self.victim = rome.connect(url)

    def close(self) -> None:
        for connection in (self.victim, self.other, self.example):
            connection.close()

    def seen_by_other(self) -> State:
        """An interrupted commit that was sent may arrive meanwhile; when it changes the schema, reading begins anew."""
        while True:
            try:
                return state(self.other)
            except CatalogChangedError:
                continue
            finally:
                self.other.rollback()

    def run(self, scenario: Scenario, number: int) -> bool:
        """Interrupt a scenario's last operation at a point, and assert all that must hold; False: there is no such."""
        victim = self.victim
        victim.isolation_level = scenario.level
        self._tidy()
        committed = self.seen_by_other()
        before, after = self._expected(scenario)
        for operation in scenario.before:
            do(victim, operation)
        interruption = interrupted_at(number, lambda: self._do_last(scenario))
        if interruption is None:
            victim.rollback()
            return False
        try:
            self._check(scenario, committed, before, after)
        except Exception as error:
            error.add_note(str(interruption))
            raise
        return True

    def _do_last(self, scenario: Scenario) -> None:
        with suppress(IntegrityError):  # one of them is meant to fail
            do(self.victim, scenario.last)

    def _tidy(self) -> None:
        self.other.execute("DROP TABLE IF EXISTS made")
        self.other.execute("DROP INDEX IF EXISTS made_index")
        self.other.execute("DELETE FROM entry")
        self.other.execute("UPDATE parent SET n = abs(n), v = substr(v, 1, 1)")
        self.other.commit()

    def _expected(self, scenario: Scenario) -> tuple[State, State]:
        """What the transaction sees before its last operation and after it."""
        example = self.example
        for operation in scenario.before:
            do(example, operation)
        before = state(example)
        if scenario.last not in ("COMMIT", "ROLLBACK"):
            with suppress(IntegrityError):
                do(example, scenario.last)
        after = state(example)
        example.rollback()
        return before, after

    def _check(self, scenario: Scenario, committed: State, before: State, after: State) -> None:
        """The transaction is whole, or gone and says so; nobody sees half of it, and nobody is kept waiting."""
        victim = self.victim
        kinds = [committed, before, after]
        assert self.seen_by_other() in kinds, "half of it is committed"
        with suppress(CatalogChangedError):
            self.other.execute("UPDATE probe SET n = n + 1")  # waits for ever for a lock that was left
        self.other.rollback()
        if not victim.is_usable():
            victim.rollback()
            if not victim.is_usable():
                victim.close()
                victim = self.victim = rome.connect(self.url)
        try:
            seen = state(victim)
        except InterruptedTransactionError:
            for sql in ("SELECT 1", "UPDATE probe SET n = n + 1", "CREATE TABLE more (a)"):
                try:
                    victim.execute(sql)
                except InterruptedTransactionError:
                    continue
                raise AssertionError(f"a transaction that is gone runs {sql}") from None
            assert self.seen_by_other() == committed, "said to be gone, and is committed"
            assert scenario.level != "AUTOCOMMIT" or scenario.before
            assert scenario.last != "ROLLBACK"
            victim.rollback()
            seen = state(victim)
            assert seen == committed
        else:
            assert seen in kinds, f"it sees {seen}, which is none of {kinds}"
        victim.execute("UPDATE probe SET n = n + 1")
        changed = state(victim)
        victim.commit()
        assert self.seen_by_other() == changed, "shown, then lost"
        assert [row for row in changed if row[0] != "probe"] == [row for row in seen if row[0] != "probe"]


def sweep(bench: Bench, scenario: Scenario, first: int, step: int) -> int:
    """Interrupt a scenario at every `step`-th point from `first` on; returns at how many that was."""
    number = first
    while bench.run(scenario, number):
        number += step
    return (number - first) // step


__all__ = ["SCENARIOS", "Bench", "Interruption", "sweep"]
