"""Read the rows of an index's ranges in order, or backwards, a chunk at a time, and keep none of them."""

from __future__ import annotations

from collections.abc import Sequence

from rome.store.spi import Bounds, Row, Scan, ScanResult

FIRST_ROWS = 200
MOST_ROWS = 2_000
"""The first chunk comes soon; each later one has four times as many rows as the one before it, up to so many. A round
trip of 1 ms is then as long as 0.5 µs for each row."""

_GROWTH = 4


class ChunkedScan:
    """How far a scan has come.

    Attributes:
        covered: the part of the ranges that the last chunk has come from.
        whole: what has been read of the range that it lies in, `covered` included.
        before: the same before the last chunk; None if that is the first one of the range.
    """

    def __init__(self, table_id: int, index_id: int, ranges: Sequence[Bounds], *, reverse: bool) -> None:
        self.table_id, self.index_id = table_id, index_id
        self.covered: Bounds = (b"", b"")
        self.whole: Bounds = (b"", b"")
        self.before: Bounds | None = None
        self._reverse = reverse
        self._rows_next = FIRST_ROWS
        self._left: list[Bounds] = list(ranges) if reverse else list(reversed(ranges))
        self._in_range = False

    @property
    def is_finished(self) -> bool:
        """Whether all ranges have been read."""
        return not self._left

    def next_scan(self) -> Scan:
        """What to read next."""
        start, stop = self._left[-1]
        return Scan(self.table_id, self.index_id, start, stop, self._rows_next, self._reverse)

    def take(self, answer: ScanResult) -> Sequence[Row]:
        """Advance as far as the answer to `next_scan` reaches; returns its rows."""
        start, stop = self._left.pop()
        before = self.before = self.whole if self._in_range else None
        self._in_range = answer.resume is not None
        if answer.resume is None:
            self.covered = start, stop
        elif self._reverse:
            self.covered = answer.resume, stop
            self._left.append((start, answer.resume))
        else:
            self.covered = start, answer.resume
            self._left.append((answer.resume, stop))
        self.whole = self.covered
        if before is not None:
            self.whole = (self.covered[0], before[1]) if self._reverse else (before[0], self.covered[1])
        self._rows_next = min(MOST_ROWS, self._rows_next * _GROWTH)
        return answer.rows
