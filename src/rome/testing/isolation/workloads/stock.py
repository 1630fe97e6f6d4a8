"""Items that come and go: rows of two tables, read by a join, deleted by key, by a join and by a predicate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt, IsolationRow
from rome.testing.isolation.history import RecordedAction, RecordedOperation
from rome.testing.isolation.workloads.keyed import KeyedWorkload


class Stock(KeyedWorkload):
    """Items on shelves, each with a label that is deleted with it: foreign keys must be enforced.

    The shelf `key` is two sets in the history: items are 2 * `key`, labels 2 * `key` + 1. Items that a transaction of
    one statement has put there have no label.
    """

    tables = (
        "CREATE TABLE item (id INTEGER PRIMARY KEY, shelf INTEGER NOT NULL)",
        "CREATE INDEX item_shelf ON item (shelf)",
        "CREATE TABLE label (item INTEGER PRIMARY KEY REFERENCES item (id) ON DELETE CASCADE)",
    )
    _put = sa.text("INSERT INTO item VALUES (:item, :key)")
    _stick = sa.text("INSERT INTO label VALUES (:item)")
    _look = sa.text("SELECT i.id, l.item FROM item AS i LEFT JOIN label AS l ON l.item = i.id WHERE i.shelf = :key")
    _take = sa.text("DELETE FROM item WHERE id = :item")
    _take_oldest = sa.text(
        "DELETE FROM item WHERE id ="
        " (SELECT min(i.id) FROM item AS i JOIN label AS l ON l.item = i.id WHERE i.shelf = :key) RETURNING id"
    )
    _clear = sa.text("DELETE FROM item WHERE shelf = :key RETURNING id")

    def __init__(self, process: int, keys: int, *, single: bool, seed: int = 0) -> None:
        super().__init__(process, keys, single=single, seed=seed)
        self._seen: dict[int, list[int]] = {}
        """{shelf: what the process saw there last}"""

    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Put an item on a shelf, look at a shelf, or take items away."""
        chance = self._random.random()
        if chance < 0.3:
            yield from self._put_one(attempt, key)
            return
        if chance < 0.4 and self._seen.get(key):
            item = self._random.choice(self._seen[key])
            attempt.run(self._take, {"item": item}, *_both("remove", key, item)[: 1 if self._single else 2])
        elif chance < 0.5 and not self._single:
            attempt.run(self._take_oldest, {"key": key}, reads=partial(self._taken, key))
        elif chance < 0.55 and not self._single:
            attempt.run(self._clear, {"key": key}, reads=partial(self._cleared, key), predicate=True)
        else:
            self.read_all(attempt, [key])
        yield

    def _put_one(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        item = self.new_value()
        of_item, of_label = _both("append", key, item)
        attempt.run(self._put, {"item": item, "key": key}, of_item)
        yield
        if not self._single:
            attempt.run(self._stick, {"item": item}, of_label)
            yield

    def read_all(self, attempt: ClientAttempt, keys: Sequence[int]) -> None:
        """Look at shelves one by one."""
        for key in keys:
            attempt.run(self._look, {"key": key}, reads=partial(self._found, key), predicate=True)

    def _found(self, key: int, rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
        self._seen[key] = [row[0] for row in rows]
        labels = [row[1] for row in rows if row[1] is not None]
        return RecordedOperation("read", 2 * key, self._seen[key]), RecordedOperation("read", 2 * key + 1, labels)

    @staticmethod
    def _taken(key: int, rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
        return [operation for row in rows for operation in _both("remove", key, row[0])]

    def _cleared(self, key: int, rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
        return RecordedOperation("read", 2 * key, [row[0] for row in rows]), *self._taken(key, rows)


def _both(kind: RecordedAction, key: int, item: int) -> tuple[RecordedOperation, RecordedOperation]:
    """The operations on an item and on its label."""
    return RecordedOperation(kind, 2 * key, item), RecordedOperation(kind, 2 * key + 1, item)
