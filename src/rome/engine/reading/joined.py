"""Join few stored rows as a SELECT says, without SQLite.

Only rows of tables in which this transaction has changed nothing, since its changes are only in the working set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from rome.codec.values import SqlValue
from rome.engine.reading.reader import Reader
from rome.engine.reading.waves import follow
from rome.planner.plan import FetchPlan, Wave
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.contents import Stored

_FEW = 64
"""SQLite joins more rows than these of one table sooner."""
_values_of = attrgetter("values")
_by_rowid = attrgetter("rowid", "key")


def join(
    reader: Reader, plan: FetchPlan, parameters: Sequence[SqlValue], check: Validation
) -> list[tuple[SqlValue, ...]] | None:
    """The result of a statement whose plan is `joined`; None if SQLite must run it.

    What was read enters the read set. What SQLite then needs has been read, except for later waves.

    Cost: a round trip for each wave.
    """
    joined = plan.joined
    assert joined is not None
    transaction = reader.transaction
    if transaction.cache.has_blocks or not plan.may_be_empty(parameters):
        return None
    found: dict[int, dict[bytes, Stored]] = {}
    for table in plan.tables:
        if not reader.is_unchanged(table):
            return None
        found[table.id] = {}
    is_empty = False

    def read(wave: Wave, ahead: Sequence[ReadRequest]) -> Sequence[ReadRequest] | None:
        nonlocal is_empty
        requests = []
        for fetch in wave:
            if fetch.page is not None or fetch.instead or fetch.may_wait or fetch.most is not None:
                return None
            requests.append(ReadRequest(fetch.table.id, fetch.path.id, fetch.keys, fetch.ranges, check))
        brought = reader.fetch_all(requests, ahead)
        if brought is None and transaction.cache.has_blocks:
            return None
        for number, fetch in enumerate(wave):
            rows = transaction.rows(requests[number]) if brought is None else brought[number]
            if not rows and fetch.decides:
                is_empty = True
                return None
            if len(rows) > _FEW:
                return None
            of_table = found[fetch.table.id]
            for row in reader.decode(fetch.table, rows):
                of_table[row.key] = row
        return requests

    if not follow(reader, plan, parameters, read):
        return [] if is_empty else None
    rows_of = []
    for table in joined.tables:
        rows: Iterable[Stored] = found[table.id].values()
        if len(found[table.id]) > 1:
            rows = sorted(rows, key=_by_rowid)
        rows_of.append([*map(_values_of, rows)])
    return joined.join(parameters, rows_of)
