"""Ids for new rows: blocks of each table's sequence, shared by all connections of the process.

Sharing keeps ids of one process in the order in which it inserts, as applications that sort by id expect. An id that
was handed out and not used is lost, as with other databases' sequences, unless it was the last one.
"""

from __future__ import annotations

import os
from threading import Lock

BLOCK = 32


class Identifiers:
    """Blocks by (incarnation of the database, table id)."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop all blocks: a forked child has copies of its parent's, and perhaps of a lock that is held."""
        self._blocks: dict[tuple[bytes, int], tuple[int, int]] = {}
        self._lock = Lock()

    def take(self, incarnation: bytes, table_id: int, size: int, above: int) -> int | None:
        """The first of `size` consecutive ids, all above `above`, for the caller alone; None: reserve more first."""
        with self._lock:
            first, stop = self._blocks.get((incarnation, table_id), (0, 0))
            first = max(first, above + 1)
            if stop - first < size:
                return None
            self._blocks[incarnation, table_id] = first + size, stop
            return first

    def add(self, incarnation: bytes, table_id: int, first: int, size: int) -> None:
        """Put in a block that the store has reserved; it replaces the one before, which was too small."""
        with self._lock:
            old_first, old_stop = self._blocks.get((incarnation, table_id), (0, 0))
            if old_stop == first and old_first < old_stop:
                first, size = old_first, size + old_stop - old_first
            self._blocks[incarnation, table_id] = first, first + size

    def give_back(self, incarnation: bytes, table_id: int, first: int, stop: int) -> None:
        """Return ids [first, stop) that were not used, if nobody has taken a later one."""
        with self._lock:
            block_first, block_stop = self._blocks.get((incarnation, table_id), (0, 0))
            if block_first == stop:
                self._blocks[incarnation, table_id] = first, block_stop

    def discard(self, incarnation: bytes, table_id: int, up_to: int | None = None) -> None:
        """Drop the block: an id in it turned out to be taken, or an explicit id up to `up_to` went into it."""
        with self._lock:
            first, _ = self._blocks.get((incarnation, table_id), (0, 0))
            if up_to is None or first <= up_to:
                self._blocks.pop((incarnation, table_id), None)


IDENTIFIERS = Identifiers()
os.register_at_fork(after_in_child=IDENTIFIERS.forget)
