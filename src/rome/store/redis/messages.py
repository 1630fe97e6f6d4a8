"""The scripts' arguments and answers, in the forms that the scripts' headers describe."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from rome.errors import CorruptRecordError
from rome.store.redis.names import escape, unescape
from rome.store.row_block import MANY, STAMP_BYTES, RowBlock
from rome.store.spi import (
    BEYOND,
    NOTHING_FOUND,
    UNCHANGED,
    Answer,
    Claim,
    CommitRequest,
    Count,
    Get,
    Request,
    Reserve,
    Row,
    Scan,
    ScanResult,
    Version,
)

MAX_SHORT_RANGES, SHORT_ROWS = 8, 127
"""Up to so many ranges, each of up to so many rows, are read without what a long range takes."""
_SHORT_SIZE = b"%d" % (SHORT_ROWS + 1)

_LENGTH_BYTES = 4
_MOST_BYTES = 1000
"""Lua's stack takes some thousands of numbers at once."""
_UNCHANGED = -1
_SHORT_HEAD = 4
"""What is in front of the ranges in short.lua's reply: so many elements."""

_pack = msgspec.msgpack.Encoder().encode
_length = struct.Struct(">I")
_pack_length, _unpack_length = _length.pack, _length.unpack_from
_stamp = struct.Struct(">Q")
_pack_stamp, _unpack_stamp = _stamp.pack, _stamp.unpack_from
"""A version as stored: 8 bytes, the highest first, so that they order as versions do."""
_first = itemgetter(0)
_decimal: Callable[[int], bytes] = b"%d".__mod__
_NOTHING: dict[bytes, Any] = {}


def decode_rows_by_key(get: Get, stored_rows: Sequence[Any]) -> list[Row | None]:
    """Rows from their stored form: the version's stamp, then the record; None where nothing is stored.

    Raises:
        CorruptRecordError: one is too short.
    """
    rows: list[Row | None] = []
    for key, stored in zip(get.keys, stored_rows, strict=True):
        if stored is None:
            rows.append(None)
        elif len(stored) < STAMP_BYTES:
            raise _too_short(get.table_id, key)
        else:
            rows.append(Row(key, _unpack_stamp(stored)[0], stored[STAMP_BYTES:]))
    return rows


def _too_short(table_id: int, key: bytes) -> CorruptRecordError:
    return CorruptRecordError(f"table {table_id}, row {key.hex()}: no version", table=table_id, key=key)


def request_arguments(requests: Sequence[Request], limits: tuple[int, int]) -> list[bytes]:
    """The arguments of read.lua from ARGV[3] on.

    Args:
        limits: after how many rows, or bytes of these, it stops.
    """
    shapes: list[list[Any]] = []
    arguments: list[bytes] = []
    for request in requests:
        if isinstance(request, Get):
            shapes.append(["get", request.table_id, len(request.keys)])
            arguments += map(escape, request.keys)
            continue
        if isinstance(request, Count):
            shapes.append(["count", request.table_id, request.index_id])
        elif request.known is not None:
            shape = _scan_shape(request.table_id, request.index_id, request.limit, reverse=request.reverse)
            shapes.append(["unless known", *shape[1:], request.known.version])
            arguments.append(request.known.incarnation)
        else:
            _add_scan(shapes, _scan_shape(request.table_id, request.index_id, request.limit, reverse=request.reverse))
        arguments += (b"[" + escape(request.start), b"(" + escape(request.stop))
    tables = list(dict.fromkeys(request.table_id for request in requests))
    return [_pack((tables, shapes, *limits)), b"", *arguments]


def short_ranges(requests: Sequence[Request]) -> tuple[tuple[tuple[int, int, int | None], ...], list[bytes]] | None:
    """The ranges {table, index, limit}, and their bounds, if short.lua may try; otherwise None."""
    if not 0 < len(requests) <= MAX_SHORT_RANGES:
        return None
    ranges: list[tuple[int, int, int | None]] = []
    bounds: list[bytes] = []
    for request in requests:
        if not isinstance(request, Scan) or request.reverse or request.known is not None:
            return None
        ranges.append((request.table_id, request.index_id, request.limit))
        bounds.append(b"[" + escape(request.start))
        bounds.append(b"(" + escape(request.stop))
    return tuple(ranges), bounds


def short_arguments(
    ranges: tuple[tuple[int, int, int | None], ...], limits: tuple[int, int]
) -> tuple[list[bytes], list[bytes]]:
    """The arguments of read.lua from ARGV[3] on for such ranges: those before their bounds, and those after these."""
    shapes: list[list[Any]] = []
    for each in ranges:
        _add_scan(shapes, _scan_shape(*each, reverse=False))
    names = [
        *(b"e%d.%d" % (table_id, index_id) for table_id, index_id, _ in ranges),
        *(b"r%d" % table_id for table_id, _, _ in ranges),
        *(_SHORT_SIZE if limit is None or limit >= SHORT_ROWS else b"%d" % (limit + 1) for _, _, limit in ranges),
    ]
    tables = list(dict.fromkeys(map(_first, ranges)))
    return [_pack((tables, shapes, *limits)), b"%d" % limits[1]], names


