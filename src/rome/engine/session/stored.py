"""A database as the store holds it at one snapshot, for tools that go through all of it: sizes, dumps, checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rome.catalog.mirror import Master
from rome.catalog.rows import decode_row
from rome.catalog.schema import Index, Table
from rome.codec.values import SqlValue
from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.sequence_table import SequenceTable
from rome.engine.statement.pragma import HEADER_FIELDS
from rome.store.spi import BEYOND, ORDER_INDEX, Count, Row
from rome.transaction.read_set import Validation
from rome.transaction.transaction import Transaction

StoredRow = tuple[int, tuple[SqlValue, ...]]
"""(rowid, values in column order); the value of a generated column is None, as it is not stored."""


class StoredDatabase:
    """The committed database at the snapshot of a transaction; what that transaction itself has written is not in it.

    Nothing of it enters the read set, and nothing is kept in memory but one chunk.
    """

    def __init__(self, current: Attempt) -> None:
        self._current = current

    @property
    def tables(self) -> Mapping[str, Table]:
        """{name in lower case: table}, in the order in which they were created."""
        return self._current.schema.catalog.tables

    @property
    def transaction(self) -> Transaction:
        """The transaction, for what is not SQL's."""
        return self._current.reader.transaction

    @property
    def objects(self) -> list[Master]:
        """What sqlite_master shows of tables, indexes, views and triggers with a text, in order of creation."""
        return [item for item in self._current.schema.definition.master.values() if item.sql]

    @property
    def header(self) -> dict[str, int]:
        """PRAGMA application_id and user_version."""
        header = self._current.schema.definition.header
        return {name: getattr(header, name) for name in HEADER_FIELDS}

    def sequences(self) -> dict[str, int | None] | None:
        """The rows of sqlite_sequence; None if it does not exist."""
        table = SequenceTable(self._current, Validation.NOTHING)
        return table.rows() if table.tables else None

    def chunks(self, table: Table, index_id: int = ORDER_INDEX) -> Iterator[Sequence[Row]]:
        """The rows to which an index leads, in its order, as many at a time as the store gives in one round trip.

        Raises:
            SnapshotTooOldError: the transaction is older than superseded versions are kept.
        """
        return self.transaction.chunks(table.id, index_id, b"", BEYOND)

    def rows(self, table: Table) -> Iterator[list[StoredRow]]:
        """The rows of a table in the order of its keys, decoded.

        Raises:
            SnapshotTooOldError: see chunks. CorruptRecordError: a record cannot be decoded.
        """
        for chunk in self.chunks(table):
            yield [decode_row(table, row.key, row.record) for row in chunk]

    def size(self, table: Table) -> int:
        """Bytes of a table's keys and records, without its indexes and superseded versions. Cost: it reads them all."""
        return sum(len(row.key) + len(row.record) for chunk in self.chunks(table) for row in chunk)

    def entries(self, table: Table, rowid: int, values: Sequence[SqlValue]) -> list[tuple[Index, bytes]]:
        """The key of each entry that a row must have, but for that of the order index.

        Raises:
            rome.errors.Error: SQLite cannot compute an expression of the row.
        """
        return self._current.reader.working_set.entries(table, rowid, values)

    def counts(self, requests: Sequence[Count]) -> list[int]:
        """The number of entries in each range. Cost: one round trip."""
        return [int(found) for found in self.transaction.ask(requests) if isinstance(found, int)]
