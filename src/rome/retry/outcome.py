"""What an error tells about its transaction: nothing was written, the outcome is unknown, or neither.

The database's error code decides, and never the text: a CockroachDB error that leaves the outcome unknown (40003) may
quote a retryable error in its text.
"""

from __future__ import annotations

from enum import Enum

from sqlalchemy.exc import DBAPIError

from rome import errors


class RetryOutcome(Enum):
    """The outcome of a transaction, as far as its error tells."""

    NOTHING_WRITTEN = "nothing was written, and another attempt may succeed"
    UNKNOWN = "it may have been committed"
    FAILED = "another attempt would fail as this one did, or the error does not say what was written"


_STATES = {
    "40001": RetryOutcome.NOTHING_WRITTEN,  # serialization failure: PostgreSQL, CockroachDB, MySQL's deadlocks
    "40P01": RetryOutcome.NOTHING_WRITTEN,  # PostgreSQL's deadlocks
    "40003": RetryOutcome.UNKNOWN,  # CockroachDB: "result is ambiguous"
}

MYSQL_NOTHING_WRITTEN = frozenset(
    [
        1020,  # MariaDB: a row has changed since the snapshot (innodb_snapshot_isolation)
        1205,  # waiting for a row lock timed out; the server undoes only the statement, so the rest is rolled back
        1213,  # deadlock
        8002,  # TiDB: SELECT .. FOR UPDATE cannot be retried by the server
        8005,  # TiDB: write conflict, found before the commit
        8022,  # TiDB: the commit failed, and was rolled back
        8028,  # TiDB: the schema has changed meanwhile
        9007,  # TiDB: write conflict
    ]
)
"""Error numbers of MySQL's protocol. MySQL and MariaDB use none of TiDB's, so no server has to be asked what it is."""

_SQLITE_BUSY = 5


def outcome(error: BaseException) -> RetryOutcome:
    """Return the outcome of the transaction that this error ended.

    Args:
        error: as SQLAlchemy, oslo.db or rome.dbapi raised it.
    """
    cause = driver_error(error)
    if cause is None:
        return RetryOutcome.FAILED
    if isinstance(cause, errors.Error):
        if cause.sqlstate == "40003":
            return RetryOutcome.UNKNOWN
        return RetryOutcome.NOTHING_WRITTEN if cause.retryable else RetryOutcome.FAILED
    known = _STATES.get(sqlstate(cause) or "")
    if known is not None:
        return known
    return RetryOutcome.NOTHING_WRITTEN if _lost_by_number(cause) else RetryOutcome.FAILED


def is_retryable(error: BaseException) -> bool:
    """Whether nothing was written and the same transaction may succeed when it is run again.

    On Rome that is the error's own `retryable`. On PostgreSQL and CockroachDB it is SQLSTATE 40001 and 40P01; on
    MySQL, MariaDB and TiDB 1020, 1205, 1213, 8002, 8005, 8022, 8028 and 9007; on SQLite SQLITE_BUSY.

    Args:
        error: as SQLAlchemy, oslo.db or rome.dbapi raised it. Any other exception is not retryable.
    """
    return outcome(error) is RetryOutcome.NOTHING_WRITTEN


def driver_error(error: BaseException) -> BaseException | None:
    """Return the driver's own error inside SQLAlchemy's and oslo.db's wrappers; None if it is not a database error."""
    inner = getattr(error, "inner_exception", None)  # oslo.db's name for what it wraps
    while isinstance(inner, BaseException):
        error, inner = inner, getattr(inner, "inner_exception", None)
    if isinstance(error, DBAPIError):
        return error.orig
    return error if isinstance(error, errors.Error) else None


def sqlstate(cause: BaseException) -> str | None:
    """Return the SQLSTATE as psycopg2, psycopg, asyncpg, pg8000 and mysql-connector keep it; None if there is none."""
    for name in ("pgcode", "sqlstate"):
        state = getattr(cause, name, None)
        if isinstance(state, str):
            return state
    first = cause.args[0] if cause.args else None
    if isinstance(first, dict):  # pg8000: the fields of the server's message
        state = first.get("C")
        return state if isinstance(state, str) else None
    return None


def mysql_number(cause: BaseException) -> int | None:
    """Return MySQL's error number as PyMySQL, mysqlclient, asyncmy and mysql-connector keep it; None without one."""
    for number in (getattr(cause, "errno", None), cause.args[0] if cause.args else None):
        if isinstance(number, int):
            return number
    return None


def _lost_by_number(cause: BaseException) -> bool:
    code = getattr(cause, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF == _SQLITE_BUSY  # the error above it says why it is busy
    return mysql_number(cause) in MYSQL_NOTHING_WRITTEN
