"""Inserts blocks of stored rows into a working set without an object for each row, by the compiled part."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import apsw
import msgspec

from rome import compiled
from rome.catalog.block_rows import decoded
from rome.catalog.reflected_table import quote
from rome.catalog.schema import Table
from rome.errors import InternalError
from rome.store.row_block import STAMP_BYTES, RowBlock
from rome.store.spi import Row
from rome.workingset.contents import Identity, Stored
from rome.workingset.passing import definitions
from rome.workingset.tables import TableStatements

CORRUPT = "rome_rows: "
"""How the errors of rows.c begin."""

ROWS_AT_ONCE = 4_000
"""SQLite copies what it is given: in parts of this size the copy stays in the processor's cache."""

_NO_STAMP = bytes(STAMP_BYTES)
_encode = msgspec.msgpack.Encoder().encode


class BlockLoader:
    """One connection's functions that decode blocks: for each table, and size of what precedes a record, two.

    Attributes:
        passed: the blocks that functions without an argument read, by the numbers of the functions.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.passed: dict[int, RowBlock | Chunks] = {}
        self._functions: dict[tuple[int, int], tuple[Table, int]] = {}
        self._streams: dict[int, tuple[Table, int]] = {}
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
                passed = self.passed

                def part_of(source: int, number: int) -> bytes | None:
                    blocks = passed[source]
                    return blocks.part(number) if isinstance(blocks, Chunks) else _part(blocks.values, number)

                self._connection.create_scalar_function("rome_rows_block", part_of, 2)  # type: ignore[arg-type]
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
            columns = [f"c{position}" for position in range(len(table.columns))]
            number = self._define(table, before, columns, ordered=False)
            found = self._inserts[place] = (table, statements.insert_from(function_name(number)))
        return found[1]

    @contextmanager
    def streamed(self, table: Table, chunks: Callable[[], Iterator[Sequence[Row]]]) -> Iterator[None]:
        """Inside the block, the table's name means these rows, as in rome.workingset.stream."""
        found = self._streams.get(table.id)
        if found is None or found[0] is not table:
            number = self._define(table, STAMP_BYTES, definitions(table), ordered=False)
            found = self._streams[table.id] = (table, number)
        number = found[1]
        self.passed[number] = Chunks(chunks)
        name = f"temp.{quote(table.name)}"
        self._connection.execute(f"CREATE VIRTUAL TABLE {name} USING {function_name(number)}")
        try:
            yield
        finally:
            self._connection.execute(f"DROP TABLE {name}")
            del self.passed[number]

    def function_of(self, table: Table, before: int) -> int:
        """The number of a function with the table's own columns."""
        place = table.id, before
        found = self._functions.get(place)
        if found is None or found[0] is not table:
            found = self._functions[place] = (table, self._define(table, before, definitions(table), ordered=True))
        return found[1]

    def _define(self, table: Table, before: int, columns: Sequence[str], *, ordered: bool) -> int:
        # A new name each time: SQLite keeps prepared statements, which know the function of the name as it was.
        number = next(self._numbers)
        shape = shape_of(table, before, number, columns, ordered=ordered)
        self._connection.execute("SELECT rome_rows_define(?, ?)", (function_name(number), shape)).fetchall()
        return number


class Chunks:
    """The parts of rows that are read while SQLite passes over them, once at a time.

    Args:
        start: begins to read.
    """

    def __init__(self, start: Callable[[], Iterator[Sequence[Row]]]) -> None:
        self._start = start
        self._chunks: Iterator[Sequence[Row]] = iter(())
        self._next = 0

    def part(self, number: int) -> bytes | None:
        """The next part; the first one begins anew. None at the end."""
        if number == 0:
            self._chunks, self._next = self._start(), 0
        if number != self._next:
            raise InternalError("two passes over a stream of rows at once")
        self._next += 1
        for rows in self._chunks:
            if rows:
                block = RowBlock.of(rows)
                return _packed(block.values if block.before else [_NO_STAMP + record for record in block.values])
        return None


def function_name(number: int) -> str:
    """The name of a function."""
    return f"rome_rows_{number}"


def stored_rows(table: Table, statements: TableStatements, block: RowBlock) -> dict[Identity, Stored]:
    """The rows of a block, decoded."""
    rows = decoded(table, block)
    return {
        identity: Stored(row.key, row.version, rowid, values)
        for identity, row, (rowid, values) in zip(statements.identities(rows), block.rows(), rows, strict=True)
    }


def packed(values: Sequence[bytes]) -> Iterator[bytes]:
    """Stored values in the form that rows.c calls a block, in parts."""
    number = 0
    while (part := _part(values, number)) is not None:
        yield part
        number += 1


def _part(values: Sequence[bytes], number: int) -> bytes | None:
    part = values[number * ROWS_AT_ONCE : (number + 1) * ROWS_AT_ONCE]
    return _packed(part) if part else None


def _packed(part: Sequence[bytes]) -> bytes:
    return b"".join([len(part).to_bytes(4, sys.byteorder), array("I", map(len, part)).tobytes(), *part])


def shape_of(table: Table, before: int, source: int, columns: Sequence[str], *, ordered: bool) -> bytes:
    """How a table's records are to be read, in the form that rows.c calls a shape.

    Args:
        before: bytes before each record.
        source: what the function reads if it has no argument.
        columns: the definition of each column.
        ordered: the source's blocks are in the order of rowids.
    """
    sql = f"CREATE TABLE x ({', '.join(columns)}, rome_block HIDDEN)"
    alias = -1 if table.rowid_alias is None else table.rowid_alias
    layouts: list[int] = []
    for number, positions in table.layout_positions.items():
        layouts += (number, len(positions), *positions)
    blank = table.blank_row
    return _encode(
        [sql, alias, before, source, int(ordered), len(blank), *blank, len(table.layout_positions), *layouts]
    )


__all__ = ["CORRUPT", "BlockLoader", "function_name", "packed", "shape_of", "stored_rows"]
