"""Changes of which the plan proves that the guard loop has nothing to find; they take the short way past it.

An UPDATE or DELETE that is *unguarded* (see Traits) runs once. An INSERT that *adds plainly* writes just the row that
is planned, so its guards are all known before it runs. If no stored row has one of its unique keys, and the store has
shown its parents, SQLite can only store it, or refuse it by NOT NULL, CHECK or a row that this transaction has written;
and then it leaves nothing of it. So there is no need for a savepoint, for the hook that shows what was written, for
enforcing foreign keys, nor for the parents to be in the working set.

Where anything is otherwise, the guard loop takes over, from the state that is reached.
"""

from __future__ import annotations

from rome.catalog.schema import Table
from rome.engine.reading.reader import Reader
from rome.engine.reading.waves import gather
from rome.engine.writing.guard_loop import Change, GuardLoop
from rome.engine.writing.row_ids import RowIds
from rome.transaction.transaction import ReadRequest
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.workingset import StatementRun


def change_unguarded(reader: Reader, ids: RowIds, change: Change) -> StatementRun:
    """Read what an UPDATE or DELETE reads, and run it, without looking for guards."""
    prepared, parameters, working_set = change.prepared, change.batch[0], reader.working_set
    gather(reader, prepared.plan, parameters, change.check)
    with AllOrNothing(working_set) as block:
        run = working_set.run(prepared.statement.text, change.batch, _NONE)
        if run.error is None:
            working_set.touch(reader.schema.catalog.tables, run.events)
            return run
        if working_set.connection.in_transaction:
            block.back()
    return GuardLoop(reader, ids, change, 0).run()


_NONE: frozenset[str] = frozenset()


def add_plainly(reader: Reader, ids: RowIds, change: Change) -> StatementRun | None:
    """Run an INSERT of one row whose guards are known; None if they are not, and nothing was done.

    Raises:
        IdsExhaustedError: no id is left.

    Cost: a round trip, if it needs an id, or any of its guards is not known yet.
    """
    target, planned = change.prepared.target, change.planned
    assert target is not None
    assert planned is not None
    if len(planned) != 1 or not ids.are_from_store(target):
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
    # An id that was asked for by itself need not go through those at hand.
    taken = reserved[0] if reserve is not None and reserve.again is None and reserve.size == 1 else None
    if taken is None:
        ids.add_block(target, reserves, reserved)
    if _is_free(reader, unique) and _are_there(reader, parents):
        if parents and reader.working_set.enforces_foreign_keys:  # to change that costs more than a parent's hydration
            reader.hydrate(parents)
        first = taken
        if taken is None and not row.rowid_given:
            first = ids.take(target, 1, reader.working_set.max_rowid(target))
        run = _add(reader, change, target, first)
        if run is not None:
            if taken is not None:
                ids.note_taken(target, taken)
            if first is not None:
                ids.claim_one(target, first)
            return run
        if taken is None and first is not None:
            ids.take_back(target)
    if taken is not None:
        ids.add_block(target, reserves, reserved)
    reader.hydrate(requests)
    return GuardLoop(reader, ids, change, 0 if row.rowid_given else 1).run()


def _add(reader: Reader, change: Change, target: Table, first: int | None) -> StatementRun | None:
    """Run it, with `first` for its id if it sets none; None: SQLite has refused the row."""
    working_set = reader.working_set
    if first is not None:
        working_set.set_next_rowid(target, first)
    rowid = working_set.add(change.prepared.statement.text, change.batch[0])
    if rowid is None:
        return None
    working_set.contents.of(target.id).touched[rowid] = (rowid,)
    return StatementRun([], 1, 1, 1, rowid, [], None)


def _is_free(reader: Reader, unique: list[ReadRequest]) -> bool:
    """Whether no stored row has one of these keys."""
    cache = reader.transaction.cache
    for request in unique:
        for key in request.keys:
            if cache.row(request.table_id, key) is not None:
                return False
        for start, stop in request.ranges:
            if cache.covering(request.table_id, request.index_id, start, stop):
                return False
    return True


def _are_there(reader: Reader, parents: list[ReadRequest]) -> bool:
    """Whether the parents were read, and this transaction has not touched their tables."""
    cache, tables = reader.transaction.cache, reader.working_set.contents.tables
    for request in parents:
        contents = tables.get(request.table_id)
        if contents is not None and (contents.touched or contents.whole):
            return False
        for key in request.keys:
            if cache.row(request.table_id, key) is None:
                return False
        for bounds in request.ranges:  # a range that holds this one may have rows of other keys
            if not cache.has_range(request.table_id, request.index_id, bounds):
                return False
            if not cache.covering(request.table_id, request.index_id, *bounds):
                return False
    return True
