"""Numbers that statements add to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt, IsolationRow
from rome.testing.isolation.history import RecordedOperation
from rome.testing.isolation.workloads.keyed import KeyedWorkload


class CounterWorkload(KeyedWorkload):
    """Adds to a counter, or reads it."""

    tables = ("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",)
    _increment = sa.text("INSERT INTO counter VALUES (:key, :amount) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n")
    _by_key = sa.text("SELECT n FROM counter WHERE id = :key")

    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Add to a counter, or read it."""
        if self._random.random() < 0.5:
            amount = self._random.randint(1, 5)
            attempt.run(self._increment, {"key": key, "amount": amount}, RecordedOperation("increment", key, amount))
        else:
            self.read_all(attempt, [key])
        yield

    def read_all(self, attempt: ClientAttempt, keys: Sequence[int]) -> None:
        """Read counters one by one."""
        for key in keys:
            attempt.run(self._by_key, {"key": key}, reads=partial(self._found, key))

    @staticmethod
    def _found(key: int, rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
        return [RecordedOperation("read", key, rows[0][0] if rows else 0)]
