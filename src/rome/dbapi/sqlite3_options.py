"""The arguments of sqlite3.connect, which applications pass on whatever the URL says (`connect_args`, or behind `?`).

What only tunes a file is taken without effect; what promises something is kept, or refused with the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rome.errors import NotSupportedError, URLError

_YES = frozenset({"true", "on", "yes", "1"})
_NO = frozenset({"false", "off", "no", "0"})


def _flag(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError
    return text.lower() in _YES


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0:
        raise ValueError
    return seconds


_READ: dict[str, tuple[Callable[[str], float], str]] = {
    "cached_statements": (int, "a number"),
    "check_same_thread": (_flag, "true or false"),
    "detect_types": (int, "0"),
    "timeout": (_seconds, "a number of seconds"),
    "uri": (_flag, "false"),
}
NAMES = frozenset(_READ) | {"factory"}

_REFUSED = {
    "detect_types": "columns are not converted by their declared types: use SQLAlchemy's (DateTime, Date, ..), or a "
    "row_factory",
    "uri": "the database is named by SQLAlchemy's URL (docs: README, URLs), and not by SQLite's",
    "factory": "a connection is Rome's own: wrap it, or use SQLAlchemy's events",
}


def check(texts: Mapping[str, str]) -> None:
    """Look through the options, whose names are among NAMES.

    Raises:
        URLError: a value cannot be read.
        NotSupportedError: it asks for what Rome does not do.
    """
    for name, text in sorted(texts.items()):
        read, expected = _READ.get(name, (bool, "nothing"))
        try:
            value = read(text)
        except ValueError:
            raise URLError(f"option {name}={text!r}: expected {expected}") from None
        if name in _REFUSED and value:
            raise NotSupportedError(f"sqlite3's argument {name} is not supported: {_REFUSED[name]}")


def checks_thread(options: Mapping[str, object]) -> bool:
    """Whether a connection is to refuse other threads than the one that opens it; the options are checked.

    Not so when nobody asks for it: SQLAlchemy's pool hands connections from thread to thread.
    """
    return _flag(str(options.get("check_same_thread", False)))