def _scan_shape(table_id: int, index_id: int, limit: int | None, *, reverse: bool) -> list[Any]:
    # cmsgpack has no infinity; no index has more entries than this.
    return ["scans", table_id, index_id, 2**53 if limit is None else limit, reverse]


def _add_scan(shapes: list[list[Any]], shape: list[Any]) -> None:
    """Add a scan of this shape, or count it with the one before."""
    if shapes and shapes[-1][:-1] == shape:
        shapes[-1][-1] += 1
    else:
        shapes.append([*shape, 1])


def decode_answers(
    requests: Sequence[Request], answers: Sequence[Any], entries: Sequence[bytes], rows: Sequence[bytes | None]
) -> list[Answer]:
    """The answers of read.lua.

    Args:
        entries, rows: of all scans that found only a few rows, one scan after the other.

    Raises:
        CorruptRecordError: an index leads to a row that does not exist, or a stored row cannot be decoded.
    """
    if len(entries) != len(rows):
        raise ValueError(f"{len(entries)} entries of {len(rows)} rows")
    position = 0
    decoded: list[Answer] = []
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(request, Scan):
            if isinstance(answer, list):
                decoded.append(_decode_scan(request, answer))
            elif not answer:
                decoded.append(NOTHING_FOUND)
            elif answer == _UNCHANGED:
                decoded.append(UNCHANGED)
            else:
                first, position = position, position + answer
                keys = _escaped_keys(entries[first:position])
                decoded.append(ScanResult(_decode_rows(request, keys, rows[first:position]), None))
        elif isinstance(request, Get):
            decoded.append(decode_rows_by_key(request, answer))
        else:
            decoded.append(int(answer))
    return decoded


def decode_short(scans: Sequence[Scan], reply: Sequence[Any]) -> list[Answer]:
    """The answers of short.lua.

    Raises:
        CorruptRecordError: an index leads to a row that does not exist, or a stored row cannot be decoded.
    """
    decoded: list[Answer] = []
    position = _SHORT_HEAD
    for scan in scans:
        found = reply[position]
        position += 1
        if found:
            middle, end = position + found, position + 2 * found
            decoded.append(ScanResult(_decode_rows(scan, reply[position:middle], reply[middle:end]), None))
            position = end
        else:
            decoded.append(NOTHING_FOUND)
    if position != len(reply):
        raise ValueError(f"{len(reply)} elements instead of {position}")
    return decoded


def _decode_scan(scan: Scan, answer: list[Any]) -> ScanResult:
    more, unordered, covered, *chunks = answer
    found: list[tuple[bytes, bytes | None]] = []
    for entries, rows in zip(chunks[::2], chunks[1::2], strict=True):
        found += zip(entries, rows, strict=True)
    if unordered:
        # Entries are escaped here and in `covered`; the server has appended the length of the row key.
        found.sort(key=lambda each: each[0][:-_LENGTH_BYTES], reverse=scan.reverse)
    last: bytes | None = covered[:-_LENGTH_BYTES] if more else None
    if scan.limit is not None and len(found) > scan.limit:
        del found[scan.limit :]
        last = found[-1][0][:-_LENGTH_BYTES] if found else b""
    resume = _resume(scan, last)
    if len(found) >= MANY:
        stored = [value for _, value in found if value is not None]
        if len(stored) == len(found) and min(map(len, stored)) >= STAMP_BYTES:
            return ScanResult(RowBlock([(list(map(_first, found)), _row_keys)], stored), resume)
    keys = _escaped_keys([entry for entry, _ in found])
    return ScanResult(_decode_rows(scan, keys, [stored for _, stored in found]), resume)


def _escaped_keys(entries: Sequence[bytes]) -> list[bytes]:
    """The row keys that end entries."""
    return [
        entry[-_LENGTH_BYTES - _unpack_length(entry, len(entry) - _LENGTH_BYTES)[0] : -_LENGTH_BYTES]
        for entry in entries
    ]


def _row_keys(entries: Sequence[bytes]) -> list[bytes]:
    return list(map(unescape, _escaped_keys(entries)))


def _decode_rows(scan: Scan, keys: Sequence[bytes], stored_rows: Sequence[bytes | None]) -> list[Row]:
    """The rows of a scan, from their keys, escaped, and what is stored under these."""
    rows: list[Row] = []
    for escaped, stored in zip(keys, stored_rows, strict=True):
        key = unescape(escaped)
        if stored is None:
            raise CorruptRecordError.of_missing_row(scan.table_id, scan.index_id, key)
        if len(stored) < STAMP_BYTES:
            raise _too_short(scan.table_id, key)
        rows.append(Row(key, _unpack_stamp(stored)[0], stored[STAMP_BYTES:]))
    return rows


def _resume(scan: Scan, last: bytes | None) -> bytes | None:
    """Where to continue after the entry `last`; None if the range is exhausted. If `last` is empty, none was read."""
    if last is None:
        return None
    if not last:
        return scan.stop if scan.reverse else scan.start
    return unescape(last) if scan.reverse else unescape(last) + BEYOND


