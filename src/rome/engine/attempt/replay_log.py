"""The operations of a transaction and what the application saw, for a checked replay to run again and compare."""

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
    """One operation of the application, with plain parameters.

    Attributes:
        batch: the parameters of executemany; None for other operations.
        streams: whether the rows may come one part after the other, while the caller asks for them.
    """

    statement: Statement
    parameters: Parameters
    batch: list[Parameters] | None = None
    streams: bool = False


Logged = tuple[LoggedOperation, Result | Error]
"""An operation, and what the application saw of it."""


class Log(Struct):
    """All operations of one transaction, in order; the same object through all of its attempts.

    Attributes:
        noted: the last operation added, once its outcome is kept.
        replayable: whether the log is complete and can be run again without harm; False once DDL has run.
        changes_rows: whether INSERT, UPDATE or DELETE is among the operations: in sqlite3, these begin a transaction.
        logged: the operations; empty once the log is not replayable.
        rows: how many rows the application has seen.
    """

    noted: LoggedOperation | None = None
    replayable: bool = True
    changes_rows: bool = False
    logged: list[Logged] = field(default_factory=list)
    rows: int = 0

    def show_numbers(self) -> None:
        """Note that the application has seen the total of rows that the operations have changed."""
        for _, outcome in self.logged:
            if isinstance(outcome, Result):
                outcome.numbers_shown = True

    def add(self, operation: LoggedOperation, outcome: Result | Error) -> None:
        """Add an operation."""
        if type(outcome) is Result:
            self.rows += len(outcome.rows)
            # What comes later of a stream is not kept, so no replay could be compared with it.
            if outcome.more is not None or self.rows > MAX_ROWS:
                self.replayable = False
        if self.replayable:
            self.logged.append((operation, outcome))
        else:
            self.logged.clear()
        self.noted = operation


_encode = msgspec.msgpack.Encoder().encode


def same_outcome(again: Result | Error, shown: Result | Error) -> bool:
    """Whether a second outcome looks to the application exactly like the one that it was shown.

    1, 1.0 and '1' differ, and so do 0.0 and -0.0. A row count that the application has not asked for may differ: it
    will be shown the one of the committed attempt.
    """
    if isinstance(again, Result) and isinstance(shown, Result):
        return (
            again.columns == shown.columns
            and (not shown.numbers_shown or (again.rowcount, again.lastrowid) == (shown.rowcount, shown.lastrowid))
            and again.more is None
            and _encode(again.rows) == _encode(shown.rows)
        )
    return type(again) is type(shown) and str(again) == str(shown)
