"""An ambush at a proxy: it waits for a commit, and strikes at one step of it."""

from __future__ import annotations

import threading

from rome.testing.proxy import Direction, Forwarding
from tests.faults.clients import comes

STEPS = {
    "before the request": (Direction.REQUEST, Forwarding.CUT),
    "after the request": (Direction.REQUEST, Forwarding.PASS_AND_CUT),
    "before the answer": (Direction.ANSWER, Forwarding.CUT),
    "after the answer": (Direction.ANSWER, Forwarding.PASS_AND_CUT),
    "half-open, request swallowed": (Direction.REQUEST, Forwarding.HOLD),
    "half-open, answer swallowed": (Direction.ANSWER, Forwarding.HOLD),
}
STEPS_TO_DIE_AT = [name for name, (_, forwarding) in STEPS.items() if forwarding is not Forwarding.HOLD]


class Ambush:
    """Waits for a commit, and strikes once, at one step of it; the judge of a proxy.

    Args:
        commit: bytes that are in the request of every commit, and in no other.
    """

    def __init__(self, commit: bytes, direction: Direction, forwarding: Forwarding) -> None:
        self._commit = commit
        self._direction = direction
        self._forwarding = forwarding
        self._seen = False
        self.struck = threading.Event()

    def __call__(self, direction: Direction, data: bytes) -> Forwarding:
        if self.struck.is_set():
            return Forwarding.PASS
        if direction is Direction.REQUEST and self._commit in data:
            self._seen = True
        if not self._seen or direction is not self._direction:
            return Forwarding.PASS
        self.strike()
        self.struck.set()
        return self._forwarding

    def strike(self) -> None:
        """What happens at that moment, beside what becomes of the bytes."""

    def wait(self) -> None:
        assert comes(self.struck.is_set), "there was no commit to strike at"
