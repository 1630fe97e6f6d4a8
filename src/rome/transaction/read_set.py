"""What a transaction rests on: rows and ranges that must not have changed when it commits.

The read set does not shrink, not even by ROLLBACK TO: what was seen was seen. Only below SERIALIZABLE it forgets what a
failed statement rested on, since nothing was written on the strength of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import chain
from operator import methodcaller

from msgspec import Struct

from rome.store.spi import Bounds, Version

Mark = tuple[dict[int, int], dict[tuple[int, int, bool], int]]
"""How many points of each table, and how many ranges of each place."""


class Validation(Enum):
    """How much of what is read must stay as it is."""

    NOTHING = "nothing"
    KEYS = "keys"
    """No row may come into it or go from it; its rows may be updated. Enough for a constraint's guard."""
    ROWS = "rows"
    """It must stay exactly as it is."""


class ReadSet(Struct, eq=False):
    """Points and ranges, each with the version at which it was read; the first reading of a thing counts.

    They are as a CommitRequest has them: thousands of rows of a batch need no object each, which Python's garbage
    collector would go through.

    Attributes:
        points: table -> row key -> the row's version; 0: it must stay absent.
        ranges: (table, index, rows) -> range -> the snapshot's version; see rome.store.spi.ReadRanges.
    """

    points: dict[int, dict[bytes, Version]] = {}
    ranges: dict[tuple[int, int, bool], dict[Bounds, Version]] = {}

    def add_point(self, table_id: int, key: bytes, version: Version) -> None:
        """The row must keep this version; 0: it must stay absent."""
        points = self.points.get(table_id)
        if points is None:
            points = self.points[table_id] = {}
        points.setdefault(key, version)

    def add_ranges(
        self, table_id: int, index_id: int, ranges: Iterable[Bounds], version: Version, *, rows: bool
    ) -> None:
        place = (table_id, index_id, rows)
        known = self.ranges.get(place)
        if known is None:
            known = self.ranges[place] = {}
        for bounds in ranges:
            known.setdefault(bounds, version)

    def has_point(self, table_id: int, key: bytes) -> bool:
        """Is this row in it, by its key? (It may be by a range.)"""
        return key in self.points.get(table_id, ())

    def stop_of(self, table_id: int, index_id: int, start: bytes) -> bytes | None:
        """Where a range that begins here ends; None: there is none."""
        for rows in (True, False):
            for begin, stop in self.ranges.get((table_id, index_id, rows), ()):
                if begin == start:
                    return stop
        return None

    def tables(self) -> set[int]:
        """The ids of all tables of which something is in it."""
        return {*self.points, *(table_id for table_id, _, _ in self.ranges)}

    def mark(self) -> Mark:
        """How much there is now, for `forget_since`."""
        return (
            {table_id: len(points) for table_id, points in self.points.items()},
            {place: len(ranges) for place, ranges in self.ranges.items()},
        )

    def forget_since(self, mark: Mark) -> None:
        """Take out what was added after the mark; what was read before and again after it stays."""
        had_points, had_ranges = mark
        for table_id, points in self.points.items():
            while len(points) > had_points.get(table_id, 0):
                points.popitem()
        for place, ranges in self.ranges.items():
            while len(ranges) > had_ranges.get(place, 0):
                ranges.popitem()

    def __len__(self) -> int:
        return sum(map(len, self.points.values())) + sum(map(len, self.ranges.values()))

    def oldest(self) -> Version | None:
        """The oldest version at which a range was read."""
        return min(chain.from_iterable(map(_versions, self.ranges.values())), default=None)


_versions = methodcaller("values")
