"""What a transaction rests on: rows and ranges that must not have changed when it commits.

The read set does not shrink, not even by ROLLBACK TO: what was seen was seen. Only below SERIALIZABLE it forgets what a
failed statement rested on, since nothing was written on the strength of it.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum

from rome.store.spi import Bounds, Point, RangeCheck, Version

Mark = tuple[dict[int, int], dict[tuple[int, int, bool], int]]
"""How many points of each table, and how many ranges of each place."""


class Validation(Enum):
    """How much of what is read must stay as it is."""

    NOTHING = "nothing"
    KEYS = "keys"
    """No row may come into it or go from it; its rows may be updated. Enough for a constraint's guard."""
    ROWS = "rows"
    """It must stay exactly as it is."""


class ReadSet:
    """Points and ranges, each with the version at which it was read; the first reading of a thing counts.

    Thousands of rows of a batch enter it: grouped by what is the same for many, each needs no tuple of its own, which
    Python's garbage collector would go through.
    """

    def __init__(self) -> None:
        self._points: defaultdict[int, dict[bytes, Version]] = defaultdict(dict)
        self._ranges: defaultdict[tuple[int, int, bool], dict[Bounds, Version]] = defaultdict(dict)

    def add_point(self, table_id: int, key: bytes, version: Version) -> None:
        """The row must keep this version; 0: it must stay absent."""
        self._points[table_id].setdefault(key, version)

    def add_range(self, table_id: int, index_id: int, bounds: Bounds, version: Version, *, rows: bool) -> None:
        self._ranges[table_id, index_id, rows].setdefault(bounds, version)

    def has_point(self, table_id: int, key: bytes) -> bool:
        """Is this row in it, by its key? (It may be by a range.)"""
        return key in self._points.get(table_id, ())

    def stop_of(self, table_id: int, index_id: int, start: bytes) -> bytes | None:
        """Where a range that begins here ends; None: there is none."""
        for rows in (True, False):
            for begin, stop in self._ranges.get((table_id, index_id, rows), ()):
                if begin == start:
                    return stop
        return None

    def tables(self) -> set[int]:
        """The ids of all tables of which something is in it."""
        return {*self._points, *(table_id for table_id, _, _ in self._ranges)}

    def mark(self) -> Mark:
        """How much there is now, for `forget_since`."""
        return (
            {table_id: len(points) for table_id, points in self._points.items()},
            {place: len(ranges) for place, ranges in self._ranges.items()},
        )

    def forget_since(self, mark: Mark) -> None:
        """Take out what was added after the mark; what was read before and again after it stays."""
        had_points, had_ranges = mark
        for table_id, points in self._points.items():
            while len(points) > had_points.get(table_id, 0):
                points.popitem()
        for place, ranges in self._ranges.items():
            while len(ranges) > had_ranges.get(place, 0):
                ranges.popitem()

    def __len__(self) -> int:
        return sum(map(len, self._points.values())) + sum(map(len, self._ranges.values()))

    def oldest(self) -> Version | None:
        """The oldest version at which a range was read."""
        return min([version for ranges in self._ranges.values() for version in ranges.values()], default=None)

    def points(self) -> list[Point]:
        return [Point(table, key, version) for table, points in self._points.items() for key, version in points.items()]

    def ranges(self) -> list[RangeCheck]:
        return [
            RangeCheck(table, index, start, stop, version, rows)
            for (table, index, rows), ranges in self._ranges.items()
            for (start, stop), version in ranges.items()
        ]
