"""The read set: rows and ranges that must not have changed when the transaction commits.

The read set never shrinks, not even by ROLLBACK TO, since the application has seen what was read. The one exception is
below SERIALIZABLE: there it forgets what a failed statement has read, since nothing was written because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import chain
from operator import methodcaller

from msgspec import Struct

from rome.store.spi import Bounds, Row, Version

Mark = tuple[dict[int, int], dict[tuple[int, int, bool], int], dict[int, int]]
"""A position in the read set: how many points of each table, ranges of each index, and range rows of each table."""


class Validation(Enum):
    """How much of what is read must stay as it is."""

    NOTHING = "nothing"
    KEYS = "keys"
    """No row may be inserted or deleted; rows may be updated. This is enough for a constraint's guard."""
    ROWS = "rows"
    """It must stay exactly as it is."""


NOTHING, KEYS, ROWS = Validation.NOTHING, Validation.KEYS, Validation.ROWS
"""For code that every statement runs: Python 3.11 calls a hook of Enum wherever a member is named by its class."""


class ReadSet(Struct, eq=False):
    """Points and ranges, each with the version at which it was first read.

    Attributes:
        points: {table id: {row key: version; 0 for an absent row}}.
        ranges: {(table id, index id, whether rows must not be updated either): {range: version}}.
        range_rows: {table id: {row key: version}}: the rows to which such ranges led, for a store that wants them.

    Thousands of rows of a batch enter it. They are grouped by what many have in common, so that no row needs a tuple of
    its own, which Python's garbage collector would visit.
    """

    points: dict[int, dict[bytes, Version]] = {}
    ranges: dict[tuple[int, int, bool], dict[Bounds, Version]] = {}
    range_rows: dict[int, dict[bytes, Version]] = {}
    _listed: dict[int, Sequence[bytes]] = {}
    """By their id: the lists of keys that are in `range_rows` already."""

    def add_point(self, table_id: int, key: bytes, version: Version) -> None:
        """Add a row that must keep this version; with version 0 it must stay absent."""
        points = self.points.get(table_id)
        if points is None:
            points = self.points[table_id] = {}
        points.setdefault(key, version)

    def add_absent(self, table_id: int, keys: Sequence[bytes]) -> None:
        """Add many rows that must stay absent."""
        points = self.points.get(table_id)
        if points:
            for key in keys:
                points.setdefault(key, 0)
        else:
            self.points[table_id] = dict.fromkeys(keys, 0)

    def add_ranges(self, table_id: int, index_id: int, ranges: Iterable[Bounds], version: Version, rows: bool) -> None:
        """Add ranges into which no row may come and of which none may go; if `rows`, none may be updated either."""
        place = (table_id, index_id, rows)
        known = self.ranges.get(place)
        if known is None:
            self.ranges[place] = dict.fromkeys(ranges, version)
        else:
            for bounds in ranges:
                known.setdefault(bounds, version)

    def grow_range(
        self, table_id: int, index_id: int, before: Bounds | None, bounds: Bounds, version: Version, *, rows: bool
    ) -> None:
        """Add a range that holds one which was added `before`, in its place; so a long scan is one range."""
        known = self.ranges.setdefault((table_id, index_id, rows), {})
        if before is not None and known.get(before) == version:
            del known[before]
        known.setdefault(bounds, version)

    def add_range_rows(self, table_id: int, keys: Sequence[bytes], rows: Mapping[bytes, Row | None]) -> None:
        """Add the rows with these keys, to which ranges with `rows` led. `rows` has them."""
        if id(keys) not in self._listed:
            self._listed[id(keys)] = keys
            known = self.range_rows.setdefault(table_id, {})
            for key in keys:
                row = rows[key]
                assert row is not None
                known.setdefault(key, row.version)

    def count(self, table_id: int) -> int:
        """How many points and ranges of a table there are."""
        ranges = sum(len(found) for (table, _, _), found in self.ranges.items() if table == table_id)
        return ranges + len(self.points.get(table_id, ()))

    def widen(self, table_id: int, index_id: int, whole: Bounds, version: Version) -> None:
        """Add all rows of a table, in place of those that were added before; all of these were read at this version."""
        for place in [place for place in self.ranges if place[0] == table_id]:
            del self.ranges[place]
        self.points.pop(table_id, None)
        self.range_rows.pop(table_id, None)
        self._listed.clear()
        self.ranges[table_id, index_id, True] = {whole: version}

    def has_point(self, table_id: int, key: bytes) -> bool:
        """Whether this row was added by its key. (It may be in a range without that.)"""
        return key in self.points.get(table_id, ())

    def stop_of(self, table_id: int, index_id: int, start: bytes) -> bytes | None:
        """Where the range that begins at `start` ends; None if there is none."""
        for rows in (True, False):
            for begin, stop in self.ranges.get((table_id, index_id, rows), ()):
                if begin == start:
                    return stop
        return None

    def tables(self) -> set[int]:
        """The ids of all tables that have something in the read set."""
        return {*self.points, *(table_id for table_id, _, _ in self.ranges)}

    def mark(self) -> Mark:
        """The current position, for `forget_since`."""
        return (
            {table_id: len(points) for table_id, points in self.points.items()},
            {place: len(ranges) for place, ranges in self.ranges.items()},
            {table_id: len(rows) for table_id, rows in self.range_rows.items()},
        )

    def forget_since(self, mark: Mark) -> None:
        """Remove what was added after the mark. What was added before it and read again after it stays."""
        had_points, had_ranges, had_range_rows = mark
        for table_id, points in self.points.items():
            while len(points) > had_points.get(table_id, 0):
                points.popitem()
        for place, ranges in self.ranges.items():
            while len(ranges) > had_ranges.get(place, 0):
                ranges.popitem()
        for table_id, rows in self.range_rows.items():
            while len(rows) > had_range_rows.get(table_id, 0):
                rows.popitem()
        self._listed.clear()

    def __len__(self) -> int:
        return sum(map(len, self.points.values())) + sum(map(len, self.ranges.values()))

    def oldest(self) -> Version | None:
        """The oldest version at which a range was read; None without ranges."""
        return min(chain.from_iterable(map(_versions, self.ranges.values())), default=None)


_versions = methodcaller("values")
