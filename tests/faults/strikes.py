"""Servers fail again and again, in a thread beside the clients that use them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Self


class Strikes:
    """A context in which a thread strikes, waits, and strikes again; leaving it raises what has gone wrong there."""

    def __init__(self, strikes: Iterable[Callable[[], object]], pause_s: float) -> None:
        """Take the strikes.

        Args:
            strikes: one after the other; each one returns when what it struck has recovered.
            pause_s: seconds before each one.
        """
        self.count = 0
        self._strikes = strikes
        self._pause_s = pause_s
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="strikes")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def have_ended(self) -> bool:
        """Whether the thread has failed; leaving its context raises the error."""
        return self._error is not None

    def _run(self) -> None:
        try:
            for strike in self._strikes:
                if self._over.wait(self._pause_s):
                    return
                strike()
                self.count += 1
        except BaseException as error:  # noqa: BLE001  # raised where the thread is joined
            self._error = error
