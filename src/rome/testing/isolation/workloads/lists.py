"""Lists, each in the text of one row, which the first append creates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt, IsolationRow
from rome.testing.isolation.history import RecordedOperation, RecordedValue
from rome.testing.isolation.workloads.keyed import PART, RowWorkload, part


class Lists(RowWorkload):
    """Reads lists, also by a page of a range, and appends to them with an upsert, which is sometimes undone."""

    tables = (
        "CREATE TABLE list (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, elements TEXT NOT NULL)",
        "CREATE INDEX list_part ON list (part)",
    )
    _append = sa.text(
        "INSERT INTO list (id, part, elements) VALUES (:key, :part, :element)"
        " ON CONFLICT (id) DO UPDATE SET elements = elements || ',' || excluded.elements"
    )
    by_key = sa.text("SELECT id, elements FROM list WHERE id = :key")
    by_range = sa.text("SELECT id, elements FROM list WHERE id >= :start AND id < :stop")
    by_index = sa.text("SELECT id, elements FROM list WHERE part = :part")
    _first = sa.text("SELECT id, elements FROM list WHERE id >= :start AND id < :stop ORDER BY id LIMIT 2")
    _last = sa.text("SELECT id, elements FROM list WHERE id >= :start AND id < :stop ORDER BY id DESC LIMIT 2")

    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Append to a list, or read one, a part, a range or a page."""
        chance = self._random.random()
        if chance < 0.35:
            self._append_one(attempt, key)
        elif chance < 0.4 and not self._single:
            with attempt.rolled_back():
                self._append_one(attempt, key)
                yield
        elif chance < 0.65:
            self.read_one(attempt, key)
        elif chance < 0.75:
            self.read_part(attempt, key)
        elif chance < 0.85:
            self.read_all(attempt, part(key))
        else:
            self._read_page(attempt, part(key), self._first if chance < 0.93 else self._last)
        yield

    def _append_one(self, attempt: ClientAttempt, key: int) -> None:
        value = self.new_value()
        parameters = {"key": key, "part": key // PART, "element": str(value)}
        attempt.run(self._append, parameters, RecordedOperation("append", key, value))

    def _read_page(self, attempt: ClientAttempt, keys: range, sql: sa.TextClause) -> None:
        """Read two lists from one end of `keys`. So there is no list between that end and the second one."""

        def seen(rows: Sequence[IsolationRow]) -> Iterable[RecordedOperation]:
            start, stop = keys.start, keys.stop
            if len(rows) == 2:
                start, stop = (start, rows[-1][0] + 1) if sql is self._first else (rows[-1][0], stop)
            return self.found(range(start, stop), rows)

        attempt.run(sql, {"start": keys.start, "stop": keys.stop}, reads=seen, predicate=True)

    @staticmethod
    def value(stored: object) -> RecordedValue:
        """The list in a row's text."""
        return [int(element) for element in str(stored).split(",")] if stored else []
