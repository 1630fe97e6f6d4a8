"""What a transaction has already read of its snapshot, so that reading it again costs no round trip.

For each table: rows by key (including keys known to be absent), and the ranges of each index that were read completely.
If the order index was read completely, every key and every range of the table is covered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from msgspec import Struct

from rome.store.row_block import MANY, RowBlock
from rome.store.spi import BEYOND, ORDER_INDEX, Bounds, Count, Row

EVERYTHING = (b"", BEYOND)
_key = attrgetter("key")


class Covered(Struct, frozen=True, gc=False):
    """A range of an index that was read completely, and the rows in it: these, with their keys, or those of a block."""

    start: bytes
    stop: bytes
    rows: Sequence[Row] = ()
    listed: Sequence[bytes] = ()
    block: RowBlock | None = None


class SnapshotCache(Struct, eq=False):
    """Rows and ranges of one snapshot.

    The ranges of an index are in order, and none holds another; so both their starts and their stops ascend, and of
    those that begin before a key the last one reaches furthest. An IN list makes a range of each of its values: to
    look through all of them for each of them took 45 s for 32,765.

    Attributes:
        rows: table -> key -> the row; None: it is absent.
        ranges: by table and index: the starts, to search in, and the ranges.
        whole: by table that was read whole: the range that is all of it.
        sizes: how many entries a range has, where the store was asked.
        has_blocks: whether some range has come as a block.

    The rows of large ranges are in blocks at first, since most are not asked for by their keys.
    """

    rows: dict[int, dict[bytes, Row | None]] = {}
    ranges: dict[tuple[int, int], tuple[list[bytes], list[Covered]]] = {}
    whole: dict[int, Covered] = {}
    sizes: dict[Count, int] = {}
    has_blocks: bool = False
    _blocks: dict[int, list[RowBlock]] = {}
    """By table: the blocks whose rows are not in `rows` yet."""

    def row(self, table_id: int, key: bytes) -> Row | None:
        """The row; None if it is absent, or not known (ask `knows` first)."""
        if self._blocks:
            self._settle(table_id)
        return self.rows.get(table_id, {}).get(key)

    def knows(self, table_id: int, key: bytes) -> bool:
        """Whether the key's row was read, or is known to be absent."""
        if table_id in self.whole:
            return True
        if self._blocks:
            self._settle(table_id)
        return key in self.rows.get(table_id, ())

    def _settle(self, table_id: int) -> None:
        """Put the rows of the table's blocks into `rows`."""
        for block in self._blocks.pop(table_id, ()):
            self.add_rows(table_id, zip(block.keys(), block.rows(), strict=True))

    def covering(self, table_id: int, index_id: int, start: bytes, stop: bytes) -> Sequence[bytes] | None:
        """Keys of the rows in a range that contains this one; None if some of the range was not read.

        These rows are in `rows` from then on.
        """
        found = self.covered(table_id, index_id, start, stop)
        if found is None:
            return None
        if self._blocks:
            self._settle(table_id)
        return found.listed if found.block is None else found.block.keys()

    def covered(self, table_id: int, index_id: int, start: bytes, stop: bytes) -> Covered | None:
        """A range that contains this one; None if some of the range was not read."""
        if table_id in self.whole:
            return self.whole[table_id]
        found = self.ranges.get((table_id, index_id))
        if found is None:
            return None
        starts, ranges = found
        after = bisect_right(starts, start)
        return ranges[after - 1] if after and stop <= ranges[after - 1].stop else None

    def has_range(self, table_id: int, index_id: int, bounds: Bounds) -> bool:
        """Whether a range that was read as it is here covers it, so that `covering` has the keys of no other rows."""
        found = self.ranges.get((table_id, index_id))
        if found is None or table_id in self.whole:
            return False
        starts, ranges = found
        at = bisect_right(starts, bounds[0]) - 1
        return at >= 0 and (ranges[at].start, ranges[at].stop) == bounds

    def claim(self, table_id: int, key: bytes) -> bool:
        """Take a row as absent, unread, unless it is known; returns whether it is absent."""
        if table_id in self.whole:
            return self.row(table_id, key) is None
        if self._blocks:
            self._settle(table_id)
        return self.rows.setdefault(table_id, {}).setdefault(key, None) is None

    def add_rows(self, table_id: int, rows: Iterable[tuple[bytes, Row | None]]) -> None:
        """Add rows by their keys; None for an absent one."""
        known = self.rows.get(table_id)
        if known is None:
            self.rows[table_id] = dict(rows)
        else:
            known.update(rows)

    def add_range(self, table_id: int, index_id: int, bounds: Bounds, rows: Sequence[Row]) -> None:
        """Add a range that was read completely."""
        start, stop = bounds
        if not rows:
            covered = Covered(start, stop, rows, [])
        elif len(rows) < MANY:
            covered = Covered(start, stop, rows, list(map(_key, rows)))
            known = self.rows.get(table_id)
            if known is None:
                known = self.rows[table_id] = {}
            for row in rows:
                known[row.key] = row
        else:
            covered = Covered(start, stop, block=RowBlock.of(rows))
        found = self.ranges.get((table_id, index_id))
        if found is None:
            self.ranges[table_id, index_id] = [start], [covered]
        else:
            starts, ranges = found
            first = bisect_right(starts, start)
            if first and stop <= ranges[first - 1].stop:
                return
            if first and starts[first - 1] == start:
                first -= 1
            last = first
            while last < len(ranges) and ranges[last].stop <= stop:
                last += 1
            starts[first:last], ranges[first:last] = [start], [covered]
        if covered.block is not None:
            self.has_blocks = True
            self._blocks.setdefault(table_id, []).append(covered.block)
        if index_id == ORDER_INDEX and bounds == EVERYTHING:
            self.whole[table_id] = covered
