"""SQL functions that a working set has beyond SQLite's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, wraps

import apsw

from rome.codec.values import SqlValue


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def regexp(*arguments: SqlValue) -> int | None:
    """`text REGEXP pattern` by Python's re.search, as pysqlite's dialect defines it."""
    pattern, text = arguments
    if pattern is None or text is None:
        return None
    return 1 if _compiled(str(pattern)).search(str(text)) else 0


def guarded(function: Callable[..., SqlValue]) -> Callable[..., SqlValue]:
    """The function, with whatever it raises as the error that sqlite3 makes of it; its cause says more."""

    @wraps(function)
    def call(*arguments: SqlValue) -> SqlValue:
        try:
            return function(*arguments)
        except Exception as error:
            raise apsw.SQLError("user-defined function raised exception") from error

    return call


def add_regexp(connection: apsw.Connection) -> None:
    connection.create_scalar_function("regexp", guarded(regexp), 2, deterministic=True)


def count_for_application(
    connection: apsw.Connection, changes: Callable[[], int], total_changes: Callable[[], int]
) -> None:
    """Let changes() and total_changes() count what the application did, not what Rome did for it."""
    connection.create_scalar_function("changes", lambda *_: changes(), 0)
    connection.create_scalar_function("total_changes", lambda *_: total_changes(), 0)
