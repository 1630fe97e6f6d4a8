"""What a transaction has done and what the application saw of it, for a checked replay to run again and compare."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from rome.engine.result import Result
from rome.engine.statement.parameters import Parameters
from rome.errors import Error
from rome.planner.parse.statement import Statement

MAX_ROWS = 100_000
"""A transaction that has seen more rows is not kept for replay."""


class LoggedOperation(Struct, frozen=True):
    """One operation that the application asked for, with plain parameters; `batch` is executemany's, else None."""

    statement: Statement
    parameters: Parameters
    batch: list[Parameters] | None = None


class Logged(Struct, frozen=True):
    """An operation, and what the application saw of it."""

    operation: LoggedOperation
    outcome: Result | Error


class Log(Struct):
    """All operations of one transaction, in order; the same object through all of its attempts.

    Attributes:
        noted: the operation that was added last, once its outcome is kept.
        replayable: it is complete, and running it again does no harm. Not once DDL has run.
        changes_rows: INSERT, UPDATE or DELETE is among it: what begins a transaction in sqlite3.
        logged: the operations; empty once it is not replayable.
        rows: how many the application has seen.
    """

    noted: LoggedOperation | None = None
    replayable: bool = True
    changes_rows: bool = False
    logged: list[Logged] = field(default_factory=list)
    rows: int = 0

    def show_numbers(self) -> None:
        """Note that the application has been shown the sum of the rows that the operations have changed."""
        for logged in self.logged:
            if isinstance(logged.outcome, Result):
                logged.outcome.numbers_shown = True

    def add(self, operation: LoggedOperation, outcome: Result | Error) -> None:
        """Keep an operation."""
        if not isinstance(outcome, Error):
            self.rows += len(outcome.rows)
        if self.rows > MAX_ROWS:
            self.replayable = False
        if self.replayable:
            self.logged.append(Logged(operation, outcome))
        else:
            self.logged.clear()
        self.noted = operation


_encode = msgspec.msgpack.Encoder().encode


def same_outcome(again: Result | Error, shown: Result | Error) -> bool:
    """Whether the application cannot tell a second outcome from the one that it was shown.

    1, 1.0 and '1' differ, and so do 0.0 and -0.0. A number of rows that it has not asked for may differ: it will be
    shown that of the attempt which is committed.
    """
    if isinstance(again, Result) and isinstance(shown, Result):
        return (
            again.columns == shown.columns
            and (not shown.numbers_shown or (again.rowcount, again.lastrowid) == (shown.rowcount, shown.lastrowid))
            and _encode(again.rows) == _encode(shown.rows)
        )
    return type(again) is type(shown) and str(again) == str(shown)
