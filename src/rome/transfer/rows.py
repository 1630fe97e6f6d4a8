"""The rows of a table, one after another, in the order of its primary key and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.engine import Connection, Engine

from rome.engine.session.stored import StoredDatabase
from rome.transfer.family import begin_snapshot, is_romes
from rome.transfer.schema import TableWays
from rome.transfer.values import Carrier

PAGE = 1_000

Rows = list[tuple[Any, ...]]


def pages(connection: Connection, table: Table) -> Iterator[Rows]:
    """All rows, some at a time, as the types of the table's columns give them.

    A database of Rome's is read chunk by chunk, at the snapshot of the transaction. Elsewhere one query streams all
    rows in the order of the primary key, or of all columns if there is none. (Queries that begin after the last key
    would be wrong where a type's order is not that of its comparisons, as with MySQL's ENUM.)
    """
    if is_romes(connection.engine) and not any(column.info.get("generated") for column in table.columns):
        yield from _stored(connection, table)
        return
    query = select(table).order_by(*(table.primary_key.columns or table.columns))
    for part in connection.execute(query, execution_options={"yield_per": PAGE}).partitions():
        yield [tuple(row) for row in part]


def arrived(target: Engine, ways: TableWays) -> Iterator[Rows]:
    """The rows of the target's table, with values as they come from the source."""
    carrier = Carrier([column.type for column in ways.target.columns])
    with target.connect() as connection:
        for page in pages(begin_snapshot(connection), ways.target):
            yield carrier.page(page)


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
