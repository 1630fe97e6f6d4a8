"""The mean time of an operation."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(operation: Callable[[int], object], operations: int) -> tuple[float, float]:
    """Call `operation` with 0, 1, ..; returns the mean seconds of a call, and of them this thread's CPU."""
    wall, cpu = time.perf_counter(), time.thread_time()
    for number in range(operations):
        operation(number)
    return (time.perf_counter() - wall) / operations, (time.thread_time() - cpu) / operations
