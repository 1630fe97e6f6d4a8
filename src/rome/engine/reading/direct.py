"""Show stored rows as they are, without SQLite.

Only for a table in which this transaction has changed nothing, since its changes are only in the working set.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, itemgetter

from rome.catalog.rows import index_key, records_of
from rome.codec.values import SqlValue
from rome.engine.reading.reader import Reader
from rome.planner.plan import DirectPlan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest

_by_rowid = attrgetter("rowid")
_values_of = attrgetter("values")
_rowid_of_record = itemgetter(1)


def show(
    reader: Reader, direct: DirectPlan, parameters: Sequence[SqlValue], check: Validation
) -> list[tuple[SqlValue, ...]] | None:
    """The result of a statement; None if SQLite must run it.

    What was read enters the read set: the answer holds as long as that is unchanged.

    Cost: one round trip; about half of the CPU time of hydrating the rows and running the statement.
    """
    table = direct.table
    rows = direct.rows(parameters) if reader.is_unchanged(table) else None
    if rows is None:
        return None
    request = ReadRequest(table.id, rows.path.id, rows.keys, rows.ranges, check)
    reader.read([request])
    found = reader.transaction.rows(request)
    if len(found) > 1 and rows.key is None and not direct.by_rowid:
        return None
    key = rows.key
    if key is None and found and rows.ranges:
        # An earlier read may cover a greater range, and bring more rows.
        (bounds,) = rows.ranges
        if not reader.transaction.cache.has_range(table.id, rows.path.id, bounds):
            key = direct.key(parameters)
    if key is None and not reader.keeps_decoded(table.id):
        # Nobody else needs these rows' values: the columns that are shown are taken out of the records.
        records = records_of(table, found)
        if len(records) > 1:
            records.sort(key=_rowid_of_record)
        return list(map(direct.pick_from_record, records[rows.start : rows.stop]))
    stored = reader.stored(table, request)
    if key is not None:
        stored = [row for row in stored if index_key(direct.compared, row.rowid, row.values) == key]
    if len(stored) > 1:
        if not direct.by_rowid:
            return None
        stored.sort(key=_by_rowid)
    return list(map(direct.pick, map(_values_of, stored[rows.start : rows.stop])))
