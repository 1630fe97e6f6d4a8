"""The contract between Rome and a key/value store.

A store holds one *database*: numbered tables, each an ordered map from row key to record, with numbered indexes
beside it. It sees ids and bytes only, never names, columns or SQL. It keeps superseded versions for the
*retention*, so that a snapshot stays readable while others write, and it applies a commit atomically if, and only
if, nothing that the commit names as read has changed.

Invariants every store keeps (the conformance suite in rome.testing.store_suite checks them):
  * All results of one `read` are of one version, the snapshot's.
  * A commit that returns was applied whole, exactly once, at a version greater than all before it; a commit that
    raises ConflictError wrote nothing.
  * Sequence numbers are never handed out twice, unless a commit has set the sequence back.

Bytes: keys are ordered as unsigned bytes. Row keys and index keys are non-empty, begin with a byte below 0xFF, and
are prefix-free (no row key of a table is a proper prefix of another; the same for the index keys of one index), so
`b"\\xff"` is beyond every key and `key + b"\\xff"` beyond everything that starts with `key`.

An index *entry* is (index key, row key); entries are ordered by `index key + row key`, and a range bounds that
concatenation. Index 0 of every table is its *order index*: its entries are the row keys themselves. A store
maintains it from the rows written; all other entries are written by the committer.

Table 0 is the catalog: its last change is the *catalog version*, which every read returns and every read and commit
validates.

Values are msgspec's Structs, here and in the layers above: one is made in 0.03 µs, a named tuple in 0.15. With
`gc=False`, where no cycle can lead through them, Python's garbage collector does not see them. It collects after so
many objects have come: in a large application thousands of rows as named tuples cost more by that than by all else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from msgspec import Struct

from rome.store.diagnosis import Diagnosis, Finding, Level
from rome.store.location import Location

Version = int
"""A store's commit counter: 0 is the empty database; below 2**53."""

CATALOG_TABLE = 0
ORDER_INDEX = 0
BEYOND = b"\xff"
"""Greater than every key: the stop of a range that has no upper bound."""

Bounds = tuple[bytes, bytes]
"""A range of an index: from the first, up to the second."""

MAX_COMMIT_ROWS = 10_000
MAX_COMMIT_BYTES = 16 * 1024 * 1024


class Snapshot(Struct, frozen=True, gc=False):
    """The store at one version. `incarnation` changes when a store's history may have run backwards."""

    incarnation: bytes
    version: Version


class Get(Struct, frozen=True, gc=False):
    """Rows by key. Answered by a list of `Row | None`, in the order of `keys`."""

    table_id: int
    keys: tuple[bytes, ...]


class Scan(Struct, frozen=True, gc=False):
    """Rows by a range of an index, `start <= index key + row key < stop`. Answered by a ScanResult.

    `limit` bounds the rows returned; `reverse` walks down from `stop`. `known`: the caller has the rows of this scan as
    of that snapshot, and the store need not send them where the table has not changed between it and this one.
    """

    table_id: int
    index_id: int
    start: bytes
    stop: bytes
    limit: int | None = None
    reverse: bool = False
    known: Snapshot | None = None


class Count(Struct, frozen=True, gc=False):
    """The number of entries in a range of an index. Answered by an int."""

    table_id: int
    index_id: int
    start: bytes
    stop: bytes


Request = Get | Scan | Count


MAX_NUMBER = 2**63 - 1
"""SQLite's greatest rowid."""


class Reserve(Struct, frozen=True, gc=False):
    """Take `size` numbers of a sequence, all greater than `above`; answered by the first. Never rolled back.

    A sequence that was never used stands at 0, so its first number is 1. It ends at MAX_NUMBER. Whatever is taken later
    is greater, whoever takes it. Size 0: nothing is taken; answered by what would be the next.

    `again`: numbers above `above`, from the first up to the second, that the caller has taken and not used. Unless
    somebody has taken a later one, they are the first ones of the answer.

    A store may forget in a crash what was taken, but not what a commit has raised a sequence to.
    """

    sequence: int
    size: int
    above: int = 0
    again: tuple[int, int] | None = None

    def first_after(self, last: int) -> int:
        """The first number of the answer when `last` was the last that anybody took."""
        if self.again is not None and last == self.again[1] - 1:
            return self.again[0]
        return max(last, self.above) + 1


class Row(Struct, frozen=True, gc=False):
    """A record and the version of the commit that wrote it."""

    key: bytes
    version: Version
    record: bytes


