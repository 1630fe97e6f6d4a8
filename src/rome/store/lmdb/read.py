"""Answer requests as of the version that a transaction sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from rome.errors import CorruptRecordError
from rome.store.lmdb import ordered
from rome.store.lmdb.damage import REMEDY
from rome.store.lmdb.ordered import CUT, LmdbTransaction
from rome.store.lmdb.pin import Pin, UnreadKeys
from rome.store.lmdb.state import TableState, entries_header, rows_header
from rome.store.row_block import MANY, Entries, KeysOf, RowBlock, record_bytes
from rome.store.spi import (
    NOTHING_FOUND,
    ORDER_INDEX,
    UNCHANGED,
    Answer,
    Count,
    Get,
    Request,
    Row,
    Scan,
    ScanResult,
    Snapshot,
)

SCAN_ROWS: Final = 10_000
SCAN_BYTES: Final = 4 * 1024 * 1024
"""The scans of one call stop after this many rows, or bytes of records, so that a call needs bounded memory."""
_number: Final = int.from_bytes


def answer(pin: Pin, snapshot: Snapshot, requests: Sequence[Request]) -> list[Answer]:
    """The answers as of the snapshot, which is the pin's.

    Raises:
        CorruptRecordError: an index names a row that does not exist.
    """
    txn = pin.txn
    assert txn is not None
    rows_left, bytes_left = SCAN_ROWS, SCAN_BYTES
    answers: list[Answer] = []
    for request in requests:
        if type(request) is Get:
            answers.append(_get(txn, request))
        elif type(request) is Scan:
            if request.known is not None and _is_unchanged(txn, snapshot, request.table_id, request.known):
                answers.append(UNCHANGED)
                continue
            found = _scan(pin, txn, request, rows_left, bytes_left)
            if found.rows:
                rows_left -= len(found.rows)
                bytes_left -= record_bytes(found.rows)
            answers.append(found)
        elif type(request) is Count:
            header = _header(request.table_id, request.index_id)
            answers.append(ordered.count(txn, header, request.start, request.stop))
    return answers


def _get(txn: LmdbTransaction, request: Get) -> list[Row | None]:
    header, get = rows_header(request.table_id), txn.get
    found: list[Row | None] = []
    for key in request.keys:
        value = get(header + key) if len(key) <= CUT else ordered.get(txn, header, key)
        found.append(None if value is None else Row(key, _number(value[:8], "big"), value[8:]))
    return found


def _is_unchanged(txn: LmdbTransaction, snapshot: Snapshot, table_id: int, known: Snapshot) -> bool:
    """Whether a table is the same in both snapshots. The transaction does not see commits after its own snapshot."""
    if known.incarnation != snapshot.incarnation or known.version > snapshot.version:
        return False
    return TableState.read(txn, table_id).changed <= known.version


def row_key_of(entry: bytes, value: bytes) -> bytes:
    """The row key that ends an index entry."""
    return entry[-int.from_bytes(value, "big") :]


def missing_row(table_id: int, index_id: int, key: bytes) -> CorruptRecordError:
    """The error for an index entry whose row does not exist."""
    return CorruptRecordError.of_missing_row(table_id, index_id, key, remedy=REMEDY)


def _header(table_id: int, index_id: int) -> bytes:
    """The header of an index's map; the order index is the rows themselves."""
    return rows_header(table_id) if index_id == ORDER_INDEX else entries_header(table_id, index_id)


