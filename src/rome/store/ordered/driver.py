"""What a key/value engine with ordered keys must provide for OrderedStore to make a store of it.

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
    """A key and its value; `created` and `modified` are the revisions that created and last wrote it."""

    key: bytes
    value: bytes
    created: Revision
    modified: Revision


class Range(Struct, frozen=True, gc=False):
    """Pairs to read, `start <= key < stop`; if `stop` is None, the one key `start`. With a stop, start < stop.

    Attributes:
        revision: the revision to read at; 0 is that of the transaction.
        limit: the most pairs to read; 0 for all.
        reverse: whether the greatest keys come first.
        keys_only: whether values are left out.
        count_only: whether only the number of pairs is sent.
        modified_after, created_after: read only pairs that were modified or created after this revision.
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
    """The result of a Range.

    Attributes:
        count: how many pairs there are, without the limit. It is exact for `count_only`, undefined for `modified_after`
            and `created_after`, and otherwise only guides what is read next.
        more: whether the limit left pairs out.
    """

    pairs: Sequence[Pair]
    count: int
    more: bool


class Condition(Enum):
    """A condition that every key of a range must meet. An absent key has revision 0."""

    MODIFIED_UP_TO = "modified up to"
    CREATED_UP_TO = "created up to"
    MODIFIED_SINCE = "modified since"
    """For one key, which must exist: its last change was at this revision or later."""
    MODIFIED_AT = "modified at"
    """For one key; 0 if it must be absent."""
    VALUE_IS = "value is"
    """For one key, which must exist."""
    VALUE_BELOW = "value below"
    """For one key, which must exist; compared bytewise."""


class DriverCompare(Struct, frozen=True, gc=False):
    """A condition; `operand` is a revision, or bytes if values are compared. `stop` is as in Range."""

    condition: Condition
    operand: int | bytes
    start: bytes
    stop: bytes | None = None


class Put(Struct, frozen=True, gc=False):
    """Write a pair."""

    key: bytes
    value: bytes


class Delete(Struct, frozen=True, gc=False):
    """Remove the keys that exist; `stop` is as in Range."""

    start: bytes
    stop: bytes | None = None


class Raise(Struct, frozen=True, gc=False):
    """Write a pair, unless the key has this or a greater value, compared bytewise."""

    key: bytes
    value: bytes


Write = Put | Delete | Raise


class DriverTransaction(Struct, frozen=True, gc=False):
    """One atomic step: if all conditions hold, read `then` and do the writes; else read `otherwise`.

    Reads see the state before the writes. No key is written twice, or both put and deleted.
    """

    conditions: Sequence[DriverCompare] = ()
    writes: Sequence[Write] = ()
    then: Sequence[Range] = ()
    otherwise: Sequence[Range] = ()


class TransactionOutcome(Struct, frozen=True, gc=False):
    """The outcome of a transaction.

    Attributes:
        revision: the transaction's own if it has written; else the newest one.
        held: whether the conditions held.
        found: what was read, in the order of `then` or of `otherwise`.
        deleted: for each Delete, in order, how many keys it has removed.
        resent: whether an earlier sending of the transaction had no answer. That sending may have been the one that was
            done, or may still arrive.
    """

    revision: Revision
    held: bool
    found: Sequence[RangeResult]
    deleted: Sequence[int] = ()
    resent: bool = False


class RevisionGoneError(OperationalError):
    """A range was to be read at a revision that was discarded."""


class RevisionAheadError(OperationalError):
    """A range was to be read at a revision that the engine, or the member that was asked, does not have yet."""


class Driver(ABC):
    """A connection to the engine, used by one thread at a time."""

    trips: int
    """How many times this connection has waited for the engine."""

    near_trips: int = 0
    """How many of these the near server has answered."""

    reads_near: bool = False
    """Whether new snapshots are read without `fresh`, at a near server, while that is up."""

    @property
    @abstractmethod
    def server(self) -> str:
        """The name of what answers, for messages."""

    @abstractmethod
    def run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction] = (), *, fresh: bool = True
    ) -> list[TransactionOutcome]:
        """Send all transactions at once, in no defined order, and wait for all of them: one round trip.

        Args:
            aside: further transactions whose outcome does not matter.
            fresh: whether a transaction that only reads must see everything committed anywhere before. If not, it may
                see an older state, which still contains all that this connection has been told of, or has committed.

        Raises:
            RevisionGoneError, RevisionAheadError: nothing was done.
            TransactionTooLargeError: more than the engine takes; nothing was done.
            StoreUnavailableError: if `was_sent`, a transaction may have been done, or may still be done.
            StoreBusyError, StoreFullError, AuthenticationError: nothing was done.
        """

    @property
    @abstractmethod
    def was_sent(self) -> bool:
        """After `run` has raised: whether the outcome of some sending is unknown, so that it may still be done."""

    def is_near(self) -> bool:
        """Whether a read now goes to the near server; no round trip."""
        return self.reads_near

    @abstractmethod
    def discard(self, revision: Revision) -> None:
        """Discard what only revisions below this one have. No error if that was done already; may do nothing."""

    def changes(
        self, start: bytes, stop: bytes, since: Revision, until: Revision
    ) -> list[tuple[Revision, bytes]] | None:
        """Which keys of a range were written or deleted from one revision to another, in their order.

        Args:
            until: a revision that has written a key of the range.

        Returns:
            (revision, key); None if the engine does not tell, or has discarded some of that. One round trip.
        """
        return None

    def used_bytes(self) -> int | None:
        """How many bytes the engine uses for all that it holds; None if it does not tell. At most one round trip."""
        return None

    @abstractmethod
    def is_usable(self) -> bool:
        """Return False if the connection is known to be lost; no round trip."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources. Idempotent."""
