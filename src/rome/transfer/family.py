"""Kinds of databases: which speak SQLite's SQL, so that a schema goes from one to another as it is written."""

from __future__ import annotations

from sqlalchemy.engine import Connection, Engine

_SQLITE = "sqlite"
_MYSQL = frozenset(["mysql", "mariadb"])


def is_sqlites(engine: Engine) -> bool:
    """Whether the database is SQLite or Rome."""
    return engine.dialect.name == _SQLITE


def is_romes(engine: Engine) -> bool:
    """Whether the database is Rome's."""
    return engine.dialect.driver == "rome"  # its name is SQLite's


def is_mysqls(engine: Engine) -> bool:
    """Whether the database is MySQL or MariaDB."""
    return engine.dialect.name in _MYSQL


def begin_snapshot(connection: Connection) -> Connection:
    """Make what the connection reads from now on that of one moment, as far as the database can."""
    if is_sqlites(connection.engine):
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ")
