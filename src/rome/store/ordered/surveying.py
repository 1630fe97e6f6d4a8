"""Finds out where the keys of a large range lie, by counting them in bands: an engine counts faster than it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from rome.store.ordered.strides import AMPLE, DIGITS, LARGE, Stride, common, moved, number_at
from rome.store.spi import Bounds, Scan

BANDS = 64
"""How many bands a range is divided into. That many geometric ones reach from one key to the next everywhere."""

GROUP = 12
"""How many geometric bands are counted at once: those close by mostly have enough keys, and the far ones have most."""

MAX_STEPS = 16
"""A step narrows the range by 6 bits."""

CountKeys = Callable[[Sequence[Bounds]], list[int]]
"""Counts the keys in each of some ranges; one round trip."""


def survey(scan: Scan, known: Stride | None, wanted: int, count: CountKeys) -> Stride:
    """Return where the first keys of a scan lie. One round trip for each step; mostly one, or six at first.

    Args:
        known: what was known, whose part was too small.
        wanted: how many keys the scan wants.
    """
    far, near = (0, 1) if scan.reverse else (1, 0)
    if known is not None and known.width:
        bands, more = _growing(scan, known), GROUP
    else:
        bands, more = _even(scan.start, scan.stop, scan.reverse), BANDS
    total, within, edge, until = 0, 0, b"", scan.start if scan.reverse else scan.stop
    for _ in range(MAX_STEPS):
        counted, bands = bands[:more], bands[more:]
        counts = count(counted)
        if more == GROUP or not total:  # else it is of a part that was counted already
            total += sum(counts)
        large = None
        for band, found in zip(counted, counts, strict=True):
            if found and not within:
                edge = band[near]
            if within + found > LARGE:
                large = band
                break
            within, until = within + found, band[far]
        if large is not None and within < wanted:
            until = large[far]
            bands, more = _even(*large, scan.reverse), BANDS
            if len(bands) > 1:
                continue
        if within >= wanted or large is not None or not bands:
            break
    if known is not None:  # it is of the rest of a range
        total = max(total, known.count * 3 // 4 if within < wanted else known.count)
    return Stride(total, edge, 0, 0, until=until if total > LARGE else b"")


def _even(start: bytes, stop: bytes, reverse: bool) -> list[Bounds]:
    """Divide a range into bands of equal width, in the order of the scan."""
    length = common(start, stop) + DIGITS
    low, high = number_at(start, length), number_at(stop, length)
    inner = [(low + (high - low) * n // BANDS).to_bytes(length, "big") for n in range(1, BANDS)]
    return _between(start, inner, stop, reverse)


def _growing(scan: Scan, known: Stride) -> list[Bounds]:
    """Divide a range into bands that are four times as wide each, from where the scan begins."""
    begin, sign = (scan.stop, -1) if scan.reverse else (scan.start, 1)
    distances = (known.width * AMPLE * BANDS * 4**n for n in range(BANDS - 1))
    inner = sorted({moved(begin, sign * distance, known.length) for distance in distances})
    return _between(scan.start, inner, scan.stop, scan.reverse)


def _between(start: bytes, inner: Sequence[bytes], stop: bytes, reverse: bool) -> list[Bounds]:
    edges = [start, *(edge for edge in dict.fromkeys(inner) if start < edge < stop), stop]
    bands = list(pairwise(edges))
    return bands[::-1] if reverse else bands
