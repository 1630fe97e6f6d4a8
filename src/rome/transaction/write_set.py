"""The write set: what a transaction is going to write, ready for the store."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from msgspec import Struct

from rome.errors import TransactionTooLargeError
from rome.store.spi import CATALOG_TABLE, MAX_COMMIT_BYTES, MAX_COMMIT_ROWS, Drop

ENTRIES_PER_ROW = 10
"""So many entries count as one row: they cost a store as much, but CREATE INDEX writes nothing else."""

INSERT_IN_PARTS = "insert some thousand rows, COMMIT, and so on"
UPDATE_IN_PARTS = (
    "SELECT id .. WHERE id > (the last one) ORDER BY id LIMIT 5000, then UPDATE .. WHERE id IN (those ids), COMMIT, "
    "and so on"
)
DELETE_IN_PARTS = "SELECT id .. LIMIT 5000, then DELETE .. WHERE id IN (those ids), COMMIT, and so on"
"""In two statements, since a subquery's LIMIT would not bound what is read."""


class CommitLimits(NamedTuple):
    """What one commit may write. `bytes` counts rows and index entries together."""

    rows: int = MAX_COMMIT_ROWS
    bytes: int = MAX_COMMIT_BYTES


class WriteSet(Struct, eq=False):
    """Rows, index entries, drops and sequence values; each at most once, later calls replace earlier ones.

    They are as a CommitRequest has them.

    Attributes:
        is_counted: `size_bytes` is that of all rows and entries; otherwise they have to be counted.
    """

    rows: dict[int, dict[bytes, bytes | None]] = {}
    entries: dict[tuple[int, int], dict[tuple[bytes, bytes], bool]] = {}
    drops: list[Drop] = []
    sequences: dict[int, int] = {}
    settings: dict[int, int] = {}
    is_counted: bool = False
    size_bytes: int = 0

    def put(self, table_id: int, key: bytes, record: bytes) -> None:
        """Insert or replace a row."""
        rows = self.rows.get(table_id)
        if rows is None:
            rows = self.rows[table_id] = {}
        rows[key] = record

    def put_all(self, table_id: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Insert or replace many rows."""
        self.rows.setdefault(table_id, {}).update(rows)

    def delete(self, table_id: int, key: bytes) -> None:
        """Delete a row, unless another row has taken its key in this transaction."""
        self.rows.setdefault(table_id, {}).setdefault(key, None)

    def add_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> None:
        """Add an index entry. If it was to be removed, it simply stays."""
        entries = self.entries.get((table_id, index_id))
        if entries is None:
            entries = self.entries[table_id, index_id] = {}
        if not entries.setdefault((index_key, row_key), True):
            del entries[index_key, row_key]

    def add_entries(self, table_id: int, index_id: int, added: Iterable[tuple[bytes, bytes]]) -> None:
        """Add many entries (index key, row key) of one index."""
        entries = self.entries.get((table_id, index_id))
        if entries is None:
            entries = self.entries[table_id, index_id] = {}
        if not entries:
            entries.update(dict.fromkeys(added, True))
            return
        for entry in added:
            if not entries.setdefault(entry, True):
                del entries[entry]

    def remove_entry(self, table_id: int, index_id: int, index_key: bytes, row_key: bytes) -> None:
        """Remove an index entry. If it was to be added, it is not."""
        entries = self.entries.get((table_id, index_id))
        if entries is None:
            entries = self.entries[table_id, index_id] = {}
        if entries.setdefault((index_key, row_key), False):
            del entries[index_key, row_key]

    def raise_sequence(self, sequence: int, value: int) -> None:
        """Raise a sequence to at least this value."""
        self.sequences[sequence] = max(value, self.sequences.get(sequence, 0))

    def set_sequence(self, sequence: int, value: int) -> None:
        """Set a sequence to this value, even a lower one, but not below what it was to be raised to."""
        self.settings[sequence] = max(value, self.sequences.pop(sequence, 0))

    def __bool__(self) -> bool:
        if any(self.rows.values()) or any(self.entries.values()):
            return True
        return bool(self.drops or self.sequences or self.settings)

    @property
    def row_count(self) -> int:
        """How many rows are put or deleted."""
        return sum(map(len, self.rows.values()))

    def check_size(self, limits: CommitLimits, most_bytes: int | None = None) -> None:
        """Refuse a commit that would block the store for too long, or that it cannot take: more than `most_bytes`.

        Raises:
            TransactionTooLargeError: the message says how much it writes, how much is allowed, and what to do.
        """
        rows, entries, size = self._sizes()
        if most_bytes is not None and size > most_bytes:
            raise self.beyond_store(f"the store takes {most_bytes:,} bytes in one commit, at most")
        most = ENTRIES_PER_ROW * limits.rows
        if rows > limits.rows or entries > most or size > limits.bytes:
            way_out, otherwise = self._advice()
            raise TransactionTooLargeError(
                f"the transaction writes {rows:,} rows, {entries:,} index entries and {size:,} "
                f"bytes; at most {limits.rows:,} rows, {most:,} entries and {limits.bytes:,} bytes can be "
                f"committed at once. {way_out}{otherwise} raise max_commit_rows or max_commit_bytes in the URL (other "
                "transactions wait while such a commit runs)"
            )

    def beyond_store(self, limit: str) -> TransactionTooLargeError:
        """Return the error for a commit beyond the store's own limit, which no option of the URL raises."""
        rows, entries, size = self._sizes()
        way_out, _ = self._advice()
        error = TransactionTooLargeError(
            f"the transaction writes {rows:,} rows, {entries:,} index entries and {size:,} bytes; {limit}. {way_out}"
        )
        error.limit = limit
        return error

    def _sizes(self) -> tuple[int, int, int]:
        """Return how many rows, index entries and bytes are written."""
        if self.is_counted:
            return sum(map(len, self.rows.values())), sum(map(len, self.entries.values())), self.size_bytes
        rows = entries = size = 0
        for table, found in self.rows.items():
            if table != CATALOG_TABLE:  # tables that are made with their rows leave these all the room that is said
                rows += len(found)
            size += sum(map(len, found)) + sum(map(len, filter(None, found.values())))
        for changed in self.entries.values():
            entries += len(changed)
            size += sum(map(len, chain.from_iterable(changed)))
        return rows, entries, size

    def _advice(self) -> tuple[str, str]:
        """How to write less at once, and how it goes on where a greater limit would help.

        It is not known here whether a row that is put was inserted or updated.
        """
        records = [record for table, found in self.rows.items() if table != CATALOG_TABLE for record in found.values()]
        if not records:
            return "An index is made by one commit", ": for CREATE INDEX,"
        if len(records) == 1:
            return "One row cannot be written in parts", ": for this one,"
        if 2 * records.count(None) > len(records):
            parts = DELETE_IN_PARTS
        else:
            parts = f"{INSERT_IN_PARTS}; or {UPDATE_IN_PARTS}"
        return "Commit in smaller parts, as rome.bulk does (docs/bulk.md)", f": {parts}; or, for a migration,"
