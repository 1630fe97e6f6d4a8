"""What a transaction is going to write, ready for the store."""

from __future__ import annotations

from typing import NamedTuple

from rome.errors import TransactionTooLargeError
from rome.store.spi import MAX_COMMIT_BYTES, MAX_COMMIT_ROWS, Drop, EntryWrite, RowWrite

ENTRIES_PER_ROW = 10


IN_PARTS = "SELECT id .. LIMIT 5000, then DELETE .. WHERE id IN (those ids), COMMIT, and so on"
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
        self._rows: dict[tuple[int, bytes], bytes | None] = {}
        self._entries: dict[tuple[int, int, bytes, bytes], bool] = {}
        self.drops: list[Drop] = []
        self.sequences: dict[int, int] = {}

    def put(self, table_id: int, key: bytes, record: bytes) -> None:
        self._rows[table_id, key] = record

    def delete(self, table_id: int, key: bytes) -> None:
        """Delete a row, unless another row has taken its key meanwhile."""
        self._rows.setdefault((table_id, key), None)

    def add_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> None:
        """Add an index entry; one that was to be removed simply stays."""
        place = (table_id, index_id, index_key, row_key)
        if self._entries.get(place) is False:
            del self._entries[place]
        else:
            self._entries[place] = True

    def remove_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> None:
        """Remove an index entry; one that was to be added is simply not added."""
        place = (table_id, index_id, index_key, row_key)
        if self._entries.get(place) is True:
            del self._entries[place]
        else:
            self._entries[place] = False

    def raise_sequence(self, sequence: int, value: int) -> None:
        self.sequences[sequence] = max(value, self.sequences.get(sequence, 0))

    def __bool__(self) -> bool:
        return bool(self._rows or self._entries or self.drops or self.sequences)

    @property
    def row_count(self) -> int:
        """How many rows are put or deleted."""
        return len(self._rows)

    def rows(self) -> list[RowWrite]:
        return [RowWrite(table, key, record) for (table, key), record in self._rows.items()]

    def entries(self) -> list[EntryWrite]:
        return [EntryWrite(*place, present) for place, present in self._entries.items()]

    def check_size(self, limits: CommitLimits) -> None:
        """Refuse what would block a store for too long.

        Raises:
            TransactionTooLargeError: the message says how much there is, how much may be, and what to do.
        """
        size = sum(len(key) + len(record or b"") for (_, key), record in self._rows.items())
        size += sum(len(index_key) + len(row_key) for _, _, index_key, row_key in self._entries)
        if len(self._rows) > limits.rows or len(self._entries) > limits.entries or size > limits.bytes:
            raise TransactionTooLargeError(
                f"the transaction writes {len(self._rows):,} rows, {len(self._entries):,} index entries and {size:,} "
                f"bytes; at most {limits.rows:,} rows, {limits.entries:,} entries and {limits.bytes:,} bytes can be "
                f"committed at once. Commit in smaller parts: {IN_PARTS}; "
                "or, for a migration, raise max_commit_rows or max_commit_bytes in the URL: all others wait meanwhile"
            )
