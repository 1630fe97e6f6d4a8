"""INSERT of many rows, compiled once, with the values by position as the driver takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy import insert as insert_into
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.compiler import SQLCompiler

Processor = Callable[[Any], Any]


class Batch:
    """One INSERT for rows of the same columns.

    Args:
        processors: (position, what SQLAlchemy's type does to the value), where there is something to do.
        order: the positions of the statement's parameters in the rows.
    """

    def __init__(self, text: str, order: Sequence[int], processors: Sequence[tuple[int, Processor]]) -> None:
        self._text, self._processors = text, processors
        self._order = None if [*order] == [*range(len(order))] else order

    def execute(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert the rows with one executemany."""
        connection.exec_driver_sql(self._text, [self._parameters(row) for row in rows])

    def _parameters(self, row: Sequence[Any]) -> tuple[Any, ...]:
        values = [*row]
        for at, process in self._processors:
            values[at] = process(values[at])
        return tuple(values if self._order is None else [values[at] for at in self._order])


def batch_of(engine: Engine, table: Table, columns: Sequence[str]) -> Batch | None:
    """The INSERT for these columns; None if the driver does not take all its parameters by position."""
    dialect = engine.dialect
    compiled = insert_into(table).compile(dialect=dialect, column_keys=[*columns])
    if not isinstance(compiled, SQLCompiler) or not compiled.positional:
        return None
    if compiled.positiontup is None or {*compiled.positiontup} != {*columns} or dialect.bind_typing.name != "NONE":
        return None
    processors = [table.columns[name].type.dialect_impl(dialect).bind_processor(dialect) for name in columns]
    given = [(at, process) for at, process in enumerate(processors) if process is not None]
    return Batch(str(compiled), [[*columns].index(name) for name in compiled.positiontup], given)
