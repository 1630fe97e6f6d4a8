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
        os.register_at_fork(before=self.pause, after_in_parent=self._resume, after_in_child=self._begin_in_child)

    def _reset(self) -> None:
        self._lock = Lock()
        self._stopping, self._waking = Event(), Event()  # a new thread gets new ones
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
                self._stopping, self._waking = Event(), Event()
                arguments = self._lock, self._stopping, self._waking
                thread = Thread(target=self._run, args=arguments, name=self._name, daemon=True)
                with suppress(RuntimeError):  # the interpreter is shutting down
                    thread.start()
                    self._thread = thread

    def wake(self) -> None:
        """Call `do` now, if the thread runs, and ask for the period again."""
        self._waking.set()

    def _run(self, lock: Lock, stopping: Event, waking: Event) -> None:
        try:
            while True:
                waking.wait(self._period())
                if stopping.is_set():
                    return
                waking.clear()
                if not self._do():
                    with lock:
                        if not self._do():  # if a reason comes now, `watch` waits for the lock, and starts a new thread
                            self._ended(stopping)
                            return
        finally:
            self._ended(stopping)

    def _ended(self, stopping: Event) -> None:
        if self._stopping is stopping:
            self._thread = None

    def stop(self) -> None:
        """Let the thread end, and wait for it."""
        with self._lock:
            thread = self._thread
            self._stopping.set()
            self._waking.set()
        if thread is not None:
            thread.join(self._join_s)

    def pause(self) -> None:
        """Stop until the fork is done that is about to come. Idempotent."""
        self._is_to_resume = self._is_to_resume or self.is_running
        self.stop()

    def _resume(self) -> None:
        self._reset()
        if self._is_to_resume:
            self.watch()

    def _begin_in_child(self) -> None:
        self._reset()
        self._is_to_resume = False
