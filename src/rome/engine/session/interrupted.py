"""Settles what an operation left when an exception came from outside: Ctrl-C, a timeout's signal, a greenlet's end.

The operation may not have ended, so what it has done is unknown. The next use of the connection finds out, keeps what
is whole, and discards everything else.
"""

from __future__ import annotations

from rome.engine.attempt.attempt import Attempt, Phase
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.session.replay import Replay
from rome.engine.session.states import IDLE, ConnectionState, Failed
from rome.errors import CommitUnknownError, Error, InterruptedTransactionError
from rome.planner.parse.statement import StatementKind


def settle(operation: LoggedOperation, replay: Replay, context: ConnectionContext) -> None:
    """Find out what an interrupted operation has left, and discard that if it is not whole.

    It is whole if the operation is in the log, and was not to commit by itself, as the release of the outermost
    savepoint does at AUTOCOMMIT. Else the transaction is gone, and every statement until ROLLBACK says so, unless the
    application has been shown nothing of it. A commit that was sent is asked after, so that it does not arrive later.

    Cost: one round trip if a COMMIT was interrupted; a new working set and mirror.
    """
    state = replay.state
    is_open = type(state) is Attempt and state.phase is Phase.OPEN and state.transaction.sent is None
    if type(state) is Attempt and is_open and state.log.noted is operation:
        return
    attempt = state if type(state) is Attempt else replay.last
    after: ConnectionState = state if type(state) is Failed else IDLE
    committed = False
    if attempt is not None:
        committed, unknown = _outcome_of(attempt)
        if unknown is not None:
            after = Failed(unknown)
        elif not committed and attempt.was_shown() and operation.statement.kind is not StatementKind.ROLLBACK:
            after = Failed(InterruptedTransactionError("an exception from outside came into one of its operations"))
    context.workspace.recover(keep_temporary=committed)
    context.store.release()
    replay.turn.leave()
    replay.state, replay.last = after, None


def _outcome_of(interrupted: Attempt) -> tuple[bool, CommitUnknownError | None]:
    """Whether a transaction was committed before it was interrupted; the error if nobody knows."""
    sent = interrupted.transaction.sent
    if interrupted.phase is Phase.COMMITTED or sent is None:
        return interrupted.phase is Phase.COMMITTED, None
    try:
        return interrupted.transaction.settle() is not None, None
    except Error as error:
        unknown = CommitUnknownError.unanswered(
            "an exception from outside came into COMMIT",
            error,
            transaction_id=sent.transaction_id,
            snapshot=sent.snapshot.version,
        )
        unknown.__cause__ = error
        return False, unknown
