"""The memory store: the executable specification of rome.store.spi, and the oracle of the tests.

A database is found by its name and exists in this process until it is dropped. All threads share it, under one lock
per database. A forked child inherits a copy, which is its own from then on.

Invariant: a history holds, for every key, all values that a snapshot at or above the table's floor can ask for. So a
snapshot reads the newest change that is not newer than itself, and nothing is ever undone. Trimming a version forgets
the values that it replaced, and raises the floor to it.
"""

from __future__ import annotations

import os
import secrets
import time
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from threading import Lock
from typing import Self

from msgspec import Struct

from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    CorruptRecordError,
    IdsExhaustedError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreUnavailableError,
)
from rome.store.commit_queue import CommitQueue, QueueEntry
from rome.store.diagnosis import Diagnosis, Finding, Level, Loss
from rome.store.keeper import KEEPER
from rome.store.location import Location
from rome.store.pins import Pins, StoredPin
from rome.store.spi import (
    CATALOG_TABLE,
    MAX_NUMBER,
    MAX_TOLD_ROWS,
    ORDER_INDEX,
    UNCHANGED,
    Answer,
    Bounds,
    Capabilities,
    Claim,
    CommitRequest,
    Count,
    Get,
    PinnedSnapshot,
    ReadResult,
    RecentCommit,
    Request,
    Reserve,
    Retention,
    Row,
    Scan,
    ScanResult,
    Snapshot,
    Store,
    StoreUsage,
    Version,
)

clock: Callable[[], float] = time.monotonic
"""Returns seconds, in which the retention is measured. Tests replace it."""

SCAN_ROWS = 10_000
"""A scan stops after this many rows, as in other stores."""

COMMITS_TRIMMED_PER_COMMIT = 4
"""More than one, so that trimming catches up; few, so that no commit pays for a long idle time before it."""


class _Change(Struct, frozen=True, gc=False):
    """The value of a key from a version on; None if it was deleted."""

    version: Version
    value: bytes | None


_ABSENT = _Change(0, None)


