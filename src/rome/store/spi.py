"""The contract between Rome and a key/value store.

A store holds one *database*: numbered tables, each an ordered map from row key to record, with numbered indexes. It
sees only ids and bytes, never names, columns or SQL. It keeps superseded versions for the *retention*, so that a
snapshot stays readable while others write. It applies a commit atomically if, and only if, nothing that the commit
names as read has changed.

Invariants that every store keeps (the conformance suite in rome.testing.store_suite checks them):
  * All results of one `read` are of one version, the snapshot's.
  * A commit that returns was applied completely, exactly once, at a version greater than all before it; a commit that
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

Values are msgspec's Structs, here and in the layers above: making one takes 0.03 µs, a named tuple 0.15. With
`gc=False`, where no cycle can lead through them, Python's garbage collector does not track them. It runs after a number
of tracked objects were made: in a large application, thousands of rows as named tuples cost more through that than in
any other way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from msgspec import Struct

from rome.errors import ConflictError, NotSupportedError
from rome.store.diagnosis import Diagnosis, Finding, Level
from rome.store.location import Location

Version = int
"""A store's commit counter: 0 is the empty database; always below 2**53."""

CATALOG_TABLE = 0
ORDER_INDEX = 0
BEYOND = b"\xff"
"""Greater than every key: the stop of a range without an upper bound."""

Bounds = tuple[bytes, bytes]
"""A range of an index, (start, stop): the start is included, the stop is not."""

MAX_TOLD_ROWS = 5_000
"""About how many rows Store.usage names."""

MAX_COMMIT_ROWS = 10_000
MAX_COMMIT_BYTES = 16 * 1024 * 1024


class Snapshot(Struct, frozen=True, gc=False):
    """The store at one version. `incarnation` changes if the store's history may have run backwards."""

    incarnation: bytes
    version: Version


class Get(Struct, frozen=True, gc=False):
    """Rows by key. The answer is a list of `Row | None`, in the order of `keys`."""

    table_id: int
    keys: tuple[bytes, ...]


class Scan(Struct, frozen=True, gc=False):
    """Rows in a range of an index, `start <= index key + row key < stop`. The answer is a ScanResult.

    Attributes:
        limit: the most rows to return; None for no limit.
        reverse: go down from `stop`.
        known: the caller has the rows of this scan as of this snapshot. The store need not send them if the table has
            not changed between it and the snapshot of the read.
    """

    table_id: int
    index_id: int
    start: bytes
    stop: bytes
    limit: int | None = None
    reverse: bool = False
    known: Snapshot | None = None


class Count(Struct, frozen=True, gc=False):
    """The number of entries in a range of an index. The answer is an int."""

    table_id: int
    index_id: int
    start: bytes
    stop: bytes


Request = Get | Scan | Count


MAX_NUMBER = 2**63 - 1
"""SQLite's greatest rowid."""


class Reserve(Struct, frozen=True, gc=False):
    """Take `size` numbers of a sequence, all greater than `above`. The answer is the first. Never rolled back.

    A sequence that was never used stands at 0, so its first number is 1. It ends at MAX_NUMBER. Numbers taken later are
    greater, whoever takes them. With size 0 nothing is taken, and the answer is the number that would be next.

    `again` is (first, stop): numbers above `above` that the caller has taken and not used. Unless somebody has taken
    later ones, the answer begins with them.

    In a crash a store may forget which numbers were taken, but not to what a commit has raised a sequence.

    Reserves come with a read, and need no request of their own to run beside it: a store whose engine takes numbers in
    another step than it reads sends both at once, and waits once.
    """

    sequence: int
    size: int
    above: int = 0
    again: tuple[int, int] | None = None

    def first_after(self, last: int) -> int:
        """The first number of the answer if `last` was the last number taken."""
        if self.again is not None and last == self.again[1] - 1:
            return self.again[0]
        return max(last, self.above) + 1


class Row(Struct, frozen=True, gc=False):
    """A record and the version of the commit that wrote it."""

    key: bytes
    version: Version
    record: bytes


