"""What a transaction rests on: rows and ranges that must not have changed when it commits.

The read set does not shrink, not even by ROLLBACK TO: what was seen was seen. Only below SERIALIZABLE it forgets what a
failed statement rested on, since nothing was written on the strength of it.
"""

from __future__ import annotations

from enum import Enum

from rome.store.spi import Point, RangeCheck, Version


class Check(Enum):
    """How much of what is read must stay as it is."""

    NOTHING = "nothing"
    KEYS = "keys"
    """No row may come into it or go from it; its rows may be updated. Enough for a constraint's guard."""
    ROWS = "rows"
    """It must stay exactly as it is."""


class ReadSet:
    """Points and ranges, each with the version at which it was read; the first reading of a thing counts."""

    def __init__(self) -> None:
        self._points: dict[tuple[int, bytes], Version] = {}
        self._ranges: dict[tuple[int, int, bytes, bytes, bool], Version] = {}

    def add_point(self, table_id: int, key: bytes, version: Version) -> None:
        """The row must keep this version; 0: it must stay absent."""
        self._points.setdefault((table_id, key), version)

    def add_range(
        self, table_id: int, index_id: int, start: bytes, stop: bytes, version: Version, *, rows: bool
    ) -> None:
        self._ranges.setdefault((table_id, index_id, start, stop, rows), version)

    def mark(self) -> tuple[int, int]:
        """How much there is now, for `forget_since`."""
        return len(self._points), len(self._ranges)

    def forget_since(self, mark: tuple[int, int]) -> None:
        """Take out what was added after the mark; what was read before and again after it stays."""
        points, ranges = mark
        while len(self._points) > points:
            self._points.popitem()
        while len(self._ranges) > ranges:
            self._ranges.popitem()

    def __len__(self) -> int:
        return len(self._points) + len(self._ranges)

    def oldest(self) -> Version | None:
        """The oldest version at which a range was read."""
        return min(self._ranges.values(), default=None)

    def points(self) -> list[Point]:
        return [Point(table, key, version) for (table, key), version in self._points.items()]

    def ranges(self) -> list[RangeCheck]:
        return [
            RangeCheck(table, index, start, stop, version, rows)
            for (table, index, start, stop, rows), version in self._ranges.items()
        ]
