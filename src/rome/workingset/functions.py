"""SQL functions that a working set has in addition to SQLite's own."""

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
    """`text REGEXP pattern` with Python's re.search, as SQLAlchemy's pysqlite dialect defines it."""
    pattern, text = arguments
    if pattern is None or text is None:
        return None
    return 1 if _compiled(str(pattern)).search(str(text)) else 0


def guarded(function: Callable[..., SqlValue]) -> Callable[..., SqlValue]:
    """The function; whatever it raises becomes the error that sqlite3 raises, with the original as its cause."""

    @wraps(function)
    def call(*arguments: SqlValue) -> SqlValue:
        try:
            return _result(function(*arguments))
        except Exception as error:
            raise apsw.SQLError("user-defined function raised exception") from error

    return call


def _result(value: object) -> SqlValue:
    """The result of a function as SQLite accepts it.

    Raises:
        TypeError, OverflowError, UnicodeEncodeError: SQLite does not accept it.
    """
    plain = by_value(value)
    if type(plain) is int and not -(1 << 63) <= plain < 1 << 63:
        raise OverflowError(f"{plain} does not fit into SQLite's 64-bit INTEGER")
    if type(plain) is str:
        plain.encode()
    if type(plain) not in PLAIN_TYPES:
        raise TypeError(f"a SQL function cannot return a value of type {type(plain).__name__}")
    return cast("SqlValue", plain)


class _Group:
    """One group of an aggregate, or one window: calls sqlite3's kind of class for apsw, with sqlite3's errors."""

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
    """An aggregate in sqlite3's form (a class with step and finalize), as apsw needs it."""
    return lambda: _Group(kind)


def window_function(kind: Callable[[], object]) -> Callable[[], Any]:
    """A window function in sqlite3's form (step, inverse, value, finalize), as apsw needs it."""
    return lambda: _Group(kind)


def collation(compare: Callable[[str, str], int]) -> Callable[[str, str], int]:
    """The application's comparison. An exception in it is an error, where sqlite3 takes the two texts as equal.

    It does not become an apsw.Error: SQLite cannot be stopped by a comparison, and runs to the end. What it has done by
    then, with the two texts as equals, must not be taken for the state after an error of SQLite's.
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
    """Define REGEXP on a connection."""
    connection.create_scalar_function("regexp", guarded(regexp), 2, deterministic=True)


def count_for_application(
    connection: apsw.Connection, changes: Callable[[], int], total_changes: Callable[[], int]
) -> None:
    """Make changes() and total_changes() count what the application did, not what Rome did for it."""
    connection.create_scalar_function("changes", lambda *_: changes(), 0)
    connection.create_scalar_function("total_changes", lambda *_: total_changes(), 0)
