"""Lets an application end a statement of its own while SQLite runs it: sqlite3's interrupt() and progress handler.

By SQLite's progress handler, and not by its interrupt: that would strike whatever runs at the moment, and may be
Rome's own work on the working set. SQLite ends the whole transaction when a statement that writes is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

_STEPS = 20_000  # a millisecond, about


class Interruption:
    """One connection's.

    Attributes:
        asked: by the application, from any thread, since the operation began that is under way.
        running: what SQLite runs is a statement of the application's.
    """

    __slots__ = ("_handler", "_steps", "asked", "running")

    def __init__(self) -> None:
        self.asked = self.running = False
        self._handler: Callable[[], object] | None = None
        self._steps = _STEPS

    def attach(self, connection: apsw.Connection) -> None:
        """Watch over what runs on this connection of SQLite's from now on."""
        connection.set_progress_handler(self._is_to_end, self._steps)

    def set_handler(self, handler: Callable[[], object] | None, steps: int) -> None:
        """Ask `handler` after so many steps of SQLite's, too; `attach` is to be called again."""
        self._handler = handler if steps > 0 else None
        self._steps = _STEPS if self._handler is None else min(steps, _STEPS)

    def _is_to_end(self) -> bool:
        if not self.running:
            return False
        if self.asked or self._handler is None:
            return self.asked
        try:
            return bool(self._handler())
        except Exception:  # noqa: BLE001  # whatever it raises ends the statement, as in sqlite3
            return True
