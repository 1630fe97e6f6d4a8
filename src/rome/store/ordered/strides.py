"""How far scans step: the part of a range that has about as many keys as one read returns.

An engine may walk all keys of a range, even if only the first ones are wanted: etcd does, and to read backwards it also
fetches them all. So a scan of a large range reads a part of it next to where it begins, and the part is chosen by how
far apart the keys lay that this process has read there before. A part that is too small costs one more trip, and one
that is too large some time of the engine. Nothing else depends on it.
"""

from __future__ import annotations

from msgspec import Struct

from rome.store.spi import Bounds, Scan

LARGE = 5_000
"""Ranges with more keys are read in parts."""

AMPLE = 4
"""A part is chosen for so many times as many keys as are wanted, so that it is seldom too small."""

DIGITS = 8
"""Distances are measured in this many bytes after what the keys have in common."""

MAX_PLACES = 1_000

FIRST_ROWS = 250
"""The most rows in the first reply of a table whose rows this process has not seen yet."""

REPLY_BYTES = 4 * 1024 * 1024
"""About the most bytes of rows in one reply."""

LEAST_ROWS = 8

Place = tuple[int, int, bytes, bool]
"""Table, index, the end of the range that a scan goes towards, and whether that is its start."""


class Stride(Struct, frozen=True, gc=False):
    """What is known of one place.

    Attributes:
        count: how many keys a range that ended there had.
        edge: the first key that a scan from the far end has met.
        width: the mean distance of two keys, as a number of `length` bytes; 0 if only the edge is known.
        is_lost: the part that was read last was too small: the keys lie further apart from there on.
        until: the far end of the part to read next, if a survey has found it; else empty.
    """

    count: int
    edge: bytes
    width: int
    length: int
    is_lost: bool = False
    until: bytes = b""


class Strides:
    """What this process knows of one database's ranges, for all of its connections."""

    def __init__(self) -> None:
        self._strides: dict[Place, Stride] = {}
        self._row_bytes: dict[int, float] = {}

    def part(self, scan: Scan, rows: int) -> Bounds:
        """Return the part of a scan's range in which to look for its first `rows` keys."""
        start, stop = scan.start, scan.stop
        stride = self.known(scan)
        if stride is not None and stride.until:
            bound = stride.until
            return ((bound, stop) if scan.reverse else (start, bound)) if start < bound < stop else (start, stop)
        if stride is None or stride.count <= LARGE or (rows > 1 and not stride.width):
            return start, stop
        distance = stride.width * rows * AMPLE
        if scan.reverse:
            begin = min(stop, stride.edge)
            bound = moved(begin, -distance, stride.length) if distance else begin
            return (bound, stop) if start < bound < stop else (start, stop)
        begin = max(start, stride.edge)
        bound = moved(begin, distance, stride.length) if distance else begin + b"\x00"
        return (start, bound) if start < bound < stop else (start, stop)

    def learn(self, scan: Scan, bounds: Bounds, first: bytes, last: bytes, rows: int, count: int, wanted: int) -> None:
        """Take what a scan has met.

        Args:
            bounds: the part of the scan's range that was read.
            first, last: the first and the last key, in the scan's order; empty without rows.
            rows: how many came; `wanted` is how many could.
            count: how many keys there are in that part.
        """
        place = _place(scan.table_id, scan.index_id, scan.start, scan.stop, reverse=scan.reverse)
        known = self._strides.get(place)
        is_part = bounds != (scan.start, scan.stop)
        if known is None or not is_part:
            if count <= LARGE:
                self._set(place, Stride(count, first, 0, 0))
                return
            known = None
        edge, length, width = first, 0, 0
        if rows > 1:
            length = common(first, last) + DIGITS
            width = max(1, abs(number_at(last, length) - number_at(first, length)) // (rows - 1))
        if known is not None:
            is_beyond = scan.stop <= known.edge if scan.reverse else scan.start > known.edge
            if is_beyond:
                edge = known.edge
            elif not rows:
                edge = bounds[0] if scan.reverse else bounds[1]
            count = max(known.count, count)
            if known.width and (not width or rows < wanted):
                length, width = known.length, known.width
        self._set(place, Stride(count, edge, width, length, is_part and rows < wanted))

    def known(self, scan: Scan) -> Stride | None:
        """Return what is known of the place that a scan goes towards."""
        return self._strides.get(_place(scan.table_id, scan.index_id, scan.start, scan.stop, reverse=scan.reverse))

    def wants_survey(self, scan: Scan) -> bool:
        """Whether to find out where the keys of a scan lie, before it reads a large range to no avail.

        So it is if the last part was too small, and before a range without a common beginning, such as a whole index,
        is read backwards for the first time.
        """
        known = self.known(scan)
        if known is None:
            return scan.reverse and not common(scan.start, scan.stop)
        return known.is_lost

    def surveyed(self, scan: Scan, stride: Stride) -> None:
        """Take the result of a survey."""
        self._set(_place(scan.table_id, scan.index_id, scan.start, scan.stop, reverse=scan.reverse), stride)

    def _set(self, place: Place, stride: Stride) -> None:
        if place not in self._strides and len(self._strides) >= MAX_PLACES:
            self._strides.clear()
        self._strides[place] = stride

    def most_rows(self, table: int, most: int) -> int:
        """Return of how many rows, `most` at most, a reply is not too large."""
        mean = self._row_bytes.get(table)
        if mean is None:
            return min(most, FIRST_ROWS)
        return min(most, max(LEAST_ROWS, int(REPLY_BYTES / max(mean, 1.0))))

    def saw_rows(self, table: int, rows: int, size: int) -> None:
        """Note how large the rows of a reply were, in all."""
        if rows:
            self._row_bytes[table] = max(size / rows, 0.9 * self._row_bytes.get(table, 0.0))


def _place(table: int, index: int, start: bytes, stop: bytes, *, reverse: bool) -> Place:
    return table, index, start if reverse else stop, reverse


def number_at(key: bytes, length: int) -> int:
    """Return the number that the first `length` bytes of a key make."""
    return int.from_bytes(key[:length].ljust(length, b"\x00"), "big")


def moved(key: bytes, distance: int, length: int) -> bytes:
    """Return the key at this distance; an empty one below all keys, and one of FF bytes above them."""
    number = number_at(key, length) + distance
    if number <= 0:
        return b""
    return number.to_bytes(length, "big") if number < 256**length else b"\xff" * (length + 1)


def common(one: bytes, other: bytes) -> int:
    """Return with how many equal bytes two keys begin."""
    for position, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return position
    return min(len(one), len(other))
