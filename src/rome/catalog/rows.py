"""Rows of a table to and from what the store holds: records, row keys, index entries.

A row is the tuple of its values in column order; a generated column's is None, as it is never stored. SQLite's rowid
travels beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from rome.catalog.schema import Index, Table
from rome.codec.keys import encode_key
from rome.codec.rows import UNLIKE, decode_alike, decode_record, encode_record, encode_records
from rome.codec.values import SqlValue
from rome.errors import CorruptRecordError
from rome.store.spi import Row

_record = attrgetter("record")


def row_key(table: Table, rowid: int, values: Sequence[SqlValue]) -> bytes:
    """The key under which the store holds the row.

    SQLite allows several rows whose declared primary key holds a NULL: for such a row the rowid is appended to the key.
    """
    key = table.key
    parts = [*map((*values, rowid).__getitem__, key.columns)]  # ROWID, which is -1, is the last
    encoded = encode_key(parts, key.collations)
    if None in parts:
        return encoded + encode_key([rowid], ["BINARY"])
    return encoded


def index_key(index: Index, rowid: int, values: Sequence[SqlValue]) -> bytes:
    """The row's key in an index."""
    return encode_key(map((*values, rowid).__getitem__, index.columns), index.collations)  # ROWID is -1


def encode_row(table: Table, rowid: int, values: Sequence[SqlValue]) -> bytes:
    """The record of a row, in the table's current layout."""
    return encode_record(table.layout, rowid, map(values.__getitem__, table.stored_positions))


def encode_rows(table: Table, rows: Sequence[tuple[int, Sequence[SqlValue]]]) -> list[bytes]:
    """The records of many rows."""
    layout, positions = table.layout, table.stored_positions
    if len(positions) < 2:
        return [encode_row(table, rowid, values) for rowid, values in rows]
    stored = itemgetter(*positions)
    return encode_records([(layout, rowid, *stored(values)) for rowid, values in rows])


def decode_rows(table: Table, records: Sequence[bytes]) -> list[tuple[int, tuple[SqlValue, ...]]] | None:
    """Rowid and values of many records; None if they have to be decoded one by one.

    Cost: for a row of few columns a third of what decode_row takes.
    """
    found = _decode_whole(table, records)
    if found is None:
        return None
    alias = table.rowid_alias
    if alias is None:
        return [(values[1], values[2:]) for values in found]
    if alias == 0:
        return [(values[1], values[1:]) for values in found]
    after = alias + 2
    return [(values[1], (*values[2:after], values[1], *values[after:])) for values in found]


def records_of(
    table: Table, rows: Sequence[Row], decode: Callable[[bytes], tuple[Any, ...]] | None = None
) -> list[tuple[Any, ...]]:
    """Of each stored row a layout, the rowid, and the values of all columns but the rowid's alias, in order.

    Args:
        decode: the table's `decode_whole`, if the caller has it.

    Raises:
        CorruptRecordError: see decode_row.
    """
    if decode is None:
        decode = table.decode_whole
    if decode is not None:
        try:
            return list(map(decode, map(_record, rows)))
        except UNLIKE:  # one has another layout, or a blob; or it is corrupt
            pass
    return [as_record(table, *decode_row(table, row.key, row.record)) for row in rows]


def as_record(table: Table, rowid: int, values: Sequence[SqlValue]) -> tuple[SqlValue, ...]:
    """A layout, the rowid, and the values of all columns but the rowid's alias."""
    alias = table.rowid_alias
    return table.layout, rowid, *(values if alias is None else (*values[:alias], *values[alias + 1 :]))


def place_in_record(table: Table, position: int) -> int:
    """Where `records_of` has a column's value."""
    alias = table.rowid_alias
    if alias is None:
        return position + 2
    if position == alias:
        return 1
    return position + 2 if position < alias else position + 1


def _decode_whole(table: Table, records: Sequence[bytes]) -> list[tuple[Any, ...]] | None:
    """The records, if all have the table's layout, and that is of all columns in order, without blobs; else None."""
    values = table.whole_layouts.get(table.layout)
    return None if values is None else decode_alike(records, table.layout, values)


def decode_row(table: Table, key: bytes, record: bytes) -> tuple[int, tuple[SqlValue, ...]]:
    """Rowid and values of a record in any of the table's layouts.

    Raises:
        CorruptRecordError: the record cannot be decoded; the error names the table and the key.
    """
    decode = table.decode_whole
    if decode is not None:  # most records are like that
        try:
            found = decode(record)
        except UNLIKE:
            pass
        else:
            alias = table.rowid_alias
            if alias == 0:
                return found[1], found[1:]
            if alias is None:
                return found[1], found[2:]
            return found[1], (*found[2 : alias + 2], found[1], *found[alias + 2 :])
    try:
        layout, rowid, stored = decode_record(record)
        if table.whole_layouts.get(layout) == len(stored):  # most are whole; 3 instead of 9 µs for 53 columns
            alias = table.rowid_alias
            return rowid, stored if alias is None else (*stored[:alias], rowid, *stored[alias:])
        positions = table.layout_positions[layout]
        if len(positions) != len(stored):
            raise CorruptRecordError(f"layout {layout} has {len(positions)} columns, the record {len(stored)}")
    except (CorruptRecordError, KeyError) as error:
        reason = f"it names an unknown layout {error}" if isinstance(error, KeyError) else str(error)
        raise CorruptRecordError(
            f"the record of table {table.name}, key {key.hex()}, is corrupt: {reason}", table=table.name, key=key
        ) from error
    values = list(table.blank_row)
    for position, value in zip(positions, stored, strict=True):
        if position >= 0:  # skip a column that was dropped since
            values[position] = value
    if table.rowid_alias is not None:
        values[table.rowid_alias] = rowid
    return rowid, tuple(values)
