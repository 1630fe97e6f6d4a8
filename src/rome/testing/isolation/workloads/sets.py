"""Sets of one row per element, read by a secondary index, so that every missed element is a phantom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt, IsolationRow
from rome.testing.isolation.history import RecordedOperation
from rome.testing.isolation.workloads.keyed import KeyedWorkload


class Sets(KeyedWorkload):
    """Adds an element to a set, or reads the set."""

    tables = (
        "CREATE TABLE element (value INTEGER PRIMARY KEY, of INTEGER NOT NULL)",
        "CREATE INDEX element_of ON element (of)",
    )
    _add = sa.text("INSERT INTO element (value, of) VALUES (:value, :key)")
    _by_index = sa.text("SELECT value FROM element WHERE of = :key")

    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Add an element to a set, or read the set."""
        if self._random.random() < 0.4:
            value = self.new_value()
            attempt.run(self._add, {"value": value, "key": key}, RecordedOperation("append", key, value))
        else:
            self.read_all(attempt, [key])
        yield

    def read_all(self, attempt: ClientAttempt, keys: Sequence[int]) -> None:
        """Read sets one by one."""
        for key in keys:
            attempt.run(self._by_index, {"key": key}, reads=partial(self._found, key), predicate=True)

    @staticmethod
    def _found(key: int, rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
        return [RecordedOperation("read", key, [row[0] for row in rows])]
