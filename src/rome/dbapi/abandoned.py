"""What its owner has left behind: closed or dropped when the next connection is made.

Not in the owner's finalizer. The garbage collector may run that at any allocation, also in a thread that is inside a
store and holds the lock that closing needs: it would wait for itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

_left: deque[Callable[[], None]] = deque()


def clean_up_later(action: Callable[[], None]) -> None:
    """Remember what is to be done. Fit for finalizers: no lock, no I/O."""
    _left.append(action)


def clean_up() -> None:
    """Do all that is remembered. Quietly: whoever could handle an error of it is gone."""
    while _left:
        with suppress(Exception):
            _left.popleft()()