def reserve_arguments(reserves: Iterable[Reserve]) -> list[str]:
    """The arguments of reserve.lua."""
    return [
        str(number)
        for each in reserves
        for first, stop in [each.again or (1, 1)]
        for number in (each.sequence, each.size, max(0, each.above), stop - 1, max(0, each.size - (stop - first)))
    ]


def commit_arguments(request: CommitRequest) -> tuple[list[bytes], bool]:
    """What commit.lua takes from ARGV[6] on; and whether the commit only deletes.

    One that only deletes makes the data smaller, so that it must work when memory is short.
    """
    shape: list[int] = [0] * 7
    arguments: list[bytes] = [b""]
    ranges: dict[tuple[int, int, Version, bool], list[bytes]] = {}
    range_tables: dict[int, int] = {}
    for (table_id, index_id, rows), checked in request.ranges.items():
        if table_id not in range_tables:
            range_tables[table_id] = len(range_tables) + 1
            arguments += (b"t%d" % table_id, b"f%d" % table_id)
        for (start, stop), version in checked.items():
            place = (table_id, index_id, version, rows)
            bounds = ranges.get(place)
            if bounds is None:
                bounds = ranges[place] = []
            bounds += (escape(start), escape(stop))
    tables: dict[int, int] = {}
    only_deletes = not (request.sequences or request.settings)
    for table_id in (*request.points, *request.rows, *map(_first, request.entries)):
        if table_id not in tables:
            tables[table_id] = len(tables) + 1
            if _add_rows(shape, arguments, table_id, request):
                only_deletes = False
    for (table_id, index_id, version, rows), bounds in ranges.items():
        later = version - request.snapshot.version
        shape += (range_tables[table_id], table_id, index_id, later, rows, len(bounds) // 2)
        arguments += bounds
    indexes = 0
    for (table_id, index_id), changed in request.entries.items():
        if changed:
            indexes += 1
            shape.append(tables[table_id])
            arguments += _index_head(table_id, index_id)
            if _add_entries(shape, arguments, changed):
                only_deletes = False
    for drop in request.drops:
        shape += (drop.table_id, 0 if drop.index_id is None else 1 + drop.index_id)
    raised = [sequence for sequence, value in request.sequences.items() if value > 0]
    if raised:
        arguments += map(_decimal, raised)
        arguments += [b"%d" % request.sequences[sequence] for sequence in raised]
    for sequence, value in request.settings.items():
        arguments += (b"%d" % sequence, b"%d" % value)
    shape[:7] = (
        len(range_tables), len(tables), len(ranges), indexes, len(request.drops), len(raised), len(request.settings)
    )  # fmt: skip
    arguments[0] = _pack_shape(shape)
    return arguments, only_deletes


def _pack_shape(shape: list[int]) -> bytes:
    """Whole numbers for the script, in as few bytes as they need."""
    if len(shape) <= _MOST_BYTES and max(shape) < 256:
        return b"1" + bytes(shape)
    return b"4" + struct.pack(f">{len(shape)}I", *shape)


@lru_cache(maxsize=1024)
def _table_head(table_id: int) -> tuple[bytes, bytes]:
    """What begins a table in a commit: its id as the names of its keys have it, and as the trim queue has it."""
    return b"%d" % table_id, _pack(table_id)


@lru_cache(maxsize=4096)
def _index_head(table_id: int, index_id: int) -> tuple[bytes, bytes]:
    """What begins an index in a commit."""
    return b"%d.%d" % (table_id, index_id), _pack(index_id)


def _add_rows(shape: list[int], arguments: list[bytes], table_id: int, request: CommitRequest) -> bool:
    """Add what was read and is written by key in a table; says whether anything is put there."""
    points = request.points.get(table_id, _NOTHING)
    written = request.rows.get(table_id, _NOTHING)
    keys: list[bytes] = []
    records: list[bytes] = []
    deleted: list[bytes] = []
    for key, record in written.items():
        if record is None:
            deleted.append(key)
        else:
            keys.append(key)
            records.append(record)
    keys += deleted
    if not points.keys() <= written.keys():
        keys += [key for key in points if key not in written]
    shape += (len(records), len(deleted), len(keys) - len(written))
    arguments += _table_head(table_id)
    arguments += map(escape, keys)
    for key in keys:
        version = points.get(key)
        arguments.append(_pack_stamp(version) if version else b"*" if version is None else b"")
    arguments += records
    return bool(records)


def _add_entries(shape: list[int], arguments: list[bytes], changed: Mapping[tuple[bytes, bytes], bool]) -> bool:
    """Add what is changed of an index; says whether any entry is added."""
    removed: list[bytes] = []
    added: list[bytes] = []
    for (index_key, row_key), present in changed.items():
        row_key = escape(row_key)
        entry = escape(index_key) + row_key + _pack_length(len(row_key))
        (added if present else removed).append(entry)
    shape += (len(removed), len(added))
    arguments += removed
    arguments += added
    return bool(added)


def claim_argument(claim: Claim) -> bytes:
    """A claim as an argument of the queue's script."""
    return b"%d:" % claim.table_id + escape(claim.key or b"")
