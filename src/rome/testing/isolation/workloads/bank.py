"""Accounts between which money is moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from rome.testing.isolation.client import ClientAttempt
from rome.testing.isolation.history import RecordedOperation
from rome.testing.isolation.workloads.keyed import KeyedWorkload


class Bank(KeyedWorkload):
    """Moves money with one statement or with two; reads all accounts with one statement or in two halves."""

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
        """How many accounts there are, and what they hold together."""
        return {"accounts": keys, "total": keys * Bank._INITIAL}

    @classmethod
    def create(cls, connection: sa.Connection, keys: int) -> None:
        """Create the accounts."""
        super().create(connection, keys)
        connection.execute(cls._open, [{"key": key, "balance": cls._INITIAL} for key in range(keys)])
        connection.commit()

    def window(self, number: int) -> range:
        """All accounts, always."""
        return range(self._keys)

    def step(self, attempt: ClientAttempt, key: int) -> Iterator[None]:
        """Move money, or read all accounts."""
        if self._random.random() < 0.5:
            yield from self._transfer(attempt, key)
            return
        halves = [range(self._keys)] if self._single else [range(key + 1), range(key + 1, self._keys)]
        for half in halves:
            if half:
                self.read_all(attempt, half)
                yield

    def _transfer(self, attempt: ClientAttempt, source: int) -> Iterator[None]:
        target = (source + self._random.randrange(1, self._keys)) % self._keys
        amount = self._random.randint(1, 30)
        out, into = RecordedOperation("increment", source, -amount), RecordedOperation("increment", target, amount)
        if self._single or self._random.random() < 0.5:
            attempt.run(self._move, {"key": source, "to": target, "amount": amount}, out, into)
            yield
            return
        taken = attempt.run(self._take, {"key": source, "amount": amount}, out)
        yield
        if taken:
            attempt.run(self._give, {"key": target, "amount": amount}, into)
            yield

    def read_all(self, attempt: ClientAttempt, keys: Sequence[int]) -> None:
        """Read all accounts."""
        bounds = {"start": min(keys), "stop": max(keys) + 1}
        attempt.run(
            self._all,
            bounds,
            reads=lambda rows: [RecordedOperation("read", row[0], row[1]) for row in rows],
            predicate=True,
        )
