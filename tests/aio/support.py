"""What the tests for asyncio share: the threads of connections, gates that hold the driver back, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from threading import Event, Thread, enumerate
from typing import Any

PATIENCE_S = 60.0
"""Of a test for what must come; it is no measure of anything."""


def threads() -> list[Thread]:
    """The threads of connections."""
    return [thread for thread in enumerate() if thread.name == "rome.aio"]


class Gate:
    """Holds one of the driver's methods back, in the connection's thread, until the test opens it."""

    def __init__(self) -> None:
        self.reached, self._opened = Event(), Event()
        self.passed = 0

    def open(self) -> None:
        self._opened.set()

    def pass_through(self) -> None:
        self.reached.set()
        assert self._opened.wait(PATIENCE_S)
        self.passed += 1

    async def is_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, PATIENCE_S)


Hold = Callable[[str], AbstractAsyncContextManager[Gate]]


async def cancel(task: asyncio.Task[Any]) -> BaseException:
    """Cancel a task, and return with what it ends."""
    task.cancel()
    ended: Any = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended[0], BaseException)
    return ended[0]
