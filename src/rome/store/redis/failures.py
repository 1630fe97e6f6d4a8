"""What the client library raises, and what the server answers, as Rome's errors: mapped here, and nowhere else."""

from __future__ import annotations

from typing import Any

from redis import exceptions

from rome.errors import (
    AuthenticationError,
    CorruptRecordError,
    InternalError,
    OperationalError,
    StoreBusyError,
    StoreConfigError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

Failure = type[OperationalError] | type[InternalError]

CLASSES: dict[type[BaseException], Failure] = {
    exceptions.NoPermissionError: AuthenticationError,
    exceptions.AuthenticationWrongNumberOfArgsError: AuthenticationError,
    exceptions.AuthenticationError: AuthenticationError,
    exceptions.AuthorizationError: AuthenticationError,
    exceptions.BusyLoadingError: StoreBusyError,
    exceptions.MasterDownError: StoreBusyError,
    exceptions.ClusterDownError: StoreBusyError,
    exceptions.TryAgainError: StoreBusyError,
    exceptions.OutOfMemoryError: StoreFullError,
    exceptions.ReadOnlyError: StoreReadOnlyError,
    exceptions.MovedError: StoreConfigError,
    exceptions.AskError: StoreConfigError,
    exceptions.ClusterCrossSlotError: StoreConfigError,
    exceptions.TimeoutError: StoreUnavailableError,
    exceptions.ConnectionError: StoreUnavailableError,
    # A conversation that cannot be parsed has lost its place: the connection is of no more use.
    exceptions.InvalidResponse: StoreUnavailableError,
    exceptions.NoScriptError: InternalError,
    exceptions.ResponseError: InternalError,
    exceptions.DataError: InternalError,
    exceptions.RedisError: InternalError,
}
"""redis-py's classes, the most specific first."""

CODES: dict[str, Failure] = {
    "BUSY": StoreBusyError,
    "UNKILLABLE": StoreBusyError,
    "MISCONF": StoreReadOnlyError,
    "NOREPLICAS": StoreReadOnlyError,
    "WRONGTYPE": CorruptRecordError,
}
"""First words of answers that redis-py has no class for."""


def translate(error: exceptions.RedisError, server: str) -> OperationalError | InternalError:
    """Rome's error for one of redis-py's; the caller raises it `from` that one."""
    text = str(error)
    code = text.partition(" ")[0]
    # An error inside a script may come with its place in front: "ERR ... script: sha, on @user_script:7."
    found = CODES.get(code) if type(error) is exceptions.ResponseError else None
    if found is None:
        found = next(to for of, to in CLASSES.items() if isinstance(error, of))
    return found(f"{server}: {text}")


def checked(reply: Any, server: str) -> Any:
    """A reply that is no error.

    Raises:
        OperationalError, InternalError: what translate() makes of it.
    """
    if isinstance(reply, exceptions.RedisError):
        raise translate(reply, server) from reply
    return reply
