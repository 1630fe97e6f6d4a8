"""Changes that skip the guard loop, because their plan proves that it would find nothing.

An UPDATE or DELETE that is *unguarded* (see Traits) runs once. An INSERT that *adds plainly* writes exactly the planned
row, so all of its guards are known before it runs. If no stored row has one of its unique keys, and its parents were
read, SQLite can only store the row, or refuse it because of NOT NULL, CHECK or a row that this transaction has written;
a refused row leaves nothing behind. So the INSERT needs no savepoint, no hook to see what was written, no enforced
foreign keys, and no parents in the working set.

In any other case the guard loop takes over, from the state reached so far.
"""

from __future__ import annotations

from rome.catalog.schema import Table
from rome.engine.reading.lookups import provide_lookups
from rome.engine.reading.reader import Reader
from rome.engine.reading.waves import gather
from rome.engine.writing.buffering import assign, insert
from rome.engine.writing.guard_loop import Change, GuardLoop
from rome.engine.writing.parents import are_there
from rome.engine.writing.row_ids import RowIds
from rome.transaction.transaction import ReadRequest
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.contents import LARGE_ROWS
from rome.workingset.workingset import StatementRun


def change_unguarded(reader: Reader, ids: RowIds, change: Change) -> StatementRun:
    """Read the plan of an UPDATE or DELETE, and run the statement without looking for guards."""
    prepared, parameters, working_set = change.prepared, change.batch[0], reader.working_set
    if prepared.plan.assignment is not None and (run := assign(reader, prepared.plan.assignment, change)) is not None:
        return run
    working_set.begin()
    gather(reader, prepared.plan, parameters, change.check)
    if working_set.contents.large:
        provide_lookups(reader, prepared)
    with AllOrNothing(working_set) as block:
        run = working_set.run(prepared.statement.text, change.batch, _NONE)
        if run.error is None:
            working_set.touch(reader.schema.catalog.tables, run.events)
            return run
        if working_set.connection.in_transaction:
            block.back()
    return GuardLoop(reader, ids, change, 0).run()


def change_naming_parents(reader: Reader, change: Change) -> StatementRun | None:
    """Run an UPDATE that sets columns of foreign keys, if its rows and their new parents are known; otherwise None.

    Cost: one round trip. A row that names no row, or one that this transaction may have changed, is left to the guard
    loop, which finds what was read.
    """
    assignment = change.prepared.plan.assignment
    if assignment is None or change.deferred:
        return None
    parents: list[ReadRequest] | None = []
    if change.foreign_keys:
        guards = reader.schema.guards.of(assignment.rows.table.name.lower())
        parents = guards.all_parents(assignment.sets(change.batch[0]), assignment.positions)
    return None if parents is None else assign(reader, assignment, change, parents)


def holds_row(reader: Reader, change: Change) -> bool:
    """Whether the working set has, or had, a row of a table that the statement writes."""
    tables, contents = reader.schema.catalog.tables, reader.working_set.contents.tables
    for name in change.prepared.inspection.written:
        held = contents.get(tables[name].id)
        if held is not None and (held.hydrated or held.touched or held.whole):
            return True
    return False


def change_no_row(reader: Reader, change: Change) -> StatementRun | None:
    """Run an UPDATE or DELETE that `needs_rows` and seems to find none; None, and nothing is done, if it finds one.

    Where no row changes, there is nothing for which SQLite would have to enforce foreign keys.
    """
    working_set = reader.working_set
    with AllOrNothing(working_set) as block:
        run = working_set.run(change.prepared.statement.text, change.batch, reader.schema.with_generated)
        if run.error is None and not run.events and not run.changes:
            return run
        if working_set.connection.in_transaction:
            block.back()
    return None


_NONE: frozenset[str] = frozenset()


def add_plainly(reader: Reader, ids: RowIds, change: Change) -> StatementRun | None:
    """Run an INSERT of one row whose guards are known; if they are not, do nothing and return None.

    What RETURNING shows is known only of a row that SQLite need not make.

    Raises:
        IdsExhaustedError: no free id is left.

    Cost: one round trip if the row needs an id, or if any of its guards is not known yet.
    """
    target, planned = change.prepared.target, change.planned
    assert target is not None
    assert planned is not None
    alias = target.rowid_alias
    if len(planned) != 1 or alias is None or not ids.are_from_store(target):
        return None
    row = planned[0]
    guards = reader.schema.guards.of(target.name.lower())
    unique = guards.all_unique(row)
    parents = guards.all_parents(row.values) if change.foreign_keys else []
    if unique is None or parents is None:
        return None
    reserve = None if row.rowid_given else ids.for_one(target)
    if reserve is not None and reserve.again is not None:
        unique += ids.guards(target, [reserve])
    requests = [*unique, *parents]
    reserves = [] if reserve is None else [reserve]
    reserved = reader.read(requests, reserves)
    # An id that was reserved by itself need not be added to the ids at hand.
    taken = reserved[0] if reserve is not None and reserve.again is None and reserve.size == 1 else None
    if taken is None:
        ids.add_block(target, reserves, reserved)
    if _is_free(reader, unique) and are_there(reader, parents):
        first = taken
        if taken is None and not row.rowid_given:
            first = ids.take(target, 1, reader.working_set.max_rowid(target))
        rowid = row.values.get(alias) if first is None else first
        run = insert(reader, change, (rowid,), first) if type(rowid) is int else None
        if run is None and not change.prepared.statement.returning:
            if parents and reader.working_set.enforces_foreign_keys:  # changing that costs more than to hydrate one
                reader.hydrate(parents)
            reader.working_set.begin()
            run = _add(reader, change, target, first)
            if run is not None and first is not None:
                ids.claim_one(target, first)
        if run is not None:
            if taken is not None:
                ids.note_taken(target, taken)
            return run
        if taken is None and first is not None:
            ids.take_back(target)
    if taken is not None:
        ids.add_block(target, reserves, reserved)
    reader.working_set.begin()
    reader.hydrate(requests)
    return GuardLoop(reader, ids, change, 0 if row.rowid_given else 1).run()


def _add(reader: Reader, change: Change, target: Table, first: int | None) -> StatementRun | None:
    """Run the INSERT, with the id `first` if it sets none; return None if SQLite has refused the row."""
    working_set = reader.working_set
    if first is not None:
        working_set.set_next_rowid(target, first)
    rowid = working_set.add(change.prepared.statement.text, change.batch[0])
    if rowid is None:
        return None
    touched = working_set.contents.of(target.id).touched
    touched[rowid] = (rowid,)
    if len(touched) > LARGE_ROWS:
        working_set.contents.large = True
    return StatementRun([], 1, 1, 1, rowid, [], None)


def _is_free(reader: Reader, unique: list[ReadRequest]) -> bool:
    """Whether no stored row has one of these keys."""
    cache = reader.transaction.cache
    for request in unique:
        for key in request.keys:
            if cache.row(request.table_id, key) is not None:
                return False
        for start, stop in request.ranges:
            found = cache.covered(request.table_id, request.index_id, start, stop)
            if found is not None and (found.listed or found.block):
                return False
    return True
