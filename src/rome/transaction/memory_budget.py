"""How much memory the rows that a transaction has read may take."""

from __future__ import annotations

from msgspec import Struct

from rome.store.spi import Scan

ROW_BYTES = 1_000
RECORD_FACTOR = 4
"""Bytes that a row takes, and how often its record's size: as bytes, as Python values, in SQLite, and in the
bookkeeping. Measured with Python 3.11: 1.2 KB for a record of 85 bytes, 5 KB for one of 1 KB."""

DEFAULT_MAX_BYTES = 256 << 20


def bytes_of(rows: int, record_bytes: int) -> int:
    """The memory that this many rows take, given the size of all their records."""
    return ROW_BYTES * rows + RECORD_FACTOR * record_bytes


class OverBudget(Exception):
    """Internal: the rows asked for do not fit.

    Attributes:
        scan: the scan that asked; None for rows by key.
        rows: how many rows the scan would bring; None if that is not known.
    """

    def __init__(self, scan: Scan | None, rows: int | None = None) -> None:
        super().__init__(scan, rows)
        self.scan, self.rows = scan, rows


class MemoryBudget(Struct, eq=False):
    """Counts the memory of the rows that come in.

    Attributes:
        used_bytes: by the rows that are held.
    """

    max_bytes: int
    used_bytes: int = 0

    def take(self, rows: int, record_bytes: int, scan: Scan | None) -> None:
        """Reserve memory for rows.

        Args:
            record_bytes: size of all their records.

        Raises:
            OverBudget: there is not enough.
        """
        self.used_bytes += ROW_BYTES * rows + RECORD_FACTOR * record_bytes
        if self.used_bytes > self.max_bytes:
            raise OverBudget(scan)

    def take_bytes(self, more: int, scan: Scan | None) -> None:
        """Reserve this many bytes.

        Raises:
            OverBudget: there are not enough.
        """
        self.used_bytes += more
        if self.used_bytes > self.max_bytes:
            raise OverBudget(scan)

    def expect(self, rows: int, scan: Scan, read: int) -> None:
        """Check whether this many more rows could fit, so that the first of a million are not read in vain.

        Raises:
            OverBudget: they would not fit even if they were small.
        """
        if self.used_bytes + rows * ROW_BYTES > self.max_bytes:
            raise OverBudget(scan, read + rows)

    def clear(self) -> None:
        """Release all memory: no rows are held any more."""
        self.used_bytes = 0


def default_budget() -> MemoryBudget:
    """The budget of who names none."""
    return MemoryBudget(DEFAULT_MAX_BYTES)