class ScanResult(Struct, frozen=True, gc=False):
    """Rows in the index's order, or in descending order if that was asked for.

    Attributes:
        resume: None if the range is exhausted; otherwise where to continue: the `start` of the next scan (its `stop` if
            reverse). A store may stop before `limit`, to bound the cost of one call.
        unchanged: True if the rows are those that the caller knows, and `rows` is empty.
    """

    rows: Sequence[Row]
    resume: bytes | None
    unchanged: bool = False


NOTHING_FOUND = ScanResult([], None)
"""The answer of most scans for a unique key. Thousands of a batch may share it, since nobody changes an answer."""
UNCHANGED = ScanResult([], None, True)

Answer = list[Row | None] | ScanResult | int


class ReadResult(Struct, frozen=True, gc=False):
    """The answers to a read. `answers` and `reserved` are in the order of the requests and reserves."""

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
"""Table -> row key -> the record to put; None: delete the row, if it exists."""

EntryWrites = Mapping[tuple[int, int], Mapping[tuple[bytes, bytes], bool]]
"""(table, index) -> (index key, row key) -> whether the entry is to be added; else it is removed. Never of the order
index, which follows from the rows."""


class Drop(Struct, frozen=True, gc=False):
    """Delete a table with its rows, indexes and history (`index_id` is None), or one index. No snapshot keeps it.

    The same commit writes to table 0, so that every older snapshot is refused. It writes nothing into what it drops.
    """

    table_id: int
    index_id: int | None = None


class Claim(NamedTuple):
    """A row that a transaction in the commit queue wants left alone; if `key` is None, all rows of the table.

    It is a named tuple since a store's file holds it as an array.
    """

    table_id: int
    key: bytes | None

    def overlaps(self, other: Claim) -> bool:
        """Whether some row is claimed by both."""
        return self.table_id == other.table_id and (self.key == other.key or None in (self.key, other.key))


