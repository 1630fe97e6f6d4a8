"""Runs a query whose rows do not fit in memory by streaming them through SQLite, if it reads one table once.

The result is that of the whole table, including changes of this transaction. Rows come in the order of the index that
is read. If that is not the order of rowids, results that SQL leaves open may differ: which of several equal rows a
LIMIT cuts off, the order in group_concat(), the last digit of a sum of reals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from itertools import chain
from sys import getsizeof

from rome.catalog.rows import as_record, decode_row, records_of, row_key
from rome.codec.values import SqlValue
from rome.engine.reading.reader import Reader, to_request
from rome.engine.statement.prepared import Prepared
from rome.errors import OperationalError, WorkingSetFullError
from rome.planner.plan import Fetch
from rome.store.spi import ORDER_INDEX, Row
from rome.transaction.memory_budget import MemoryBudget
from rome.transaction.read_set import Validation
from rome.workingset.block_loader import CORRUPT
from rome.workingset.stream import reads_stored, streamed
from rome.workingset.workingset import SqlRow


def stream(
    reader: Reader, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation
) -> list[SqlRow] | None:
    """Return the rows of a query's result; None if the query cannot be streamed.

    Raises:
        WorkingSetFullError: the result does not fit in memory.

    Cost: as many round trips as there are chunks; the memory of one chunk, and of the result.
    """
    fetch = prepared.plan.only_fetch(parameters)
    if fetch is None or fetch.table.has_generated or fetch.table.without_rowid:
        return None
    table, working_set, sql = fetch.table, reader.working_set, prepared.statement.text
    hidden = any(item.name.lower() == table.name.lower() for item in working_set.temporary())
    if table.id >= reader.first_new_table or hidden:
        return None

    def run(rows: AbstractContextManager[None]) -> list[SqlRow] | None:
        with rows:
            if reads_stored(working_set.connection, sql, parameters, table):
                return None
            reader.transaction.check_unkept(to_request(fetch, check))  # before: the application sees an error, too
            return within_memory(working_set.walk(sql, parameters), reader.transaction.budget, table.name)

    if working_set.can_pass and not working_set.contents.of(table.id).touched:
        try:
            return run(working_set.streamed(table, lambda: _chunks(reader, fetch)))
        except OperationalError as error:
            if not str(error).startswith(CORRUPT):
                raise  # else Python's decoder says which record it is
    return run(streamed(working_set.connection, table, lambda: _rows(reader, fetch)))


def _chunks(reader: Reader, fetch: Fetch) -> Iterator[Sequence[Row]]:
    """The stored rows."""
    for start, stop in fetch.ranges:
        yield from reader.transaction.chunks(fetch.table.id, fetch.path.id, start, stop)


def _rows(reader: Reader, fetch: Fetch) -> Iterator[Sequence[SqlValue]]:
    """The stored rows, but those that this transaction has touched as they are now."""
    if reader.working_set.contents.of(fetch.table.id).touched:
        return (as_record(fetch.table, *row) for row in _with_touched(reader, fetch))
    return chain.from_iterable(records_of(fetch.table, chunk) for chunk in _chunks(reader, fetch))


def _with_touched(reader: Reader, fetch: Fetch) -> Iterator[tuple[int, Sequence[SqlValue]]]:
    """The rows that were touched come where they belong by their keys, or at the end when another index is read."""
    table, working_set = fetch.table, reader.working_set
    touched = working_set.contents.of(table.id).touched
    finals = [final for final in working_set.final_rows(table, list(touched.values())) if final is not None]
    written = deque(sorted((row_key(table, *final), final) for final in finals))
    for start, stop in fetch.ranges:
        for chunk in reader.transaction.chunks(table.id, fetch.path.id, start, stop):
            for row in chunk:
                while written and fetch.path.id == ORDER_INDEX and written[0][0] <= row.key:
                    yield written.popleft()[1]
                rowid, values = decode_row(table, row.key, row.record)
                if rowid not in touched:
                    yield rowid, values
    for _, final in written:
        yield final


def within_memory(result: Generator[SqlRow, None, None], budget: MemoryBudget, name: str) -> list[SqlRow]:
    """The rows of a result, whose statement ends with it.

    Args:
        name: of the tables that they are from.

    Raises:
        WorkingSetFullError: they take more memory than the rows of a statement may.
    """
    rows: list[SqlRow] = []
    used = 0
    with closing(result):
        for row in result:
            rows.append(row)
            used += getsizeof(row) + sum(map(getsizeof, row))
            if used > budget.max_bytes:
                raise WorkingSetFullError(
                    f"the result has more rows of table {name} than max_working_set has room for "
                    f"({budget.max_bytes:,} bytes): {len(rows):,} so far. Ask for fewer at a time, or raise "
                    "max_working_set",
                    table=name,
                )
    return rows
