"""What SQLite says of a text before it looks at any table: that it is not text, or not SQL."""

from __future__ import annotations

from functools import lru_cache

import apsw
from apsw.ext import query_info

from rome.errors import DataError, ProgrammingError
from rome.planner.parse.statement import Statement, StatementKind, classify
from rome.workingset.sqlite_errors import translate

_ABOUT_NO_TABLE = frozenset(
    {
        StatementKind.BEGIN,
        StatementKind.COMMIT,
        StatementKind.ROLLBACK,
        StatementKind.PRAGMA,
        StatementKind.ATTACH,
        StatementKind.DETACH,
        StatementKind.VACUUM,
        StatementKind.OTHER,
    }
)
"""Statements that SQLite need not prepare on the mirror: Rome knows them by their first words."""


def check_text(sql: str, argument: str) -> None:
    """Raise what is wrong with a text whatever it says.

    Args:
        argument: what it is to its caller, for messages.

    Raises:
        TypeError: it is not a str. ProgrammingError: it has a null character. DataError: it has a lone surrogate.
    """
    if not isinstance(sql, str):
        raise TypeError(f"{argument} must be str, not {'None' if sql is None else type(sql).__name__}")
    if "\0" in sql:
        raise ProgrammingError("the query contains a null character")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise DataError("the statement holds a lone surrogate, which is not text") from error


@lru_cache(maxsize=4096)
def classified(sql: str, argument: str) -> Statement:
    """As statement_of, for a text that has a hash; without a call of Python's if it was met before."""
    check_text(sql, argument)
    return classify(sql)


def statement_of(sql: str, argument: str) -> Statement:
    """Classify a text; what is wrong with it is raised, as by check_text.

    Cost: 0.1 µs for a text that was met before.
    """
    try:
        return classified(sql, argument)
    except TypeError:  # also of what has no hash, such as a bytearray
        check_text(sql, argument)
        raise


@lru_cache(maxsize=1024)
def check_syntax(sql: str) -> None:
    """Raise what SQLite says against a statement that is about no table; do nothing for others.

    It is prepared on a database of its own, where nothing is allowed: some PRAGMAs act while they are prepared.

    Raises:
        OperationalError: `near "SELCT": syntax error`, `incomplete input`, `unrecognized token: ..`, in SQLite's words.
    """
    if classify(sql).kind not in _ABOUT_NO_TABLE:
        return
    connection = apsw.Connection(":memory:")
    connection.authorizer = lambda *_: apsw.SQLITE_DENY
    try:
        query_info(connection, sql)
    except apsw.AuthError:  # it was understood
        return
    except apsw.Error as error:
        raise translate(error) from error
    finally:
        connection.close()
