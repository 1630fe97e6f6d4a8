"""Reads the rows of an index's ranges in order, or backwards, only as far as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from rome.store.spi import Bounds, Row, Scan, ScanResult

_GROWTH = 4
"""So many times as many rows are read each time: at most this much too many, in few trips."""


class IncrementalScan:
    """How far a walk has come. It reads `first` rows at first, and then more each time.

    Attributes:
        rows: those read, in the order of the walk; nothing between them was left out.
        covered: the parts of the ranges in which they are all that there is.
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
        return not self._left

    def scans(self) -> list[Scan]:
        """What to read next: so many rows of every range that is left, as the first may be short."""
        place, limit = (self.table_id, self.index_id), self._rows_next
        return [Scan(*place, start, stop, limit, self._reverse) for start, stop in self._left]

    def take(self, answers: Sequence[ScanResult]) -> list[Row]:
        """Go as far as the answers to `scans` reach, up to the first that is not exhausted; returns the rows."""
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
        """Note a part, as one with the part before if they touch."""
        before = self.covered.pop() if self.covered else None
        if before is not None and before[1] == start:
            self.covered.append((before[0], stop))
        elif before is not None and before[0] == stop:
            self.covered.append((start, before[1]))
        else:
            self.covered += [(start, stop)] if before is None else [before, (start, stop)]
