"""What a transaction is going to write, ready for the store."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from rome.errors import TransactionTooLargeError
from rome.store.spi import CATALOG_TABLE, MAX_COMMIT_BYTES, MAX_COMMIT_ROWS, Drop, EntryWrite, RowWrite

ENTRIES_PER_ROW = 10


INSERT_IN_PARTS = "insert some thousand rows, COMMIT, and so on"
UPDATE_IN_PARTS = (
    "SELECT id .. WHERE id > (the last one) ORDER BY id LIMIT 5000, then UPDATE .. WHERE id IN (those ids), COMMIT, "
    "and so on"
)
DELETE_IN_PARTS = "SELECT id .. LIMIT 5000, then DELETE .. WHERE id IN (those ids), COMMIT, and so on"
"""In two statements: a subquery's LIMIT would not bound what is read."""


class CommitLimits(NamedTuple):
    """What one commit may write; `bytes` are those of rows and index entries together."""

    rows: int = MAX_COMMIT_ROWS
    bytes: int = MAX_COMMIT_BYTES

    @property
    def entries(self) -> int:
        """Entries cost a store as much as rows, and CREATE INDEX writes nothing else."""
        return ENTRIES_PER_ROW * self.rows


class WriteSet:
    """Rows, index entries, drops and sequence values; each at most once, later calls replace earlier ones."""

    def __init__(self) -> None:
        # Grouped as ReadSet's are.
        self._rows: defaultdict[int, dict[bytes, bytes | None]] = defaultdict(dict)
        self._entries: defaultdict[tuple[int, int], dict[tuple[bytes, bytes], bool]] = defaultdict(dict)
        self.drops: list[Drop] = []
        self.sequences: dict[int, int] = {}
        self.settings: dict[int, int] = {}

    def put(self, table_id: int, key: bytes, record: bytes) -> None:
        self._rows[table_id][key] = record

    def delete(self, table_id: int, key: bytes) -> None:
        """Delete a row, unless another row has taken its key meanwhile."""
        self._rows[table_id].setdefault(key, None)

    def add_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> None:
        """Add an index entry; one that was to be removed simply stays."""
        self._change_entry(table_id, index_id, (index_key, row_key), True)

    def remove_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> None:
        """Remove an index entry; one that was to be added is simply not added."""
        self._change_entry(table_id, index_id, (index_key, row_key), False)

    def _change_entry(self, table_id: int, index_id: int, entry: tuple[bytes, bytes], present: bool) -> None:
        entries = self._entries[table_id, index_id]
        if entries.setdefault(entry, present) is not present:
            del entries[entry]

    def raise_sequence(self, sequence: int, value: int) -> None:
        self.sequences[sequence] = max(value, self.sequences.get(sequence, 0))

    def set_sequence(self, sequence: int, value: int) -> None:
        """Set a sequence, even back, but not below what it was to be raised to before."""
        self.settings[sequence] = max(value, self.sequences.pop(sequence, 0))

    def __bool__(self) -> bool:
        found = self.row_count or any(self._entries.values()) or self.drops or self.sequences or self.settings
        return bool(found)

    @property
    def row_count(self) -> int:
        """How many rows are put or deleted."""
        return sum(map(len, self._rows.values()))

    def rows(self) -> list[RowWrite]:
        return [RowWrite(table, key, record) for table, rows in self._rows.items() for key, record in rows.items()]

    def entries(self) -> list[EntryWrite]:
        return [
            EntryWrite(table, index, index_key, row_key, present)
            for (table, index), entries in self._entries.items()
            for (index_key, row_key), present in entries.items()
        ]

    def check_size(self, limits: CommitLimits) -> None:
        """Refuse what would block a store for too long.

        Raises:
            TransactionTooLargeError: the message says how much there is, how much may be, and what to do.
        """
        rows, entries = self.row_count, sum(map(len, self._entries.values()))
        size = sum([len(key) + len(record or b"") for found in self._rows.values() for key, record in found.items()])
        size += sum([len(key) + len(row_key) for found in self._entries.values() for key, row_key in found])
        if rows > limits.rows or entries > limits.entries or size > limits.bytes:
            raise TransactionTooLargeError(
                f"the transaction writes {rows:,} rows, {entries:,} index entries and {size:,} "
                f"bytes; at most {limits.rows:,} rows, {limits.entries:,} entries and {limits.bytes:,} bytes can be "
                f"committed at once. {self._advice()} raise max_commit_rows or max_commit_bytes in the URL: all others "
                "wait meanwhile"
            )

    def _advice(self) -> str:
        """How to write less at once. Whether a row that is put was inserted or updated is not known here."""
        records = [record for table, found in self._rows.items() if table != CATALOG_TABLE for record in found.values()]
        if not records:
            return "An index is made by one commit: for CREATE INDEX,"
        if len(records) == 1:
            return "One row cannot be written in parts: for this one,"
        if 2 * records.count(None) > len(records):
            parts = DELETE_IN_PARTS
        else:
            parts = f"{INSERT_IN_PARTS}; or {UPDATE_IN_PARTS}"
        return f"Commit in smaller parts: {parts}; or, for a migration,"
