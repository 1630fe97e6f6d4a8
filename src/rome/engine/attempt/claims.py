"""Find the rows that a statement claims, so that nobody else changes them until the transaction ends (see
rome.transaction.commit_turn)."""

from __future__ import annotations

from collections.abc import Sequence

from rome.codec.values import SqlValue
from rome.engine.attempt.attempt import Attempt
from rome.engine.reading.queries import read_plan
from rome.engine.reading.reader import to_request
from rome.engine.statement.prepared import Prepared
from rome.errors import WorkingSetFullError
from rome.store.spi import Claim
from rome.transaction.read_set import Validation


def claims(current: Attempt, prepared: Prepared, batch: Sequence[Sequence[SqlValue]]) -> list[Claim]:
    """Return the rows that a statement is going to lock or change, as far as its first reads show them; maybe more.

    Rows that it names by primary key are known before anything is read, which leaves no gap in which they can change
    unseen. For rows that it finds through another index, the index is read here, so that the statement later finds them
    in memory. Nothing is read for a whole table or a batch.

    Args:
        batch: the parameters of each run.
    """
    tables = None if prepared.statement.for_update else prepared.inspection.written
    fetches = [
        fetch
        for parameters in batch
        for fetch in next(prepared.plan.waves(parameters), ())
        if tables is None or fetch.table.name.lower() in tables
    ]
    found = [Claim(fetch.table.id, key) for fetch in fetches for key in fetch.keys]
    ways = [way for fetch in fetches for way in (fetch, *fetch.instead)]
    ranges = [to_request(way, Validation.NOTHING) for way in ways if way.ranges]
    if ranges and len(batch) == 1 and not prepared.plan.full_scans:
        try:
            read_plan(current.reader, prepared, batch[0], Validation.NOTHING)
        except WorkingSetFullError:  # too many for one entry in any case
            return found
        found += [Claim(want.table_id, row.key) for want in ranges for row in current.transaction.rows(want)]
    return found
