"""What a transaction has done and what the application saw of it: what a checked replay runs again and compares."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from rome.engine.result import Result
from rome.engine.statement.parameters import Parameters
from rome.errors import Error
from rome.planner.parse.statement import Statement

MAX_ROWS = 100_000
"""A transaction that has seen more rows is not kept for replay."""


class LoggedOperation(Struct, frozen=True):
    """One thing the application asked for, with plain parameters; `batch` is executemany's, else None."""

    statement: Statement
    parameters: Parameters
    batch: list[Parameters] | None = None


class Logged(Struct, frozen=True):
    """An operation, and what the application saw of it."""

    operation: LoggedOperation
    outcome: Result | Error


class Log:
    """All operations of one transaction, in order; the same object through all of its attempts.

    Attributes:
        begun: something was asked for; true for ever then.
        noted: the operation that was added last, once its outcome is kept.
        replayable: it is complete, and running it again does no harm. Not once DDL has run.
        changes_rows: INSERT, UPDATE or DELETE is among it: what begins a transaction in sqlite3.
    """

    def __init__(self) -> None:
        self.begun = False
        self.noted: LoggedOperation | None = None
        self.replayable = True
        self.changes_rows = False
        self._logged: list[Logged] = []
        self._rows = 0

    def __iter__(self) -> Iterator[Logged]:
        return iter(self._logged)

    def show_numbers(self) -> None:
        """The application has been shown, in sum, how many rows each operation has changed."""
        for logged in self._logged:
            if isinstance(logged.outcome, Result):
                logged.outcome.numbers_shown = True

    def add(self, operation: LoggedOperation, outcome: Result | Error) -> None:
        """Keep an operation."""
        self.begun = True
        if not isinstance(outcome, Error):
            self._rows += len(outcome.rows)
        if self._rows > MAX_ROWS:
            self.replayable = False
        if self.replayable:
            self._logged.append(Logged(operation, outcome))
        else:
            self._logged.clear()
        self.noted = operation


_encode = msgspec.msgpack.Encoder().encode


def same_outcome(again: Result | Error, shown: Result | Error) -> bool:
    """Whether the application cannot tell a second outcome from the one it has been shown.

    1, 1.0 and '1' differ, and so do 0.0 and -0.0. A number of rows for which it has not asked may differ: it is shown
    that of the attempt which is committed.
    """
    if isinstance(again, Result) and isinstance(shown, Result):
        return (
            again.columns == shown.columns
            and (not shown.numbers_shown or (again.rowcount, again.lastrowid) == (shown.rowcount, shown.lastrowid))
            and _encode(again.rows) == _encode(shown.rows)
        )
    return type(again) is type(shown) and str(again) == str(shown)
