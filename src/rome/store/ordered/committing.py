"""A commit as one transaction of the engine: its conditions, and its writes.

What was read is unchanged if
- a row that was read has the same revision, or is still absent;
- no key of a range that was read was created (or, if its rows were read, modified) since, and no mark tells of one that
  was removed. If a range of an index led to rows, the request names them, and they have the same revision, too.

That is sound, since a deletion leaves a mark in the same commit; and marks are kept as long as a snapshot that could
need them may commit (see trimming.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from rome.errors import ConflictError
from rome.store.commit_queue import CommitQueue, QueueEntry
from rome.store.ordered.driver import Condition, Delete, DriverCompare, Put, Raise, Range, RangeResult, Revision, Write
from rome.store.ordered.head import Head
from rome.store.ordered.layout import (
    GONE_PER_PART,
    CommitRecord,
    Layout,
    commit_name,
    encode,
    entry_value,
    number8,
    number_value,
)
from rome.store.spi import CATALOG_TABLE, ORDER_INDEX, CommitRequest, Drop, Version

clock: Callable[[], float] = time.time
"""Returns seconds since 1970, the clock for the retention and the leases of the queue. Tests replace it."""

Gone = tuple[int, int, bytes]


class ReadSetProbe(Struct, frozen=True):
    """A range that finds a pair with another revision than `expected` if something that was read has changed.

    Attributes:
        expected: the revision of the one key; None if the range must find no pair at all.
    """

    asked: Range
    expected: Revision | None
    table: int
    index: int | None
    key: bytes

    def has_changed(self, found: RangeResult) -> bool:
        """Whether what was read has changed, according to what the range has brought."""
        modified = found.pairs[0].modified if found.pairs else 0
        return modified != (self.expected or 0)

    def conflict(self) -> ConflictError:
        """Return the error that names what has changed."""
        if self.index is None:
            return ConflictError.of_row(self.table, self.key)
        return ConflictError.of_range(self.table, self.index, self.key)


class RequestedReads(Struct, frozen=True):
    """What a commit depends on, in two forms: conditions for it, and probes to run if the conditions failed."""

    conditions: list[DriverCompare]
    probes: list[ReadSetProbe]
    tables: set[int]


def read_set(layout: Layout, head: Head, request: CommitRequest) -> RequestedReads:
    """Return the read set of everything that the request has read."""
    conditions: list[DriverCompare] = []
    probes: list[ReadSetProbe] = []
    tables: set[int] = set()
    base = head.base
    for table, key, version in _rows_read(request):
        tables.add(table)
        stored = layout.row(table, key)
        revision = base + version if version else 0
        conditions.append(DriverCompare(Condition.MODIFIED_AT, revision, stored))
        probes.append(ReadSetProbe(Range(stored, keys_only=True), revision, table, None, key))
    for (table, index, rows), bounds in request.ranges.items():
        whole_rows = rows and index == ORDER_INDEX
        for (start, stop), version in bounds.items():
            if start >= stop:
                continue
            tables.add(table)
            since = base + version
            span, gone = layout.span(table, index, start, stop), layout.gone_span(table, index, start, stop)
            condition = Condition.MODIFIED_UP_TO if whole_rows else Condition.CREATED_UP_TO
            conditions.append(DriverCompare(condition, since, *span))
            conditions.append(DriverCompare(Condition.MODIFIED_UP_TO, since, *gone))
            came = (
                Range(*span, limit=1, keys_only=True, modified_after=since)
                if whole_rows
                else Range(*span, limit=1, keys_only=True, created_after=since)
            )
            probes.append(ReadSetProbe(came, None, table, index, start))
            went = Range(*gone, limit=1, keys_only=True, modified_after=since)
            probes.append(ReadSetProbe(went, None, table, index, start))
    return RequestedReads(conditions, probes, tables)


def _rows_read(request: CommitRequest) -> Iterator[tuple[int, bytes, Version]]:
    for table, points in request.points.items():
        for key, version in points.items():
            yield table, key, version
    for table, rows in request.range_rows.items():
        points = request.points.get(table, {})
        for key, version in rows.items():
            if points.get(key) != version:
                yield table, key, version


def reached(layout: Layout, head: Head, version: Version) -> list[DriverCompare]:
    """The condition that the database has come as far as this. It has not if the engine was restored from a copy."""
    return [DriverCompare(Condition.MODIFIED_SINCE, head.base + version, layout.version)] if version else []


def standing_conditions(layout: Layout, head: Head, request: CommitRequest, record: bytes) -> list[DriverCompare]:
    """Return the conditions of every commit: its database, snapshot and id are valid."""
    version = head.base + request.snapshot.version
    return [
        *reached(layout, head, request.snapshot.version),
        layout.exists(head.stored),
        DriverCompare(Condition.VALUE_BELOW, number8(request.snapshot.version + 1), layout.floor),
        DriverCompare(Condition.MODIFIED_UP_TO, version, layout.mark(CATALOG_TABLE)),
        DriverCompare(Condition.MODIFIED_AT, 0, record),
    ]


def effects(layout: Layout, head: Head, request: CommitRequest) -> list[Write]:
    """Return everything that the request writes."""
    commit = commit_name(request.snapshot.version, request.transaction_id)
    writes: list[Write] = []
    gone: list[Gone] = []
    changed: set[int] = set()
    size = 0
    for table, rows in request.rows.items():
        points = request.points.get(table, {})
        for key, record in rows.items():
            if record is not None:
                writes.append(Put(layout.row(table, key), record))
                size += len(key) + len(record)
            elif points.get(key) == 0:  # there is nothing to delete
                continue
            else:
                writes.append(Delete(layout.row(table, key)))
                gone.append((table, ORDER_INDEX, key))
            changed.add(table)
    for (table, index), entries in request.entries.items():
        if entries:
            changed.add(table)
        for (index_key, row_key), present in entries.items():
            entry = index_key + row_key
            if present:
                writes.append(Put(layout.entries(table, index) + entry, entry_value(row_key)))
            else:
                writes.append(Delete(layout.entries(table, index) + entry))
                gone.append((table, index, entry))
    writes += (Put(layout.gone(table, index, entry, commit), b"") for table, index, entry in gone)
    writes += (Put(layout.mark(table), b"") for table in changed)
    writes.append(Put(layout.version, b""))
    writes += (Delete(*span) for drop in request.drops for span in _spans(layout, drop))
    writes += (Raise(layout.sequence(n), number_value(last)) for n, last in request.sequences.items() if last)
    for n, last in request.settings.items():  # a sequence at 0 has no key
        writes.append(Put(layout.sequence(n), number_value(last)) if last else Delete(layout.sequence(n)))
    writes += _records(layout, commit, size, gone)
    writes += leave_queue(layout, head, request.ticket)
    return writes


def _spans(layout: Layout, drop: Drop) -> list[tuple[bytes, bytes | None]]:
    if drop.index_id is None:
        return [(layout.mark(drop.table_id), None), *layout.of_table(drop.table_id)]
    return [*layout.of_index(drop.table_id, drop.index_id)]


def _records(layout: Layout, commit: bytes, size: int, gone: list[Gone]) -> Iterator[Put]:
    now_ms = now_in_ms()
    for part, first in enumerate(range(0, max(1, len(gone)), GONE_PER_PART)):
        record = CommitRecord(True, now_ms, 0 if part else size, gone[first : first + GONE_PER_PART])
        yield Put(layout.record(commit, part), encode(record))


def leave_queue(layout: Layout, head: Head, ticket: bytes) -> list[Write]:
    """Take an entry out of the queue, and those that have expired."""
    if not head.queue:
        return []
    queue = CommitQueue(head.queue, clock())
    queue.leave(ticket)
    return write_queue(layout, head, queue.places)


def write_queue(layout: Layout, head: Head, places: list[QueueEntry]) -> list[Write]:
    """Return what writes this queue, if it differs from the stored one."""
    if list(head.queue) == places:
        return []
    return [Put(layout.queue, encode(places)) if places else Delete(layout.queue)]


def now_in_ms() -> int:
    """Return the clock's time, in milliseconds."""
    return round(clock() * 1000)
