"""Run unmodified SQLAlchemy applications on a distributed key/value store.

    connection = rome.connect("rome+lmdb:///data.rome")

opens a database without SQLAlchemy's engine; rome.dbapi is the whole PEP 249 module. Importing this package loads
nothing else, since most applications only name Rome in a URL. The functions here are those of rome.dbapi.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rome.dbapi import (
        connect,
        create_database,
        database_exists,
        diagnose,
        drop_database,
        list_databases,
        set_retention,
        trim,
        was_committed,
    )

__all__ = [
    "connect",
    "create_database",
    "database_exists",
    "diagnose",
    "drop_database",
    "list_databases",
    "set_retention",
    "trim",
    "was_committed",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("rome.dbapi"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
