"""Answers requests as of the version that a transaction sees."""

from __future__ import annotations

from typing import Final

from rome.errors import CorruptRecordError
from rome.store.lmdb import ordered
from rome.store.lmdb.ordered import Transaction
from rome.store.lmdb.state import entries_header, rows_header
from rome.store.spi import ORDER_INDEX, Answer, Count, Get, Request, Row, Scan, ScanResult

SCAN_ROWS: Final = 10_000
SCAN_BYTES: Final = 4 * 1024 * 1024
"""A scan stops after this many rows, or bytes of records, so that no call needs unbounded memory."""


def answer(txn: Transaction, request: Request) -> Answer:
    """Raises CorruptRecordError when an index names a row that is not there."""
    match request:
        case Get():
            header = rows_header(request.table_id)
            return [row_of(key, ordered.get(txn, header, key)) for key in request.keys]
        case Scan():
            return _scan(txn, request)
        case Count():
            header = _header(request.table_id, request.index_id)
            return sum(1 for _ in ordered.between(txn, header, request.start, request.stop))


def row_of(key: bytes, value: bytes | None) -> Row | None:
    return None if value is None else Row(key, int.from_bytes(value[:8], "big"), value[8:])


def row_key_of(entry: bytes, value: bytes) -> bytes:
    """The row key that ends an index entry."""
    return entry[-int.from_bytes(value, "big") :]


def _header(table_id: int, index_id: int) -> bytes:
    """The order index is the rows themselves."""
    return rows_header(table_id) if index_id == ORDER_INDEX else entries_header(table_id, index_id)


def _scan(txn: Transaction, scan: Scan) -> ScanResult:
    header, rows_at = _header(scan.table_id, scan.index_id), rows_header(scan.table_id)
    limit = SCAN_ROWS if scan.limit is None else min(scan.limit, SCAN_ROWS)
    rows: list[Row] = []
    room = SCAN_BYTES
    for entry, value in ordered.between(txn, header, scan.start, scan.stop, reverse=scan.reverse):
        if len(rows) == limit or room <= 0:
            return ScanResult(rows, entry + b"\x00" if scan.reverse else entry)
        if scan.index_id == ORDER_INDEX:
            row = row_of(entry, value)
        else:
            key = row_key_of(entry, value)
            row = row_of(key, ordered.get(txn, rows_at, key))
        if row is None:
            raise CorruptRecordError(
                f"table {scan.table_id}: index {scan.index_id} names row {key.hex()}, which is not there",
                table=scan.table_id,
                key=key,
            )
        rows.append(row)
        room -= len(row.record)
    return ScanResult(rows, None)
