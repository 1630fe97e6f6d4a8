"""What the clients of a load do: five kinds of transactions, each with values from which its inference can conclude.

Keys go out of use and new ones come as a process counts its transactions, so that lists stay short and rows come into
being all the time: phantoms need that.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import ClassVar

import sqlalchemy as sa

from rome.testing.isolation.client import Attempt, Row
from rome.testing.isolation.history import Operation

PART = 4
"""Keys per part: what a predicate reads at once."""


class KeyedWorkload(ABC):
    """Transactions of one process over numbered keys.

    Args:
        keys: how many are in use at a time; few are hot.
        single: a transaction has one statement, as under AUTOCOMMIT.
    """

    tables: ClassVar[tuple[str, ...]]

    def __init__(self, process: int, keys: int, *, single: bool, seed: int = 0) -> None:
        self._process, self._keys, self._single = process, keys, single
        self._random = random.Random(f"{seed}/{process}")
        self._values = 0

    @staticmethod
    def facts(keys: int) -> dict[str, int]:
        """What the setting of a history says beside the names."""
        return {}

    @classmethod
    def create(cls, connection: sa.Connection, keys: int) -> None:
        """Make the tables, and what is in them at the beginning."""
        for sql in cls.tables:
            connection.execute(sa.text(sql))
        connection.commit()

    def steps(self, attempt: Attempt, number: int) -> Iterator[None]:
        """See rome.testing.isolation.client.Workload."""
        first = self.window(number)[0]
        for _ in range(1 if self._single else self._random.randint(1, 4)):
            yield from self.step(attempt, first + self._random.randrange(self._keys))

    def window(self, number: int) -> range:
        """The keys in use when a process runs its transaction `number`."""
        first = number // (4 * self._keys) * self._keys
        first += -first % PART
        return range(first, first + self._keys)

    @abstractmethod
    def step(self, attempt: Attempt, key: int) -> Iterator[None]:
        """A statement about a key, or a few that belong together; yields after each."""

    @abstractmethod
    def read_all(self, attempt: Attempt, keys: Sequence[int]) -> None:
        """Read keys that follow each other, whatever is there."""

    def new_value(self) -> int:
        """A number that no process has used before."""
        self._values += 1
        return self._process * 10_000_000 + self._values


def _part(key: int) -> range:
    return range(key - key % PART, key - key % PART + PART)


class Lists(KeyedWorkload):
    """Lists in the text of one row each; rows come into being by the first append.

    Read by key, by a range of keys or a page of it, and by a secondary index; appended to by an upsert, which is
    sometimes undone.
    """

    tables = (
        "CREATE TABLE list (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, elements TEXT NOT NULL)",
        "CREATE INDEX list_part ON list (part)",
    )
    _append = sa.text(
        "INSERT INTO list (id, part, elements) VALUES (:key, :part, :element)"
        " ON CONFLICT (id) DO UPDATE SET elements = elements || ',' || excluded.elements"
    )
    _by_key = sa.text("SELECT id, elements FROM list WHERE id = :key")
    _by_range = sa.text("SELECT id, elements FROM list WHERE id >= :start AND id < :stop")
    _by_index = sa.text("SELECT id, elements FROM list WHERE part = :part")
    _first = sa.text("SELECT id, elements FROM list WHERE id >= :start AND id < :stop ORDER BY id LIMIT 2")
    _last = sa.text("SELECT id, elements FROM list WHERE id >= :start AND id < :stop ORDER BY id DESC LIMIT 2")

    def step(self, attempt: Attempt, key: int) -> Iterator[None]:
        chance = self._random.random()
        if chance < 0.35:
            self._append_one(attempt, key)
        elif chance < 0.4 and not self._single:
            with attempt.rolled_back():
                self._append_one(attempt, key)
                yield
        elif chance < 0.65:
            attempt.run(self._by_key, {"key": key}, reads=partial(self._found, [key]))
        elif chance < 0.75:
            attempt.run(self._by_index, {"part": key // PART}, reads=partial(self._found, _part(key)), predicate=True)
        elif chance < 0.85:
            self.read_all(attempt, _part(key))
        else:
            self._read_page(attempt, _part(key), self._first if chance < 0.93 else self._last)
        yield

    def _append_one(self, attempt: Attempt, key: int) -> None:
        value = self.new_value()
        parameters = {"key": key, "part": key // PART, "element": str(value)}
        attempt.run(self._append, parameters, Operation("append", key, value))

    def read_all(self, attempt: Attempt, keys: Sequence[int]) -> None:
        bounds = {"start": min(keys), "stop": max(keys) + 1}
        attempt.run(self._by_range, bounds, reads=partial(self._found, keys), predicate=True)

    def _read_page(self, attempt: Attempt, keys: range, sql: sa.TextClause) -> None:
        """Read two lists from one end of `keys`; so none is there between that end and the second one."""

        def seen(rows: Sequence[Row]) -> Iterable[Operation]:
            start, stop = keys.start, keys.stop
            if len(rows) == 2:
                start, stop = (start, rows[-1][0] + 1) if sql is self._first else (rows[-1][0], stop)
            return self._found(range(start, stop), rows)

        attempt.run(sql, {"start": keys.start, "stop": keys.stop}, reads=seen, predicate=True)

    @staticmethod
    def _found(keys: Iterable[int], rows: Sequence[Row]) -> Iterable[Operation]:
        found = {row[0]: [int(element) for element in row[1].split(",")] for row in rows}
        return [Operation("read", key, found.get(key, [])) for key in keys]


class Registers(KeyedWorkload):
    """Numbers that are replaced: by the application, which has read them, or by a statement that tells the old one."""

    tables = (
        "CREATE TABLE register (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, value INTEGER NOT NULL, old INTEGER)",
        "CREATE INDEX register_part ON register (part)",
    )
    _replace = sa.text(
        "INSERT INTO register (id, part, value) VALUES (:key, :part, :value)"
        " ON CONFLICT (id) DO UPDATE SET old = value, value = excluded.value RETURNING old"
    )
    _insert = sa.text("INSERT INTO register (id, part, value) VALUES (:key, :part, :value)")
    _update = sa.text("UPDATE register SET value = :value WHERE id = :key")
    _by_key = sa.text("SELECT id, value FROM register WHERE id = :key")
    _by_range = sa.text("SELECT id, value FROM register WHERE id >= :start AND id < :stop")
    _by_index = sa.text("SELECT id, value FROM register WHERE part = :part")

    def step(self, attempt: Attempt, key: int) -> Iterator[None]:
        chance = self._random.random()
        if chance < 0.2:
            value = self.new_value()
            parameters = {"key": key, "part": key // PART, "value": value}
            write = Operation("write", key, value)
            attempt.run(self._replace, parameters, write, reads=lambda rows: [Operation("read", key, rows[0][0])])
        elif chance < 0.7:
            attempt.run(self._by_key, {"key": key}, reads=partial(self._found, [key]))
            if chance < 0.5 and not self._single:
                yield
                self._replace_what_was_read(attempt, key)
        elif chance < 0.85:
            attempt.run(self._by_index, {"part": key // PART}, reads=partial(self._found, _part(key)), predicate=True)
        else:
            self.read_all(attempt, _part(key))

    def _replace_what_was_read(self, attempt: Attempt, key: int) -> None:
        absent = attempt.statements[-1].operations[0].value is None
        value = self.new_value()
        parameters = {"key": key, "part": key // PART, "value": value}
        attempt.run(self._insert if absent else self._update, parameters, Operation("write", key, value))

    def read_all(self, attempt: Attempt, keys: Sequence[int]) -> None:
        bounds = {"start": min(keys), "stop": max(keys) + 1}
        attempt.run(self._by_range, bounds, reads=partial(self._found, keys), predicate=True)

    @staticmethod
    def _found(keys: Iterable[int], rows: Sequence[Row]) -> Iterable[Operation]:
        found = {row[0]: row[1] for row in rows}
        return [Operation("read", key, found.get(key)) for key in keys]


class Sets(KeyedWorkload):
    """Sets of one row per element, read by a secondary index: every element that is missed is a phantom."""

    tables = (
        "CREATE TABLE element (value INTEGER PRIMARY KEY, of INTEGER NOT NULL)",
        "CREATE INDEX element_of ON element (of)",
    )
    _add = sa.text("INSERT INTO element (value, of) VALUES (:value, :key)")
    _by_index = sa.text("SELECT value FROM element WHERE of = :key")

    def step(self, attempt: Attempt, key: int) -> Iterator[None]:
        if self._random.random() < 0.4:
            value = self.new_value()
            attempt.run(self._add, {"value": value, "key": key}, Operation("append", key, value))
        else:
            self.read_all(attempt, [key])
        yield

    def read_all(self, attempt: Attempt, keys: Sequence[int]) -> None:
        for key in keys:
            attempt.run(
                self._by_index,
                {"key": key},
                reads=partial(self._found, key),
                predicate=True,
            )

    @staticmethod
    def _found(key: int, rows: Sequence[Row]) -> Iterable[Operation]:
        return [Operation("read", key, [row[0] for row in rows])]


class Counters(KeyedWorkload):
    """Numbers that statements add to."""

    tables = ("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",)
    _increment = sa.text("INSERT INTO counter VALUES (:key, :amount) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n")
    _by_key = sa.text("SELECT n FROM counter WHERE id = :key")

    def step(self, attempt: Attempt, key: int) -> Iterator[None]:
        if self._random.random() < 0.5:
            amount = self._random.randint(1, 5)
            attempt.run(self._increment, {"key": key, "amount": amount}, Operation("increment", key, amount))
        else:
            self.read_all(attempt, [key])
        yield

    def read_all(self, attempt: Attempt, keys: Sequence[int]) -> None:
        for key in keys:
            attempt.run(
                self._by_key,
                {"key": key},
                reads=partial(self._found, key),
            )

    @staticmethod
    def _found(key: int, rows: Sequence[Row]) -> Iterable[Operation]:
        return [Operation("read", key, rows[0][0] if rows else 0)]


class Bank(KeyedWorkload):
    """Accounts between which money moves, by one statement or by two; read by one statement or in two halves."""

    tables = ("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",)
    _INITIAL = 100
    _open = sa.text("INSERT INTO account VALUES (:key, :balance)")
    _move = sa.text(
        "UPDATE account SET balance = balance + CASE id WHEN :key THEN -:amount ELSE :amount END"
        " WHERE id IN (:key, :to) AND (SELECT balance FROM account WHERE id = :key) >= :amount"
    )
    _take = sa.text("UPDATE account SET balance = balance - :amount WHERE id = :key AND balance >= :amount")
    _give = sa.text("UPDATE account SET balance = balance + :amount WHERE id = :key")
    _all = sa.text("SELECT id, balance FROM account WHERE id >= :start AND id < :stop")

    @staticmethod
    def facts(keys: int) -> dict[str, int]:
        return {"accounts": keys, "total": keys * Bank._INITIAL}

    @classmethod
    def create(cls, connection: sa.Connection, keys: int) -> None:
        super().create(connection, keys)
        connection.execute(cls._open, [{"key": key, "balance": cls._INITIAL} for key in range(keys)])
        connection.commit()

    def window(self, number: int) -> range:
        return range(self._keys)

    def step(self, attempt: Attempt, key: int) -> Iterator[None]:
        if self._random.random() < 0.5:
            yield from self._transfer(attempt, key)
            return
        halves = [range(self._keys)] if self._single else [range(key + 1), range(key + 1, self._keys)]
        for half in halves:
            if half:
                self.read_all(attempt, half)
                yield

    def _transfer(self, attempt: Attempt, source: int) -> Iterator[None]:
        target = (source + self._random.randrange(1, self._keys)) % self._keys
        amount = self._random.randint(1, 30)
        out, into = Operation("increment", source, -amount), Operation("increment", target, amount)
        if self._single or self._random.random() < 0.5:
            attempt.run(self._move, {"key": source, "to": target, "amount": amount}, out, into)
            yield
            return
        taken = attempt.run(self._take, {"key": source, "amount": amount}, out)
        yield
        if taken:
            attempt.run(self._give, {"key": target, "amount": amount}, into)
            yield

    def read_all(self, attempt: Attempt, keys: Sequence[int]) -> None:
        bounds = {"start": min(keys), "stop": max(keys) + 1}
        attempt.run(
            self._all, bounds, reads=lambda rows: [Operation("read", row[0], row[1]) for row in rows], predicate=True
        )


class LastRead:
    """One transaction that reads all keys that a load has used, a hundred by a statement."""

    def __init__(self, workload: KeyedWorkload, transactions: int) -> None:
        self._workload = workload
        self._keys = range(workload.window(transactions).stop)

    def steps(self, attempt: Attempt, number: int) -> Iterator[None]:
        """See rome.testing.isolation.client.Workload."""
        for first in range(0, len(self._keys), 100):
            self._workload.read_all(attempt, self._keys[first : first + 100])
            yield


WORKLOADS: dict[str, type[KeyedWorkload]] = {
    "lists": Lists,
    "registers": Registers,
    "sets": Sets,
    "counters": Counters,
    "bank": Bank,
}
"""By the name that a history's setting gives."""
