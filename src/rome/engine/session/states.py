"""What state a connection is in between two operations: in no transaction, in one, or in one that has failed.

The second state is an Attempt. States are objects and not flags, so that each has only what it needs.
"""

from __future__ import annotations

from rome.engine.attempt.attempt import Attempt
from rome.errors import (
    CommitUnknownError,
    ConflictError,
    InterruptedTransactionError,
    OperationalError,
    StoreUnavailableError,
)


class Idle:
    """No transaction is open."""


class Failed:
    """The transaction is over, and the application has not rolled back yet."""

    def __init__(self, reason: OperationalError) -> None:
        self.reason = reason

    def error(self) -> OperationalError:
        """The error that every statement gets until ROLLBACK."""
        reason = self.reason
        message = f"the transaction has failed, and must be rolled back: {reason}"
        error: OperationalError
        if isinstance(reason, CommitUnknownError):
            error = CommitUnknownError(message, transaction_id=reason.transaction_id, snapshot=reason.snapshot)
        elif isinstance(reason, StoreUnavailableError | InterruptedTransactionError):
            error = type(reason)(message)
        else:
            error = ConflictError(message)
        error.__cause__ = reason
        return error


ConnectionState = Idle | Attempt | Failed
IDLE = Idle()
