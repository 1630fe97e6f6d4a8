"""The rows of a table, one after another, in the order of its primary key and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.engine import Connection

from rome.bulk.paging import ranges_after
from rome.engine.session.stored import StoredDatabase
from rome.transfer.family import is_romes

PAGE = 1_000

Rows = list[tuple[Any, ...]]


def pages(connection: Connection, table: Table) -> Iterator[Rows]:
    """All rows, some at a time, as the types of the table's columns give them.

    A database of Rome's is read chunk by chunk, at the snapshot of the transaction. Elsewhere each page begins after
    the primary key of the last; a table without one is read as a stream, in the order of all its columns.
    """
    if is_romes(connection.engine) and not any(column.info.get("generated") for column in table.columns):
        yield from _stored(connection, table)
    elif table.primary_key.columns:
        yield from _by_key(connection, table)
    else:
        streamed = connection.execution_options(yield_per=PAGE).execute(select(table).order_by(*table.columns))
        for part in streamed.partitions():
            yield [tuple(row) for row in part]


def _stored(connection: Connection, table: Table) -> Iterator[Rows]:
    dialect = connection.dialect
    processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in table.columns]
    session = connection.connection.driver_connection.session  # type: ignore[union-attr]  # rome.dbapi's

    def walk(stored: StoredDatabase) -> Iterator[Rows]:
        found = stored.tables[table.name.lower()]
        positions = [found.positions[column.name.lower()] for column in table.columns]
        for chunk in stored.rows(found):
            yield [
                tuple(_read(values[at], read) for at, read in zip(positions, processors, strict=True))
                for _, values in chunk
            ]

    yield from session.stored(walk)


def _read(value: object, processor: Callable[[Any], Any] | None) -> object:
    return value if processor is None or value is None else processor(value)


def _by_key(connection: Connection, table: Table) -> Iterator[Rows]:
    columns = [*table.primary_key.columns]
    positions = [[*table.columns].index(column) for column in columns]
    last: Sequence[Any] | None = None
    while True:
        page: Rows = []
        for range_ in ranges_after(columns, last):
            query = select(table).where(*range_).order_by(*columns).limit(PAGE - len(page))
            page += [tuple(row) for row in connection.execute(query)]
            if len(page) == PAGE:
                break
        if not page:
            return
        yield page
        last = [page[-1][at] for at in positions]
