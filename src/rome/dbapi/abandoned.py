"""Connections and databases that their owners have left: closed or dropped when the next connection is opened.

The owner's finalizer does not do it: the garbage collector may run that at any allocation, also in a thread that is
inside a store and holds the lock that closing needs, so that the thread would wait for itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

_left: deque[Callable[[], None]] = deque()


def clean_up_later(action: Callable[[], None]) -> None:
    """Remember an action for the next clean_up(). Safe in finalizers: no lock, no I/O."""
    _left.append(action)


def clean_up() -> None:
    """Run all remembered actions. Errors are ignored, since whoever could handle them is gone."""
    while _left:
        with suppress(Exception):
            _left.popleft()()
