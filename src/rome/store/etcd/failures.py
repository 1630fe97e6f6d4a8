"""The only place that maps the errors of an etcd server to Rome's."""

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
    """What the client can do about a failure by itself."""

    NONE = auto()
    AGAIN = auto()
    """Try again: another member may answer, or this one later. The call may have been done, or may still be done."""
    LOG_IN = auto()
    """Log in again: the token is no longer valid. Nothing was done."""


class OperationsLimitError(TransactionTooLargeError):
    """A transaction has more operations than the members' --max-txn-ops."""


class BytesLimitError(TransactionTooLargeError):
    """A request has more bytes than the members' --max-request-bytes."""


# gRPC status -> its name in Rome's messages, and the error if no text below decides.
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

_RETRIED = frozenset({1, 2, 4, 13, 14})
"""UNKNOWN and INTERNAL are what etcd calls failures that it has no name for, as "context deadline exceeded" of a member
without a leader, or "raft proposal dropped" while the leader hands over; other members may serve."""

# A part of the message (from etcd's rpctypes/error.go) -> the error, and what to add.
_TEXTS: list[tuple[str, type[Error], str]] = [
    ("required revision has been compacted", RevisionGoneError, ""),
    ("required revision is a future revision", RevisionAheadError, ""),
    ("database space exceeded", StoreFullError, "; compact, defragment and disarm the alarm: docs/etcd.md says how"),
    ("too many operations in txn request", OperationsLimitError, ""),
    ("request is too large", BytesLimitError, ""),
    ("received message larger than max", BytesLimitError, ""),
    ("too many requests", StoreBusyError, ""),
    ("permission denied", AuthenticationError, ""),
    ("user name is empty", AuthenticationError, "; the URL must name a user: this cluster wants authentication"),
    ("authentication failed", AuthenticationError, ""),
    ("authentication is not enabled", AuthenticationError, "; the URL names a user, and this cluster knows none"),
    ("revision of auth store is old", StoreBusyError, "; users or roles change: try again"),
    ("corrupt cluster", StoreUnavailableError, "; members have different data: restore the one that is wrong"),
]

_LOG_IN_TEXTS = ("invalid auth token", "revision of auth store is old")


def remedy(reply: EtcdReply) -> Remedy:
    """Return what to try about an error reply before raising it."""
    if any(text in reply.message for text in _LOG_IN_TEXTS):
        return Remedy.LOG_IN
    if "too many requests" in reply.message:
        return Remedy.AGAIN
    if reply.status in _RETRIED and not any(text in reply.message for text, _, _ in _TEXTS):
        return Remedy.AGAIN
    return Remedy.NONE


def translate(reply: EtcdReply, server: str) -> Error:
    """Return Rome's error for an error reply."""
    for text, error, advice in _TEXTS:
        if text in reply.message:
            return error(f"{server}: {reply.message}{advice}")
    error = _STATUSES.get(reply.status, InternalError)
    return error(f"{server}: {reply.message or 'no reason given'} (gRPC status {reply.status})")
