"""Ids for new rows that are reserved in the store and have not been handed out yet.

By default ids *rise*: a statement reserves as many as it needs, so that its ids are greater than all those handed out
before, to any connection. "Newest by id" and "everything since the last id" are what applications take for granted,
as with MySQL's AUTO_INCREMENT and PostgreSQL's sequences. The connection reuses ids that a statement left over or a
rolled-back transaction had when it reserves next, unless a later id was taken meanwhile.

With `ids=blocks` the connections of a process share blocks of BLOCK ids. That saves trips, and ids run backwards
between processes.
"""

from __future__ import annotations

import os
from threading import Lock

BLOCK = 32


class IdBlocks:
    """Blocks of reserved ids, by (incarnation of the database, table id).

    Attributes:
        size: the least number of ids to reserve at once.
        at_hand: for each block, its first free id and its end.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.forget()

    def forget(self) -> None:
        """Drop all blocks: a forked child has copies of its parent's, and perhaps of a lock that is held."""
        self.at_hand: dict[tuple[bytes, int], tuple[int, int]] = {}
        self._left: dict[tuple[bytes, int], tuple[int, int]] = {}
        self._lock = Lock()

    def retire(self) -> None:
        """Hand out no more ids of the present blocks: others may have taken greater ids by now."""
        if self.at_hand:
            for (incarnation, table_id), (first, stop) in self.at_hand.items():
                self.leave(incarnation, table_id, first, stop)
            self.at_hand.clear()

    def leave(self, incarnation: bytes, table_id: int, first: int, stop: int) -> None:
        """Record unused ids [first, stop); the greatest contiguous run is kept for reuse."""
        if first < stop:
            left_first, left_stop = self._left.get((incarnation, table_id), (first, stop))
            if first <= left_stop and left_first <= stop:
                first, stop = min(first, left_first), max(stop, left_stop)
            elif stop < left_stop:
                return
            self._left[incarnation, table_id] = first, stop

    def left(self, incarnation: bytes, table_id: int) -> tuple[int, int] | None:
        """Return the ids to reuse, and forget them."""
        return self._left.pop((incarnation, table_id), None)

    def take(self, incarnation: bytes, table_id: int, size: int, above: int) -> int | None:
        """Take `size` consecutive ids above `above`, and return the first; None if too few are at hand."""
        with self._lock:
            first, stop = self.at_hand.get((incarnation, table_id), (0, 0))
            first = max(first, above + 1)
            if stop - first < size:
                return None
            self.at_hand[incarnation, table_id] = first + size, stop
            return first

    def add(self, incarnation: bytes, table_id: int, first: int, size: int) -> None:
        """Add a block that the store has reserved; it replaces the one before, which was too small."""
        with self._lock:
            old_first, old_stop = self.at_hand.get((incarnation, table_id), (0, 0))
            if old_stop == first and old_first < old_stop:
                first, size = old_first, size + old_stop - old_first
            self.at_hand[incarnation, table_id] = first, first + size

    def give_back(self, incarnation: bytes, table_id: int, first: int, stop: int) -> None:
        """Return ids [first, stop) that were not used, if nobody has taken a later one."""
        with self._lock:
            block_first, block_stop = self.at_hand.get((incarnation, table_id), (0, 0))
            if block_first == stop:
                self.at_hand[incarnation, table_id] = first, block_stop

    def discard(self, incarnation: bytes, table_id: int, up_to: int | None = None) -> None:
        """Drop the block because one of its ids was found taken, or because an explicit id up to `up_to` lies in it."""
        if not (self.at_hand or self._left):  # as most often: every commit of new rows comes by
            return
        with self._lock:
            first, _ = self.at_hand.get((incarnation, table_id), (0, 0))
            if up_to is None or first <= up_to:
                self.at_hand.pop((incarnation, table_id), None)
            left, _ = self._left.get((incarnation, table_id), (0, 0))
            if up_to is None or left <= up_to:
                self._left.pop((incarnation, table_id), None)


IDENTIFIERS = IdBlocks(BLOCK)
"""The blocks of `ids=blocks`: the connections of the process share them, so its ids follow the order of its INSERTs."""
os.register_at_fork(after_in_child=IDENTIFIERS.forget)