class CommitRequest(Struct, frozen=True, gc=False):
    """One transaction's effects, and the read set that they depend on.

    The maps are the transaction's own, so that thousands of rows need no object each: a store does not change them, and
    they do not change any more. A map within may be empty.

    A row that is written is in `points` if it was read, and so the store knows whether it exists. If it is not, it is
    written *blindly*, whatever it is by then, and no store need find that out: to delete a row blindly that does not
    exist may count as a change of its table, and of the ranges around it.

    Args:
        transaction_id: 16 bytes, unique forever; a repeated commit with the same id is applied once.
        snapshot: nothing older than this was read. The commit is refused if it is older than the retention, of another
            incarnation, or older than the catalog's last change.
        points, ranges: the read set. Rows and ranges that the transaction itself writes are in it as they were read.
        range_rows: for a store whose `index_trips` are 2, so that it need not look where ranges lead: the rows that
            ranges with `rows` of other indexes than the order index have led to, as they were read. Each such row is
            here, in `points`, or in a range of the order index with `rows`. There may be more, read at the same time. A
            store validates either these rows or the ranges' own.
        rows, entries: the writes. An entry to remove exists, and one to add does not.
        drops: tables and indexes to delete, none of which is in `rows` or `entries`.
        sequences: {sequence: value to which it must be raised at least}. It may exceed MAX_NUMBER if nobody takes
            numbers of the sequence.
        settings: {sequence: value to which it is set, even if that is lower}; disjoint from `sequences`.
        ticket: of the entry in the commit queue, empty without one. The entry is removed if something was written.
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
    range_rows: ReadPoints = {}

    def writes(self) -> bool:
        """Whether there is anything to apply."""
        for rows in self.rows.values():  # most often the first has some
            if rows:
                return True
        return any(self.entries.values()) or bool(self.drops or self.sequences or self.settings)


class Retention(NamedTuple):
    """How long superseded versions are kept. It is stored in the database, the same for all clients.

    Attributes:
        seconds: how long, at least, a snapshot stays readable and a commit's id is remembered.
        max_bytes: of superseded versions; beyond it the time is shortened, and pins hold nothing. This is best effort:
            a store may count roughly, and may look at the bytes only in `trim`, since some engines cannot tell what
            their history takes.
    """

    seconds: float = 60.0
    max_bytes: int = 256 * 1024 * 1024


class RecentCommit(Struct, frozen=True, gc=False):
    """A commit of the history.

    Attributes:
        age_s: how long ago it was, by the store's clock.
        rows: (table, row key) of the rows that it wrote, in no order; None if the store does not keep that.
    """

    version: Version
    age_s: float
    rows: Sequence[tuple[int, bytes]] | None = None


class StoreUsage(Struct, frozen=True, gc=False):
    """What a database takes, and who waits: for `rome metrics` and `rome top`.

    The *history* is what is kept for snapshots: superseded versions, and the ids of transactions.

    Attributes:
        version: the newest version.
        commits: how many commits the history has, including transactions that were aborted.
        history_bytes: what Retention.max_bytes limits, as the store counts it.
        oldest_s: age of the oldest commit of the history; None without one. A snapshot of that age can still be read.
        newest_s: age of the newest commit of the history.
        queue: the claims of each entry of the commit queue, first come first.
        sequences: the last number that was taken of each sequence; one at 0 may be left out.
        used_bytes: what is in use of the file, server or cluster, by all databases in it; None if that is not known.
        max_bytes: what `used_bytes` may reach; None without a limit, or if it is not known.
        live_snapshots: how many snapshots are open, of all processes; None if the store does not know of them.
        pins: see Store.pins; empty for a store that has none.
        recent: newest first.
    """

    version: Version
    commits: int
    history_bytes: int
    oldest_s: float | None
    newest_s: float | None
    retention: Retention
    queue: Sequence[Sequence[Claim]]
    sequences: Mapping[int, int]
    used_bytes: int | None = None
    max_bytes: int | None = None
    live_snapshots: int | None = None
    pins: Sequence[PinnedSnapshot] = ()
    recent: Sequence[RecentCommit] = ()


class PinnedSnapshot(NamedTuple):
    """A pin: what one process has asked the store to keep for its long transactions.

    Attributes:
        version: the history is kept from this version on.
        owner: who has it, as `process id@host`.
        age_s: how long ago the oldest of these transactions began.
        left_s: until the deadline, if nobody moves it.
    """

    version: Version
    owner: str
    age_s: float
    left_s: float


class HeldSnapshot(Struct):
    """The history that a transaction needs, as rome.store.keeper sees it.

    Attributes:
        snapshot: the oldest that the transaction has read at.
        since: when that was, by the keeper's clock.
        paused_s: for how long the process has not run since.
        pinned: whether the store keeps it.
        unreachable: the store could not be asked to keep it, when that was due last.
        failure: why it is not kept any more; the transaction raises it at its next read.
    """

    snapshot: Snapshot
    since: float
    paused_s: float = 0.0
    pinned: bool = False
    unreachable: bool = False
    failure: ConflictError | None = None


DEFAULT_MAX_TRANSACTION_S = 3600
"""For how long a transaction's snapshot is pinned, if the URL does not say."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do. The layers above read these flags, never a store's name."""

    durable: bool
    """An acknowledged commit survives the end of this process."""
    shared: bool
    """Several processes can open the same database at once."""
    network: bool
    """A read is a round trip over a socket, so that saving one pays."""
    index_trips: int = 1
    """How many round trips a scan of an index other than the order index may take. 2: one brings the entries, and
    another the rows that they lead to. Such a store may guess the rows, and ask for them in the first. Commits tell it
    which rows they have read through an index (`CommitRequest.range_rows`)."""
    pins: bool = False
    """It has `pin`, `unpin`, `pins` and `another`."""
    max_commit_bytes: int | None = None
    """The most bytes of keys and records in one commit, whatever the URL says; None for no limit of the store's own. A
    limit that only the server knows, such as one on operations, is not here: `commit` raises TransactionTooLargeError,
    which names it."""


class Store(ABC):
    """One connection to one database. One thread may use it at a time, and a forked child may not.

    It has at most one live snapshot: `read(None, ...)` takes a new one and ends the one before.
    """

    capabilities: ClassVar[Capabilities]
    options: ClassVar[frozenset[str]]
    """Names of the URL options that this store understands."""

    round_trips: int
    """How many times this connection has waited for the store since it was opened."""

    near_trips: int = 0
    """How many of these a near server has answered (`reads=near`)."""

    place: Hashable = None
    """How rome.store.seen knows the database, so that an engine can be asked for the newest version."""

    at_least: Snapshot | None = None
    """No new snapshot should be older than this one. The caller sets it, and checks the snapshots that it gets. A store
    that reads the newest version every time need not look at it."""

    held: HeldSnapshot | None = None
    """What the present transaction needs; Transaction sets it, and `release` and `close` remove it."""

    watched: bool = False
    """Whether rome.store.keeper looks at `held`."""

    max_transaction_s: float = DEFAULT_MAX_TRANSACTION_S
    """For how long the snapshot of a transaction is pinned at most; 0: never."""

    @classmethod
    @abstractmethod
    def open(cls, location: Location) -> Self:
        """Connect, and create the database unless it exists.

        Raises:
            URLError: an option is wrong.
            StoreUnavailableError, AuthenticationError: the store cannot be reached, or refuses the user.
            StoreConfigError, StoreReadOnlyError: the store is configured so that Rome cannot use it.
            FormatError: the database has a newer format.
        """

    @classmethod
    @abstractmethod
    def list_databases(cls, location: Location) -> list[str]:
        """Names of all databases of the server or folder, sorted. The location's own `database` is ignored."""

    @classmethod
    def database_exists(cls, location: Location) -> bool:
        """Whether the database exists. The call does not create it. A store may override it with something cheaper."""
        return location.database in cls.list_databases(location)

    @classmethod
    @abstractmethod
    def drop_database(cls, location: Location) -> None:
        """Delete the database and everything in it. If there is none, nothing happens."""

    @classmethod
    def diagnose(cls, location: Location) -> Diagnosis:
        """Find out what the store would lose in each kind of failure, and what is wrong with it; for `rome doctor`.

        This changes nothing, and creates no database. A store that cannot be asked is a finding, not an error.

        Raises:
            URLError: an option is wrong.
        """
        return Diagnosis(
            location.scheme, (), [Finding("store", Level.UNKNOWN, "this store does not implement a diagnosis")]
        )

    @abstractmethod
    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        """Answer all requests as of `snapshot`; if that is None, as of now, which takes this connection's snapshot.

        Raises:
            SnapshotTooOldError: the snapshot is older than the retention.
            SnapshotLostError: the snapshot is of another incarnation, above the store's version, or not this
            connection's. CatalogChangedError: the catalog changed after `snapshot`. A near server may not know of that
            yet, and answers as of the snapshot; the commit knows.
            StoreUnavailableError: the connection is lost, and the snapshot with it.
            IdsExhaustedError: numbers would exceed MAX_NUMBER.

        Cost: one round trip; O(log n + rows returned + changes since the snapshot within what is asked).
        """

    @abstractmethod
    def release(self) -> None:
        """End the snapshot, if there is one, and forget `held`. No round trip."""

    @abstractmethod
    def last_snapshot(self) -> Snapshot:
        """The newest version that this connection has heard of, for a commit that read nothing. No round trip."""

    @abstractmethod
    def commit(self, request: CommitRequest) -> Version:
        """Validate the read set and apply the writes in one atomic step; returns the commit version.

        If the transaction id was committed before, that commit's version is returned. The snapshot ends.

        Raises:
            ConflictError: or a subclass; nothing was written, and the id was not used. TurnTakenError only if
                everything else is valid: an earlier entry of the commit queue claims a row that this commit writes.
            CommitAbortedError: `resolve` was called for this id first.
            CommitUnknownError: the connection broke after sending; everything was applied, or nothing.
            StoreUnavailableError: nothing was sent.
            StoreFullError, StoreReadOnlyError: nothing was written.
            TransactionTooLargeError: the store or its server takes no commit of this size; nothing was written. The
            message says what the limit is and how to raise it.
            NotReplicatedError: it was applied, but on too few replicas.

        Cost: one round trip; O(reads + writes + changes inside what was read).
        """

    @abstractmethod
    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        """What became of a commit: its version; or None, and then it will never be applied, even if it arrives later.

        Any connection may ask. If the connection is lost, it reconnects.

        Args:
            snapshot: the version of the commit's snapshot.

        Raises:
            CommitUnknownError: the id, applied or not, may have been trimmed since.
            NotReplicatedError: it was applied, but on too few replicas.
            StoreUnavailableError: the store cannot be asked.
        """

    @abstractmethod
    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        """Join the commit queue, or stay in it; returns how many entries before this one claim the same rows.

        If the answer is 0, it is our turn: other commits leave the claimed rows alone until this connection commits or
        leaves the queue, or the lease ends. The lease lasts from now for `lease_s`, by the store's clock; if we were in
        the queue already, for at least half of that. The queue only decides who is first: it makes no commit valid or
        invalid, and may be lost.

        Args:
            ticket: 16 bytes that nobody else has; the same for as long as the entry is to be kept.
            claims: all claims, each time.

        Cost: one round trip; O(entries).
        """

    @abstractmethod
    def leave_queue(self, ticket: bytes) -> None:
        """Leave the commit queue. If there is no entry, nothing happens. One round trip."""

    @abstractmethod
    def trim(self) -> int:
        """Discard superseded versions and transaction ids older than the retention; returns of how many commits.

        Every commit also trims a bounded amount. This works when the store is out of memory, too. What a pin asks for
        stays, except beyond the retention's bytes.
        """

    @abstractmethod
    def retention(self) -> Retention:
        """The database's retention."""

    @abstractmethod
    def set_retention(self, retention: Retention) -> None:
        """Change the retention for all clients."""

    def usage(self, recent: int = 0) -> StoreUsage:
        """What the database takes, as of now. It changes nothing, and no snapshot begins or ends.

        Args:
            recent: about how many of the newest commits to tell of; fewer if the history has fewer, or if they have
                written more than MAX_TOLD_ROWS together.

        Raises:
            NotSupportedError: this store does not count.

        Cost: one round trip, on etcd two, or three with `recent`; O(sequences + what is told of the commits).
        """
        raise NotSupportedError(f"{type(self).__name__} does not tell what its databases take")

    def known_retention(self) -> Retention:
        """The database's retention as this connection has heard of it last. No round trip; any thread may ask."""
        return Retention()

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        """Keep what the snapshot and newer ones need, to be read and committed, even if it is older than the retention.

        It lasts from now for `lease_s`, by the store's clock, as long as the history has no more than the retention's
        bytes. A later call with the same ticket replaces the pin. The store keeps it outside of all histories: it is
        lost with the store's latest writes.

        Args:
            ticket: 16 bytes that nobody else has.
            snapshot: of any connection to the database.
            owner, age_s: see PinnedSnapshot.

        Returns:
            The oldest version whose history is whole. If it is above the snapshot's, that one was trimmed already, for
            good, and nothing is pinned.

        Raises:
            SnapshotLostError, CatalogChangedError: as `read`; the snapshot cannot be used any more.
            NotSupportedError: the store has no pins (Capabilities.pins).

        Cost: one round trip; two if the connection is new.
        """
        raise NotSupportedError(f"{type(self).__name__} has no pins")

    def unpin(self, ticket: bytes) -> None:
        """End a pin. If there is none, nothing happens. One round trip, or two."""
        raise NotSupportedError(f"{type(self).__name__} has no pins")

    def pins(self) -> list[PinnedSnapshot]:
        """The pins of all clients whose deadline has not passed, the oldest version first. One round trip."""
        raise NotSupportedError(f"{type(self).__name__} has no pins")

    def another(self) -> Self:
        """Another connection to this database, which connects with its first call, and does not create the database.

        It works while another thread uses this one.
        """
        raise NotSupportedError(f"{type(self).__name__} has no pins")

    def mark_restored(self) -> None:
        """Begin a new history, since an older copy has replaced the store's data: no snapshot from before is valid.

        Raises:
            NotSupportedError: this store begins one by itself when its server is started, or its file opened.
        """
        raise NotSupportedError(
            "this database needs no such mark: Rome notices an older copy by itself, once the server has been started "
            "again, or all processes have closed the file"
        )

    @abstractmethod
    def is_usable(self) -> bool:
        """Whether the connection is not known to be lost. It looks at the socket; no round trip."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""
