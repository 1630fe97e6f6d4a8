"""Which databases speak SQLite's SQL, so that a schema goes from one to another as it is written."""

from __future__ import annotations

from sqlalchemy.engine import Connection, Engine

_SQLITE = frozenset(["sqlite", "rome"])


def is_sqlites(engine: Engine) -> bool:
    """Whether the database is SQLite or Rome."""
    return engine.dialect.name in _SQLITE


def is_romes(engine: Engine) -> bool:
    """Whether the database is Rome's."""
    return engine.dialect.name == "rome"


def begin_snapshot(connection: Connection) -> Connection:
    """Make what the connection reads from now on that of one moment, as far as the database can."""
    if is_sqlites(connection.engine):
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ")
