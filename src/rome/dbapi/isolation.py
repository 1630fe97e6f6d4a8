"""Isolation levels, by the names that applications use, which are SQLAlchemy's."""

from __future__ import annotations

from rome.engine.options import Isolation
from rome.errors import ProgrammingError

LEVELS: dict[str, Isolation] = {
    "SERIALIZABLE": Isolation.SERIALIZABLE,
    "REPEATABLE READ": Isolation.SNAPSHOT,
    "SNAPSHOT": Isolation.SNAPSHOT,
    "READ COMMITTED": Isolation.READ_COMMITTED,
    "READ UNCOMMITTED": Isolation.READ_COMMITTED,  # as in PostgreSQL, nobody sees uncommitted changes
    "AUTOCOMMIT": Isolation.AUTOCOMMIT,
}
BEGINNINGS: dict[str, Isolation] = dict.fromkeys(["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"], Isolation.SERIALIZABLE)
"""sqlite3's isolation levels, which say how a transaction begins. Each of them is serializable."""


def level_of(name: str) -> Isolation:
    """The level for a name in LEVELS or BEGINNINGS."""
    return LEVELS[name] if name in LEVELS else BEGINNINGS[name]


def level_name(text: str) -> str:
    """The name in LEVELS or BEGINNINGS that `text` means, in any case and with "_" for a space.

    Raises:
        ProgrammingError: there is no such level; the message lists all of them.
    """
    name = text.replace("_", " ").upper()
    if name not in LEVELS and name not in BEGINNINGS:
        raise ProgrammingError(f"there is no isolation level {text!r}; known: {', '.join(LEVELS)}")
    return name