class ScanResult(Struct, frozen=True, gc=False):
    """Rows in index order (descending when asked so).

    `resume` is None when the range is exhausted; else where to go on: the `start` of the next scan (its `stop` when
    reverse). A store may stop before `limit`, to bound what one call costs: the caller goes on from `resume`.
    `unchanged`: instead of `rows` it is those that the caller knows.
    """

    rows: Sequence[Row]
    resume: bytes | None
    unchanged: bool = False


NOTHING_FOUND = ScanResult([], None)
"""What most scans for a unique key find; thousands of a batch may share it, as nobody changes an answer."""
UNCHANGED = ScanResult([], None, True)

Answer = list[Row | None] | ScanResult | int


class ReadResult(Struct, frozen=True, gc=False):
    """`answers` and `reserved` are in the order of the requests and reserves."""

    snapshot: Snapshot
    catalog_version: Version
    answers: list[Answer]
    reserved: list[int]


ReadPoints = Mapping[int, Mapping[bytes, Version]]
"""Table -> row key -> the version that the row had; 0: it was absent. Valid while this is still its version."""

ReadRanges = Mapping[tuple[int, int, bool], Mapping[Bounds, Version]]
"""(table, index, rows) -> range -> the version as of which it was read. Valid while no entry in it came or went since;
with `rows`, also no row that the range leads to was updated since."""

RowWrites = Mapping[int, Mapping[bytes, bytes | None]]
"""Table -> row key -> the record to put; None: delete the row."""

EntryWrites = Mapping[tuple[int, int], Mapping[tuple[bytes, bytes], bool]]
"""(table, index) -> (index key, row key) -> whether the entry is to be added; else it is removed. Never of the order
index, which follows from the rows."""


class Drop(Struct, frozen=True, gc=False):
    """Delete a table with its rows, indexes and history (`index_id` None), or one index. No snapshot keeps it.

    It comes with a write to table 0, so that every older snapshot is refused.
    """

    table_id: int
    index_id: int | None = None


class Claim(NamedTuple):
    """A row that a transaction in the commit queue wants left alone; `key` None: all rows of the table.

    A named tuple, since a store's file has it as an array.
    """

    table_id: int
    key: bytes | None

    def overlaps(self, other: Claim) -> bool:
        """Whether there is a row that both want."""
        return self.table_id == other.table_id and (self.key == other.key or None in (self.key, other.key))


class CommitRequest(Struct, frozen=True, gc=False):
    """One transaction's effects and what they rest on.

    The maps are the transaction's own, so that thousands of rows need no object each: a store does not change them, and
    they do not change any more. A map within may be empty.

    Args:
        transaction_id: 16 bytes, unique for ever; a repeated commit under it is applied once.
        snapshot: nothing older than this was read. The commit is refused when it is older than the retention, of
            another incarnation, or older than the catalog's last change.
        points, ranges: the read set. A row or range that the transaction itself writes is in it, too, as it was read.
        rows, entries: the writes. An entry removed is there, one added is not.
        drops: applied before the rows and entries.
        sequences: sequence -> value that it must be raised to, at least. It may exceed MAX_NUMBER, where nobody takes
            numbers of it.
        settings: sequence -> value that it is set to, even if that is less; none of these is in `sequences`.
        ticket: of the place in the commit queue, if there is one; given up when something was written.
    """

    transaction_id: bytes
    snapshot: Snapshot
    points: ReadPoints = {}
    ranges: ReadRanges = {}
    rows: RowWrites = {}
    entries: EntryWrites = {}
    drops: Sequence[Drop] = ()
    sequences: Mapping[int, int] = {}
    settings: Mapping[int, int] = {}
    ticket: bytes = b""

    def writes(self) -> bool:
        """Whether there is anything to apply."""
        maps = (*self.rows.values(), *self.entries.values())
        return any(maps) or bool(self.drops or self.sequences or self.settings)


class Retention(NamedTuple):
    """How long superseded versions are kept; stored in the database, the same for all of its clients.

    `seconds`: a snapshot is readable, and a commit's id remembered, at least this long. `max_bytes` of superseded
    versions shorten it when memory is scarcer than time.
    """

    seconds: float = 60.0
    max_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the layers above may rely on. They read a flag, never a store's name."""

    durable: bool
    """An acknowledged commit survives the end of this process."""
    shared: bool
    """Several processes can open the same database at once."""
    network: bool
    """A read is a round trip over a socket, so that saving one pays."""


