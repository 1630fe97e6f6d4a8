"""Report what a connection does: to the loggers `rome.statement` and `rome.transaction`, and to a tracer.

Invariant: it reports no value that the application gave or got, and no error message, which may quote one.

Without a listener, the overhead is one call of 0.1 µs per statement.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from rome.catalog.schema import Catalog
from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.result import Result, Stats
from rome.engine.statement.prepared import Prepared
from rome.errors import CommitAbortedError, ConflictError, Error
from rome.planner.parse.statement import Statement, StatementKind
from rome.sql.display import summary, without_values
from rome.transaction.write_set import WriteSet

STATEMENTS = logging.getLogger("rome.statement")
TRANSACTIONS = logging.getLogger("rome.transaction")

Returned = TypeVar("Returned")


class Examined(NamedTuple):
    """A statement as it was prepared, and the catalog that it was prepared under."""

    prepared: Prepared
    catalog: Catalog


@dataclass(slots=True)
class Work:
    """A statement, or a COMMIT; what follows `begins_transaction` is known when it is over.

    Attributes:
        name: a short one of few different ones: "SELECT servers", "COMMIT".
        text: the statement without values; None for a COMMIT by the driver's method.
        batch_size: how many times executemany runs it; None without executemany.
        operation: the statement with its parameters; None for a COMMIT.
        begins_transaction: no transaction is open at its begin.
        cost: the counters of the connection, from its begin to its end.
        in_transaction: a transaction is open at its end.
        rows_returned, rows_changed: by a statement.
        examine: tells what its plan is, when it is over; None of a statement that has none.
        error: the class of the error that it ended with. Not the error itself: that would hold all of its frames.
    """

    name: str
    text: str | None = None
    batch_size: int | None = None
    operation: LoggedOperation | None = None
    begins_transaction: bool = False
    cost: Stats = field(default_factory=Stats)
    duration_s: float = 0.0
    in_transaction: bool = False
    rows_returned: int = 0
    rows_changed: int = 0
    examine: Callable[[], Examined | None] = lambda: None
    error: str | None = None
    sqlstate: str | None = None


class Tracer(ABC):
    """Follows the work of a connection."""

    @abstractmethod
    def span(self, work: Work) -> AbstractContextManager[None]:
        """A context around a piece of work. When it ends, also with an error, `work` is complete."""

    def met_conflict(self, conflict: ConflictError | CommitAbortedError, attempt: Attempt) -> None:  # noqa: B027
        """An attempt of the work that is under way has met a conflict; it may be replayed."""

    def committed(self, attempt: Attempt, writes: WriteSet) -> None:  # noqa: B027
        """The work that is under way has committed these writes."""


def name_of(error: BaseException) -> tuple[str, str | None]:
    """An error's class and its SQLSTATE, if it has one."""
    return type(error).__name__, error.sqlstate if isinstance(error, Error) else None


class Watched(Protocol):
    """A connection's engine, as far as an observer looks at it."""

    @property
    def stats(self) -> Stats:
        """A copy of its counters."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def examine(self, statement: Statement) -> Examined | None:
        """What the plan of a statement that was just run is; None of one that has none."""


class Observer:
    """Watches one connection.

    Attributes:
        tracer: follows its work; None without one.
    """

    def __init__(self, tracer: Tracer | None) -> None:
        self.tracer = tracer

    def hears_statements(self) -> bool:
        """Whether a logger or tracer listens to statements."""
        return self.tracer is not None or STATEMENTS.isEnabledFor(logging.DEBUG)

    def hears_commits(self) -> bool:
        """Whether a logger or tracer listens to commits."""
        return self.tracer is not None or TRANSACTIONS.isEnabledFor(logging.DEBUG)

    def statement(
        self, session: Watched, sql: str, operation: LoggedOperation, run: Callable[[LoggedOperation], Result]
    ) -> Result:
        """Run an operation, and report it."""
        batch_size = None if operation.batch is None else len(operation.batch)
        work = Work(summary(sql), without_values(sql), batch_size, operation)
        work.examine = lambda: session.examine(operation.statement)

        def ran() -> Result:
            result = run(operation)
            work.rows_returned, work.rows_changed = len(result.rows), max(result.rowcount, 0)
            return result

        # The tracer gets COMMIT as a statement like any other COMMIT.
        tracer = None if operation.statement.kind is StatementKind.COMMIT else self.tracer
        try:
            return self._watched(session, work, tracer, ran)
        finally:
            if_any = ("near_trips", "rows_written", "conflicts", "replays")
            _log(STATEMENTS, work, ("round_trips", "waves", "rows", "bytes"), if_any)

    def commit(self, session: Watched, run: Callable[[], None]) -> None:
        """Commit, and report it."""
        work = Work("COMMIT")
        try:
            self._watched(session, work, self.tracer, run)
        finally:
            _log(TRANSACTIONS, work, ("rows_written", "round_trips"), ("conflicts", "replays", "turns"))

    @staticmethod
    def _watched(session: Watched, work: Work, tracer: Tracer | None, run: Callable[[], Returned]) -> Returned:
        work.begins_transaction = not session.in_transaction
        with nullcontext() if tracer is None else tracer.span(work):
            before, began = session.stats, time.perf_counter()
            try:
                return run()
            except BaseException as error:
                work.error, work.sqlstate = name_of(error)
                raise
            finally:
                work.duration_s = time.perf_counter() - began
                work.cost = session.stats.since(before)
                work.in_transaction = session.in_transaction


def _log(logger: logging.Logger, work: Work, always: Sequence[str], if_any: Sequence[str]) -> None:
    """One record, `round_trips=1 .. | SELECT ..`; its attribute `rome` has the fields, for those who write JSON.

    Args:
        always, if_any: names of counters; the latter are in the message if they are not 0.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        return
    fields: dict[str, object] = {name: getattr(work.cost, name) for name in (*always, *if_any)}
    fields["ms"] = round(work.duration_s * 1000, 3)
    fields["in_transaction"] = work.in_transaction
    fields["error"] = work.error
    said = " ".join(f"{name}={value}" for name, value in fields.items() if name in always or value)
    text = work.name if work.text is None else work.text
    logger.debug("%s | %s", said, text, extra={"rome": {**fields, "statement": text}})