class _History:
    """An ordered map from key to value that remembers earlier values."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._chains: dict[bytes, list[_Change]] = {}
        """{key: its changes, oldest first}. A key whose only change is a deletion is removed."""

    def get(self, key: bytes, at: Version) -> _Change:
        for change in reversed(self._chains.get(key, ())):
            if change.version <= at:
                return change
        return _ABSENT

    def put(self, key: bytes, version: Version, value: bytes | None) -> int | None:
        """Set or delete a value; returns how many bytes it replaced, or None if an absent key was deleted."""
        chain = self._chains.get(key)
        if chain is None:
            if value is None:
                return None
            self._chains[key] = [_Change(version, value)]
            insort(self._keys, key)
            return 0
        old = chain[-1].value
        if old is None and value is None:
            return None
        chain.append(_Change(version, value))
        return 0 if old is None else len(key) + len(old)

    def between(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """Every key of the range that has a history, whether or not it exists now."""
        positions = range(bisect_left(self._keys, start), bisect_left(self._keys, stop))
        return map(self._keys.__getitem__, reversed(positions) if reverse else positions)

    def came_or_went(self, start: bytes, stop: bytes, since: Version) -> bool:
        """Whether a key of the range was added or removed after `since`, even if it is again as it was."""
        return any(
            after.version > since and (before.value is None) != (after.value is None)
            for key in self.between(start, stop)
            for before, after in pairwise((_ABSENT, *self._chains[key]))
        )

    def take_back(self, key: bytes, version: Version) -> None:
        """Undo changes at the newest version, as far as they were made."""
        chain = self._chains.get(key)
        if chain is None:
            return
        while chain and chain[-1].version == version:
            del chain[-1]
        if not chain:
            self._remove(key)

    def forget(self, key: bytes, version: Version) -> None:
        """Discard what `key` was before its change at `version`. Idempotent."""
        chain = self._chains.get(key, [])
        while chain and chain[0].version < version:
            del chain[0]
        if chain and chain[0].version == version and chain[0].value is None:
            del chain[0]
        if not chain:
            self._remove(key)

    def _remove(self, key: bytes) -> None:
        position = bisect_left(self._keys, key)
        if self._keys[position : position + 1] == [key]:
            del self._keys[position]
        self._chains.pop(key, None)


class _Table:
    def __init__(self) -> None:
        self.rows = _History()
        self.indexes: dict[int, _History] = defaultdict(_History)
        """{index id: {index key + row key: row key}}; without the order index, which is the rows themselves."""
        self.changed: Version = 0
        self.floor: Version = 0
        """Snapshots below this can no longer be read."""

    def index(self, index_id: int) -> _History:
        return self.rows if index_id == ORDER_INDEX else self.indexes[index_id]

    def row_keys(self, index_id: int, start: bytes, stop: bytes, at: Version) -> Iterator[bytes]:
        """The row key of each entry of a range."""
        index = self.index(index_id)
        for entry in index.between(start, stop):
            value = index.get(entry, at).value
            if value is not None:
                yield entry if index_id == ORDER_INDEX else value


class _MemoryCommit(Struct, frozen=True):
    """What trimming needs to know of a commit, or of an aborted transaction (which changed nothing)."""

    version: Version
    time: float
    transaction_id: bytes
    touched: list[tuple[_Table, _History, bytes]]
    replaced_bytes: int


class _Database:
    """One database. The caller of every method holds `lock`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = Lock()
        self.dropped = False
        self.incarnation = secrets.token_bytes(16)
        self.version: Version = 0
        self.tables: dict[int, _Table] = defaultdict(_Table)
        self.sequences: dict[int, int] = defaultdict(int)
        self.retention = Retention()
        self._transactions: dict[bytes, Version | None] = {}
        """{transaction id: commit version, or None if aborted}"""
        self._past: deque[_MemoryCommit] = deque()
        self._replaced_bytes = 0
        self._places: list[QueueEntry] = []
        self._pins: list[StoredPin] = []
        self.pending: CommitRequest | None = None
        """A validated commit that is being applied. If an exception from outside comes, the next call finishes it."""
        self._floor: Version = 0
        """Ids of transactions up to this version are forgotten, so no commit with an older snapshot is accepted."""

    @property
    def catalog_version(self) -> Version:
        return self.tables[CATALOG_TABLE].changed

    def check_snapshot(self, snapshot: Snapshot) -> Version:
        """Refuse a snapshot that is of no use any more; returns the catalog version."""
        if snapshot.incarnation != self.incarnation or snapshot.version > self.version:
            raise SnapshotLostError.of(snapshot.version)
        catalog_version = self.tables[CATALOG_TABLE].changed
        if snapshot.version < catalog_version:
            raise CatalogChangedError.since(snapshot.version, catalog_version)
        return catalog_version

    def answer(self, request: Request, at: Version) -> Answer:
        table = self.tables[request.table_id]
        if at < table.floor:
            raise SnapshotTooOldError.of(request.table_id)
        match request:
            case Get():
                found: list[Row | None] = []
                for key in request.keys:
                    change = table.rows.get(key, at)
                    found.append(None if change.value is None else Row(key, change.version, change.value))
                return found
            case Scan():
                return self._scan(table, request, at)
            case Count():
                return sum(1 for _ in table.row_keys(request.index_id, request.start, request.stop, at))

    def _scan(self, table: _Table, scan: Scan, at: Version) -> ScanResult:
        known = scan.known
        if known is not None and known.incarnation == self.incarnation and table.changed <= min(known.version, at):
            return UNCHANGED
        rows: list[Row] = []
        limit = SCAN_ROWS if scan.limit is None else min(scan.limit, SCAN_ROWS)
        index = table.index(scan.index_id)
        for entry in index.between(scan.start, scan.stop, reverse=scan.reverse):
            change = index.get(entry, at)
            if change.value is None:
                continue
            if len(rows) == limit:
                return ScanResult(rows, entry + b"\x00" if scan.reverse else entry)
            if scan.index_id == ORDER_INDEX:
                rows.append(Row(entry, change.version, change.value))
                continue
            row = table.rows.get(change.value, at)
            if row.value is None:
                raise CorruptRecordError.of_missing_row(scan.table_id, scan.index_id, change.value)
            rows.append(Row(change.value, row.version, row.value))
        return ScanResult(rows, None)

    def reserve(self, reserve: Reserve) -> int:
        last = self.sequences[reserve.sequence]
        first = reserve.first_after(last)
        if reserve.size:
            if first + reserve.size - 1 > MAX_NUMBER:
                raise IdsExhaustedError.of(f"sequence {reserve.sequence}")
            self.sequences[reserve.sequence] = max(last, first + reserve.size - 1)
        return first

    def commit(self, request: CommitRequest) -> Version:
        if request.transaction_id in self._transactions:
            version = self._transactions[request.transaction_id]
            if version is None:
                raise CommitAbortedError.of(request.transaction_id)
            return version
        self._validate(request)
        if request.writes():
            if self._places:
                queue = CommitQueue(self._places, clock())
                queue.check(request)
                queue.leave(request.ticket)
                self._places = queue.places
            self.pending = request
            self.finish()
            self.trim(COMMITS_TRIMMED_PER_COMMIT)
        return self.version

    def finish(self) -> None:
        """Apply the pending commit, if there is one, however much of it has been applied before."""
        request = self.pending
        if request is None:
            return
        if not self._past or self._past[-1].transaction_id != request.transaction_id:
            self._apply(request, self._transactions.get(request.transaction_id) or self.version + 1)
        self.pending = None

    def _validate(self, request: CommitRequest) -> None:
        self.check_snapshot(request.snapshot)
        if request.snapshot.version < self._floor:
            raise SnapshotTooOldError.of()
        for table_id, points in request.points.items():
            stored = self.tables[table_id].rows
            for key, version in points.items():
                found = stored.get(key, self.version)
                if (0 if found.value is None else found.version) != version:
                    raise ConflictError.of_row(table_id, key)
        for (table_id, index_id, rows), ranges in request.ranges.items():
            table = self.tables[table_id]
            for bounds, version in ranges.items():
                if table.changed > version and self._range_changed(table, index_id, bounds, version, rows):
                    raise ConflictError.of_range(table_id, index_id, bounds[0])

    def _range_changed(self, table: _Table, index_id: int, bounds: Bounds, since: Version, rows: bool) -> bool:
        if table.index(index_id).came_or_went(*bounds, since):
            return True
        return rows and any(
            table.rows.get(key, self.version).version > since for key in table.row_keys(index_id, *bounds, self.version)
        )

    def _apply(self, request: CommitRequest, version: Version) -> None:
        for drop in request.drops:
            # No history is kept of what is dropped: the catalog change in the same commit invalidates older snapshots.
            if drop.index_id is None:
                self.tables.pop(drop.table_id, None)
            else:
                self.tables[drop.table_id].indexes.pop(drop.index_id, None)
        changes: list[tuple[_Table, _History, bytes, bytes | None]] = []
        for table_id, rows in request.rows.items():
            table = self.tables[table_id]
            for key, record in rows.items():
                changes.append((table, table.rows, key, record))
        for (table_id, index_id), entries in request.entries.items():
            table = self.tables[table_id]
            for (index_key, row_key), present in entries.items():
                changes.append((table, table.indexes[index_id], index_key + row_key, row_key if present else None))
        for _, history, key, _ in changes:
            history.take_back(key, version)
        touched: list[tuple[_Table, _History, bytes]] = []
        replaced_bytes = 0
        for table, history, key, value in changes:
            replaced = history.put(key, version, value)
            if replaced is not None:
                replaced_bytes += replaced
                table.changed = version
                touched.append((table, history, key))
        self.sequences.update(request.settings)
        for sequence, last in request.sequences.items():
            self.sequences[sequence] = max(self.sequences[sequence], last)
        self._remember(request.transaction_id, version, version, touched, replaced_bytes)

    def _remember(
        self,
        transaction_id: bytes,
        version: Version,
        outcome: Version | None,
        touched: list[tuple[_Table, _History, bytes]],
        replaced_bytes: int,
    ) -> None:
        commit = _MemoryCommit(version, clock(), transaction_id, touched, replaced_bytes)
        self._transactions[transaction_id] = outcome
        self.version = version
        self._replaced_bytes += replaced_bytes
        self._past.append(commit)

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        if transaction_id not in self._transactions:
            if snapshot < self._floor:
                raise CommitUnknownError.trimmed(transaction_id, snapshot)
            # The abort takes a version, which is above the transaction's snapshot. So after the abort is trimmed, a
            # late commit has a snapshot below the floor.
            self._remember(transaction_id, self.version + 1, None, [], 0)
        return self._transactions[transaction_id]

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        queue = CommitQueue(self._places, clock())
        queue.take(ticket, claims, lease_s)
        self._places = queue.places
        return queue.ahead(ticket)

    def leave_queue(self, ticket: bytes) -> None:
        queue = CommitQueue(self._places, clock())
        queue.leave(ticket)
        self._places = queue.places

    def usage(self, recent: int) -> StoreUsage:
        now = clock()
        ages = [now - commit.time for commit in (*islice(self._past, 1), *islice(reversed(self._past), 1))]
        return StoreUsage(
            version=self.version,
            commits=len(self._past),
            history_bytes=self._replaced_bytes,
            oldest_s=max(ages, default=None),
            newest_s=min(ages, default=None),
            retention=self.retention,
            queue=[place.claims for place in CommitQueue(self._places, now).places],
            sequences=dict(self.sequences),
            pins=self.pins().shown(),
            recent=list(self._recent(recent, now)),
        )

    def _recent(self, most: int, now: float) -> Iterator[RecentCommit]:
        ids = {id(table.rows): table_id for table_id, table in self.tables.items()}
        room = MAX_TOLD_ROWS
        for commit in islice(reversed(self._past), most):
            if room <= 0:
                break
            rows = [(ids[id(history)], key) for _, history, key in commit.touched if id(history) in ids]
            room -= len(rows)
            yield RecentCommit(commit.version, now - commit.time, rows)

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        self.check_snapshot(snapshot)
        if snapshot.version >= self._floor:
            pins = self.pins()
            pins.put(ticket, snapshot.version, lease_s, age_s=age_s, owner=owner)
            self._pins = pins.stored
        return self._floor

    def unpin(self, ticket: bytes) -> None:
        pins = self.pins()
        pins.remove(ticket)
        self._pins = pins.stored

    def pins(self) -> Pins:
        return Pins(self._pins, clock())

    def trim(self, limit: int | None = None) -> int:
        """Forget commits that are older than the retention and not pinned, or exceed its bytes, oldest first."""
        count = 0
        horizon = clock() - self.retention.seconds
        pinned = self.pins().oldest if self._pins else None
        while self._past and count != limit:
            oldest = self._past[0]
            if self._replaced_bytes <= self.retention.max_bytes and (
                oldest.time > horizon or (pinned is not None and oldest.version > pinned)
            ):
                break
            for table, history, key in oldest.touched:
                table.floor = (
                    oldest.version
                )  # first, so that nobody reads what is half forgotten if this is interrupted
                history.forget(key, oldest.version)
            self._floor = oldest.version
            self._transactions.pop(oldest.transaction_id, None)
            self._replaced_bytes -= oldest.replaced_bytes
            self._past.popleft()
            count += 1
        return count


