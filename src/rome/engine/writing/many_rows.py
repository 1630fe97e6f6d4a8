"""INSERT .. VALUES of many rows past the guard loop: executemany of a statement that *adds plainly* (see Traits).

The unique keys of its rows are known before it runs. So one trip asks whether the store has a row with one of these. If
it has none, SQLite can only store all rows, or refuse one because of NOT NULL, CHECK, or a row that this transaction
has written; then all of them are undone, and the guard loop takes over, as it does in any other case.

The guard loop does the same with a hook that sees each row, and keeps what was read for later statements. Of thousands
of keys that nobody has, neither is of use: they enter the read set and are forgotten. A fifth of the client's time went
into that.
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.keys import encode_keys
from rome.engine.reading.reader import Reader
from rome.engine.writing.guard_loop import Change
from rome.engine.writing.row_ids import RowIds
from rome.planner.plan import PlannedRow
from rome.store.spi import ORDER_INDEX
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.contents import LARGE_ROWS
from rome.workingset.workingset import StatementRun


def add_many_plainly(reader: Reader, ids: RowIds, change: Change, needed: int) -> StatementRun | None:
    """Run an INSERT with all sets of parameters; None: it is not of this kind, or a row is refused and none is left.

    Raises:
        IdsExhaustedError: no free ids are left.

    Cost: one round trip.
    """
    target, planned = change.prepared.target, change.planned
    if target is None or planned is None or len(planned) != len(change.batch) or not _is_plain(reader, change, target):
        return None
    if needed and (needed != len(planned) or not ids.are_from_store(target)):
        return None
    requests = _unique(reader.schema.guards.of(target.name.lower()).unique, target, planned, ids_given=not needed)
    reserves = ids.reserves(target, needed)
    if requests is None or any(reserve.again is not None for reserve in reserves):
        return None
    are_free, reserved = reader.are_free(requests, reserves)
    ids.add_block(target, reserves, reserved)
    if not are_free:
        return None
    first = ids.take(target, needed, reader.working_set.max_rowid(target)) if needed else None
    run = _add(reader, change, target, planned, first)
    if first is not None:
        if run is None:
            ids.take_back(target)
        else:
            for rowid in range(first, first + needed):
                ids.claim_one(target, rowid)
    return run


def _is_plain(reader: Reader, change: Change, target: Table) -> bool:
    """Whether nothing but the unique keys of the rows decides, and nothing but these rows is written."""
    traits = change.prepared.traits
    if not (traits.adds_plainly and traits.in_batches) or change.foreign_keys:
        return False
    if target.rowid_alias is None or reader.working_set.contents.sequences:
        return False
    return target.id < reader.first_new_table


def _unique(
    indexes: Sequence[Index], target: Table, rows: Sequence[PlannedRow], *, ids_given: bool
) -> list[ReadRequest] | None:
    """The stored rows with a unique key of these; None if a key is not known. Ids that the store gives are nobody's."""
    alias, requests = target.rowid_alias, []
    for index in indexes:
        if index is target.key and not ids_given:
            continue
        positions = [alias if position == ROWID else position for position in index.columns]
        try:
            columns = [[row.values[at] for row in rows] for at in positions]  # type: ignore[index]  # alias is no None
        except KeyError:
            return None
        keys = encode_keys(columns, index.collations)
        if any(None in column for column in columns):  # a key with a NULL equals none
            keys = [key for key, *values in zip(keys, *columns, strict=True) if None not in values]
        if index.id == ORDER_INDEX:
            requests.append(ReadRequest(target.id, ORDER_INDEX, tuple(keys), (), Validation.KEYS))
        else:
            ranges = tuple([(key, key + b"\xff") for key in keys])
            requests.append(ReadRequest(target.id, index.id, (), ranges, Validation.KEYS))
    return requests


def _add(
    reader: Reader, change: Change, target: Table, rows: Sequence[PlannedRow], first: int | None
) -> StatementRun | None:
    """Run the INSERT, with ids from `first` on unless the rows have theirs; None: one is refused, and none is left."""
    working_set, count = reader.working_set, len(rows)
    with AllOrNothing(working_set) as block:
        if change.prepared.traits.foreign_keys:
            working_set.enforce_foreign_keys(False)
        if first is not None:
            working_set.set_next_rowid(target, first)
        last = working_set.add_all(change.prepared.statement.text, change.batch)
        if last is None or (first is not None and last != first + count - 1):
            block.back()
            return None
    touched = working_set.contents.of(target.id).touched
    alias = target.rowid_alias
    assert alias is not None
    rowids = (row.values[alias] for row in rows) if first is None else range(first, first + count)
    touched.update((rowid, (rowid,)) for rowid in rowids)  # type: ignore[misc]  # they are integers
    if len(touched) > LARGE_ROWS:
        working_set.contents.large = True
    return StatementRun([], count, 1, count, last, [], None)
