"""The scripts' arguments and answers, in the forms that the scripts' headers describe."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from rome.errors import CorruptRecordError
from rome.store.redis.names import ESCAPED_ZERO, ZERO, escape, unescape
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
)

MAX_SHORT_RANGES, SHORT_ROWS = 8, 127
"""Up to so many ranges, each of up to so many rows, are read without what a long range takes."""
_SHORT_SIZE = b"%d" % (SHORT_ROWS + 1)

_LENGTH_BYTES = 4
_COUNTS = 7
"""How many numbers say of how much commit.lua is told."""
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
    if len(get.keys) != len(stored_rows):
        raise ValueError(f"{len(stored_rows)} rows of {len(get.keys)} keys")
    for place, key in enumerate(get.keys):  # zip(strict=True) costs what a quarter of decoding one row does
        stored = stored_rows[place]
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
        start, stop = request.start, request.stop
        bounds += (b"[" + start.replace(ZERO, ESCAPED_ZERO), b"(" + stop.replace(ZERO, ESCAPED_ZERO))
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
        if not found:
            decoded.append(NOTHING_FOUND)
            continue
        rows: list[Row] = []
        for place in range(position, position + found):  # as _decode_rows, without the call
            key, stored = reply[place].replace(ESCAPED_ZERO, ZERO), reply[place + found]
            if stored is None:
                raise CorruptRecordError.of_missing_row(scan.table_id, scan.index_id, key)
            if len(stored) < STAMP_BYTES:
                raise _too_short(scan.table_id, key)
            rows.append(Row(key, _unpack_stamp(stored)[0], stored[STAMP_BYTES:]))
        decoded.append(ScanResult(rows, None))
        position += 2 * found
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
    if len(keys) != len(stored_rows):
        raise ValueError(f"{len(stored_rows)} rows of {len(keys)} keys")
    for place, escaped in enumerate(keys):
        key = escaped.replace(ESCAPED_ZERO, ZERO)
        stored = stored_rows[place]
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


def reserve_numbers(reserve: Reserve) -> tuple[int, int, int, int, int]:
    """The arguments of reserve.lua for a block."""
    size, above = reserve.size, reserve.above
    first, stop = reserve.again or (1, 1)
    return reserve.sequence, size, above if above > 0 else 0, stop - 1, max(0, size - (stop - first))


def commit_arguments(request: CommitRequest) -> tuple[list[bytes], bool]:
    """What commit.lua takes from ARGV[6] on; and whether the commit only deletes.

    One that only deletes makes the data smaller, so that it must work when memory is short.

    Cost: some 2,000 instructions for each argument. Nothing is called for each table or index, since a small commit may
    have a dozen of them, and a call of Python's costs as much as what is to be done there.
    """
    points, written, snapshot = request.points, request.rows, request.snapshot.version
    only_deletes = not (request.sequences or request.settings)
    arguments: list[bytes] = [b""]
    range_tables: dict[int, int] = {}
    ranges: list[int] = []
    bounds: list[bytes] = []
    for (table_id, index_id, rows), checked in request.ranges.items():
        of = range_tables.get(table_id)
        if of is None:
            of = range_tables[table_id] = len(range_tables) + 1
            arguments += _table_fields(table_id)
        since = None
        for (start, stop), version in checked.items():
            if version != since:  # most often there is one version, as of which all were read
                since = version
                ranges += (of, table_id, index_id, version - snapshot, rows, 0)
            ranges[-1] += 1
            bounds.append(start.replace(ZERO, ESCAPED_ZERO))
            bounds.append(stop.replace(ZERO, ESCAPED_ZERO))
    shape: list[int] = [0] * _COUNTS
    tables: dict[int, int] = {}
    for table_id in dict.fromkeys((*points, *written, *map(_first, request.entries))):
        tables[table_id] = len(tables) + 1
        read, changed = points.get(table_id, _NOTHING), written.get(table_id, _NOTHING)
        keys: list[bytes] = []
        stamps: list[bytes] = []
        records: list[bytes] = []
        deleted: list[bytes] = []
        unread = 0
        for key, record in changed.items():
            read_at = read.get(key)
            if read_at is None:
                unread += 1
            if record is None:
                deleted.append(key)
            else:
                keys.append(key.replace(ZERO, ESCAPED_ZERO))
                stamps.append(_pack_stamp(read_at) if read_at else b"*" if read_at is None else b"")
                records.append(record)
        if records:
            only_deletes = False
        others = len(read) + unread - len(changed)
        if deleted or others:
            if others:
                deleted += [key for key in read if key not in changed]
            for key in deleted:
                read_at = read.get(key)
                keys.append(key.replace(ZERO, ESCAPED_ZERO))
                stamps.append(_pack_stamp(read_at) if read_at else b"*" if read_at is None else b"")
        shape += (len(records), len(changed) - len(records), others)
        arguments += _table_head(table_id)
        arguments += keys
        arguments += stamps
        arguments += records
    shape += ranges
    arguments += bounds
    indexes = 0
    ends: dict[bytes, bytes] = {}
    for place, entries in request.entries.items():
        if entries:
            indexes += 1
            removed: list[bytes] = []
            added: list[bytes] = []
            for (index_key, row_key), present in entries.items():
                end = ends.get(row_key)  # a row is in each index of its table
                if end is None:
                    end = row_key.replace(ZERO, ESCAPED_ZERO)
                    end = ends[row_key] = end + _pack_length(len(end))
                (added if present else removed).append(index_key.replace(ZERO, ESCAPED_ZERO) + end)
            shape += (tables[place[0]], len(removed), len(added))
            arguments += _index_head(place)
            arguments += removed
            if added:
                only_deletes = False
                arguments += added
    for drop in request.drops:
        shape += (drop.table_id, 0 if drop.index_id is None else 1 + drop.index_id)
    raised: list[bytes] = []
    if request.sequences:
        values: list[bytes] = []
        for sequence, value in request.sequences.items():
            if value > 0:
                raised.append(b"%d" % sequence)
                values.append(b"%d" % value)
        arguments += raised
        arguments += values
    for sequence, value in request.settings.items():
        arguments += (b"%d" % sequence, b"%d" % value)
    drops, sequences = len(request.drops), len(raised)
    shape[:_COUNTS] = (
        len(range_tables), len(tables), len(ranges) // 6, indexes, drops, sequences, len(request.settings)
    )  # fmt: skip
    arguments[0] = _pack_shape(shape)
    return arguments, only_deletes


def _pack_shape(shape: list[int]) -> bytes:
    """Whole numbers for the script, in as few bytes as they need."""
    if len(shape) <= _MOST_BYTES:
        try:
            return b"1" + bytes(shape)
        except ValueError:  # one is greater than a byte
            pass
    return b"4" + struct.pack(f">{len(shape)}I", *shape)


@lru_cache(maxsize=1024)
def _table_fields(table_id: int) -> tuple[bytes, bytes]:
    """What stands for a table of ranges in a commit: the fields of the meta hash with its last change and its floor."""
    return b"t%d" % table_id, b"f%d" % table_id


@lru_cache(maxsize=1024)
def _table_head(table_id: int) -> tuple[bytes, bytes]:
    """What begins a table in a commit: its id as the names of its keys have it, and as the trim queue has it."""
    return b"%d" % table_id, _pack(table_id)


@lru_cache(maxsize=4096)
def _index_head(place: tuple[int, int]) -> tuple[bytes, bytes]:
    """What begins an index {table, index} in a commit."""
    return b"%d.%d" % place, _pack(place[1])


def claim_argument(claim: Claim) -> bytes:
    """A claim as an argument of the queue's script."""
    return b"%d:" % claim.table_id + escape(claim.key or b"")
