"""A line as it is typed: with editing, completion, and a history that lasts. readline does the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rome.errors import Error

_KEYWORDS = """
    ALTER AND AS ASC BEGIN BETWEEN BY CASE COMMIT CREATE DELETE DESC DISTINCT DROP EXISTS EXPLAIN FROM GROUP HAVING IN
    INDEX INNER INSERT INTO IS JOIN LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER PRIMARY RETURNING ROLLBACK ROME SELECT
    SET TABLE TRIGGER UNION UNIQUE UPDATE USING VALUES VIEW WHERE WITH
"""
_MOST_LINES = 5_000


class LineEditor:
    """Reads lines from the terminal.

    Args:
        names: the names that the database has now, for completion.
    """

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        self._names = names
        self._matches: list[str] = []
        self._readline = _set_up(self._complete)

    def line(self, prompt: str) -> str:
        """The next line, without its end.

        Raises:
            EOFError: the input has ended. KeyboardInterrupt: the user has pressed Ctrl-C.
        """
        text = input(prompt)
        if self._readline and text.strip():
            _remember()
        return text

    def _complete(self, text: str, state: int) -> str | None:
        """readline's protocol: the match of this number, None after the last."""
        if state == 0:
            known: list[str] = []
            with suppress(Error):  # a store that cannot be asked now has no names
                known = [*self._names()]
            words = [word if text.isupper() else word.lower() for word in _KEYWORDS.split()]
            self._matches = [word for word in [*known, *words] if word.lower().startswith(text.lower())]
        return self._matches[state] if state < len(self._matches) else None


def _set_up(complete: Callable[[str, int], str | None]) -> bool:
    """Give readline the completion and the history of former times; False if Python was built without readline."""
    try:
        import readline  # noqa: PLC0415  # not every Python has it
    except ImportError:
        return False
    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,;()=<>+-*/|.'\"")
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(_MOST_LINES)
    with suppress(OSError):
        readline.read_history_file(_history())
    return True


def _remember() -> None:
    """Write the history; only the user may read it, as statements hold values."""
    import readline  # noqa: PLC0415  # see _set_up

    path = _history()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        readline.write_history_file(path)


def _history() -> Path:
    """The file of the history: $XDG_STATE_HOME/rome/history, usually ~/.local/state/rome/history."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "rome" / "history"
