"""What the later waves of a plan read the last time, so that the next run reads it with its first wave.

A join often ends in the same few rows whatever its parameters are: the kinds, owners and places that other rows name.
Their keys are in the rows of the first wave, so the plan has a second wave, which takes another trip. If what was read
ahead is what the second wave asks for, that trip is spared; if not, it was read in vain. So foresight makes what is
read larger, never smaller. What is read ahead stays apart until a wave asks for just these keys and ranges; then it
enters the cache and the read set, and the rest is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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

    After several runs in a row to which it was of no use it pauses, longer each time. A path by which several runs in a
    row have read something else is left out from then on.
    """

    __slots__ = ("_in_vain", "_missed", "_pause", "_requests")

    def __init__(self) -> None:
        self._requests: tuple[ReadRequest, ...] = ()
        self._in_vain = 0
        self._pause = 0
        self._missed: dict[tuple[int, int], int] = {}

    def requests(self) -> tuple[ReadRequest, ...]:
        """What this run should read ahead."""
        if self._pause:
            self._pause -= 1
            return ()
        return self._requests

    def learn(
        self, requests: Iterable[ReadRequest], ahead: Sequence[ReadRequest], admitted: Sequence[ReadRequest]
    ) -> None:
        """Note what the later waves of a run have read, except what is large, and where each run reads something else.

        Args:
            ahead: what this run had read ahead.
            admitted: what of the waves' requests was at hand, by that.
        """
        paths = {_path(request) for request in ahead}
        at_hand = {(*_path(request), request.keys, request.ranges) for request in admitted}
        places, learnt = 0, []
        for request in requests:
            path = _path(request)
            if path in paths:
                is_hit = (*path, request.keys, request.ranges) in at_hand
                self._missed[path] = 0 if is_hit else self._missed.get(path, 0) + 1
            if self._missed.get(path, 0) >= _PATIENCE:
                continue
            places += len(request.keys) + len(request.ranges)
            if places > MOST_PLACES:
                break
            if request.index_id != ORDER_INDEX or EVERYTHING not in request.ranges:
                learnt.append(ReadRequest(*path, request.keys, request.ranges, NOTHING, MOST_ROWS))
        self._requests = tuple(learnt)

    def judge(self, *, helped: bool) -> None:
        """Note whether what a run has read ahead has spared it a trip."""
        if helped:
            self._in_vain = 0
        else:
            self._in_vain += 1
            if self._in_vain >= _PATIENCE:
                self._pause = min(2**self._in_vain, _LONGEST_PAUSE)


def _path(request: ReadRequest) -> tuple[int, int]:
    return request.table_id, request.index_id
