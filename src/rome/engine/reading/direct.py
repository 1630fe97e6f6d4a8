"""Show stored rows as they are, without SQLite.

Only for a table in which this transaction has changed nothing, since its changes are only in the working set; or few
rows, by changes that SQLite has not made yet (rome.workingset.buffered).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter, itemgetter

from rome.catalog.rows import index_key, records_of
from rome.catalog.schema import ROWID
from rome.codec.keys import encode_key
from rome.codec.values import Collation, SqlValue
from rome.engine.reading.reader import Reader
from rome.engine.reading.waves import read_wave
from rome.planner.plan import DirectPlan, FetchPlan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.buffered import BufferedChange
from rome.workingset.contents import Stored

_FEW = 16
_by_rowid = attrgetter("rowid")
_values_of = attrgetter("values")
_rowid_of_record = itemgetter(1)


def show(
    reader: Reader, plan: FetchPlan, parameters: Sequence[SqlValue], check: Validation
) -> list[tuple[SqlValue, ...]] | None:
    """The result of a statement whose plan is `direct`; None if SQLite must run it.

    What was read enters the read set: the answer holds as long as that is unchanged.

    Cost: one round trip; about half of the CPU time of hydrating the rows and running the statement.
    """
    direct = plan.direct
    assert direct is not None
    table = direct.table
    is_pristine = reader.schema is reader.base and not reader.working_set.contents.tables
    if not (is_pristine or reader.is_unchanged(table)):
        waiting = reader.working_set.buffered.get(table.id)
        if waiting is None or len(waiting.changes) > _FEW:
            return None
        return _show_changed(reader, direct, waiting.changes, parameters, check)
    if direct.reads_plan:
        return _show_plan(reader, plan, direct, parameters, check)
    rows = direct.rows(parameters)
    if rows is None:
        return None
    index_id, keys, ranges, key, start, stop = rows
    request = ReadRequest(table.id, index_id, keys, ranges, check)
    is_exact = key is None
    found = reader.fetch(request)
    if found is None:  # some of it was read before, or it is much
        reader.read([request])
        found = reader.transaction.rows(request)
        if direct.order and _has_block(reader, [request]):
            return None
        if is_exact and found and ranges:
            # An earlier read may cover a greater range, and bring more rows.
            (bounds,) = ranges
            if not reader.transaction.cache.has_range(table.id, index_id, bounds):
                key = direct.key(parameters)
    is_ordered = direct.by_rowid or direct.order
    if len(found) > 1 and is_exact and not is_ordered:
        return None
    if key is None and not direct.order and not reader.keeps_decoded(table.id):
        # Nobody else needs these rows' values: the columns that are shown are taken out of the records.
        records = records_of(table, found, direct.decode)
        if len(records) > 1:
            records.sort(key=_rowid_of_record, reverse=direct.reverse)
        return list(map(direct.pick_from_record, records[start:stop]))
    stored = reader.stored(table, request)
    if key is not None:
        stored = [row for row in stored if index_key(direct.compared, row.rowid, row.values) == key]
    if len(stored) > 1 and not is_ordered:
        return None
    return _shown(direct, stored, start, stop)


def _show_changed(
    reader: Reader,
    direct: DirectPlan,
    changes: Sequence[BufferedChange],
    parameters: Sequence[SqlValue],
    check: Validation,
) -> list[tuple[SqlValue, ...]] | None:
    """The result beside the table's only changes; None if SQLite must make these, and run the statement."""
    if direct.reads_plan or direct.order or not reader.has_stored_schema:
        return None
    rows = direct.rows(parameters)
    if rows is None or (key := direct.key(parameters)) is None:
        return None
    index_id, keys, ranges, _, start, stop = rows
    request = ReadRequest(direct.table.id, index_id, keys, ranges, check)
    reader.read([request])
    if reader.transaction.cache.has_blocks and _has_block(reader, [request]):
        return None
    changed = {change.key for change in changes}
    stored = [row for row in reader.stored(direct.table, request) if row.key not in changed]
    stored += [Stored(each.key, 0, each.rowid, each.values) for each in changes if each.values is not None]
    stored = [row for row in stored if index_key(direct.compared, row.rowid, row.values) == key]
    if len(stored) > 1 and not direct.by_rowid:
        return None
    return _shown(direct, stored, start, stop)


def _show_plan(
    reader: Reader, plan: FetchPlan, direct: DirectPlan, parameters: Sequence[SqlValue], check: Validation
) -> list[tuple[SqlValue, ...]] | None:
    """The result, of the rows that the plan's only wave brings; None if SQLite must run the statement."""
    choice = direct.choice(parameters)
    if choice is None:
        return None
    keys, compared = choice.keys, direct.compared

    def passes(row: Stored) -> bool:
        return keys is None or index_key(compared, row.rowid, row.values) in keys

    wave = next(plan.waves(parameters), None)
    if wave is None:
        return []
    requests = read_wave(reader, wave, check, passes)
    if requests is None or _has_block(reader, requests):
        return None
    found = {row.key: row for request in requests for row in reader.stored(direct.table, request)}
    return _shown(direct, [*filter(passes, found.values())], choice.start, choice.stop)


def _has_block(reader: Reader, requests: Sequence[ReadRequest]) -> bool:
    """Whether many rows have come, which SQLite chooses and sorts sooner than this module would decode them."""
    transaction = reader.transaction
    return transaction.cache.has_blocks and any(transaction.block(each) is not None for each in requests)


def _shown(direct: DirectPlan, rows: list[Stored], start: int, stop: int) -> list[tuple[SqlValue, ...]]:
    """The rows of the result; those that are given are put in order."""
    if len(rows) > 1:
        if direct.order:
            for position, descending, collation in reversed(direct.order):
                rows.sort(key=partial(_place, position, (collation,)), reverse=descending)
        else:
            rows.sort(key=_by_rowid, reverse=direct.reverse)
    return list(map(direct.pick, map(_values_of, rows[start:stop])))


def _place(position: int, collation: tuple[Collation], row: Stored) -> bytes:
    """Sorts as the column's value does."""
    return encode_key((row.rowid if position == ROWID else row.values[position],), collation)
