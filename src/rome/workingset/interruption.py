"""Lets an application end its statement while SQLite runs it: sqlite3's interrupt() and progress handler.

This uses SQLite's progress handler, not its interrupt, which would hit whatever is running and may be Rome's own work
on the working set. If a statement that writes is interrupted, SQLite ends the whole transaction.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

_STEPS = 20_000  # about a millisecond


class Interruption:
    """The interruption of one connection.

    Attributes:
        asked: the application has asked for it, from any thread, since the current operation began.
        running: SQLite is running a statement of the application's.
    """

    __slots__ = ("_handler", "_steps", "asked", "running")

    def __init__(self) -> None:
        self.asked = self.running = False
        self._handler: Callable[[], object] | None = None
        self._steps = _STEPS

    def attach(self, connection: apsw.Connection) -> None:
        """Watch what runs on this SQLite connection from now on."""
        connection.set_progress_handler(self._is_to_end, self._steps)

    def set_handler(self, handler: Callable[[], object] | None, steps: int) -> None:
        """Call `handler` after this many steps of SQLite, too; afterwards `attach` must be called again."""
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
