"""Rows of a table from the blocks in which a store sends many."""

from __future__ import annotations

from rome.catalog.rows import decode_row, decode_rows
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.store.row_block import RowBlock


def decoded(table: Table, block: RowBlock) -> list[tuple[int, tuple[SqlValue, ...]]]:
    """Rowid and values of a block's rows.

    Raises:
        CorruptRecordError: see decode_row.
    """
    found = decode_rows(table, block.records())
    return [decode_row(table, row.key, row.record) for row in block.rows()] if found is None else found
