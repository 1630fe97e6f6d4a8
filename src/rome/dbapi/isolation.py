"""Isolation levels by the names that applications use, which are SQLAlchemy's."""

from __future__ import annotations

from rome.engine.options import Isolation
from rome.errors import ProgrammingError

LEVELS: dict[str, Isolation] = {
    "SERIALIZABLE": Isolation.SERIALIZABLE,
    "REPEATABLE READ": Isolation.SNAPSHOT,
    "SNAPSHOT": Isolation.SNAPSHOT,
    "READ COMMITTED": Isolation.READ_COMMITTED,
    "AUTOCOMMIT": Isolation.AUTOCOMMIT,
}


def level_name(text: str) -> str:
    """The name in LEVELS that `text` means: in any case, and with "_" for a space.

    Raises:
        ProgrammingError: there is no such level; the message lists those there are.
    """
    name = text.replace("_", " ").upper()
    if name not in LEVELS:
        raise ProgrammingError(f"there is no isolation level {text!r}; known: {', '.join(LEVELS)}")
    return name
