"""Numbers that are replaced, by the application that has read them, or by a statement that returns the old number."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt
from rome.testing.isolation.history import RecordedOperation, RecordedValue
from rome.testing.isolation.workloads.keyed import PART, RowWorkload, part


class Registers(RowWorkload):
    """Replaces a number after reading it, or with an upsert."""

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
    by_key = sa.text("SELECT id, value FROM register WHERE id = :key")
    by_range = sa.text("SELECT id, value FROM register WHERE id >= :start AND id < :stop")
    by_index = sa.text("SELECT id, value FROM register WHERE part = :part")

    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Replace a number, or read one, a part or a range."""
        chance = self._random.random()
        if chance < 0.2:
            value = self.new_value()
            parameters = {"key": key, "part": key // PART, "value": value}
            write = RecordedOperation("write", key, value)
            attempt.run(
                self._replace, parameters, write, reads=lambda rows: [RecordedOperation("read", key, rows[0][0])]
            )
        elif chance < 0.7:
            self.read_one(attempt, key)
            if chance < 0.5 and not self._single:
                yield
                self._replace_what_was_read(attempt, key)
        elif chance < 0.85:
            self.read_part(attempt, key)
        else:
            self.read_all(attempt, part(key))
        yield

    def _replace_what_was_read(self, attempt: ClientAttempt, key: int) -> None:
        absent = attempt.statements[-1].operations[0].value is None
        value = self.new_value()
        parameters = {"key": key, "part": key // PART, "value": value}
        attempt.run(self._insert if absent else self._update, parameters, RecordedOperation("write", key, value))

    @staticmethod
    def value(stored: object) -> RecordedValue:
        """The number in a row."""
        assert stored is None or isinstance(stored, int)
        return stored
