"""Run unmodified SQLAlchemy applications on a distributed key/value store.

    connection = rome.connect("rome+lmdb:///data.rome")

opens a database without SQLAlchemy's engine; rome.dbapi is the whole PEP 249 module. rome.kv stores keys and objects
without SQL; rome.insights shows where the time goes. Importing this package loads nothing else, since most
applications only name Rome in a URL. The functions here are those of rome.dbapi.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from rome import insights, kv, metrics
    from rome.dbapi import (
        connect,
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
    from rome.dialect.versions import at_least, last_version
    from rome.retry import is_retryable, run_transaction, transactional
    from rome.retry.asynchronous import run_transaction_async, transactional_async

__all__ = [
    "at_least",
    "connect",
    "create_database",
    "database_exists",
    "diagnose",
    "drop_database",
    "insights",
    "is_retryable",
    "kv",
    "last_version",
    "list_databases",
    "mark_restored",
    "metrics",
    "run_transaction",
    "run_transaction_async",
    "set_retention",
    "transactional",
    "transactional_async",
    "trim",
    "was_committed",
]


_ELSEWHERE = {
    "at_least": "rome.dialect.versions",
    "is_retryable": "rome.retry",
    "last_version": "rome.dialect.versions",
    "run_transaction": "rome.retry",
    "run_transaction_async": "rome.retry.asynchronous",
    "transactional": "rome.retry",
    "transactional_async": "rome.retry.asynchronous",
}
"""What needs SQLAlchemy, and its module; all else is rome.dbapi's."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("sqlalchemy-rome")  # 10 ms, for those who ask
    if name in ("insights", "kv", "metrics"):
        return import_module(f"rome.{name}")
    if name in __all__:
        return getattr(import_module(_ELSEWHERE.get(name, "rome.dbapi")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
