"""Whether every row has its entries in the store, and every entry its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rome.catalog.rows import decode_row, row_key
from rome.catalog.schema import Table
from rome.codec.shown_key import shown_values
from rome.engine.session.stored import StoredDatabase
from rome.errors import CorruptRecordError, Error
from rome.store.spi import BEYOND, ORDER_INDEX, Count, Row
from rome.verify.damage import Damage

_COUNTS_PER_READ = 1_000

Entry = tuple[int, bytes, bytes]
"""(index id, index key, row key)"""


def check_entries(stored: StoredDatabase, table: Table) -> Iterator[Damage | int]:
    """What is wrong with a table's rows and entries; and, after each chunk, how many rows were checked so far.

    Each row must decode, have the key that its values make, and have its entry in each index that it belongs to. The
    indexes must have no further entries.

    Cost: one round trip for a chunk of rows, and one for each thousand entries.
    """
    names = {index.id: f"index {index.name}" for index in table.indexes} | {ORDER_INDEX: "the order of its keys"}
    expected = dict.fromkeys(names, 0)
    for chunk in stored.chunks(table):
        wanted: list[Entry] = []
        for row in chunk:
            try:
                wanted += _entries(stored, table, row)
            except Error as error:
                yield Damage(table.name, _shown(row.key), str(error))
        expected[ORDER_INDEX] += len(chunk)
        for index_id, _, _ in wanted:
            expected[index_id] += 1
        for index_id, row_key_, found in _not_one(stored, table, wanted):
            yield Damage(table.name, names[index_id], f"{_shown(row_key_)} has {found} entries instead of 1")
        yield expected[ORDER_INDEX]
    whole = [Count(table.id, index_id, b"", BEYOND) for index_id in expected]
    for (index_id, rows), found in zip(expected.items(), stored.counts(whole), strict=True):
        if found != rows:
            yield Damage(table.name, names[index_id], f"it has {found:,} entries for {rows:,} rows")


def _entries(stored: StoredDatabase, table: Table, row: Row) -> list[Entry]:
    """The entries that a row must have.

    Raises:
        CorruptRecordError: the record cannot be decoded, or is that of another key.
    """
    rowid, values = decode_row(table, row.key, row.record)
    if row_key(table, rowid, values) != row.key:
        raise CorruptRecordError(f"its record is that of {_shown(row_key(table, rowid, values))}")
    return [(index.id, key, row.key) for index, key in stored.entries(table, rowid, values)]


def _not_one(stored: StoredDatabase, table: Table, wanted: Sequence[Entry]) -> Iterator[tuple[int, bytes, int]]:
    """(index id, row key, how many there are) of the entries that are not there exactly once."""
    for start in range(0, len(wanted), _COUNTS_PER_READ):
        part = wanted[start : start + _COUNTS_PER_READ]
        counts = [Count(table.id, index_id, key + row, key + row + BEYOND) for index_id, key, row in part]
        for (index_id, _, row), found in zip(part, stored.counts(counts), strict=True):
            if found != 1:
                yield index_id, row, found


def _shown(key: bytes) -> str:
    return f"the row with key {', '.join(map(repr, shown_values(key)))}"
