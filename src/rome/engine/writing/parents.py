"""Whether the rows that others refer to are there, as far as that is known without SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from rome.catalog.rows import index_key
from rome.engine.reading.reader import Reader
from rome.transaction.transaction import ReadRequest
from rome.workingset.buffered import BufferedChange


def _finds(request: ReadRequest, change: BufferedChange) -> bool:
    """Whether a request for one key or one range would find the row that is inserted, if the store had it."""
    if change.before is not None or change.values is None:
        return False
    if request.keys:
        return request.keys == (change.key,)
    (path,) = [path for path in change.table.paths if path.id == request.index_id]
    entry = index_key(path, change.rowid, change.values)
    return all(start <= entry < stop for start, stop in request.ranges)


def are_there(reader: Reader, parents: Sequence[ReadRequest]) -> bool:
    """Whether the parents were read and their tables are untouched by this transaction.

    A table of which all changes are buffered has the rows that were inserted, and all that the store has: no change of
    a row's keys is buffered, nor is a row deleted to which others may refer.
    """
    cache, tables = reader.transaction.cache, reader.working_set.contents.tables
    for request in parents:
        contents = tables.get(request.table_id)
        if contents is not None and (contents.touched or contents.whole):
            waiting = reader.working_set.buffered.get(request.table_id)
            if waiting is None:
                return False
            if any(_finds(request, change) for change in waiting.changes):
                continue
        for key in request.keys:
            if cache.row(request.table_id, key) is None:
                return False
        for bounds in request.ranges:  # a range that contains this one may have rows with other keys
            if not cache.has_range(request.table_id, request.index_id, bounds):
                return False
            found = cache.covered(request.table_id, request.index_id, *bounds)
            if found is None or not (found.listed or found.block):
                return False
    return True
