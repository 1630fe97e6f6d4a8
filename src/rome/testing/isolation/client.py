"""One client: it runs transactions on a connection, and records what each did and saw, and how it ended.

A failed transaction does not run again: it is one attempt, and the next transaction has other values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from rome.testing.isolation.history import UNDONE, Outcome, RecordedOperation, RecordedStatement, RecordedTransaction

_NOTHING_WRITTEN = frozenset({"40001", "08006", "53200", "25006", "57P03"})
"""SQLSTATEs of rome.errors after which it is certain that a COMMIT did not happen."""

_CONSTRAINT = "23"

IsolationRow = Sequence[Any]
clock: Callable[[], int] = time.monotonic_ns
"""Comparable across the processes of one machine. A simulation replaces it."""


class ClientAttempt:
    """One transaction in progress, with its record."""

    def __init__(self, connection: sa.Connection, announce: Callable[[], None]) -> None:
        self._connection, self._announce = connection, announce
        self.statements: list[RecordedStatement] = []
        self.undone: list[RecordedStatement] = []
        """Writes that were undone by a rollback to a savepoint."""

    def run(
        self,
        sql: sa.TextClause,
        parameters: Mapping[str, object],
        *writes: RecordedOperation,
        reads: Callable[[Sequence[IsolationRow]], Iterable[RecordedOperation]] = lambda rows: (),
        predicate: bool = False,
    ) -> int:
        """Run one statement; returns how many rows it changed, or -1 after a query.

        Args:
            writes: what it writes if it changes any row. If it raises, it may still have been carried out.
            reads: converts the rows that it returns: what it read, and what it wrote if only the rows tell. In that
                case it must not be a transaction by itself.
        """
        begin = clock()
        self.statements.append(RecordedStatement(begin, begin, predicate, list(writes)))
        if writes:
            self._announce()
        result = self._connection.execute(sql, parameters)
        rows = result.all() if result.returns_rows else ()
        told = [*reads(rows)]
        operations = [*told, *(writes if result.rowcount else ())]
        self.statements[-1] = RecordedStatement(begin, clock(), predicate, operations)
        if any(operation.kind != "read" for operation in told):
            self._announce()
        return -1 if result.returns_rows else result.rowcount

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        """A savepoint that is rolled back at the end."""
        savepoint = self._connection.begin_nested()
        before = len(self.statements)
        yield
        savepoint.rollback()
        inside = self.statements[before:]
        del self.statements[before:]
        self.undone += [each for each in inside if any(done.kind != "read" for done in each.operations)]
        self._announce()


class Workload(Protocol):
    """What the transactions of a client do."""

    def steps(self, attempt: ClientAttempt, number: int) -> Iterator[None]:
        """Run the process's transaction `number`; yields after each statement."""


class IsolationClient:
    """The sequence of one process's transactions.

    Args:
        record: called with each finished transaction.
        announce: whether to record the transaction as unknown before every write and after a rollback to a savepoint,
            for clients that may be killed.
    """

    def __init__(
        self,
        connection: sa.Connection,
        workload: Workload,
        process: int,
        record: Callable[[RecordedTransaction], None],
        *,
        announce: bool = False,
    ) -> None:
        self._connection, self._workload, self._process = connection, workload, process
        self._record, self._announce = record, announce

    def run(self, number: int) -> Outcome:
        """Run one transaction."""
        steps = self.steps(number)
        try:
            while True:
                next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
        return outcome

    def steps(self, number: int) -> Generator[None, None, Outcome]:
        """Run one transaction, a statement at each step; the generator returns the outcome."""
        begin = clock()

        def announce() -> None:
            if self._announce:
                self._record(self._transaction(number, begin, None, "unknown", attempt))

        attempt = ClientAttempt(self._connection, announce)
        outcome: Outcome = "fail"
        try:
            yield from self._workload.steps(attempt, number)
            outcome = "unknown"
            self._connection.commit()
            outcome = "ok"
        except (OperationalError, IntegrityError) as error:
            outcome = self._outcome(error, outcome)
            self._connection.rollback()
        end = None if outcome == "unknown" else clock()
        self._record(self._transaction(number, begin, end, outcome, attempt))
        if attempt.undone:
            self._record(RecordedTransaction(self._process, number, begin, end, "fail", attempt.undone, UNDONE))
        return outcome

    def _outcome(self, error: DBAPIError, before: Outcome) -> Outcome:
        """How the transaction ended. `before` is what to assume: fail until COMMIT is sent, then unknown."""
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in _NOTHING_WRITTEN or state.startswith(_CONSTRAINT):
            return "fail"
        autocommit = self._connection.get_isolation_level() == "AUTOCOMMIT"
        return "unknown" if autocommit else before

    def _transaction(
        self, number: int, begin: int, end: int | None, outcome: Outcome, attempt: ClientAttempt
    ) -> RecordedTransaction:
        return RecordedTransaction(self._process, number, begin, end, outcome, list(attempt.statements))
