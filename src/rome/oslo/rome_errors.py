"""Teach oslo.db Rome's errors. Importing this module registers the filters, once per process.

oslo.db's applications retry after DBDeadlock, and it raises that only for MySQL's and PostgreSQL's serialization
failures. These filters raise it for Rome's. oslo.db chooses filters by the dialect's name, "sqlite", so each filter
here looks at the error's class first and leaves those of stock SQLite alone. Constraint violations need no filter,
since their texts are SQLite's. Neither does a lost connection: RomeDialect.is_disconnect makes it a DBConnectionError.

CommitUnknownError stays as it is: its transaction may have been committed, so nothing may retry it.
"""

from __future__ import annotations

from oslo_db import exception
from oslo_db.sqlalchemy.exc_filters import filters
from sqlalchemy import exc

from rome import errors


def _serialization_failure(error: exc.OperationalError, match: object, name: str, is_disconnect: bool) -> None:
    if isinstance(error.orig, errors.OperationalError) and error.orig.sqlstate == "40001":
        raise exception.DBDeadlock(error)


def _store_not_ready(error: exc.OperationalError, match: object, name: str, is_disconnect: bool) -> None:
    """Map the error of a store that is starting or failing over to the one that services retry while they wait."""
    if isinstance(error.orig, errors.StoreBusyError):
        raise exception.DBConnectionError(error)


def _wrong_value(error: exc.DataError, match: object, name: str, is_disconnect: bool) -> None:
    if isinstance(error.orig, errors.DataError):
        raise exception.DBDataError(error)


filters("sqlite", exc.OperationalError, r".*")(_serialization_failure)
filters("sqlite", exc.OperationalError, r".*")(_store_not_ready)
filters("sqlite", exc.DataError, r".*")(_wrong_value)
