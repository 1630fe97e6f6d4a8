"""Answer requests as of the version that a transaction sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Final

from rome.errors import CorruptRecordError
from rome.store.lmdb import ordered
from rome.store.lmdb.damage import REMEDY
from rome.store.lmdb.ordered import LmdbTransaction
from rome.store.lmdb.state import TableState, entries_header, rows_header
from rome.store.row_block import MANY, KeysOf, RowBlock, record_bytes
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


def answer(txn: LmdbTransaction, snapshot: Snapshot, requests: Sequence[Request]) -> list[Answer]:
    """The answers as of the snapshot, which is the transaction's.

    Raises:
        CorruptRecordError: an index names a row that does not exist.
    """
    rows_left, bytes_left = SCAN_ROWS, SCAN_BYTES
    answers: list[Answer] = []
    for request in requests:
        match request:
            case Get():
                header = rows_header(request.table_id)
                answers.append([row_of(key, ordered.get(txn, header, key)) for key in request.keys])
            case Scan() if request.known is not None and _is_unchanged(txn, snapshot, request.table_id, request.known):
                answers.append(UNCHANGED)
            case Scan():
                found = _scan(txn, request, rows_left, bytes_left)
                rows_left -= len(found.rows)
                bytes_left -= record_bytes(found.rows)
                answers.append(found)
            case Count():
                header = _header(request.table_id, request.index_id)
                answers.append(ordered.count(txn, header, request.start, request.stop))
    return answers


def _is_unchanged(txn: LmdbTransaction, snapshot: Snapshot, table_id: int, known: Snapshot) -> bool:
    """Whether a table is the same in both snapshots. The transaction does not see commits after its own snapshot."""
    if known.incarnation != snapshot.incarnation or known.version > snapshot.version:
        return False
    return TableState.read(txn, table_id).changed <= known.version


def row_of(key: bytes, value: bytes | None) -> Row | None:
    """The row from its stored value; None if there is none."""
    return None if value is None else Row(key, int.from_bytes(value[:8], "big"), value[8:])


def row_key_of(entry: bytes, value: bytes) -> bytes:
    """The row key that ends an index entry."""
    return entry[-int.from_bytes(value, "big") :]


def missing_row(table_id: int, index_id: int, key: bytes) -> CorruptRecordError:
    """The error for an index entry whose row does not exist."""
    return CorruptRecordError.of_missing_row(table_id, index_id, key, remedy=REMEDY)


def _header(table_id: int, index_id: int) -> bytes:
    """The header of an index's map; the order index is the rows themselves."""
    return rows_header(table_id) if index_id == ORDER_INDEX else entries_header(table_id, index_id)


def _scan(txn: LmdbTransaction, scan: Scan, rows_left: int, bytes_left: int) -> ScanResult:
    header, rows_at = _header(scan.table_id, scan.index_id), rows_header(scan.table_id)
    limit = rows_left if scan.limit is None else min(scan.limit, rows_left)
    if scan.index_id == ORDER_INDEX and not scan.reverse:
        with suppress(ordered.LongKeyError):
            return _scan_rows(txn, header, scan, limit, bytes_left)
    rows: list[Row] = []
    room = bytes_left
    for entry, value in ordered.between(txn, header, scan.start, scan.stop, reverse=scan.reverse):
        if len(rows) == limit or room <= 0:
            return ScanResult(rows, entry + b"\x00" if scan.reverse else entry)
        if scan.index_id == ORDER_INDEX:
            row = row_of(entry, value)
        else:
            key = row_key_of(entry, value)
            row = row_of(key, ordered.get(txn, rows_at, key))
        if row is None:
            raise missing_row(scan.table_id, scan.index_id, key)
        rows.append(row)
        room -= len(row.record)
    return ScanResult(rows, None) if rows else NOTHING_FOUND


def _scan_rows(txn: LmdbTransaction, header: bytes, scan: Scan, limit: int, room: int) -> ScanResult:
    """Scan upwards through the rows themselves; may take 256 rows more than there is room for.

    Raises:
        LongKeyError: a key has been cut.

    Cost: 0.25 µs for each row; 0.6 if there are few.
    """
    entries: list[bytes] = []
    values: list[bytes] = []
    skip, size = len(header), 0
    resume: bytes | None = None
    for found, stored in ordered.blocks(txn, header, scan.start, scan.stop):
        more = limit - len(entries) if size < room else 0
        if more < len(found):
            resume = found[more][skip:]
            found, stored = found[:more], stored[:more]
        entries += found
        values += stored
        size += sum(map(len, stored))
        if resume is not None:
            break
    if not entries and resume is None:
        return NOTHING_FOUND
    if len(entries) < MANY:
        number, pairs = int.from_bytes, zip(entries, values, strict=True)
        return ScanResult([Row(key[skip:], number(value[:8]), value[8:]) for key, value in pairs], resume)
    return ScanResult(RowBlock([(entries, _keys_behind(skip))], values, size), resume)


@cache
def _keys_behind(skip: int) -> KeysOf:
    """What makes keys in the file to keys of rows: the rest behind a header of so many bytes."""
    return lambda entries: [entry[skip:] for entry in entries]
