"""What the later waves of a plan read the last time, so that the next run reads it with its first wave.

A join often ends in the same few rows whatever its parameters are: the kinds, owners and places that other rows name.
Their keys are in the rows of the first wave, so the plan has a second wave, which takes another trip. If what was read
ahead is what the second wave asks for, that trip is spared; if not, it was read in vain. So foresight makes what is
read larger, never smaller. What is read ahead stays apart until a wave asks for just these keys and ranges; then it
enters the cache and the read set, and the rest is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from rome.store.spi import ORDER_INDEX
from rome.transaction.read_set import NOTHING
from rome.transaction.snapshot_cache import EVERYTHING
from rome.transaction.transaction import ReadRequest

MOST_PLACES = 16
"""How many keys and ranges are read ahead at most."""
MOST_ROWS = 64
"""How many rows of each range are read ahead at most. A range with more is read when a wave asks for it."""

_PATIENCE = 4
_LONGEST_PAUSE = 64


class Foresight:
    """One plan's, shared by all threads that run it: any mixture of what they set is right.

    After several runs in a row to which it was of no use it pauses, longer each time.
    """

    __slots__ = ("_in_vain", "_pause", "_requests")

    def __init__(self) -> None:
        self._requests: tuple[ReadRequest, ...] = ()
        self._in_vain = 0
        self._pause = 0

    def requests(self) -> tuple[ReadRequest, ...]:
        """What this run should read ahead."""
        if self._pause:
            self._pause -= 1
            return ()
        return self._requests

    def learn(self, requests: Iterable[ReadRequest]) -> None:
        """Note what the later waves of a run have read, except what is large."""
        places, ahead = 0, []
        for request in requests:
            places += len(request.keys) + len(request.ranges)
            if places > MOST_PLACES:
                break
            if request.index_id != ORDER_INDEX or EVERYTHING not in request.ranges:
                ahead.append(
                    ReadRequest(request.table_id, request.index_id, request.keys, request.ranges, NOTHING, MOST_ROWS)
                )
        self._requests = tuple(ahead)

    def judge(self, *, helped: bool) -> None:
        """Note whether what a run has read ahead has spared it a trip."""
        if helped:
            self._in_vain = 0
        else:
            self._in_vain += 1
            if self._in_vain >= _PATIENCE:
                self._pause = min(2**self._in_vain, _LONGEST_PAUSE)
