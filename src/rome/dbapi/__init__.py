"""The PEP 249 driver, with the names that users of the sqlite3 module look for (docs/sqlite3.md)."""

import sqlite3
from sqlite3 import (
    PARSE_COLNAMES,
    PARSE_DECLTYPES,
    PrepareProtocol,
    Row,
    adapters,
    complete_statement,
    converters,
    register_adapter,
    register_converter,
)

import apsw

from rome.dbapi.admin import (
    create_database,
    database_exists,
    diagnose,
    drop_database,
    list_databases,
    mark_restored,
    set_retention,
    trim,
    was_committed,
)
from rome.dbapi.connection import Connection, connect
from rome.dbapi.cursor import Cursor, StreamCursor
from rome.dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from rome.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"

sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(map(int, sqlite_version.split(".")))


def __getattr__(name: str) -> object:
    """sqlite3's constants: result codes and the like, which are SQLite's."""
    if name.startswith("SQLITE_") and hasattr(sqlite3, name):
        return getattr(sqlite3, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "PARSE_COLNAMES",
    "PARSE_DECLTYPES",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "PrepareProtocol",
    "ProgrammingError",
    "Row",
    "StreamCursor",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "adapters",
    "apilevel",
    "complete_statement",
    "connect",
    "converters",
    "create_database",
    "database_exists",
    "diagnose",
    "drop_database",
    "list_databases",
    "mark_restored",
    "paramstyle",
    "register_adapter",
    "register_converter",
    "set_retention",
    "sqlite_version",
    "sqlite_version_info",
    "threadsafety",
    "trim",
    "was_committed",
]
