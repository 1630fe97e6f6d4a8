"""Short ways to write histories down."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rome.testing.isolation import History, Operation, Setting, Statement, Transaction, make_history
from rome.testing.isolation.history import Outcome, Value

SERIALIZABLE, SNAPSHOT, READ_COMMITTED = "SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"


def read(key: int, value: Value) -> Statement:
    return Statement(0, 0, False, [Operation("read", key, value)])


def find(*found: tuple[int, Value]) -> Statement:
    """A read of all that match a condition: each key with what was there."""
    return Statement(0, 0, True, [Operation("read", key, value) for key, value in found])


def append(key: int, value: int) -> Statement:
    return Statement(0, 0, False, [Operation("append", key, value)])


def remove(key: int, value: int) -> Statement:
    return Statement(0, 0, False, [Operation("remove", key, value)])


def write(key: int, value: int) -> Statement:
    return Statement(0, 0, False, [Operation("write", key, value)])


def increment(key: int, amount: int) -> Statement:
    return Statement(0, 0, False, [Operation("increment", key, amount)])


_processes = itertools.count(100)


def ok(
    *statements: Statement, at: tuple[int, int | None] = (0, 1000), process: int | None = None, outcome: Outcome = "ok"
) -> Transaction:
    """A transaction; of a process of its own, and at the same time as all others, where not said."""
    begin, end = at
    if process is None:
        process = next(_processes)
    timed = [Statement(begin, begin if end is None else end, *_rest(each)) for each in statements]
    return Transaction(process, begin, begin, end, outcome, timed)


def _rest(statement: Statement) -> tuple[bool, list[Operation]]:
    return statement.predicate, statement.operations


def failed(*statements: Statement, at: tuple[int, int] = (0, 1000)) -> Transaction:
    return ok(*statements, at=at, outcome="fail")


def unknown(*statements: Statement, begin: int = 0) -> Transaction:
    return ok(*statements, at=(begin, None), outcome="unknown")


def history(workload: str, transactions: Sequence[Transaction], level: str = SERIALIZABLE, **facts: int) -> History:
    return make_history(Setting(workload, level, facts), transactions)
