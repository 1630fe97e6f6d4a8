"""Maps what the client library raises and what the server answers to Rome's errors; nothing else does."""

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


class SlotMovedError(StoreConfigError):
    """Another node of the cluster has the database. The store follows, if the URL says that it is a cluster."""


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
    exceptions.MovedError: SlotMovedError,
    exceptions.AskError: StoreBusyError,
    exceptions.ClusterCrossSlotError: StoreConfigError,
    exceptions.TimeoutError: StoreUnavailableError,
    exceptions.ConnectionError: StoreUnavailableError,
    # After an answer that cannot be parsed, answers no longer match commands: the connection cannot be used any more.
    exceptions.InvalidResponse: StoreUnavailableError,
    exceptions.NoScriptError: InternalError,
    exceptions.ResponseError: InternalError,
    exceptions.DataError: InternalError,
    exceptions.RedisError: InternalError,
}
"""{redis-py's class: Rome's}, the most specific first."""

CODES: dict[str, Failure] = {
    "BUSY": StoreBusyError,
    "UNKILLABLE": StoreBusyError,
    "MISCONF": StoreReadOnlyError,
    "NOREPLICAS": StoreReadOnlyError,
    "WRONGTYPE": CorruptRecordError,
}
"""{first word of an answer for which redis-py has no class: Rome's class}."""

MOVING = "the database is being moved to another node of the cluster; nothing was written, run it again later"

_MEANINGS: dict[type[BaseException], str] = {
    exceptions.MovedError: "the server is a node of a cluster, and another one has the database: add cluster=on to the "
    "URL",
    exceptions.AskError: MOVING,
    exceptions.TryAgainError: MOVING,
    exceptions.ClusterDownError: "no node of the cluster serves the database now, perhaps because a failover is under "
    "way; nothing was written, run it again later",
}
"""{redis-py's class: what its text leaves open}."""


def translate(error: exceptions.RedisError, server: str) -> OperationalError | InternalError:
    """Rome's error for one of redis-py's. The caller raises it `from` that one."""
    text = str(error)
    if isinstance(error, exceptions.AskError):  # without its first word
        text = f"{'MOVED' if isinstance(error, exceptions.MovedError) else 'ASK'} {text}"
    code = text.partition(" ")[0]
    # The text of an error inside a script may have its place in it: "ERR ... script: sha, on @user_script:7."
    found = CODES.get(code) if type(error) is exceptions.ResponseError else None
    if found is None:
        found = next(to for of, to in CLASSES.items() if isinstance(error, of))
    meaning = _MEANINGS.get(type(error))
    return found(f"{server}: {text}: {meaning}" if meaning else f"{server}: {text}")


def checked(reply: Any, server: str) -> Any:
    """A reply that is not an error.

    Raises:
        OperationalError, InternalError: the reply is an error; see translate().
    """
    if isinstance(reply, exceptions.RedisError):
        raise translate(reply, server) from reply
    return reply