def _scan(pin: Pin, txn: LmdbTransaction, scan: Scan, rows_left: int, bytes_left: int) -> ScanResult:
    limit = rows_left if scan.limit is None else min(scan.limit, rows_left)
    if not scan.reverse and limit > 0 and bytes_left > 0 and len(scan.start) <= CUT and len(scan.stop) <= CUT:
        with suppress(ordered.LongKeyError):
            if scan.index_id == ORDER_INDEX:
                return _scan_rows(pin, txn, scan, limit, bytes_left)
            return _scan_entries(txn, scan, limit, bytes_left)
    header, rows_at = _header(scan.table_id, scan.index_id), rows_header(scan.table_id)
    rows: list[Row] = []
    room = bytes_left
    for entry, value in ordered.between(txn, header, scan.start, scan.stop, reverse=scan.reverse):
        if len(rows) == limit or room <= 0:
            return ScanResult(rows, entry + b"\x00" if scan.reverse else entry)
        if scan.index_id == ORDER_INDEX:
            key, record = entry, value
        else:
            key = row_key_of(entry, value)
            found = ordered.get(txn, rows_at, key)
            if found is None:
                raise missing_row(scan.table_id, scan.index_id, key)
            record = found
        rows.append(Row(key, _number(record[:8], "big"), record[8:]))
        room -= len(record)
    return ScanResult(rows, None) if rows else NOTHING_FOUND


def _scan_entries(txn: LmdbTransaction, scan: Scan, limit: int, room: int) -> ScanResult:
    """Scan upwards through an index, between bounds that need no cut.

    Raises:
        LongKeyError: a key has been cut.
    """
    header = entries_header(scan.table_id, scan.index_id)
    cursor = txn.cursor()
    if not cursor.set_range(header + scan.start):
        return NOTHING_FOUND
    stop, skip = header + scan.stop, len(header)
    cut, get, rows_at = skip + CUT, txn.get, rows_header(scan.table_id)
    rows: list[Row] = []
    for stored, value in cursor.iternext():
        if stored >= stop:
            break
        if len(stored) > cut:
            raise ordered.LongKeyError
        if len(rows) == limit or room <= 0:
            return ScanResult(rows, stored[skip:])
        key = stored[-_number(value, "big") :]
        record = get(rows_at + key)
        if record is None:
            raise missing_row(scan.table_id, scan.index_id, key)
        rows.append(Row(key, _number(record[:8], "big"), record[8:]))
        room -= len(record)
    return ScanResult(rows, None) if rows else NOTHING_FOUND


def _scan_rows(pin: Pin, txn: LmdbTransaction, scan: Scan, limit: int, room: int) -> ScanResult:
    """Scan upwards through the rows themselves; may take 256 rows more than there is room for.

    Raises:
        LongKeyError: a key has been cut.

    Cost: 0.12 µs for each row; 0.6 if there are few.
    """
    header = rows_header(scan.table_id)
    cursor = txn.cursor()
    if not cursor.set_range(header + scan.start):
        return NOTHING_FOUND
    stop, skip, few = header + scan.stop, len(header), min(limit, MANY)
    cut = skip + CUT
    keys: list[bytes] = []
    values: list[bytes] = []
    for stored, value in cursor.iternext():
        if stored >= stop:
            return _few(keys, values, None)
        if len(stored) > cut:
            raise ordered.LongKeyError
        if len(keys) == few or room <= 0:
            break
        keys.append(stored[skip:])
        values.append(value)
        room -= len(value)
    else:
        return _few(keys, values, None)
    if len(keys) == limit or room <= 0:
        return _few(keys, values, stored[skip:])
    more = ordered.values_from(txn, cursor, stop, cut, limit - len(keys), room)
    resume = None if more.left is None else more.left[skip:]
    unread = UnreadKeys(pin, stored, len(more.found), skip)
    parts: list[tuple[Entries, KeysOf]] = [(keys, list), (unread, UnreadKeys.read)]
    return ScanResult(RowBlock(parts, values + more.found, sum(map(len, values)) + more.size), resume)


def _few(keys: list[bytes], values: list[bytes], resume: bytes | None) -> ScanResult:
    if not keys and resume is None:
        return NOTHING_FOUND
    found = zip(keys, values, strict=True)
    return ScanResult([Row(key, _number(value[:8], "big"), value[8:]) for key, value in found], resume)
