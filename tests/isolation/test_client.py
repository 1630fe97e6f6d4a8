"""What a client records of its transactions."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Engine

from rome.testing.isolation import RecordedOperation, RecordedTransaction
from rome.testing.isolation.client import ClientAttempt, IsolationClient

INSERT = sa.text("INSERT INTO t VALUES (:n)")


class Savepoints:
    """Inserts 1, then 2 inside a savepoint that is rolled back."""

    def steps(self, attempt: ClientAttempt, number: int) -> Iterator[None]:
        attempt.run(INSERT, {"n": 1}, RecordedOperation("append", 0, 1))
        with attempt.rolled_back():
            attempt.run(INSERT, {"n": 2}, RecordedOperation("append", 0, 2))
            yield


def writes(transaction: RecordedTransaction) -> list[object]:
    return [operation.value for _, operation in transaction.operations()]


def test_announcement_before_commit_is_without_what_was_rolled_back(engine: Engine) -> None:
    """Else a client that dies in COMMIT leaves a record of a write that nobody can ever see."""
    recorded: list[RecordedTransaction] = []
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE t (n INT)"))
        connection.commit()
        assert IsolationClient(connection, Savepoints(), 0, recorded.append, announce=True).run(0) == "ok"
    announced = [writes(each) for each in recorded if each.outcome == "unknown"]
    assert announced == [[1], [1, 2], [1]]
    assert [(each.outcome, writes(each)) for each in recorded[len(announced) :]] == [("ok", [1]), ("fail", [2])]
