"""Runs something again and again in a thread of its own, while there is a reason to.

The thread ends when there is nothing to look after, and stops before a fork, since Python warns of forking a process
with several threads. Where eventlet has patched the module threading, it is a green thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread


class PeriodicThread:
    """Calls `do` for as long as it returns True, with pauses of `period()` seconds before. `watch` starts it again.

    Args:
        join_s: how long a fork waits for a call that is under way; None for as long as that takes.
    """

    def __init__(
        self, name: str, do: Callable[[], bool], period: Callable[[], float], join_s: float | None = None
    ) -> None:
        self._name, self._do, self._period, self._join_s = name, do, period, join_s
        self._is_to_resume = False
        self._reset()
        os.register_at_fork(before=self.stop, after_in_parent=self._resume, after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = Lock()
        self._stopping = Event()
        self._thread: Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None

    def watch(self) -> None:
        """Start the thread if it is not running. Call this when there is something to look after."""
        with self._lock:
            self._is_to_resume = False
            if self._thread is None:
                thread = Thread(target=self._run, args=(self._lock, self._stopping), name=self._name, daemon=True)
                with suppress(RuntimeError):  # the interpreter is shutting down
                    thread.start()
                    self._thread = thread

    def _run(self, lock: Lock, stopping: Event) -> None:
        try:
            while not stopping.wait(self._period()):
                if not self._do():
                    with lock:
                        if not self._do():  # if a reason comes now, `watch` waits for the lock, and starts a new thread
                            return
        finally:
            if self._stopping is stopping:
                self._thread = None

    def stop(self) -> None:
        """Let the thread end, and wait for it."""
        with self._lock:
            thread = self._thread
            self._stopping.set()
        if thread is not None:
            self._is_to_resume = True
            thread.join(self._join_s)

    def _resume(self) -> None:
        self._reset()
        if self._is_to_resume:
            self.watch()
