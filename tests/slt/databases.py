"""Where records run: on Rome, or on stock SQLite of the same version, the measure of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, Protocol

import apsw

import rome

Value = int | float | str | bytes | None

STOCK = "sqlite://"
"""The URL of stock SQLite, in memory."""

_serial = itertools.count(1)


class Database(Protocol):
    """A fresh database whose statements are transactions of their own."""

    def execute(self, sql: str) -> Sequence[tuple[Value, ...]]:
        """All rows of one statement. Any exception means that it failed."""


class _Rome(NamedTuple):
    connection: rome.dbapi.Connection

    def execute(self, sql: str) -> Sequence[tuple[Value, ...]]:
        cursor = self.connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


class _Stock(NamedTuple):
    connection: apsw.Connection

    def execute(self, sql: str) -> Sequence[tuple[Value, ...]]:
        rows: list[Any] = [*self.connection.execute(sql)]  # apsw's types allow other buffers than bytes
        return rows


@contextmanager
def fresh(url: str) -> Iterator[Database]:
    """An empty database, which is dropped afterwards.

    Args:
        url: STOCK, or one of Rome's which holds `{db}` where the database is named.
    """
    if url == STOCK:
        with closing(apsw.Connection(":memory:")) as stock:
            yield _Stock(stock)
        return
    name = url.replace("{db}", f"slt_{os.getpid()}_{next(_serial)}")
    with closing(rome.connect(name, isolation_level="AUTOCOMMIT")) as connection:
        yield _Rome(connection)
    rome.drop_database(name)
