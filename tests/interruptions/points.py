"""The points of a piece of code at which Python lets an exception from outside in.

A signal's handler runs, and raises, where the interpreter looks for signals: where a function begins, and where a call
has returned. (So do exceptions that another thread sets; the timeout or kill of a green thread comes inside a call.) It
looks where a loop turns, too, which is not tried: whatever matters in a loop is a call. A profile function is called
at exactly these points, and what it raises comes up there. A trace function would raise between any two instructions,
where nothing can come: in the middle of leaving a `with`, whose lock would then stay taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


class Interruption(BaseException):
    """Comes from outside: nothing expects it."""


def interrupted_at(number: int, operation: Callable[[], object]) -> Interruption | None:
    """Run an operation, and raise at one of its points, the first being 1.

    Returns:
        what was raised, with its traceback, which may hold what the operation has left; None: it has fewer points.
    """
    left = number
    where = ""

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left, where
        if event not in ("call", "return", "c_return") or frame.f_code.co_filename == __file__:
            return
        left -= 1
        if left == 0:
            sys.setprofile(None)
            name = f" of {argument!r}" if event == "c_return" else ""
            where = f"{event}{name} at {frame.f_code.co_filename}:{frame.f_lineno}, {frame.f_code.co_qualname}"
            raise Interruption(f"point {number}: {where}")

    heard, sys.unraisablehook = sys.unraisablehook, lambda _: None
    sys.setprofile(count)
    try:
        operation()
    except Interruption as interruption:
        return interruption
    finally:
        sys.setprofile(None)
        sys.unraisablehook = heard
    # What is raised in a finalizer, or in a generator that nobody wants any more, comes to nobody.
    return Interruption(f"point {number}, which nobody heard of: {where}") if left <= 0 else None