class Store(ABC):
    """One connection to one database. Used by one thread at a time; never shared with a forked child.

    It has at most one live snapshot: `read(None, ...)` fixes a new one and ends the one before.
    """

    capabilities: ClassVar[Capabilities]
    options: ClassVar[frozenset[str]]
    """Names of the URL options that this store understands."""

    round_trips: int
    """How many times this connection has waited for the store, since it was opened."""

    @classmethod
    @abstractmethod
    def open(cls, location: Location) -> Self:
        """Connect; creates the database when it is not there.

        Raises:
            StoreUnavailableError, AuthenticationError, StoreConfigError, StoreReadOnlyError, FormatError, URLError.
        """

    @classmethod
    @abstractmethod
    def list_databases(cls, location: Location) -> list[str]:
        """Names of all databases where `location` points to (its own `database` is ignored), sorted."""

    @classmethod
    def database_exists(cls, location: Location) -> bool:
        """Whether the database is there. The question does not create it; a store may know it by less than the list."""
        return location.database in cls.list_databases(location)

    @classmethod
    @abstractmethod
    def drop_database(cls, location: Location) -> None:
        """Delete the database and everything in it; no error when it is not there."""

    @classmethod
    def diagnose(cls, location: Location) -> Diagnosis:
        """Find out what the store would lose in which event, and what is wrong with it; for `rome doctor`.

        Changes nothing, and creates no database. A store that cannot be asked is a finding, and no error.

        Raises:
            URLError.
        """
        return Diagnosis(location.scheme, (), [Finding("store", Level.UNKNOWN, "this store tells nothing of itself")])

    @abstractmethod
    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        """Answer all requests as of `snapshot`; None: as of now, which fixes this connection's snapshot.

        Raises:
            SnapshotTooOldError: trimmed away. SnapshotLostError: of another incarnation, above the store's version,
            or not this connection's. CatalogChangedError: the catalog changed after `snapshot`.
            StoreUnavailableError: the connection is lost, and the snapshot with it.
            IdsExhaustedError: a block would go beyond MAX_NUMBER.

        Cost: one round trip; O(log n + rows returned + changes since the snapshot within what is asked).
        """

    @abstractmethod
    def release(self) -> None:
        """End the snapshot, if there is one. No round trip."""

    @abstractmethod
    def last_snapshot(self) -> Snapshot:
        """The newest version this connection has heard of; for a commit that read nothing. No round trip."""

    @abstractmethod
    def commit(self, request: CommitRequest) -> Version:
        """Validate the read set and apply the writes in one atomic step; returns the commit version.

        A repetition under the same transaction id returns the first one's version. The snapshot is ended.

        Raises:
            ConflictError (and its subclasses): nothing was written, and this id was not used. TurnTakenError, only if
                all else is well: somebody before us in the commit queue claims a row that this would write.
            CommitAbortedError: `resolve` was called for this id first.
            CommitUnknownError: the connection broke after sending; all was applied, or nothing.
            StoreUnavailableError: nothing was sent. StoreFullError, StoreReadOnlyError: nothing was written.
            NotReplicatedError: applied, but on too few replicas.

        Cost: one round trip; O(reads + writes + changes inside what was read).
        """

    @abstractmethod
    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        """What became of a commit: its version; or None, and then it will never be applied, even if it arrives later.

        Reconnects when the connection is lost. Any connection may ask.

        Args:
            snapshot: the version of the commit's snapshot.

        Raises:
            CommitUnknownError: the id, applied or not, may have been trimmed away since.
            NotReplicatedError: applied, but on too few replicas.
            StoreUnavailableError: the store cannot be asked.
        """

    @abstractmethod
    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        """Take a place in the commit queue, or keep it; returns how many before it claim the same.

        At 0 it is our turn: what others commit leaves the claimed rows alone, until we commit, or leave, or the lease
        is over, which lasts from now for `lease_s` by the store's clock, or for half of that when we had a place
        already. The line is only about who comes first: it makes no commit valid or invalid, and may be lost.

        Args:
            ticket: 16 bytes that nobody else has; the same as long as the place is to be kept.
            claims: all of them, each time.

        Cost: one round trip; O(places).
        """

    @abstractmethod
    def leave_queue(self, ticket: bytes) -> None:
        """Give a place up; no error when there is none. One round trip."""

    @abstractmethod
    def trim(self) -> int:
        """Discard superseded versions and transaction ids older than the retention; returns how many commits' worth.

        Every commit also trims a bounded amount. Works when the store is out of memory.
        """

    @abstractmethod
    def retention(self) -> Retention:
        """The database's retention."""

    @abstractmethod
    def set_retention(self, retention: Retention) -> None:
        """Change the retention, for all clients."""

    @abstractmethod
    def is_usable(self) -> bool:
        """False when the connection is known to be lost. Looks at the socket; no round trip."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back. Idempotent."""
