"""End snapshots that are older than the retention, even in a process that does nothing else.

A read transaction keeps every page that was superseded since it began: one forgotten connection would make the file
grow without bound, and only its own process can end it. So each process that has a snapshot also has a thread that
looks once a second, and that ends when there is no snapshot. It also stops before a fork, since Python warns of forking
a process with several threads.

Alternative: look whenever another connection of the process reads or commits. That would miss a process with an idle
transaction and nothing else to do, which is how long transactions come about.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Final

PERIOD_S: Final = 1.0


class Reaper:
    """Calls `reap` every PERIOD_S for as long as it returns True. `watch` starts it again."""

    def __init__(self, reap: Callable[[], bool]) -> None:
        self._reap = reap
        self._reset()
        os.register_at_fork(before=self._stop, after_in_parent=self._resume, after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = Lock()
        self._stopping = Event()
        self._thread: Thread | None = None

    def watch(self) -> None:
        """Start the thread if it is not running. Call this after a snapshot has begun."""
        with self._lock:
            if self._thread is None:
                thread = Thread(target=self._run, name="rome-lmdb-reaper", daemon=True)
                with suppress(RuntimeError):  # the interpreter is shutting down, and will end all snapshots
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            if not self._reap():
                with self._lock:
                    if (
                        not self._reap()
                    ):  # if a snapshot begins now, `watch` waits for the lock, and starts a new thread
                        self._thread = None
                        return

    def _stop(self) -> None:
        with self._lock:
            thread = self._thread
            self._stopping.set()
        if thread is not None:
            thread.join()

    def _resume(self) -> None:
        self._reset()
        if self._reap():
            self.watch()
