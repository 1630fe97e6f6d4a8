"""Rows in the form that the application wants, by row_factory and text_factory, as in sqlite3.

Without these, nothing here is called.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from rome.catalog.reflected_table import quote
from rome.codec.values import SqlValue

if TYPE_CHECKING:
    from rome.dbapi.cursor import Cursor

ResultRow = tuple[SqlValue, ...]
RowFactory = Callable[[Any, Any], Any]
"""A function of the cursor and a row's values that makes what is fetched; or sqlite3.Row, or a subclass of it."""
TextFactory = Callable[[bytes], Any]
"""A function that makes a text from its UTF-8; or `str`, or `bytes`."""


def with_texts(rows: Iterator[ResultRow], factory: TextFactory) -> Iterator[tuple[Any, ...]]:
    """The rows, with every text made by the factory."""

    def made(row: ResultRow) -> tuple[Any, ...]:
        return tuple([factory(value.encode()) if type(value) is str else value for value in row])

    return map(made, rows)  # a generator would end with an error, as if there were no more rows


def made_by(factory: RowFactory, cursor: Cursor, rows: Iterator[Any]) -> Iterator[Any]:
    """What the factory makes of each row, at the moment when it is fetched."""
    is_row = isinstance(factory, type) and issubclass(factory, sqlite3.Row)
    shown: object = cursor
    if is_row:  # sqlite3.Row takes the names from a cursor of sqlite3's
        shown = _sqlite3_cursor(tuple(column[0] for column in cursor.description or ()))
    return map(partial(factory, shown), rows)


@lru_cache(maxsize=256)
def _sqlite3_cursor(names: tuple[str, ...]) -> sqlite3.Cursor:
    """A cursor of sqlite3's whose result has columns with these names.

    Cost: 0.1 ms, once for the same names.
    """
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        return connection.execute(f"SELECT {', '.join(f'NULL AS {quote(name)}' for name in names)}")
