"""Inserts blocks of stored rows into a working set without an object for each row, by the compiled part."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import count

import apsw
import msgspec

from rome import compiled
from rome.catalog.block_rows import decoded
from rome.catalog.schema import Table
from rome.store.row_block import RowBlock
from rome.workingset.contents import Identity, Stored
from rome.workingset.tables import TableStatements

ROWS_AT_ONCE = 4_000
"""SQLite copies what it is given: in parts of this size the copy stays in the processor's cache."""

_encode = msgspec.msgpack.Encoder().encode


class BlockLoader:
    """One connection's functions that decode blocks: for each table, and size of what precedes a record, one."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._inserts: dict[tuple[int, int], tuple[Table, str]] = {}
        self._numbers = count(1)
        self._loaded: bool | None = None

    @property
    def is_available(self) -> bool:
        """Whether there is the compiled part. It is loaded when this is first asked."""
        if self._loaded is None:
            path = compiled.library()
            self._loaded = path is not None
            if path is not None:
                compiled.load(self._connection, path)
        return self._loaded

    def insert(self, table: Table, statements: TableStatements, block: RowBlock) -> None:
        """Insert the rows of a block.

        Raises:
            apsw.Error: a record is corrupt, or SQLite refuses a row. Some rows may have been inserted.

        Cost: 0.25 µs for a row of 4 columns.
        """
        text = self._insert_of(table, statements, block.before)
        for part in packed(block.values):
            self._connection.execute(text, (part,))

    def _insert_of(self, table: Table, statements: TableStatements, before: int) -> str:
        place = table.id, before
        found = self._inserts.get(place)
        if found is None or found[0] is not table:
            # A new name each time: SQLite keeps prepared statements, which know the function of the name as it was.
            name = f"rome_rows_{next(self._numbers)}"
            self._connection.execute("SELECT rome_rows_define(?, ?)", (name, shape_of(table, before))).fetchall()
            found = self._inserts[place] = (table, statements.insert_from(name))
        return found[1]


def stored_rows(table: Table, statements: TableStatements, block: RowBlock) -> dict[Identity, Stored]:
    """The rows of a block, decoded."""
    rows = decoded(table, block)
    return {
        identity: Stored(row.key, row.version, rowid, values)
        for identity, row, (rowid, values) in zip(statements.identities(rows), block.rows(), rows, strict=True)
    }


def packed(values: Sequence[bytes]) -> Iterator[bytes]:
    """Stored values in the form that rows.c calls a block."""
    for start in range(0, len(values), ROWS_AT_ONCE):
        part = values[start : start + ROWS_AT_ONCE]
        yield b"".join([len(part).to_bytes(4, sys.byteorder), array("I", map(len, part)).tobytes(), *part])


def shape_of(table: Table, before: int, columns: Sequence[str] | None = None) -> bytes:
    """How a table's records are to be read, in the form that rows.c calls a shape.

    Args:
        before: bytes before each record.
        columns: the definition of each column; without them they are c0, c1, ..
    """
    definitions = [f"c{number}" for number in range(len(table.columns))] if columns is None else columns
    sql = f"CREATE TABLE x ({', '.join(definitions)}, rome_block HIDDEN)"
    alias = -1 if table.rowid_alias is None else table.rowid_alias
    layouts: list[int] = []
    for number, positions in table.layout_positions.items():
        layouts += (number, len(positions), *positions)
    blank = table.blank_row
    return _encode([sql, alias, before, len(blank), *blank, len(table.layout_positions), *layouts])


__all__ = ["BlockLoader", "packed", "shape_of", "stored_rows"]
