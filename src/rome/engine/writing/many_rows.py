"""INSERT .. VALUES of several rows past the guard loop, executemany too: what *adds plainly* (see Traits).

The unique keys and the parents of its rows are known before it runs. So one trip asks whether the store has a row with
one of these keys, and brings the parents. If it has none, and all parents are there, SQLite can only store all rows, or
refuse one because of NOT NULL, CHECK, or a row that this transaction has written; then all of them are undone, and the
guard loop takes over, as it does in any other case.

The guard loop does the same with a hook that sees each row, and keeps what was read for later statements. Of thousands
of keys that nobody has, neither is of use: they enter the read set and are forgotten. A fifth of the client's time went
into that.
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.keys import encode_keys
from rome.engine.reading.reader import Reader
from rome.engine.writing.buffering import insert
from rome.engine.writing.guard_loop import Change
from rome.engine.writing.parents import are_there
from rome.engine.writing.row_ids import RowIds
from rome.planner.plan import PlannedRow
from rome.store.spi import ORDER_INDEX
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.contents import LARGE_ROWS
from rome.workingset.workingset import StatementRun


def add_many_plainly(reader: Reader, ids: RowIds, change: Change, needed: int) -> StatementRun | None:
    """Run an INSERT of several rows; None: it is not of this kind, or a row is refused and none is left.

    Raises:
        IdsExhaustedError: no free ids are left.

    Cost: one round trip.
    """
    target, planned = change.prepared.target, change.planned
    if target is None or planned is None or not _is_plain(reader, change, target):
        return None
    if needed and (needed != len(planned) or not ids.are_reserved(target)):
        return None
    guards = reader.schema.guards.of(target.name.lower())
    requests = _unique(guards.unique, target, planned, ids_given=not needed)
    parents = guards.parents_of_many(planned) if change.foreign_keys else []
    if requests is None or parents is None or not _may_be_there(reader, parents):
        return None
    reserves = ids.reserves(target, needed)
    requests += ids.guards(target, reserves)
    are_free, reserved = reader.are_free(requests, reserves, parents)
    ids.add_block(target, reserves, reserved)
    if not (are_free and are_there(reader, parents)):
        return None
    first = ids.take(target, needed, reader.working_set.max_rowid(target)) if needed else None
    rowids = _rowids(target, planned, first)
    run = None if rowids is None else insert(reader, change, rowids, first)
    if run is None and not change.prepared.statement.returning:
        reader.working_set.begin()
        run = _add(reader, change, target, planned, first)
        if run is not None and first is not None and target.key.columns in ((ROWID,), (target.rowid_alias,)):
            for rowid in range(first, first + needed):
                ids.claim_one(target, rowid)
    if run is None and first is not None:
        ids.take_back(target)
    return run


def _rowids(target: Table, rows: Sequence[PlannedRow], first: int | None) -> Sequence[int] | None:
    """The ids of the rows; None if they have none that their statement or the store gives."""
    if target.rowid_alias is None:
        return None
    if first is not None:
        return range(first, first + len(rows))
    rowids = [row.values.get(target.rowid_alias) for row in rows]
    return [rowid for rowid in rowids if type(rowid) is int] if all(type(each) is int for each in rowids) else None


def _may_be_there(reader: Reader, parents: Sequence[ReadRequest]) -> bool:
    """Whether `are_there` may say so of parents once they are read: else the trip would be in vain."""
    tables, buffered = reader.working_set.contents.tables, reader.working_set.buffered
    for parent in parents:
        contents = tables.get(parent.table_id)
        if parent.table_id >= reader.first_new_table:
            return False
        if contents is not None and (contents.touched or contents.whole) and parent.table_id not in buffered:
            return False
    return True


def _is_plain(reader: Reader, change: Change, target: Table) -> bool:
    """Whether nothing but the unique keys of the rows decides, and nothing but these rows is written."""
    traits = change.prepared.traits
    if not (traits.adds_plainly and traits.in_batches) or reader.working_set.contents.sequences:
        return False
    if target.rowid_alias is None and (traits.sets_rowid or len(change.batch) == 1):
        return False
    if target.rowid_alias is None and not target.without_rowid and len(change.planned or ()) != len(change.batch):
        return False  # `_add` moves the one row that the first parameters make
    return target.id < reader.first_new_table


def _unique(
    indexes: Sequence[Index], target: Table, rows: Sequence[PlannedRow], *, ids_given: bool
) -> list[ReadRequest] | None:
    """The stored rows with a unique key of these; None if a key is not known. Ids that the store gives are nobody's."""
    alias, requests = target.rowid_alias, []
    for index in indexes:
        if not ids_given and index is target.key and index.columns in ((ROWID,), (alias,)):
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
        text, batch = change.prepared.statement.text, change.batch
        if first is not None and target.rowid_alias is not None:
            working_set.set_next_rowid(target, first)
        elif first is not None:  # of these tables SQLite takes the rowid after the greatest
            chosen = working_set.add(text, batch[0])
            if chosen is None:
                block.back()
                return None
            working_set.move_rowids(target, [(chosen, first)])
            batch = batch[1:]
        last = working_set.add_all(text, batch, count if first is None or target.rowid_alias is not None else count - 1)
        if last is None or (first is not None and last != first + count - 1):
            block.back()
            return None
    touched = working_set.contents.of(target.id).touched
    alias = target.rowid_alias
    if target.without_rowid:
        key = target.key
        columns = [[row.values[at] for row in rows] for at in key.columns]
        touched.update(zip(encode_keys(columns, key.collations), zip(*columns, strict=True), strict=True))
    else:
        rowids = range(first, first + count) if first is not None else [row.values[alias] for row in rows]  # type: ignore[index]
        touched.update((rowid, (rowid,)) for rowid in rowids)  # type: ignore[misc]  # they are integers
    if len(touched) > LARGE_ROWS:
        working_set.contents.large = True
    return StatementRun([], count, count // len(change.batch), count, last, [], None)
