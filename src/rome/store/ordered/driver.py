"""What a key/value engine with ordered keys must do, so that OrderedStore makes a store of it.

The engine is an ordered map from bytes to bytes that counts its changes: each transaction that writes takes the next
*revision*, and the map as of an older revision can be read until that one is discarded. Each key knows the revision
that created it, and the one that wrote it last.

A driver is one connection to it. tests/store/ordered/test_drivers.py says the same in tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from rome.errors import OperationalError

Revision = int


class Pair(Struct, frozen=True, gc=False):
    """A key and its value; `created` and `modified` are the revisions that did it."""

    key: bytes
    value: bytes
    created: Revision
    modified: Revision


class Range(Struct, frozen=True, gc=False):
    """Pairs to read, `start <= key < stop`; `stop` None: the one key `start`. A range with a stop is not empty.

    Attributes:
        revision: as of when; 0: as of the transaction.
        limit: at most so many pairs; 0: all.
        reverse: the greatest first.
        keys_only: the values are not sent.
        count_only: no pairs are sent, only how many there are.
        modified_after, created_after: only pairs that were, later than that.
    """

    start: bytes
    stop: bytes | None = None
    revision: Revision = 0
    limit: int = 0
    reverse: bool = False
    keys_only: bool = False
    count_only: bool = False
    modified_after: Revision = 0
    created_after: Revision = 0


class RangeResult(Struct, frozen=True, gc=False):
    """What a Range has brought; `more`: the limit left some out. `count` is that of a `count_only`, else undefined."""

    pairs: Sequence[Pair]
    count: int
    more: bool


class Condition(Enum):
    """What can be demanded of every key of a range. A key that is not there has revision 0."""

    MODIFIED_UP_TO = "modified up to"
    CREATED_UP_TO = "created up to"
    MODIFIED_AT = "modified at"
    """For one key; 0: it is not there."""
    VALUE_IS = "value is"
    """For one key, which is there."""
    VALUE_BELOW = "value below"
    """For one key, which is there; by memcmp."""


class DriverCompare(Struct, frozen=True, gc=False):
    """A condition; `operand` is a revision, or bytes where values are compared. `stop` as in Range."""

    condition: Condition
    operand: int | bytes
    start: bytes
    stop: bytes | None = None


class Put(Struct, frozen=True, gc=False):
    """Write a pair."""

    key: bytes
    value: bytes


class Delete(Struct, frozen=True, gc=False):
    """Remove the keys that are there; `stop` as in Range."""

    start: bytes
    stop: bytes | None = None


class Raise(Struct, frozen=True, gc=False):
    """Write a pair, unless the key is there with this or a greater value; by memcmp."""

    key: bytes
    value: bytes


Write = Put | Delete | Raise


class DriverTransaction(Struct, frozen=True, gc=False):
    """If all conditions hold, `then` is read and the writes are made; else `otherwise` is read. One atomic step.

    What is read is as it was before the writes. No key is written twice, nor put where it is deleted.
    """

    conditions: Sequence[DriverCompare] = ()
    writes: Sequence[Write] = ()
    then: Sequence[Range] = ()
    otherwise: Sequence[Range] = ()


class TransactionOutcome(Struct, frozen=True, gc=False):
    """What became of a transaction.

    Attributes:
        revision: the newest one; of a transaction that has written, its own.
        held: whether the conditions held.
        found: in the order of `then`, or of `otherwise`.
        deleted: how many keys each Delete has removed, in their order.
        resent: the transaction was sent before and had no answer. That sending may have been the one that was done, or
            may arrive yet.
    """

    revision: Revision
    held: bool
    found: Sequence[RangeResult]
    deleted: Sequence[int] = ()
    resent: bool = False


class RevisionGoneError(OperationalError):
    """A range is to be read as of a revision that was discarded."""


class RevisionAheadError(OperationalError):
    """A range is to be read as of a revision that the engine, or the part of it that was asked, does not have yet."""


class Driver(ABC):
    """A connection. Used by one thread at a time."""

    trips: int
    """How many times it has waited for the engine."""

    @property
    @abstractmethod
    def server(self) -> str:
        """What answers, for messages."""

    @abstractmethod
    def run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction] = (), *, fresh: bool = True
    ) -> list[TransactionOutcome]:
        """Send all transactions at once, and wait for all of them: one round trip. Their order is not defined.

        Args:
            aside: more, of which nobody wants to know what becomes of them.
            fresh: a transaction that only reads sees all that was committed anywhere before. Otherwise it may see an
                older state, but one that has all that this connection has been told of, or has committed.

        Raises:
            RevisionGoneError, RevisionAheadError: nothing was done.
            TransactionTooLargeError: more than the engine takes; nothing was done.
            StoreUnavailableError: if `was_sent`, a transaction may have been done, or may be done yet.
            StoreBusyError, StoreFullError, AuthenticationError: nothing was done.
        """

    @property
    @abstractmethod
    def was_sent(self) -> bool:
        """After `run` has raised: whether a sending is left of which nobody knows whether it was done, or will be."""

    @abstractmethod
    def discard(self, revision: Revision) -> None:
        """Discard what only revisions below this one have. No error when it was done already; may do nothing."""

    @abstractmethod
    def is_usable(self) -> bool:
        """False when the connection is known to be lost; no round trip."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back. Idempotent."""
