"""Read a page: rows in the order of an index, until enough of them pass WHERE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rome.catalog.schema import ROWID, Table
from rome.codec.keys import encode_key
from rome.engine.reading.reader import Reader
from rome.engine.reading.smallest_range import read_few
from rome.planner.plan import Fetch, Many, Page, Wave
from rome.store.spi import Reserve
from rome.transaction.incremental_scan import IncrementalScan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.contents import Stored


def pages(reader: Reader, fetch: Fetch) -> bool:
    """Whether a fetch can be read as a page.

    Not where the transaction changed the table, or has the rows already; nor where WHERE may say something else when it
    is asked again, for all that the plan knows of its functions.
    """
    page, covered = fetch.page, reader.transaction.cache.covered
    if page is None or not page.ranges or not reader.is_unchanged(fetch.table):
        return False
    if any(name in page.probe.lower() for name in reader.working_set.fickle):
        return False
    return any(covered(fetch.table.id, page.path.id, *bounds) is None for bounds in page.ranges)


def read_page(
    reader: Reader,
    fetch: Fetch,
    wave: Wave,
    check: Validation,
    extra: Sequence[ReadRequest],
    reserves: Sequence[Reserve],
    passes: Callable[[Stored], bool] | None = None,
) -> tuple[list[ReadRequest | Many], list[int]]:
    """Read and hydrate a wave, one of its fetches as a page; `extra` requests and reserves share the first trip.

    Args:
        passes: whether a row passes WHERE. Then nothing is hydrated; otherwise SQLite says it.

    Returns:
        See read_few.

    The part of the index that was read enters the read set.

    Cost: one round trip, and one more, for four times as many rows, each time that too few pass WHERE.
    """
    page, table = fetch.page, fetch.table
    assert page is not None
    scan = IncrementalScan(table.id, page.path.id, page.ranges, page.first, reverse=page.reverse)
    others = [other for other in wave if other is not fetch]
    found, reserved = read_few(reader, others, check, extra, reserves, scan, hydrates=passes is None)
    try:
        while True:
            read = ReadRequest(table.id, page.path.id, tuple(row.key for row in scan.rows), (), Validation.NOTHING)
            if passes is None:
                reader.hydrate([read])
            if scan.is_finished or _is_enough(reader, table, page, reader.stored(table, read), passes):
                found.insert(wave.index(fetch), read)
                return found, reserved
            reader.read([], scan=scan)
    finally:  # the application sees an error in WHERE, too
        reader.transaction.check_scan(scan, check)


def _is_enough(
    reader: Reader, table: Table, page: Page, rows: Sequence[Stored], passes: Callable[[Stored], bool] | None
) -> bool:
    """Whether enough rows pass WHERE, not counting those that may tie with rows that were not read."""
    if not page.rows:
        return True
    last = len(rows)
    while last and _order(table, page, rows[last - 1]) == _order(table, page, rows[-1]):
        last -= 1
    if last < page.rows:
        return False
    if passes is not None:
        return sum(map(passes, rows[:last])) >= page.rows
    passing = {rowid for (rowid,) in reader.working_set.query(page.probe, page.parameters)}
    return sum(row.rowid in passing for row in rows[:last]) >= page.rows


def _order(table: Table, page: Page, row: Stored) -> bytes:
    values = [row.rowid if position == ROWID else row.values[position] for position, _ in page.order]
    return encode_key(values, [collation for _, collation in page.order])
