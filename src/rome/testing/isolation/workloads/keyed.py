"""What all workloads share: transactions of one process over numbered keys, and the rows that hold them."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import ClassVar

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt, IsolationRow
from rome.testing.isolation.history import RecordedOperation, RecordedValue

PART = 4
"""Keys per part: what a predicate reads at once."""


class KeyedWorkload(ABC):
    """Transactions of one process over numbered keys.

    Args:
        keys: how many are in use at a time; the fewer, the hotter.
        single: whether each transaction has one statement, as under AUTOCOMMIT.
    """

    tables: ClassVar[tuple[str, ...]]

    def __init__(self, process: int, keys: int, *, single: bool, seed: int = 0) -> None:
        self._process, self._keys, self._single = process, keys, single
        self._random = random.Random(f"{seed}/{process}")
        self._values = 0

    @staticmethod
    def facts(keys: int) -> dict[str, int]:
        """What the setting of a history says besides the names of workload and level."""
        return {}

    @classmethod
    def create(cls, connection: sa.Connection, keys: int) -> None:
        """Create the tables and their first rows."""
        for sql in cls.tables:
            connection.execute(sa.text(sql))
        connection.commit()

    def steps(self, attempt: ClientAttempt, number: int) -> Iterator[None]:
        """Run a transaction, as rome.testing.isolation.client.Workload says."""
        first = self.window(number)[0]
        for _ in range(1 if self._single else self._random.randint(1, 4)):
            yield from self.step(attempt, first + self._random.randrange(self._keys))

    def window(self, number: int) -> range:
        """The keys in use when a process runs its transaction `number`."""
        first = number // (4 * self._keys) * self._keys
        first += -first % PART
        return range(first, first + self._keys)

    @abstractmethod
    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Run a statement on a key, or a few that belong together; yields after each."""

    @abstractmethod
    def read_all(self, attempt: ClientAttempt, keys: Sequence[int]) -> None:
        """Read consecutive keys, whether they have rows or not."""

    def new_value(self) -> int:
        """A number that no process has used before."""
        self._values += 1
        return self._process * 10_000_000 + self._values


def part(key: int) -> range:
    """The keys that a predicate reads together with this key."""
    return range(key - key % PART, key - key % PART + PART)


class RowWorkload(KeyedWorkload):
    """Keys of one row each, read by the key, by a range of keys, or by a secondary index on their parts."""

    by_key: ClassVar[sa.TextClause]
    by_range: ClassVar[sa.TextClause]
    by_index: ClassVar[sa.TextClause]
    """Statements that take `key`, `start` and `stop`, and `part`, and give keys and what is stored there."""

    @staticmethod
    @abstractmethod
    def value(stored: object) -> RecordedValue:
        """What a row holds; for None, what a key without a row holds."""

    def read_one(self, attempt: ClientAttempt, key: int) -> None:
        """Read one key."""
        attempt.run(self.by_key, {"key": key}, reads=partial(self.found, [key]))

    def read_part(self, attempt: ClientAttempt, key: int) -> None:
        """Read the keys of a part by the secondary index."""
        attempt.run(self.by_index, {"part": key // PART}, reads=partial(self.found, part(key)), predicate=True)

    def read_all(self, attempt: ClientAttempt, keys: Sequence[int]) -> None:
        """Read a range of keys."""
        bounds = {"start": min(keys), "stop": max(keys) + 1}
        attempt.run(self.by_range, bounds, reads=partial(self.found, keys), predicate=True)

    def found(self, keys: Iterable[int], rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
        """What the rows say of all the keys that a statement was to read."""
        stored = {row[0]: row[1] for row in rows}
        return [RecordedOperation("read", key, self.value(stored.get(key))) for key in keys]


class LastRead:
    """One transaction that reads all keys that a load has used, a hundred with each statement."""

    def __init__(self, workload: KeyedWorkload, transactions: int) -> None:
        self._workload = workload
        self._keys = range(workload.window(transactions).stop)

    def steps(self, attempt: ClientAttempt, number: int) -> Iterator[None]:
        """Run the transaction, as rome.testing.isolation.client.Workload says."""
        for first in range(0, len(self._keys), 100):
            self._workload.read_all(attempt, self._keys[first : first + 100])
            yield
