"""Answer a query whose rows do not fit in memory, and which cannot be streamed, from a temporary file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw

from rome.catalog.rows import decode_row, decode_rows
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.reading.reader import Reader, to_request
from rome.engine.reading.streaming import within_memory
from rome.engine.statement.prepared import Prepared
from rome.errors import OperationalError
from rome.planner.plan import Fetch
from rome.store.spi import Row
from rome.transaction.read_set import Validation
from rome.workingset.lookups import lookups
from rome.workingset.overflow import Overflow, walk
from rome.workingset.workingset import SqlRow


def overflow(
    reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation
) -> list[SqlRow] | None:
    """Return the rows of a query's result; None if it reads what is in the working set only.

    Raises:
        WorkingSetFullError: the result does not fit in memory.
        OperationalError: the disk is full, for example.

    Cost: see `fill`.
    """
    made = fill(reader, prepared, parameters, check)
    if made is None:
        return None
    names = ", ".join(table.name for table in prepared.plan.tables)
    rows = walk(made.connection, reader.working_set.interruption, prepared.statement.text, parameters)
    try:
        return within_memory(rows, reader.transaction.budget, names)
    finally:
        made.close()


def fill(reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation) -> Overflow | None:
    """Read all that a query needs into a temporary file; None if it reads what is in the working set only.

    Each table is read for itself: what constants bound, or all of it where other tables' rows would have to say which
    rows matter, since those are not kept.

    Raises:
        OperationalError: the disk is full, for example.

    Cost: a round trip for each chunk of rows; about 2 µs of CPU for each row that is read; the rows on the disk.
    """
    working_set, tables = reader.working_set, prepared.plan.tables
    contents = working_set.contents.tables
    whole = any(table.id in contents and contents[table.id].whole for table in tables)
    if whole or prepared.inspection.temporary_read or not reader.has_stored_schema:
        return None
    fetches = prepared.plan.independent(parameters)
    for fetch in fetches:
        reader.transaction.check_unkept(to_request(fetch, check))  # before: the application sees an error, too
    made = Overflow(reader.transaction.budget.max_bytes // 2)
    try:
        reader.workspace.give_schema(made)
        for fetch in fetches:
            made.insert(fetch.table, _stored(reader, fetch))
        for table in tables:
            made.insert(table, [_touched(reader, table)])
        made.connection.set_last_insert_rowid(working_set.connection.last_insert_rowid())
        mirror = reader.workspace.mirror.connection
        made.index(lookups(mirror, made.connection, prepared.statement.text, prepared.inspection.parameter_count))
    except BaseException as error:
        made.close()
        if isinstance(error, apsw.Error):
            raise OperationalError(str(error)) from error
        raise
    return made


def _stored(reader: Reader, fetch: Fetch) -> Iterator[Sequence[tuple[int, Sequence[SqlValue]]]]:
    """The stored rows in a fetch that this transaction has not touched."""
    table = fetch.table
    contents = reader.working_set.contents.of(table.id)
    identities = reader.working_set.statements_of(table).identities
    for start, stop in fetch.ranges:
        for chunk in reader.transaction.chunks(table.id, fetch.path.id, start, stop):
            rows = _decoded(table, chunk)
            if contents.touched:
                known = zip(identities(rows), rows, strict=True)
                rows = [row for identity, row in known if identity not in contents.touched]
            yield rows


def _touched(reader: Reader, table: Table) -> Sequence[tuple[int, Sequence[SqlValue]]]:
    """The rows that this transaction has touched, as they are now."""
    touched = reader.working_set.contents.of(table.id).touched
    return [row for row in reader.working_set.final_rows(table, list(touched.values())) if row is not None]


def _decoded(table: Table, rows: Sequence[Row]) -> Sequence[tuple[int, Sequence[SqlValue]]]:
    found = decode_rows(table, [row.record for row in rows])
    return [decode_row(table, row.key, row.record) for row in rows] if found is None else found
