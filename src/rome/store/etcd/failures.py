"""What an etcd server answers in place of a result, as Rome's errors: mapped here, and nowhere else."""

from __future__ import annotations

from enum import Enum, auto

from rome.errors import (
    AuthenticationError,
    Error,
    InternalError,
    StoreBusyError,
    StoreFullError,
    StoreUnavailableError,
    TransactionTooLargeError,
)
from rome.store.etcd.link import EtcdReply
from rome.store.ordered.driver import RevisionAheadError, RevisionGoneError


class Remedy(Enum):
    """What can be done about a failure without asking anybody."""

    NONE = auto()
    AGAIN = auto()
    """Another member may answer, or this one later. The call may have been done, or may be done yet."""
    LOG_IN = auto()
    """The token is not valid any more. Nothing was done."""


# status of gRPC -> its name in the messages of this page, and the error where no text below decides.
_STATUSES: dict[int, type[Error]] = {
    1: StoreUnavailableError,  # CANCELLED
    2: StoreUnavailableError,  # UNKNOWN
    3: InternalError,  # INVALID_ARGUMENT
    4: StoreUnavailableError,  # DEADLINE_EXCEEDED
    5: InternalError,  # NOT_FOUND
    6: InternalError,  # ALREADY_EXISTS
    7: AuthenticationError,  # PERMISSION_DENIED
    8: StoreBusyError,  # RESOURCE_EXHAUSTED
    9: InternalError,  # FAILED_PRECONDITION
    10: StoreUnavailableError,  # ABORTED
    11: InternalError,  # OUT_OF_RANGE
    12: StoreUnavailableError,  # UNIMPLEMENTED
    13: StoreUnavailableError,  # INTERNAL
    14: StoreUnavailableError,  # UNAVAILABLE
    15: StoreUnavailableError,  # DATA_LOSS
    16: AuthenticationError,  # UNAUTHENTICATED
}

_RETRIED = frozenset({1, 4, 14})

_LIMIT = "; start the members with a greater {0}, or commit less at a time"

# A part of the message -> the error, and what to add. They are those of etcd's rpctypes/error.go.
_TEXTS: list[tuple[str, type[Error], str]] = [
    ("required revision has been compacted", RevisionGoneError, ""),
    ("required revision is a future revision", RevisionAheadError, ""),
    ("database space exceeded", StoreFullError, "; compact, defragment and disarm the alarm: docs/etcd.md says how"),
    ("too many operations in txn request", TransactionTooLargeError, _LIMIT.format("--max-txn-ops")),
    ("request is too large", TransactionTooLargeError, _LIMIT.format("--max-request-bytes")),
    ("received message larger than max", TransactionTooLargeError, _LIMIT.format("--max-request-bytes")),
    ("too many requests", StoreBusyError, ""),
    ("permission denied", AuthenticationError, ""),
    ("user name is empty", AuthenticationError, "; the URL must name a user: this cluster wants authentication"),
    ("authentication failed", AuthenticationError, ""),
    ("authentication is not enabled", AuthenticationError, "; the URL names a user, and this cluster knows none"),
    ("corrupt cluster", StoreUnavailableError, "; members have different data: restore the one that is wrong"),
]

_LOG_IN_TEXTS = ("invalid auth token", "revision of auth store is old")


def remedy(reply: EtcdReply) -> Remedy:
    """What to do about a reply that is an error, before anybody is told."""
    if any(text in reply.message for text in _LOG_IN_TEXTS):
        return Remedy.LOG_IN
    if reply.status in _RETRIED or "too many requests" in reply.message:
        return Remedy.AGAIN
    return Remedy.NONE


def translate(reply: EtcdReply, server: str) -> Error:
    """Rome's error for a reply that is one."""
    for text, error, advice in _TEXTS:
        if text in reply.message:
            return error(f"{server}: {reply.message}{advice}")
    error = _STATUSES.get(reply.status, InternalError)
    return error(f"{server}: {reply.message or 'no reason given'} (gRPC status {reply.status})")
