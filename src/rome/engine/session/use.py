"""Lets one caller at a time use a connection, and notices when one was interrupted.

Python looks for signals, and switches threads, where calls begin and end and where loops repeat, and nowhere between
two plain assignments. So only there can an exception arrive from outside, or another thread run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import apsw

from rome.engine.attempt.attempt import Attempt, Phase
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.result import Result
from rome.engine.session.interrupted import settle
from rome.engine.session.replay import Replay
from rome.errors import Error, ProgrammingError
from rome.planner.parse.statement import classify
from rome.workingset.sqlite_errors import translate

Returned = TypeVar("Returned")

OTHER = LoggedOperation(classify(""), ())
"""The user of a call that is not a statement of the application."""


class Use:
    """The present use of one connection.

    Attributes:
        user: what is running; no other caller may use the connection meanwhile.
        under_way: an operation that has begun and not come to a known end. If it is still set at the next call, the
            operation was interrupted.
    """

    def __init__(self, context: ConnectionContext, replay: Replay) -> None:
        self._context, self._replay = context, replay
        self.user: LoggedOperation | None = None
        self.under_way: LoggedOperation | None = None

    def run(self, operation: LoggedOperation, do: Callable[[LoggedOperation], Result]) -> Result:
        """Settle what an interrupted operation has left, and run this one, unless another caller is running one.

        `under_way` is set while the operation runs. It is cleared when the outcome is known: after a result, or one of
        Rome's errors. After any other exception it stays set, and the next call settles the operation.

        Raises:
            ProgrammingError: another caller uses the connection. rome.errors.Error: raised by the operation.
        """
        if self.user is not None:
            raise busy()
        replay = self._replay
        try:
            self.user = operation
            self._context.workspace.working_set.interruption.asked = False
            if self.under_way is not None:
                self._settle()
            state = replay.state
            replay.last = state if type(state) is Attempt else None
            self.under_way = operation
            result = do(operation)
            self.under_way = replay.last = None
            return result
        except Error:
            state = replay.state
            if self.under_way is operation and (type(state) is not Attempt or state.phase is not Phase.REPLAYING):
                self.under_way = replay.last = None
            raise
        except apsw.Error as error:
            raise translate(error) from error
        finally:
            self.user = None

    def alone(self, do: Callable[[], Returned]) -> Returned:
        """Do something that is not an operation of the transaction, with the connection to itself.

        Raises:
            ProgrammingError: another caller uses the connection.
        """
        if self.user is not None:
            raise busy()
        try:
            self.user = OTHER
            return do()
        finally:
            self.user = None

    def settle_if_interrupted(self) -> None:
        """Settle what an interrupted operation has left."""
        if self.under_way is not None:
            self._settle()

    def _settle(self) -> None:
        assert self.under_way is not None
        settle(self.under_way, self._replay, self._context)
        self.under_way = None

    @property
    def is_interrupted(self) -> bool:
        """Whether an operation was interrupted and has not been settled yet."""
        return self.under_way is not None and self.user is None


def busy() -> ProgrammingError:
    """The error for a call while another caller uses the connection."""
    return ProgrammingError(
        "this connection is in use: by another thread, or by the statement that calls this function. A connection runs "
        "one statement at a time; give each thread one of its own"
    )
