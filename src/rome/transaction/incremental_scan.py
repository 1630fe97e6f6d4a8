"""Read the rows of an index's ranges in order, or backwards, only as far as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from rome.store.spi import Bounds, Row, Scan, ScanResult

_GROWTH = 4
"""Each read asks for this many times as many rows as the one before: at most so many too many, in few round trips."""


class IncrementalScan:
    """How far a scan has come. Its first read asks for `first` rows, later ones for more.

    Attributes:
        rows: those read, in the scan's order, without gaps.
        covered: the parts of the ranges whose rows are all in `rows`.
    """

    def __init__(self, table_id: int, index_id: int, ranges: Sequence[Bounds], first: int, *, reverse: bool) -> None:
        self.table_id, self.index_id = table_id, index_id
        self.rows: list[Row] = []
        self.covered: list[Bounds] = []
        self._rows_next = first
        self._reverse = reverse
        self._left: list[Bounds] = list(reversed(ranges)) if reverse else list(ranges)

    @property
    def width(self) -> int:
        """How many scans `scans` returns."""
        return len(self._left)

    @property
    def is_finished(self) -> bool:
        """Whether all ranges have been read."""
        return not self._left

    def scans(self) -> list[Scan]:
        """What to read next: this many rows of every range that is left, since the first range may be short."""
        place, limit = (self.table_id, self.index_id), self._rows_next
        return [Scan(*place, start, stop, limit, self._reverse) for start, stop in self._left]

    def take(self, answers: Sequence[ScanResult]) -> list[Row]:
        """Advance as far as the answers to `scans` reach, to the first that is not exhausted; returns the new rows."""
        exhausted = len(list(takewhile(lambda answer: answer.resume is None, answers)))
        came = [row for answer in answers[: exhausted + 1] for row in answer.rows]
        for each in self._left[:exhausted]:
            self._cover(*each)
        del self._left[:exhausted]
        if self._left:
            start, stop = self._left[0]
            resume = answers[exhausted].resume
            assert resume is not None
            self._cover(*((resume, stop) if self._reverse else (start, resume)))
            self._left[0] = (start, resume) if self._reverse else (resume, stop)
        self.rows += came
        self._rows_next *= _GROWTH
        return came

    def _cover(self, start: bytes, stop: bytes) -> None:
        """Note that a part was read; it is merged with the part before if they touch."""
        before = self.covered.pop() if self.covered else None
        if before is not None and before[1] == start:
            self.covered.append((before[0], stop))
        elif before is not None and before[0] == stop:
            self.covered.append((start, before[1]))
        else:
            self.covered += [(start, stop)] if before is None else [before, (start, stop)]
