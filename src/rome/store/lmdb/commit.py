"""Validate a commit, apply it, and trim what nobody can ask for any more, all inside one write transaction.

For every index entry that changed since the floor, the log holds the versions at which the entry was last added or
removed, and last written. The *last* change is enough, so validation is a walk over the changed entries of a range: a
range that was read at version v is unchanged if none of them is later than v. The order index's log also has updates of
rows; for another index, the rows to which its entries lead are looked up.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    ConflictError,
    SnapshotLostError,
    SnapshotTooOldError,
)
from rome.store.commit_queue import CommitQueue, QueueEntry
from rome.store.lmdb import ordered
from rome.store.lmdb.damage import UNDECODABLE, damaged
from rome.store.lmdb.ordered import CUT, LmdbTransaction
from rome.store.lmdb.read import missing_row, row_key_of
from rome.store.lmdb.state import (
    BEYOND_COMMITS,
    COMMITS_HEADER,
    LINE_KEY,
    LOG_HEADER_BYTES,
    PINS_KEY,
    SEQUENCES_HEADER,
    State,
    TableState,
    commit_key,
    entries_header,
    headers_of_table,
    is_of_rows,
    log_header,
    pack_number,
    pack_versions,
    rows_header,
    sequence_key,
    table_key,
    table_of_log_key,
    transaction_key,
    unpack_versions,
)
from rome.store.pins import Pins, StoredPin
from rome.store.spi import (
    CATALOG_TABLE,
    MAX_NUMBER,
    MAX_TOLD_ROWS,
    ORDER_INDEX,
    Bounds,
    CommitRequest,
    Drop,
    RecentCommit,
    Retention,
    Snapshot,
    Version,
)

clock: Callable[[], float] = time.time
"""Returns seconds, in which the retention is measured. All processes share this clock, and it runs while none does."""

COMMITS_TRIMMED_PER_COMMIT: Final = 4
"""More than one, so that trimming catches up; few, so that no commit pays for a long idle time before it."""

_ABORTED = 0


def outcome(txn: LmdbTransaction, transaction_id: bytes) -> Version | None:
    """The version of a commit that was applied; None for an id that was never used.

    Raises:
        CommitAbortedError: it was resolved before it arrived.
    """
    stored = txn.get(transaction_key(transaction_id))
    if stored is None:
        return None
    version = int.from_bytes(stored, "big")
    if version == _ABORTED:
        raise CommitAbortedError.of(transaction_id)
    return version


def claim_id(txn: LmdbTransaction, state: State, transaction_id: bytes) -> Version | None:
    """Store the version that a commit is about to take as its outcome; what `outcome` says if it was used already.

    One call of LMDB: each of them lets another thread take the GIL.
    """
    if txn.put(transaction_key(transaction_id), pack_number(state.version + 1), overwrite=False):
        return None
    return outcome(txn, transaction_id)


def check_snapshot(state: State, snapshot: Snapshot) -> None:
    """Check that what was read at the snapshot can still be used.

    Raises:
        ConflictError: a subclass that says why it cannot.
    """
    if snapshot.incarnation != state.incarnation or snapshot.version > state.version:
        raise SnapshotLostError.of(snapshot.version)
    if snapshot.version < state.catalog_version:
        raise CatalogChangedError.since(snapshot.version, state.catalog_version)
    if snapshot.version < state.floor:
        raise SnapshotTooOldError.of()


class Found(NamedTuple):
    """What validation has read, so that it need not be read again.

    Attributes:
        rows: by table, what is stored of some rows, by their keys.
        tables: the state of some tables, by their ids.
    """

    rows: dict[int, dict[bytes, bytes | None]]
    tables: dict[int, TableState]


def validate(txn: LmdbTransaction, state: State, request: CommitRequest) -> Found:
    """Check the read set; returns what was found of the rows and tables that the request writes.

    Raises:
        ConflictError: something that the request names as read has changed.
    """
    check_snapshot(state, request.snapshot)
    get, found = txn.get, Found({}, {})
    tables = found.tables
    for table_id, points in request.points.items():
        header, written = rows_header(table_id), request.rows.get(table_id, {})
        for key, version in points.items():
            stored = get(header + key) if len(key) <= CUT else ordered.get(txn, header, key)
            if (0 if stored is None else int.from_bytes(stored[:8], "big")) != version:
                raise ConflictError.of_row(table_id, key)
            if key in written:
                found.rows.setdefault(table_id, {})[key] = stored
    for (table_id, index_id, rows), ranges in request.ranges.items():
        table = tables.get(table_id)
        if table is None:
            table = tables[table_id] = TableState.read(txn, table_id)
        for bounds, version in ranges.items():
            if table.changed <= version:
                continue
            if version < table.floor:
                raise SnapshotTooOldError.of(table_id)
            if _range_changed(txn, table_id, index_id, bounds, version, rows=rows):
                raise ConflictError.of_range(table_id, index_id, bounds[0])
    return found


def _range_changed(
    txn: LmdbTransaction, table_id: int, index_id: int, bounds: Bounds, since: Version, *, rows: bool
) -> bool:
    """Whether a range has changed after a version, as its table has."""
    for entry, value in ordered.between(txn, log_header(table_id, index_id), *bounds):
        try:
            came_or_went, written = unpack_versions(value)
        except UNDECODABLE as error:
            raise damaged(
                f"table {table_id}: the log of index {index_id}, key {entry.hex()}", error, table=table_id
            ) from error
        if came_or_went > since or (rows and written > since):
            return True
    if not rows or index_id == ORDER_INDEX:
        return False
    header = rows_header(table_id)
    for entry, value in ordered.between(txn, entries_header(table_id, index_id), *bounds):
        row = ordered.get(txn, header, row_key_of(entry, value))
        if row is None:
            raise missing_row(table_id, index_id, row_key_of(entry, value))
        if int.from_bytes(row[:8], "big") > since:
            return True
    return False


def apply(txn: LmdbTransaction, state: State, request: CommitRequest, found: Found) -> State:
    """Write everything in a validated request, whose id is claimed, and of which `validate` has found this.

    Whatever is written is logged, with the versions at which it last came or went, and was last written.
    """
    version, get, put = state.version + 1, txn.get, txn.put
    stamp, now = pack_number(version), pack_versions(version, version)
    changed: set[int] = set()
    log_keys: list[bytes] = []
    kept_bytes = 0
    for drop in request.drops:
        _drop(txn, drop)
    for table_id, rows in request.rows.items():
        header, log, known = rows_header(table_id), log_header(table_id, ORDER_INDEX), found.rows.get(table_id, {})
        for key, record in rows.items():
            place, log_key, before = header + key, log + key, b""
            if len(key) > CUT:
                place, log_key = ordered.stored_key(header, key), ordered.stored_key(log, key)
                before = ordered.before_value(key)
            old = known[key] if key in known else ordered.get(txn, header, key)
            versions = now
            if old is not None:
                kept_bytes += len(old)
                if record is None:
                    txn.delete(place)
                else:
                    logged = get(log_key)
                    came = 0 if logged is None else unpack_versions(logged[len(before) :])[0]
                    versions = pack_versions(came, version)
            elif record is None:
                continue
            if record is not None:
                put(place, before + stamp + record)
            put(log_key, before + versions)
            log_keys.append(log_key)
            kept_bytes += len(log) + len(key)
            changed.add(table_id)
    for (table_id, index_id), entries in request.entries.items():
        header, log = entries_header(table_id, index_id), log_header(table_id, index_id)
        for (index_key, row_key), present in entries.items():
            entry = index_key + row_key
            place, log_key, before = header + entry, log + entry, b""
            if len(entry) > CUT:
                place, log_key = ordered.stored_key(header, entry), ordered.stored_key(log, entry)
                before = ordered.before_value(entry)
            if present:
                is_new = put(place, before + len(row_key).to_bytes(4, "big"), overwrite=False)
            else:
                is_new = txn.delete(place)
            if is_new:
                put(log_key, before + now)
                log_keys.append(log_key)
                kept_bytes += len(log) + len(entry)
                changed.add(table_id)
    for table_id in changed:
        table = found.tables.get(table_id) or TableState.read(txn, table_id)
        put(table_key(table_id), pack_versions(version, table.floor))
    for sequence, value in request.settings.items():
        put(sequence_key(sequence), pack_number(value))
    for sequence, value in request.sequences.items():
        if value > committed_number(txn, sequence):
            put(sequence_key(sequence), pack_number(value))
    if CATALOG_TABLE in changed:
        state = replace(state, catalog_version=version)
    return _remember(txn, state, request.transaction_id, version, kept_bytes, log_keys)


class Trimming:
    """What a process remembers, so that a commit before which nothing has to be trimmed does not look.

    The oldest commit that is left is the same one until the floor rises.
    """

    def __init__(self) -> None:
        self._oldest: tuple[bytes, Version, float] | None = None

    def is_due(self, state: State) -> bool:
        """Whether there may be something to trim."""
        if self._oldest is None or state.kept_bytes > state.retention.max_bytes:
            return True
        incarnation, floor, time = self._oldest
        return (incarnation, floor) != (state.incarnation, state.floor) or time <= clock() - state.retention.seconds

    def note(self, state: State, oldest: float) -> None:
        """Note the time of the oldest commit after the floor of a state."""
        self._oldest = state.incarnation, state.floor, oldest


def _drop(txn: LmdbTransaction, drop: Drop) -> None:
    """Delete a table or an index.

    No history is kept of it: the catalog change in the same commit invalidates older snapshots.
    """
    if drop.index_id is None:
        headers = headers_of_table(drop.table_id)
    else:
        headers = [entries_header(drop.table_id, drop.index_id), log_header(drop.table_id, drop.index_id)]
    for header in headers:
        ordered.clear(txn, header)


def committed_number(txn: LmdbTransaction, sequence: int) -> int:
    """The number to which commits have raised a sequence."""
    return int.from_bytes(txn.get(sequence_key(sequence), b""), "big")


def committed_numbers(txn: LmdbTransaction) -> dict[int, int]:
    """{sequence: the number to which commits have raised it}."""
    found = {}
    with txn.cursor() as cursor:
        if cursor.set_range(SEQUENCES_HEADER):
            for stored, value in cursor.iternext():
                if not stored.startswith(SEQUENCES_HEADER):
                    break
                found[int.from_bytes(stored[1:], "big")] = int.from_bytes(value, "big")
    return found


def abort(txn: LmdbTransaction, state: State, transaction_id: bytes) -> State:
    """Make sure that a commit which has not arrived yet will be refused.

    The abort takes a version, which is above the transaction's snapshot. So after the abort is trimmed, a late commit
    has a snapshot below the floor.
    """
    version = state.version + 1
    txn.put(transaction_key(transaction_id), pack_number(_ABORTED))
    return _remember(txn, state, transaction_id, version, 0, [])


_encode_entries = msgspec.msgpack.Encoder().encode
_decode_entries = msgspec.msgpack.Decoder(list[QueueEntry]).decode


def read_queue(txn: LmdbTransaction) -> CommitQueue | None:
    """The commit queue; None if it is empty."""
    stored = txn.get(LINE_KEY)
    try:
        return None if stored is None else CommitQueue(_decode_entries(stored), clock())
    except UNDECODABLE as error:
        raise damaged("the commit queue", error) from error


def new_queue() -> CommitQueue:
    """An empty commit queue."""
    return CommitQueue((), clock())


def write_queue(txn: LmdbTransaction, queue: CommitQueue) -> None:
    """Store the commit queue."""
    if queue.places:
        txn.put(LINE_KEY, _encode_entries(queue.places))
    else:
        txn.delete(LINE_KEY)


class _PinInFile(NamedTuple):
    """A pin, and how many pages of the file nobody could use when its version was pinned, in bytes.

    A read transaction keeps every page that was superseded since, a whole one for each row: far more than the rows.
    """

    pin: StoredPin
    garbage_bytes: int


_encode_pins = msgspec.msgpack.Encoder().encode
_decode_pins = msgspec.msgpack.Decoder(list[_PinInFile]).decode


def _stored_pins(txn: LmdbTransaction) -> list[_PinInFile]:
    stored = txn.get(PINS_KEY)
    try:
        return [] if stored is None else _decode_pins(stored)
    except UNDECODABLE as error:
        raise damaged("the pins", error) from error


def read_pins(txn: LmdbTransaction) -> Pins:
    """The pins."""
    return Pins([each.pin for each in _stored_pins(txn)], clock())


def write_pins(txn: LmdbTransaction, pins: Pins, garbage_bytes: int) -> None:
    """Store the pins.

    Args:
        garbage_bytes: of the file as it is now (see Environment.garbage_bytes).
    """
    before = {(each.pin.ticket, each.pin.version): each.garbage_bytes for each in _stored_pins(txn)}
    stored = [_PinInFile(pin, before.get((pin.ticket, pin.version), garbage_bytes)) for pin in pins.stored]
    if stored:
        txn.put(PINS_KEY, _encode_pins(stored))
    else:
        txn.delete(PINS_KEY)


def _oldest_pin(txn: LmdbTransaction, retention: Retention, garbage_bytes: Callable[[], int]) -> Version:
    """The version from which on the history is pinned; MAX_NUMBER if it is not.

    A pin holds nothing once the file has grown by more than the retention's bytes since.
    """
    stored = _stored_pins(txn)
    if not stored:
        return MAX_NUMBER
    most = garbage_bytes() - retention.max_bytes
    oldest = Pins([each.pin for each in stored if each.garbage_bytes >= most], clock()).oldest
    return MAX_NUMBER if oldest is None else oldest


class _LmdbCommit(Struct, frozen=True, gc=False):
    """What trimming needs to know of a commit, or of an aborted transaction (which has no log)."""

    time: float
    transaction_id: bytes
    kept_bytes: int
    log_keys: bytes
    """A msgpack array; decoded only when the commit is trimmed."""

    @classmethod
    def unpack(cls, stored: bytes) -> Self:
        commit_time, transaction_id, kept_bytes = _COMMIT.unpack_from(stored)
        return cls(commit_time, transaction_id, kept_bytes, stored[_COMMIT.size :])


_COMMIT = struct.Struct(">d16sQ")
_encode_log_keys = msgspec.msgpack.Encoder().encode
_decode_log_keys = msgspec.msgpack.Decoder(list[bytes]).decode


def _remember(
    txn: LmdbTransaction, state: State, transaction_id: bytes, version: Version, kept_bytes: int, log_keys: list[bytes]
) -> State:
    txn.put(commit_key(version), _COMMIT.pack(clock(), transaction_id, kept_bytes) + _encode_log_keys(log_keys))
    return replace(state, version=version, kept_bytes=state.kept_bytes + kept_bytes)


def trim(
    txn: LmdbTransaction, state: State, limit: int, garbage_bytes: Callable[[], int], trimming: Trimming
) -> tuple[State, int]:
    """Forget up to `limit` commits that are older than the retention and not pinned, or exceed its bytes, oldest first.

    Args:
        garbage_bytes: of the file, as it is then (see Environment.garbage_bytes).
        trimming: takes note of what is the oldest commit then.
    """
    horizon = clock() - state.retention.seconds
    max_bytes = state.retention.max_bytes
    pinned: Version | None = None
    count = 0
    with txn.cursor() as cursor:
        while count < limit and cursor.set_range(COMMITS_HEADER) and cursor.key().startswith(COMMITS_HEADER):
            version = int.from_bytes(cursor.key()[len(COMMITS_HEADER) :], "big")
            try:
                commit = _LmdbCommit.unpack(cursor.value())
                if state.kept_bytes <= max_bytes:
                    if commit.time > horizon:
                        trimming.note(state, commit.time)
                        break
                    if pinned is None:
                        pinned = _oldest_pin(txn, state.retention, garbage_bytes)
                    if version > pinned:
                        break
                cursor.delete()
                txn.delete(transaction_key(commit.transaction_id))
                _forget(txn, version, _decode_log_keys(commit.log_keys))
            except UNDECODABLE as error:
                raise damaged(f"what commit {version} has changed", error) from error
            state = replace(state, floor=version, kept_bytes=max(0, state.kept_bytes - commit.kept_bytes))
            count += 1
    return state, count


def history(txn: LmdbTransaction, recent: int) -> tuple[float | None, list[RecentCommit]]:
    """The age of the oldest commit of the history, None without one; and the newest commits, newest first.

    At least one of these is told of, if there is one.
    """
    now = clock()
    oldest_s, found = None, []
    with txn.cursor() as cursor:
        if cursor.set_range(COMMITS_HEADER) and cursor.key().startswith(COMMITS_HEADER):
            oldest_s = now - _LmdbCommit.unpack(cursor.value()).time
        if cursor.set_range(BEYOND_COMMITS) or cursor.last():
            items = cursor.iterprev()
            if cursor.key() >= BEYOND_COMMITS:
                next(items)
            room = MAX_TOLD_ROWS
            for stored, value in islice(items, max(recent, 1)):
                if room <= 0 or not stored.startswith(COMMITS_HEADER):
                    break
                commit = _LmdbCommit.unpack(value)
                logged = _decode_log_keys(commit.log_keys) if recent else ()
                rows = [_logged_row(txn, key) for key in logged if is_of_rows(key)]
                room -= len(rows)
                version = int.from_bytes(stored[len(COMMITS_HEADER) :], "big")
                found.append(RecentCommit(version, now - commit.time, rows))
    return oldest_s, found


def _logged_row(txn: LmdbTransaction, stored: bytes) -> tuple[int, bytes]:
    """The table and the row key that a key of a log stands for."""
    return table_of_log_key(stored), ordered.whole_key(txn, LOG_HEADER_BYTES, stored)


def _forget(txn: LmdbTransaction, version: Version, log_keys: list[bytes]) -> None:
    """Remove a commit from the log, except where a later one has overwritten its place."""
    for stored in log_keys:
        value = txn.get(stored)
        if value is not None and unpack_versions(value[-16:])[1] == version:
            txn.delete(stored)
    for table_id in {table_of_log_key(stored) for stored in log_keys}:
        if txn.get(table_key(table_id)) is not None:  # otherwise the table was dropped
            replace(TableState.read(txn, table_id), floor=version).write(txn, table_id)
