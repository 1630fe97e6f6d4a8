"""The scripts' arguments and answers, in the forms that the scripts' headers describe."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import islice
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
_UNCHANGED = -1

_pack = msgspec.msgpack.Encoder().encode
_pack_length = struct.Struct(">I").pack
_pack_stamp = struct.Struct(">Q").pack
"""A version as stored: 8 bytes, the highest first, so that they order as versions do."""
_first = itemgetter(0)


def decode_row(table_id: int, key: bytes, stored: bytes) -> Row:
    """A row from its stored form: its version's stamp, then the record.

    Raises:
        CorruptRecordError: it is too short.
    """
    if len(stored) < STAMP_BYTES:
        raise _too_short(table_id, key)
    return Row(key, int.from_bytes(stored[:STAMP_BYTES], "big"), stored[STAMP_BYTES:])


def _too_short(table_id: int, key: bytes) -> CorruptRecordError:
    return CorruptRecordError(f"table {table_id}, row {key.hex()}: no version", table=table_id, key=key)


def request_arguments(requests: Sequence[Request]) -> list[bytes]:
    """The arguments of read.lua from ARGV[5] on."""
    short = len(requests) <= MAX_SHORT_RANGES
    fields: list[bytes] = []
    indexes: list[bytes] = []
    rows: list[bytes] = []
    sizes: list[bytes] = []
    tables: dict[int, None] = {}
    shapes: list[list[Any]] = []
    arguments: list[bytes] = []
    for request in requests:
        tables[request.table_id] = None
        if isinstance(request, Get):
            short = False
            shapes.append(["get", request.table_id, len(request.keys)])
            arguments += map(escape, request.keys)
            continue
        if isinstance(request, Count):
            short = False
            shapes.append(["count", request.table_id, request.index_id])
        else:
            # cmsgpack has no infinity; no index has more entries than this.
            limit = 2**53 if request.limit is None else request.limit
            shape = ["scans", request.table_id, request.index_id, limit, request.reverse]
            short = short and not request.reverse and request.known is None
            if short:
                fields.append(b"t%d" % request.table_id)
                indexes.append(b"e%d.%d" % (request.table_id, request.index_id))
                rows.append(b"r%d" % request.table_id)
                sizes.append(_SHORT_SIZE if limit >= SHORT_ROWS else b"%d" % (limit + 1))
            if request.known is not None:
                shapes.append(["unless known", *shape[1:], request.known.version])
                arguments.append(request.known.incarnation)
            elif shapes and shapes[-1][:-1] == shape:
                shapes[-1][-1] += 1
            else:
                shapes.append([*shape, 1])
        arguments += (escape(request.start), escape(request.stop))
    packed = _pack(([*tables], shapes))
    if not short:
        return [b"0", packed, *arguments]
    return [b"%d" % len(requests), packed, *arguments, *fields, *indexes, *rows, *sizes]


def decode_answers(
    requests: Sequence[Request], answers: Sequence[Any], entries: Sequence[bytes], rows: Sequence[bytes | None]
) -> list[Answer]:
    """The answers of read.lua.

    Args:
        entries, rows: of all scans that found only a few rows, one scan after the other.

    Raises:
        CorruptRecordError: an index leads to a row that does not exist, or a stored row cannot be decoded.
    """
    found = zip(entries, rows, strict=True)
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
                decoded.append(ScanResult(_decode_rows(request, islice(found, answer)), None))
        elif isinstance(request, Get):
            decoded.append(
                [
                    None if stored is None else decode_row(request.table_id, key, stored)
                    for key, stored in zip(request.keys, answer, strict=True)
                ]
            )
        else:
            decoded.append(int(answer))
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
    return ScanResult(_decode_rows(scan, found), resume)


def _row_keys(entries: Sequence[bytes]) -> list[bytes]:
    """The row keys that end entries."""
    return [
        unescape(entry[-_LENGTH_BYTES - int.from_bytes(entry[-_LENGTH_BYTES:], "big") : -_LENGTH_BYTES])
        for entry in entries
    ]


def _decode_rows(scan: Scan, found: Iterable[tuple[bytes, bytes | None]]) -> list[Row]:
    """The rows of a scan, from its entries and what is stored under their row keys."""
    rows = []
    for entry, stored in found:
        length = int.from_bytes(entry[-_LENGTH_BYTES:], "big")
        key = unescape(entry[-_LENGTH_BYTES - length : -_LENGTH_BYTES])
        if stored is None:
            raise CorruptRecordError.of_missing_row(scan.table_id, scan.index_id, key)
        if len(stored) < STAMP_BYTES:
            raise _too_short(scan.table_id, key)
        rows.append(Row(key, int.from_bytes(stored[:STAMP_BYTES], "big"), stored[STAMP_BYTES:]))
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
    """What commit.lua takes from ARGV[6] on, in one pass; and whether the commit only deletes.

    One that only deletes makes the data smaller, so that it must work when memory is short.
    """
    arguments: list[bytes] = [b""]
    points: list[tuple[int, int]] = []
    for table_id, read in request.points.items():
        if read:
            points.append((table_id, len(read)))
            arguments += map(escape, read)
            for version in read.values():
                arguments.append(_pack_stamp(version) if version else b"")
    ranges: dict[tuple[int, int, Version, bool], list[bytes]] = {}
    for (table_id, index_id, rows), checked in request.ranges.items():
        for (start, stop), version in checked.items():
            place = (table_id, index_id, version, rows)
            bounds = ranges.get(place)
            if bounds is None:
                bounds = ranges[place] = []
            bounds += (escape(start), escape(stop))
    range_shapes: list[tuple[int, int, Version, bool, int]] = []
    for place, bounds in ranges.items():
        range_shapes.append((*place, len(bounds) // 2))
        arguments += bounds
    puts: list[tuple[int, int]] = []
    deletes: list[tuple[int, int]] = []
    deleted: list[bytes] = []
    for table_id, written in request.rows.items():
        keys: list[bytes] = []
        records: list[bytes] = []
        before = len(deleted)
        for key, record in written.items():
            if record is None:
                deleted.append(escape(key))
            else:
                keys.append(escape(key))
                records.append(record)
        if keys:
            puts.append((table_id, len(keys)))
            arguments += keys
            arguments += records
        if len(deleted) > before:
            deletes.append((table_id, len(deleted) - before))
    arguments += deleted
    entries: list[tuple[int, int, int, int]] = []
    only_deletes = not (puts or request.sequences or request.settings)
    for (table_id, index_id), changed in request.entries.items():
        removed: list[bytes] = []
        added: list[bytes] = []
        for (index_key, row_key), present in changed.items():
            row_key = escape(row_key)
            entry = escape(index_key) + row_key + _pack_length(len(row_key))
            (added if present else removed).append(entry)
        if changed:
            entries.append((table_id, index_id, len(removed), len(added)))
            arguments += removed
            arguments += added
            only_deletes = only_deletes and not added
    drops: list[tuple[int, int]] = []
    for drop in request.drops:
        drops.append((drop.table_id, -1 if drop.index_id is None else drop.index_id))
    sequences: list[str] = []
    for sequence, value in request.sequences.items():
        if value > 0:
            sequences += (str(sequence), str(value))
    settings: list[str] = []
    for sequence, value in request.settings.items():
        settings += (str(sequence), str(value))
    tables = list(dict.fromkeys(map(_first, ranges)))
    arguments[0] = _pack((tables, points, range_shapes, puts, deletes, entries, drops, sequences, settings))
    return arguments, only_deletes


def claim_argument(claim: Claim) -> bytes:
    """A claim as an argument of the queue's script."""
    return b"%d:" % claim.table_id + escape(claim.key or b"")
