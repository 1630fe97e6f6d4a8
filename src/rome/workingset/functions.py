"""SQL functions that a working set has beyond SQLite's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, cast

import apsw

from rome.codec.values import PLAIN_TYPES, SqlValue, by_value
from rome.errors import OperationalError


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
            return _result(function(*arguments))
        except Exception as error:
            raise apsw.SQLError("user-defined function raised exception") from error

    return call


def _result(value: object) -> SqlValue:
    """What a function has given, as SQLite takes it.

    Raises:
        TypeError, OverflowError, UnicodeEncodeError: SQLite cannot take it.
    """
    plain = by_value(value)
    if type(plain) is int and not -(1 << 63) <= plain < 1 << 63:
        raise OverflowError(f"{plain} does not fit into SQLite's 64-bit INTEGER")
    if type(plain) is str:
        plain.encode()
    if type(plain) not in PLAIN_TYPES:
        raise TypeError(f"a SQL function cannot give a value of type {type(plain).__name__}")
    return cast("SqlValue", plain)


class _Group:
    """One group of an aggregate, or one window: sqlite3's class as apsw calls it, with sqlite3's errors."""

    def __init__(self, kind: Callable[[], object]) -> None:
        with _as_sqlite3("__init__"):
            self._instance: Any = kind()

    def step(self, *arguments: SqlValue) -> None:
        with _as_sqlite3("step"):
            self._instance.step(*arguments)

    def inverse(self, *arguments: SqlValue) -> None:
        with _as_sqlite3("inverse"):
            self._instance.inverse(*arguments)

    def value(self) -> SqlValue:
        with _as_sqlite3("value"):
            return _result(self._instance.value())

    def final(self) -> SqlValue:
        with _as_sqlite3("finalize"):
            return _result(self._instance.finalize())


@contextmanager
def _as_sqlite3(method: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise apsw.SQLError(f"user-defined aggregate's '{method}' method raised error") from error


def aggregate(kind: Callable[[], object]) -> Callable[[], Any]:
    """sqlite3's class of an aggregate (step, finalize), for apsw."""
    return lambda: _Group(kind)


def window_function(kind: Callable[[], object]) -> Callable[[], Any]:
    """sqlite3's class of a window function (step, inverse, value, finalize), for apsw."""
    return lambda: _Group(kind)


def collation(compare: Callable[[str, str], int]) -> Callable[[str, str], int]:
    """The application's comparison. What it raises is an error, where sqlite3 takes the two texts for equal.

    Not an apsw.Error: SQLite cannot be stopped by a comparison, and goes on to the end. What it has done then, with
    the two texts as equals, is not to be taken for what an error of SQLite's leaves.
    """

    @wraps(compare)
    def call(one: str, other: str) -> int:
        try:
            found = compare(one, other)
            return (found > 0) - (found < 0)
        except Exception as error:
            raise OperationalError("user-defined collation raised exception") from error

    return call


def add_regexp(connection: apsw.Connection) -> None:
    connection.create_scalar_function("regexp", guarded(regexp), 2, deterministic=True)


def count_for_application(
    connection: apsw.Connection, changes: Callable[[], int], total_changes: Callable[[], int]
) -> None:
    """Let changes() and total_changes() count what the application did, not what Rome did for it."""
    connection.create_scalar_function("changes", lambda *_: changes(), 0)
    connection.create_scalar_function("total_changes", lambda *_: total_changes(), 0)
