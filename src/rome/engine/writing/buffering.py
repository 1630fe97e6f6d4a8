"""Changes of few rows that their plan can tell the outcome of, so that SQLite need not make them before somebody looks.

Rows that an INSERT adds plainly, or that an UPDATE or DELETE changes unguarded, and that are known
(FetchPlan.inserted_row, .assignment) are handed to the working set as BufferedChanges. An UPDATE or DELETE is so only
of rows that this transaction has not changed: what they are is known as long as they are the store's. Rows that are
inserted must only differ in their unique keys from those that were inserted before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rome.catalog.rows import decode_row, index_key
from rome.catalog.schema import Index, Table
from rome.codec.keys import encode_key
from rome.codec.values import Collation
from rome.engine.reading.reader import Reader
from rome.engine.writing.guard_loop import Change
from rome.engine.writing.parents import are_there
from rome.planner.plan import AssignmentPlan
from rome.transaction.transaction import ReadRequest
from rome.workingset.buffered import BufferedChange, BufferedTable
from rome.workingset.contents import BlockContents, Stored
from rome.workingset.workingset import SqlRow, StatementRun


def _is_first(reader: Reader, table: Table) -> bool:
    """Whether the transaction has changed neither the table nor the schema."""
    contents = reader.working_set.contents.tables.get(table.id)
    untouched = contents is None or not (contents.touched or contents.whole or type(contents) is BlockContents)
    return untouched and reader.schema is reader.workspace.schema


def _may_go_on(reader: Reader, waiting: BufferedTable) -> bool:
    """Whether an UPDATE or DELETE may be buffered beside these changes: all see the same rows, and there are few."""
    return (
        len(waiting.changes) <= _FEW
        and reader.schema is reader.workspace.schema
        and not reader.transaction.renewed  # else SQLite might find rows that others have added since the first
    )


_BINARY: tuple[Collation] = ("BINARY",)
_FEW = 16
_MOST_ADDED = 100
_UNCHANGED = StatementRun([], 0, 0, 0, 0, [], None)
_CHANGED = StatementRun([], 1, 1, 1, 0, [], None)


def assign(
    reader: Reader, assignment: AssignmentPlan, change: Change, parents: Sequence[ReadRequest] = ()
) -> StatementRun | None:
    """Buffer an UPDATE or DELETE; None if SQLite must make it, and then its rows may have been read already.

    Args:
        parents: the rows that its rows will refer to, and did not before; they are read on the same trip.

    Cost: one round trip; two thirds of the CPU time of `change_unguarded` and of what COMMIT adds to it.
    """
    rows, parameters, working_set = assignment.rows, change.batch[0], reader.working_set
    table = rows.table
    waiting = working_set.buffered.get(table.id)
    if not (_is_first(reader, table) if waiting is None else _may_go_on(reader, waiting)):
        return None
    wanted = rows.rows(parameters)
    if wanted is None:
        return None
    index_id, keys, ranges, key, _, _ = wanted
    if waiting is not None:
        key = rows.key(parameters)
        for each in waiting.changes:
            if each.values is not None and index_key(rows.compared, each.rowid, each.values) == key:
                return None  # one row would be changed twice
    request = ReadRequest(table.id, index_id, keys, ranges, change.check)
    came = reader.fetch(request) if not parents else None
    if came is None:  # some of it was read before, or it is much
        reader.read([request, *parents])
        came = reader.transaction.rows(request)
        cache = reader.transaction.cache
        if key is None and ranges and not cache.has_range(table.id, index_id, ranges[0]):
            key = rows.key(parameters)  # an earlier read may cover a greater range, and bring more rows
    if len(came) > _FEW:
        return None
    if waiting is not None:
        changed = {each.key for each in waiting.changes}
        came = [row for row in came if row.key not in changed]
    contents = working_set.contents.tables.get(table.id)
    here = contents.keys if contents is not None else ()
    sql: str | None = change.prepared.statement.text
    positions, indexes, deletes = assignment.positions, assignment.indexes, assignment.deletes
    changes: list[BufferedChange] = []
    for row in came:
        rowid, values = decode_row(table, row.key, row.record)
        if key is None or index_key(rows.compared, rowid, values) == key:
            after = None if deletes else assignment.after(values, parameters)
            if after is None and not deletes:
                return None
            before = Stored(row.key, row.version, rowid, values)
            is_here = row.key in here
            changes.append(
                BufferedChange(table, sql, parameters, before, is_here, row.key, rowid, after, None, positions, indexes)
            )
            sql = None
    if not changes:
        return _UNCHANGED
    if parents and not are_there(reader, parents):
        return None
    working_set.buffer(table, changes)
    count = len(changes)
    return _CHANGED if count == 1 else StatementRun([], count, count, count, 0, [], None)


def insert(reader: Reader, change: Change, rowids: Sequence[int], reserved: int | None) -> StatementRun | None:
    """Buffer an INSERT of rows whose keys no stored row has, and whose parents are there; None if SQLite must make it.

    Args:
        rowids: of the rows.
        reserved: the first of them, if they come from the store, and their rows are assumed to be free; None if the
            statement sets them.
    """
    prepared, target, working_set = change.prepared, change.prepared.target, reader.working_set
    planned = prepared.plan.inserted_row
    assert target is not None
    if planned is None or len(rowids) > _MOST_ADDED:
        return None
    waiting = working_set.buffered.get(target.id)
    if reader.schema is not reader.workspace.schema if waiting is not None else not _is_first(reader, target):
        return None
    changes: list[BufferedChange] = []
    next_rowid, indexes, shown = reserved, target.paths[1:], planned.shown
    shows: list[SqlRow] = []
    for parameters in change.batch:
        sql: str | None = prepared.statement.text
        for offset in planned.offsets:
            rowid = rowids[len(changes)]
            values = planned.values(parameters, rowid, offset)
            if values is None:
                return None
            key = encode_key((rowid,), _BINARY)
            changes.append(
                BufferedChange(target, sql, parameters, None, True, key, rowid, values, next_rowid, (), indexes)
            )
            sql = next_rowid = None
            if shown is not None:
                shows.append(shown(values))
    count = len(changes)
    if (waiting is not None or count > 1) and not _are_distinct(reader, target, waiting, changes):
        return None
    working_set.buffer(target, changes)
    cache, read_set = reader.transaction.cache, reader.transaction.read_set
    for each in changes:
        if cache.claim(target.id, each.key):
            read_set.add_point(target.id, each.key, 0)
    return StatementRun(shows, count, len(planned.offsets), count, rowids[-1], [], None)


def _are_distinct(
    reader: Reader, table: Table, waiting: BufferedTable | None, changes: Sequence[BufferedChange]
) -> bool:
    """Whether no two of the rows that are inserted, or were before, have the same unique key."""
    if waiting is not None:
        touched = reader.working_set.contents.tables[table.id].touched
        if any(change.rowid in touched for change in changes):
            return False
    if len({change.rowid for change in changes}) < len(changes):
        return False
    unique = reader.schema.guards.of(table.name.lower()).unique[1:]  # after the rowid
    if not unique:
        return True
    found = set() if waiting is None or waiting.unique is None else waiting.unique
    if waiting is not None and waiting.unique is None:
        found.update(key for change in waiting.changes if change.before is None for key in _keys(unique, change))
    for change in changes:
        for key in _keys(unique, change):
            if key in found:
                return False  # those that were added do no harm: SQLite makes all of the table's changes now
            found.add(key)
    if waiting is not None:
        waiting.unique = found
    return True


def _keys(indexes: Sequence[Index], change: BufferedChange) -> Iterator[tuple[int, bytes]]:
    """The keys of a row that is inserted in unique indexes; one with NULL equals none."""
    row = (*(change.values or ()), change.rowid)  # which ROWID, -1, finds
    for index in indexes:
        values = [row[position] for position in index.columns]
        if None not in values:
            yield index.id, encode_key(values, index.collations)
