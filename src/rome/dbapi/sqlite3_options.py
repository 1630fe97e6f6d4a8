"""The arguments of sqlite3.connect, which applications pass whatever the URL says (`connect_args`, or after `?`).

Arguments that only tune a file are accepted without effect. Those that promise something are honoured, or refused with
another way.
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
    "detect_types": "columns are not converted by their declared types: use SQLAlchemy's types (DateTime, Date, ..), "
    "or a row_factory",
    "uri": "SQLAlchemy's URL names the database (docs/options.md), not SQLite's",
    "factory": "a connection is Rome's own: wrap it, or use SQLAlchemy's events",
}


def check(texts: Mapping[str, str]) -> None:
    """Check sqlite3's arguments.

    Args:
        texts: {name, one of NAMES: value as text}.

    Raises:
        URLError: a value cannot be read.
        NotSupportedError: an argument asks for what Rome does not do.
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
    """Whether a connection refuses other threads than the one that opens it. The options have been checked.

    Without the argument it does not, since SQLAlchemy's pool hands connections from thread to thread.
    """
    return _flag(str(options.get("check_same_thread", False)))
