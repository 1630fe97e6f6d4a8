"""What goes into the scripts and comes out of them, in the shapes that their headers give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import msgspec

from rome.errors import CorruptRecordError
from rome.store.redis.names import escape, unescape
from rome.store.spi import (
    BEYOND,
    NOTHING_FOUND,
    UNCHANGED,
    Answer,
    Claim,
    CommitRequest,
    Count,
    EntryWrite,
    Get,
    Request,
    Reserve,
    Row,
    Scan,
    ScanResult,
    Version,
)

STAMP_BYTES = 8
_LENGTH_BYTES = 4
_UNCHANGED = -1

_pack = msgspec.msgpack.Encoder().encode


def stamp(version: Version) -> bytes:
    """A version as stored: 8 bytes, the highest first, so that they order as versions do."""
    return version.to_bytes(STAMP_BYTES, "big")


def decode_row(table_id: int, key: bytes, stored: bytes) -> Row:
    """A row as stored: its version's stamp, then the record.

    Raises:
        CorruptRecordError: it is too short to be one.
    """
    if len(stored) < STAMP_BYTES:
        raise CorruptRecordError(f"table {table_id}, row {key.hex()}: no version", table=table_id, key=key)
    return Row(key, int.from_bytes(stored[:STAMP_BYTES], "big"), stored[STAMP_BYTES:])


def request_arguments(requests: Sequence[Request]) -> list[bytes]:
    """What read.lua takes from ARGV[5] on."""
    shapes: list[list[Any]] = []
    arguments: list[bytes] = []
    for request in requests:
        if isinstance(request, Get):
            shapes.append(["get", request.table_id, len(request.keys)])
            arguments += map(escape, request.keys)
            continue
        if isinstance(request, Count):
            shapes.append(["count", request.table_id, request.index_id])
        else:
            # cmsgpack knows no infinity; no index has more entries than this.
            limit = 2**53 if request.limit is None else request.limit
            shape = ["scans", request.table_id, request.index_id, limit, request.reverse]
            if request.known is not None:
                shapes.append(["unless known", *shape[1:], request.known.version])
                arguments.append(request.known.incarnation)
            elif shapes and shapes[-1][:-1] == shape:
                shapes[-1][-1] += 1
            else:
                shapes.append([*shape, 1])
        arguments += (escape(request.start), escape(request.stop))
    return [_pack(([*{request.table_id for request in requests}], shapes)), *arguments]


def decode_answer(request: Request, answer: Any, found: Iterator[tuple[bytes, bytes | None]]) -> Answer:
    """One answer of read.lua.

    Args:
        found: entries and their rows, of which a scan that has no more than a few takes its own.

    Raises:
        CorruptRecordError: an index leads to a row that is not there, or a row is no row.
    """
    match request:
        case Get(table_id, keys):
            return [
                None if stored is None else decode_row(table_id, key, stored)
                for key, stored in zip(keys, answer, strict=True)
            ]
        case Scan():
            if isinstance(answer, list):
                return _decode_scan(request, answer)
            if not answer:
                return NOTHING_FOUND
            if answer == _UNCHANGED:
                return UNCHANGED
            return ScanResult([_row(request, _row_key(entry), stored) for entry, stored in islice(found, answer)], None)
        case Count():
            return int(answer)


def _decode_scan(scan: Scan, answer: list[Any]) -> ScanResult:
    more, unordered, covered, *chunks = answer
    found: list[tuple[bytes, bytes, bytes | None]] = []
    for entries, rows in zip(chunks[::2], chunks[1::2], strict=True):
        for entry, stored in zip(entries, rows, strict=True):
            found.append((entry[:-_LENGTH_BYTES], _row_key(entry), stored))
    if unordered:
        found.sort(reverse=scan.reverse)
    # Entries are escaped here and in `covered`; the server put their row key's length behind it.
    last: bytes | None = covered[:-_LENGTH_BYTES] if more else None
    if scan.limit is not None and len(found) > scan.limit:
        del found[scan.limit :]
        last = found[-1][0] if found else b""
    return ScanResult([_row(scan, key, stored) for _, key, stored in found], _resume(scan, last))


def _row_key(entry: bytes) -> bytes:
    """The row key in an entry, escaped as it is."""
    return entry[-_LENGTH_BYTES - int.from_bytes(entry[-_LENGTH_BYTES:], "big") : -_LENGTH_BYTES]


def _row(scan: Scan, escaped_key: bytes, stored: bytes | None) -> Row:
    key = unescape(escaped_key)
    if stored is None:
        raise CorruptRecordError(
            f"table {scan.table_id}: index {scan.index_id} names row {key.hex()}, which is not there",
            table=scan.table_id,
            key=key,
        )
    return decode_row(scan.table_id, key, stored)


def _resume(scan: Scan, last: bytes | None) -> bytes | None:
    """Where to go on after the entry `last`; None: the range is exhausted; empty: nothing was looked at."""
    if last is None:
        return None
    if not last:
        return scan.stop if scan.reverse else scan.start
    return unescape(last) if scan.reverse else unescape(last) + BEYOND


def reserve_arguments(reserves: Iterable[Reserve]) -> list[str]:
    """What reserve.lua takes."""
    return [str(number) for each in reserves for number in (each.sequence, each.size, max(0, each.above))]


def commit_arguments(request: CommitRequest) -> list[bytes]:
    """What commit.lua takes from ARGV[6] on."""
    points: dict[int, tuple[list[bytes], list[bytes]]] = {}
    for point in request.points:
        keys, stamps = points.get(point.table_id) or points.setdefault(point.table_id, ([], []))
        keys.append(escape(point.key))
        stamps.append(stamp(point.version) if point.version else b"")
    ranges: dict[tuple[int, int, Version, bool], list[bytes]] = {}
    for check in request.ranges:
        place = (check.table_id, check.index_id, check.version, check.rows)
        bounds = ranges.get(place) or ranges.setdefault(place, [])
        bounds += (escape(check.start), escape(check.stop))
    puts: dict[int, tuple[list[bytes], list[bytes]]] = {}
    deletes: dict[int, list[bytes]] = {}
    for row in request.rows:
        if row.record is None:
            deletes.setdefault(row.table_id, []).append(escape(row.key))
        else:
            keys, records = puts.get(row.table_id) or puts.setdefault(row.table_id, ([], []))
            keys.append(escape(row.key))
            records.append(row.record)
    entries: dict[tuple[int, int], tuple[list[bytes], list[bytes]]] = {}
    for write in request.entries:
        index = (write.table_id, write.index_id)
        removed, added = entries.get(index) or entries.setdefault(index, ([], []))
        (added if write.present else removed).append(_entry(write))
    shape = (
        [*{table_id for table_id, _, _, _ in ranges}],
        [(table_id, len(keys)) for table_id, (keys, _) in points.items()],
        [(*shape, len(bounds) // 2) for shape, bounds in ranges.items()],
        [(table_id, len(keys)) for table_id, (keys, _) in puts.items()],
        [(table_id, len(keys)) for table_id, keys in deletes.items()],
        [(*index, len(removed), len(added)) for index, (removed, added) in entries.items()],
        [(drop.table_id, -1 if drop.index_id is None else drop.index_id) for drop in request.drops],
        [str(part) for sequence in request.sequences.items() for part in sequence if sequence[1] > 0],
    )
    lists = [*chain(*points.values()), *ranges.values(), *chain(*puts.values()), *deletes.values()]
    return [_pack(shape), *chain(*lists, *chain(*entries.values()))]


def _entry(write: EntryWrite) -> bytes:
    row_key = escape(write.row_key)
    return escape(write.index_key) + row_key + len(row_key).to_bytes(_LENGTH_BYTES, "big")


def claim_argument(claim: Claim) -> bytes:
    """A claim as line.lua takes it."""
    return b"%d:" % claim.table_id + escape(claim.key or b"")


def only_deletes(request: CommitRequest) -> bool:
    """Whether a commit makes the data smaller, so that it must work when memory is short."""
    return not request.sequences and (
        all(row.record is None for row in request.rows) and not any(entry.present for entry in request.entries)
    )