_databases: dict[str, _Database] = {}
_registry_lock = Lock()


def _lock_all() -> None:
    KEEPER.pause()  # it may be waiting for one of these locks
    _registry_lock.acquire()
    for database in _databases.values():
        database.lock.acquire()


def _unlock_all() -> None:
    for database in _databases.values():
        database.lock.release()
    _registry_lock.release()


# No thread is in the middle of a commit when the process forks, so the child's copy is whole and its locks are free.
os.register_at_fork(before=_lock_all, after_in_parent=_unlock_all, after_in_child=_unlock_all)


class MemoryStore(Store):
    """A connection to a database in this process. One call counts as one round trip."""

    capabilities = Capabilities(durable=False, shared=False, network=False, pins=True)
    options = frozenset()

    def __init__(self, database: _Database) -> None:
        self.round_trips = 0
        self._database = database
        self._closed = False
        self._snapshot: Snapshot | None = None
        self._last_snapshot = Snapshot(database.incarnation, database.version)

    @classmethod
    def open(cls, location: Location) -> Self:
        with _registry_lock:
            database = _databases.get(location.database)
            if database is None:
                database = _databases[location.database] = _Database(location.database)
            return cls(database)

    @classmethod
    def list_databases(cls, location: Location) -> list[str]:
        with _registry_lock:
            return sorted(_databases)

    @classmethod
    def drop_database(cls, location: Location) -> None:
        with _registry_lock:
            database = _databases.pop(location.database, None)
            if database is not None:
                with database.lock:
                    database.dropped = True

    @classmethod
    def diagnose(cls, location: Location) -> Diagnosis:
        reason = "in the memory of this process, and gone with it"
        return Diagnosis(
            "memory",
            [Loss("the process ends", "everything")],
            [Finding("persistence", Level.PROBLEM, reason, "rome+lmdb:///path for a file, rome+redis:// for a server")],
        )

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        with self._database.lock:
            database = self._begin_round_trip()
            if snapshot is None:
                snapshot = self._heard_of(database.version)
                self._snapshot = snapshot
            elif snapshot != self._snapshot:
                raise SnapshotLostError.of_another(snapshot.version)
            catalog_version = database.check_snapshot(snapshot)
            answers = [database.answer(request, snapshot.version) for request in requests]
            reserved = [database.reserve(reserve) for reserve in reserves] if reserves else []
            return ReadResult(snapshot, catalog_version, answers, reserved)

    def release(self) -> None:
        self._snapshot = self.held = None

    def last_snapshot(self) -> Snapshot:
        return self._last_snapshot

    def commit(self, request: CommitRequest) -> Version:
        self._snapshot = None
        with self._database.lock:
            database = self._begin_round_trip()
            version = database.commit(request)
            self._heard_of(version)
            return version

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.resolve(transaction_id, snapshot)

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.join_queue(ticket, claims, lease_s)

    def leave_queue(self, ticket: bytes) -> None:
        with self._database.lock:
            database = self._begin_round_trip()
            database.leave_queue(ticket)

    def trim(self) -> int:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.trim()

    def retention(self) -> Retention:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.retention

    def set_retention(self, retention: Retention) -> None:
        with self._database.lock:
            database = self._begin_round_trip()
            database.retention = retention

    def usage(self, recent: int = 0) -> StoreUsage:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.usage(recent)

    def known_retention(self) -> Retention:
        return self._database.retention

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.pin(ticket, snapshot, lease_s, owner=owner, age_s=age_s)

    def unpin(self, ticket: bytes) -> None:
        with self._database.lock:
            database = self._begin_round_trip()
            database.unpin(ticket)

    def pins(self) -> list[PinnedSnapshot]:
        with self._database.lock:
            database = self._begin_round_trip()
            return database.pins().shown()

    def another(self) -> Self:
        return type(self)(self._database)

    def is_usable(self) -> bool:
        return not (self._closed or self._database.dropped)

    def close(self) -> None:
        self._closed = True
        self._snapshot = self.held = None

    def _begin_round_trip(self) -> _Database:
        """Before what is done with the lock of the database held."""
        database = self._database
        if self._closed:
            raise StoreUnavailableError.closed()
        if database.dropped:
            raise StoreUnavailableError.dropped(f"database {database.name!r}")
        self.round_trips += 1
        if database.pending is not None:
            database.finish()
        return database

    def _heard_of(self, version: Version) -> Snapshot:
        self._last_snapshot = Snapshot(self._database.incarnation, max(version, self._last_snapshot.version))
        return self._last_snapshot
