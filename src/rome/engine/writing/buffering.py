"""Changes of one row that its plan can tell the outcome of, so that SQLite need not make them before somebody looks.

An INSERT that adds plainly, or an UPDATE that is unguarded, whose row is known (FetchPlan.inserted_row, .assignment) is
handed to the working set as a BufferedChange. Only the first change of a table in a transaction: what its rows are is
known as long as they are the store's.
"""

from __future__ import annotations

from rome.catalog.rows import decode_row, index_key
from rome.catalog.schema import Table
from rome.codec.keys import encode_key
from rome.codec.values import Collation
from rome.engine.reading.reader import Reader
from rome.engine.writing.guard_loop import Change
from rome.planner.plan import AssignmentPlan
from rome.transaction.transaction import ReadRequest
from rome.workingset.buffered import BufferedChange
from rome.workingset.contents import BlockContents, Stored
from rome.workingset.workingset import StatementRun


def _is_first(reader: Reader, table: Table) -> bool:
    """Whether the transaction has changed neither the table nor the schema."""
    contents = reader.working_set.contents.tables.get(table.id)
    untouched = contents is None or not (contents.touched or contents.whole or type(contents) is BlockContents)
    return untouched and reader.schema is reader.workspace.schema


_BINARY: tuple[Collation] = ("BINARY",)
_FEW = 16
_UNCHANGED = StatementRun([], 0, 0, 0, 0, [], None)
_CHANGED = StatementRun([], 1, 1, 1, 0, [], None)


def assign(reader: Reader, assignment: AssignmentPlan, change: Change) -> StatementRun | None:
    """Buffer an UPDATE of one row; None if SQLite must make it, and then it may have been read already.

    Cost: one round trip; two thirds of the CPU time of `change_unguarded` and of what COMMIT adds to it.
    """
    rows, parameters, working_set = assignment.rows, change.batch[0], reader.working_set
    table = rows.table
    if not _is_first(reader, table):
        return None
    wanted = rows.rows(parameters)
    if wanted is None:
        return None
    request = ReadRequest(table.id, wanted.path.id, wanted.keys, wanted.ranges, change.check)
    key, came = wanted.key, reader.fetch(request)
    if came is None:  # some of it was read before, or it is much
        reader.read([request])
        came = reader.transaction.rows(request)
        cache, ranges = reader.transaction.cache, wanted.ranges
        if key is None and ranges and not cache.has_range(table.id, wanted.path.id, ranges[0]):
            key = rows.key(parameters)  # an earlier read may cover a greater range, and bring more rows
    if len(came) > _FEW:
        return None
    before = None
    for row in came:
        rowid, values = decode_row(table, row.key, row.record)
        if key is None or index_key(rows.compared, rowid, values) == key:
            if before is not None:
                return None
            before = Stored(row.key, row.version, rowid, values)
    if before is None:
        return _UNCHANGED
    after = assignment.after(before.values, parameters)
    if after is None:
        return None
    contents = working_set.contents.tables.get(table.id)
    is_here = contents is not None and before.key in contents.keys
    text, key, positions, indexes = change.prepared.statement.text, before.key, assignment.positions, assignment.indexes
    working_set.buffer(
        BufferedChange(table, text, parameters, before, is_here, key, before.rowid, after, None, positions, indexes)
    )
    return _CHANGED


def insert(reader: Reader, change: Change, rowid: int, reserved: int | None) -> StatementRun | None:
    """Buffer an INSERT of one row whose keys are free and whose parents are there; None if SQLite must make it.

    Args:
        reserved: the id from the store, whose row is assumed to be free; None if the statement sets it.
    """
    prepared, parameters, target = change.prepared, change.batch[0], change.prepared.target
    planned = prepared.plan.inserted_row
    assert target is not None
    if planned is None or not _is_first(reader, target):
        return None
    values = planned.values(parameters, rowid)
    if values is None:
        return None
    key, indexes = encode_key((rowid,), _BINARY), target.paths[1:]
    reader.working_set.buffer(
        BufferedChange(
            target, prepared.statement.text, parameters, None, True, key, rowid, values, reserved, (), indexes
        )
    )
    cache = reader.transaction.cache
    if cache.claim(target.id, key):
        reader.transaction.read_set.add_point(target.id, key, 0)
    return StatementRun([], 1, 1, 1, rowid, [], None)
