"""Small tables that were read whole, kept for later transactions, so that unchanged rows are not sent again.

Applications read their reference tables whole and often: these are two thirds of the rows that a boot of OpenStack Nova
reads. With one comparison, a store tells whether a table has changed between two snapshots.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

from rome.store.row_block import record_bytes
from rome.store.spi import CATALOG_TABLE, Row, Snapshot
from rome.transaction.memory_budget import bytes_of

MAX_BYTES = 8 << 20
MAX_TABLE_BYTES = 1 << 20
"""As MemoryBudget counts them. Larger tables are seldom read whole."""


class ReferenceTable:
    """All rows of a table as of a snapshot, in the order of their keys."""

    def __init__(self, snapshot: Snapshot, rows: Sequence[Row]) -> None:
        self.snapshot = snapshot
        self.rows = rows
        self.bytes = bytes_of(len(rows), record_bytes(rows))
        self._decoded: tuple[object, dict[bytes, Any]] = (None, {})

    def decoded_by(self, layout: object) -> dict[bytes, Any]:
        """{row key: decoded row}, for the caller to read and to extend; empty if the layout is another than before."""
        found = self._decoded
        if found[0] is not layout:
            found = self._decoded = (layout, {})
        return found[1]


class ReferenceTables:
    """The tables that were read last, of any database: an incarnation identifies the database."""

    def __init__(self) -> None:
        self._tables: dict[tuple[bytes, int], ReferenceTable] = {}
        self._bytes = 0
        self._lock = Lock()

    def get(self, incarnation: bytes, table_id: int) -> ReferenceTable | None:
        """The table that was kept; None if there is none."""
        return self._tables.get((incarnation, table_id))

    def keep(self, table_id: int, table: ReferenceTable) -> bool:
        """Keep a table, in place of others if necessary, if it is small; returns whether it is kept."""
        if table_id == CATALOG_TABLE or table.bytes > MAX_TABLE_BYTES:
            return False
        place = (table.snapshot.incarnation, table_id)
        with self._lock:
            before = self._tables.pop(place, None)
            self._bytes += table.bytes - (0 if before is None else before.bytes)
            self._tables[place] = table
            while self._bytes > MAX_BYTES:
                self._bytes -= self._tables.pop(next(iter(self._tables))).bytes
        return True


SHARED = ReferenceTables()
"""The tables that all connections of the process share."""
