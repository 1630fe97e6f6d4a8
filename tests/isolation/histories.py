"""Short ways to write histories down."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rome.testing.isolation import (
    History,
    RecordedOperation,
    RecordedStatement,
    RecordedTransaction,
    Setting,
    make_history,
)
from rome.testing.isolation.history import Outcome, RecordedValue

SERIALIZABLE, SNAPSHOT, READ_COMMITTED = "SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"


def read(key: int, value: RecordedValue) -> RecordedStatement:
    return RecordedStatement(0, 0, False, [RecordedOperation("read", key, value)])


def find(*found: tuple[int, RecordedValue]) -> RecordedStatement:
    """A read of all that match a condition: each key with what was there."""
    return RecordedStatement(0, 0, True, [RecordedOperation("read", key, value) for key, value in found])


def append(key: int, value: int) -> RecordedStatement:
    return RecordedStatement(0, 0, False, [RecordedOperation("append", key, value)])


def remove(key: int, value: int) -> RecordedStatement:
    return RecordedStatement(0, 0, False, [RecordedOperation("remove", key, value)])


def write(key: int, value: int) -> RecordedStatement:
    return RecordedStatement(0, 0, False, [RecordedOperation("write", key, value)])


def increment(key: int, amount: int) -> RecordedStatement:
    return RecordedStatement(0, 0, False, [RecordedOperation("increment", key, amount)])


_processes = itertools.count(100)


def ok(
    *statements: RecordedStatement,
    at: tuple[int, int | None] = (0, 1000),
    process: int | None = None,
    outcome: Outcome = "ok",
) -> RecordedTransaction:
    """A transaction; of a process of its own, and at the same time as all others, where not said."""
    begin, end = at
    if process is None:
        process = next(_processes)
    timed = [RecordedStatement(begin, begin if end is None else end, *_rest(each)) for each in statements]
    return RecordedTransaction(process, begin, begin, end, outcome, timed)


def _rest(statement: RecordedStatement) -> tuple[bool, list[RecordedOperation]]:
    return statement.predicate, statement.operations


def failed(*statements: RecordedStatement, at: tuple[int, int] = (0, 1000)) -> RecordedTransaction:
    return ok(*statements, at=at, outcome="fail")


def unknown(*statements: RecordedStatement, begin: int = 0) -> RecordedTransaction:
    return ok(*statements, at=(begin, None), outcome="unknown")


def history(
    workload: str, transactions: Sequence[RecordedTransaction], level: str = SERIALIZABLE, **facts: int
) -> History:
    return make_history(Setting(workload, level, facts), transactions)
