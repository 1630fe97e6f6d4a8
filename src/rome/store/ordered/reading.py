"""Reads: requests become ranges of the engine, and what these bring becomes answers.

An index read needs the entries first and then the rows that they lead to: two trips, unless the rows were guessed
(see hints.py) and asked for in the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rome.errors import CorruptRecordError
from rome.store.ordered.driver import Pair, Range, RangeResult, Revision
from rome.store.ordered.hints import Hints
from rome.store.ordered.layout import Layout, row_key_of
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
)

SCAN_ROWS = 1_000
"""One read stops scanning here."""

MAX_OPERATIONS = 100
"""The most ranges in one transaction. By default etcd accepts 128 operations."""

MAX_GUESSES = 40
"""The most rows to request because a range is believed to lead to them."""

RowAddress = tuple[int, bytes]


class Reading:
    """One read: the caller fetches `ranges`, then `missing`, and then gets `answers`.

    `skipped`: places of requests that need not be read, since the caller knows the rows.
    """

    def __init__(self, layout: Layout, hints: Hints, requests: Sequence[Request]) -> None:
        self._layout = layout
        self._hints = hints
        self._requests = requests
        self._guessed: dict[RowAddress, None] = {}
        self._rows: dict[RowAddress, Pair | None] = {}
        self._scans: dict[int, RangeResult] = {}
        self._counts: dict[int, int] = {}
        self._limits = [_rows_of_one_reply(hints, each) if isinstance(each, Scan) else 0 for each in requests]
        self._bounds = [
            hints.strides.part(each, limit) if isinstance(each, Scan) else (b"", b"")
            for each, limit in zip(requests, self._limits, strict=True)
        ]
        """What is read of each scan: all of its range, or the part that is next, if it is large (strides.py)."""
        for request in requests:
            if isinstance(request, Get):
                self._guessed.update(dict.fromkeys((request.table_id, key) for key in request.keys))
        room = MAX_GUESSES
        for request in requests:
            if isinstance(request, Scan) and request.index_id != ORDER_INDEX and room > 0:
                most = room if request.limit is None else min(room, request.limit)
                guessed = hints.rows(
                    request.table_id, request.index_id, request.start, request.stop, most, reverse=request.reverse
                )
                room -= len(guessed)
                self._guessed.update(dict.fromkeys((request.table_id, key) for key in guessed))

    def ranges(self, revision: Revision, skipped: frozenset[int] = frozenset()) -> list[Range]:
        """Return what to request in the first trip, without the scans in `skipped`."""
        return [
            *self._of_requests(revision, skipped),
            *(Range(self._layout.row(table, key), None, revision) for table, key in self._guessed),
        ]

    def take(self, found: Iterable[RangeResult], skipped: frozenset[int] = frozenset()) -> None:
        """Take the results of `ranges`."""
        answers = iter(found)
        for number, request in self._ranged(skipped):
            answer = next(answers)
            if isinstance(request, Count):
                self._counts[number] = answer.count
            else:
                self._scans[number] = answer
        for address, answer in zip(self._guessed, answers, strict=True):
            self._rows[address] = answer.pairs[0] if answer.pairs else None

    def missing(self) -> dict[RowAddress, None]:
        """Return the rows that the entries lead to and that have not been fetched yet."""
        return {
            (scan.table_id, row_key): None
            for number, scan in self._index_scans()
            for _, row_key in self._entries(number, scan)
            if (scan.table_id, row_key) not in self._rows
        }

    def take_rows(self, addresses: Iterable[RowAddress], found: Iterable[RangeResult]) -> None:
        """Take the rows that were missing."""
        for address, answer in zip(addresses, found, strict=True):
            self._rows[address] = answer.pairs[0] if answer.pairs else None

    def answers(self, base: Revision) -> list[Answer]:
        """Return the answers, in the order of the requests.

        Raises:
            CorruptRecordError: an entry leads to a row that does not exist.
        """
        return [self._answer(number, request, base) for number, request in enumerate(self._requests)]

    def _answer(self, number: int, request: Request, base: Revision) -> Answer:
        match request:
            case Count():
                return self._counts.get(number, 0)
            case Get():
                table = request.table_id
                return [_row(key, self._rows[table, key], base) for key in request.keys]
            case Scan():
                found = self._scans.get(number)
                if found is None:
                    return NOTHING_FOUND if request.start >= request.stop else UNCHANGED
                if request.index_id == ORDER_INDEX:
                    skip = len(self._layout.rows(request.table_id))
                    rows = [Row(pair.key[skip:], pair.modified - base, pair.value) for pair in found.pairs]
                    first, last = (rows[0].key, rows[-1].key) if rows else (b"", b"")
                else:
                    entries = dict(self._entries(number, request))
                    rows = [self._led_to(request, row_key, base) for row_key in entries.values()]
                    first, last = (next(iter(entries)), next(reversed(entries))) if entries else (b"", b"")
                    self._hints.add(request.table_id, request.index_id, islice(entries.items(), MAX_GUESSES))
                start, stop = bounds = self._bounds[number]
                strides = self._hints.strides
                strides.saw_rows(request.table_id, len(rows), sum([len(row.record) for row in rows]))
                strides.learn(request, bounds, first, last, len(rows), found.count, self._limits[number])
                if found.more:
                    return ScanResult(rows, last if request.reverse else last + b"\x00")
                if bounds != (request.start, request.stop):
                    return ScanResult(rows, start if request.reverse else stop)
                return ScanResult(rows, None)

    def _led_to(self, scan: Scan, row_key: bytes, base: Revision) -> Row:
        row = _row(row_key, self._rows[scan.table_id, row_key], base)
        if row is None:
            raise CorruptRecordError(
                f"table {scan.table_id}: index {scan.index_id} names row {row_key.hex()}, which is not there",
                table=scan.table_id,
                key=row_key,
            )
        return row

    def _of_requests(self, revision: Revision, skipped: frozenset[int]) -> Iterator[Range]:
        for number, request in self._ranged(skipped):
            if isinstance(request, Count):
                start, stop = self._layout.span(request.table_id, request.index_id, request.start, request.stop)
                yield Range(start, stop, revision, count_only=True)
            else:
                start, stop = self._layout.span(request.table_id, request.index_id, *self._bounds[number])
                yield Range(start, stop, revision, self._limits[number], request.reverse)

    def _ranged(self, skipped: frozenset[int]) -> Iterator[tuple[int, Scan | Count]]:
        """Return the requests that are nonempty ranges, and their positions."""
        for number, request in enumerate(self._requests):
            if not isinstance(request, Get) and request.start < request.stop and number not in skipped:
                yield number, request

    def _index_scans(self) -> Iterator[tuple[int, Scan]]:
        for number in self._scans:
            request = self._requests[number]
            if isinstance(request, Scan) and request.index_id != ORDER_INDEX:
                yield number, request

    def _entries(self, number: int, scan: Scan) -> Iterator[tuple[bytes, bytes]]:
        skip = len(self._layout.entries(scan.table_id, scan.index_id))
        for pair in self._scans[number].pairs:
            entry = pair.key[skip:]
            yield entry, row_key_of(entry, pair.value)


def _rows_of_one_reply(hints: Hints, scan: Scan) -> int:
    most = hints.strides.most_rows(scan.table_id, SCAN_ROWS)
    return most if scan.limit is None else min(scan.limit, most)


def _row(key: bytes, pair: Pair | None, base: Revision) -> Row | None:
    return None if pair is None else Row(key, pair.modified - base, pair.value)
