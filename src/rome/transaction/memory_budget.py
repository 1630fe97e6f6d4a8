"""How much memory the rows that a transaction has read may take."""

from __future__ import annotations

from msgspec import Struct

from rome.store.spi import Scan

ROW_BYTES = 1_000
RECORD_FACTOR = 4
"""A row takes so many bytes, and its record so many times its size: as bytes, as Python values, in SQLite, and in the
books on each of them. Measured, with Python 3.11: 1.2 KB for a record of 85 bytes, 5 KB for one of 1 KB."""

DEFAULT_MAX_BYTES = 256 << 20


def bytes_of(rows: int, record_bytes: int) -> int:
    """What so many rows take, with records of so many bytes in all."""
    return ROW_BYTES * rows + RECORD_FACTOR * record_bytes


class OverBudget(Exception):
    """Internal: what was asked for does not fit.

    Attributes:
        scan: None: rows by key.
        rows: how many the scan would bring; None: not known.
    """

    def __init__(self, scan: Scan | None, rows: int | None = None) -> None:
        super().__init__(scan, rows)
        self.scan, self.rows = scan, rows


class MemoryBudget(Struct, eq=False):
    """Counts the rows that come in.

    Attributes:
        used_bytes: by rows that are held.
    """

    max_bytes: int
    used_bytes: int = 0

    def take(self, rows: int, record_bytes: int, scan: Scan | None) -> None:
        """Make room for so many rows, with records of so many bytes in all.

        Raises:
            OverBudget: there is none.
        """
        self.used_bytes += ROW_BYTES * rows + RECORD_FACTOR * record_bytes
        if self.used_bytes > self.max_bytes:
            raise OverBudget(scan)

    def take_bytes(self, more: int, scan: Scan | None) -> None:
        """Make room for rows that take so many bytes.

        Raises:
            OverBudget: there is none.
        """
        self.used_bytes += more
        if self.used_bytes > self.max_bytes:
            raise OverBudget(scan)

    def expect(self, rows: int, scan: Scan, read: int) -> None:
        """See whether so many more rows could find room, so that the first of a million are not read in vain.

        Raises:
            OverBudget: not even if they were small.
        """
        if self.used_bytes + rows * ROW_BYTES > self.max_bytes:
            raise OverBudget(scan, read + rows)

    def clear(self) -> None:
        """Nothing is held any more."""
        self.used_bytes = 0
