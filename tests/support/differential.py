"""The same operations on Rome and on stock SQLite that holds all of the data; whatever can be seen must be equal."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Self

import apsw

import rome
from rome.codec.values import SqlValue
from rome.errors import Error
from rome.workingset.functions import add_regexp
from rome.workingset.sqlite_errors import translate
from tests.support.stored_entries import check_entries
from tests.support.streamed import StreamedTwin

MEMORY = "rome+memory:///{db}"
_VIOLATIONS = "PRAGMA foreign_key_check"
_NO_PARENT = "ForeignKeyViolation: FOREIGN KEY constraint failed"
_ROMES_OWN = "CREATE INDEX"
_serial = itertools.count(1)
Rows = list[tuple[SqlValue, ...]]


@dataclass(frozen=True)
class Operation:
    """One thing that an application does: a statement, or executemany when `batch` is given."""

    sql: str
    parameters: tuple[SqlValue, ...] = ()
    batch: tuple[tuple[SqlValue, ...], ...] | None = None

    def __str__(self) -> str:
        if self.batch is not None:
            return f"{self.sql}; -- with each of {list(self.batch)}"
        return f"{self.sql}; -- with {list(self.parameters)}" if self.parameters else f"{self.sql};"


OTHER_CLIENT = "-- another client"
"""An operation: what follows is done by the other of two connections to Rome; an open transaction is rolled back."""


@dataclass(frozen=True)
class Seen:
    """What an application sees of an operation: its rows, rowcount and lastrowid; or its error."""

    rows: Rows
    rowcount: int
    last_rowid: int | None
    error: str | None
    in_transaction: bool


class MiscountedError(Exception):
    """SQLite refuses a COMMIT, and finds no violation when it is asked to look for one; or the other way round.

    A statement of one row that fails by an immediate foreign key leaves what it has counted for a deferred one. Where
    child and parent have different affinities, it takes a violation off for a parent that is another child's. And a
    DELETE of such a parent (1, of a child '1.0' of TEXT) ON DELETE CASCADE fails, but what it has changed stays.
    """


class Pair:
    """Rome and stock SQLite side by side, in manual transactions, foreign keys enforced.

    Args:
        schema: CREATE statements. Stock SQLite is given no index that is not unique: a working set has none, and
            they decide in which order SQLite visits rows.
        ids: every table has an INTEGER PRIMARY KEY that every INSERT sets, so that lastrowid can be compared.
        tables: name -> the columns to compare in the end, as SQL; left out: all columns of all tables.
        url: with {db} for the database.
        streams: run every query once more on a StreamCursor, whose rows must be the same.
    """

    def __init__(
        self,
        schema: Iterable[str],
        *,
        ids: bool,
        tables: Mapping[str, str] | None = None,
        url: str = MEMORY,
        streams: bool = False,
    ) -> None:
        self._ids = ids
        self.twin = StreamedTwin() if streams else None
        self._url = url.replace("{db}", f"differential_{os.getpid()}_{next(_serial)}")
        self.rome = rome.connect(self._url)
        self._others = [self.rome]
        self._last_rowid = 0  # of the client that is not at work
        self.stock = apsw.Connection(":memory:")
        self.stock.execute("PRAGMA foreign_keys=ON")
        add_regexp(self.stock)
        for statement in schema:
            if not statement.startswith(_ROMES_OWN):
                self.stock.execute(statement)
            self.rome.execute(statement)
        self.rome.commit()
        if tables is None:
            names = self.stock.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {row[0]: "*" for row in names}
        self.tables = tables
        self.done: list[Operation] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._others:
            connection.close()
        self.stock.close()
        rome.drop_database(self._url)

    def run(self, operation: Operation) -> Seen:
        """Run an operation on both, and assert that both show the same; returns that.

        Raises:
            MiscountedError: the two cannot be compared any longer.
        """
        self.done.append(operation)
        if operation.sql == OTHER_CLIENT:
            if self.twin is not None:
                self.twin.end()
            self._switch()
            return Seen([], -1, None, None, False)
        stock = self._on_stock(operation)
        if operation.sql == "COMMIT" and stock.error and not self.stock.execute(_VIOLATIONS).fetchall():
            raise MiscountedError
        if self.twin is not None and operation.sql in ("COMMIT", "ROLLBACK"):
            self.twin.end()
        ours = self._on_rome(operation)
        if operation.sql == "COMMIT" and ours.error and not stock.error and self.stock.execute(_VIOLATIONS).fetchall():
            raise MiscountedError
        if operation.sql.startswith("PRAGMA"):  # stock SQLite is told to begin for any statement
            ours = replace(ours, in_transaction=stock.in_transaction)
        assert ours == stock, self._story(f"stock: {stock}", f"rome:  {ours}")
        if self.twin is not None:
            self._stream(self.twin, operation, ours)
        return stock

    def _stream(self, twin: StreamedTwin, operation: Operation, ours: Seen) -> None:
        try:
            twin.end()
            if _verb(operation.sql) == "SELECT" and "changes()" not in operation.sql:
                plain = ours.rows if ours.error is None else None
                in_order = " LIMIT " in _without_parentheses(operation.sql)
                twin.begin(self.rome, operation.sql, operation.parameters, plain, in_order=in_order)
        except AssertionError as difference:
            raise AssertionError(self._story(str(difference))) from None

    def execute(self, sql: str, *batch: tuple[SqlValue, ...]) -> Seen:
        return self.run(Operation(sql, batch=batch or None))

    def _switch(self) -> None:
        if self.rome.in_transaction:  # its COMMIT was refused
            self.execute("ROLLBACK")
        if len(self._others) == 1:
            self._others.append(rome.connect(self._url))
        self._others.reverse()
        self.rome = self._others[0]
        last_rowid = self.stock.last_insert_rowid()
        self.stock.set_last_insert_rowid(self._last_rowid)
        self._last_rowid = last_rowid

    def check_tables(self) -> None:
        """Assert that all tables are the same: as this transaction sees them, and to a new client once it is over."""
        queries = [f"SELECT {columns} FROM {name} NOT INDEXED" for name, columns in self.tables.items()]
        for query in queries:
            self.execute(query)
        if self.execute("COMMIT").error is not None:
            self.execute("ROLLBACK")
        with closing(rome.connect(self._url)) as other:
            for query in queries:
                rows = other.execute(query).fetchall()
                assert rows == self.stock.execute(query).fetchall(), self._story(query)
            check_entries(other)

    def _story(self, *more: str) -> str:
        return "\n".join(["", *map(str, self.done), *more])

    def _on_stock(self, operation: Operation) -> Seen:
        connection = self.stock
        if not connection.in_transaction and operation.sql not in ("COMMIT", "ROLLBACK"):
            connection.execute("BEGIN")
        rows: Rows = []
        error, changes = None, 0
        before = self._stock_rows() if _is_change(operation) and operation.batch is None else None
        try:
            if connection.in_transaction and not operation.sql.startswith(_ROMES_OWN):
                for parameters in [operation.parameters] if operation.batch is None else operation.batch:
                    rows += _rows(connection, operation.sql, parameters)
                    changes += connection.changes()
        except apsw.Error as raised:
            error = _describe(translate(raised))
            if error == _NO_PARENT and before is not None and before != self._stock_rows():
                raise MiscountedError from raised
        is_change = _is_change(operation) and error is None
        is_insert = is_change and _verb(operation.sql) in ("INSERT", "REPLACE")
        last_rowid = connection.last_insert_rowid() if is_insert and self._ids else None
        return Seen(rows, changes if is_change else -1, last_rowid, error, connection.in_transaction)

    def _stock_rows(self) -> list[Rows]:
        return [_rows(self.stock, f"SELECT {columns} FROM {name}") for name, columns in self.tables.items()]

    def _on_rome(self, operation: Operation) -> Seen:
        if operation.sql in ("COMMIT", "ROLLBACK") and not self.rome.in_transaction:  # a transaction begins by itself
            return Seen([], -1, None, None, False)
        cursor = self.rome.cursor()
        error = None
        rows: Rows = []
        try:
            if operation.batch is None:
                cursor.execute(operation.sql, operation.parameters)
            else:
                cursor.executemany(operation.sql, operation.batch)
            if cursor.description is not None:
                rows = cursor.fetchall()
        except Error as raised:
            error = _describe(raised)
        last_rowid = cursor.lastrowid if self._ids else None
        return Seen(rows, cursor.rowcount, last_rowid, error, self.rome.in_transaction)


def _is_change(operation: Operation) -> bool:
    return _verb(operation.sql) in ("INSERT", "REPLACE", "UPDATE", "DELETE")


def _verb(sql: str) -> str:
    """The first word; behind WITH the one that follows the last common table expression."""
    if not sql.startswith("WITH "):
        return sql.partition(" ")[0]
    found = re.search(r"(?<=\) )(SELECT|INSERT|REPLACE|UPDATE|DELETE)\b", _without_parentheses(sql))
    return "" if found is None else found[0]


def _without_parentheses(sql: str) -> str:
    """The text with `()` in place of all that is in parentheses."""
    depth, kept = 0, []
    for part in re.split(r"('[^']*'|[()])", sql):
        depth -= part == ")"
        if depth == 0:
            kept.append(part)
        depth += part == "("
    return "".join(kept)


def _rows(connection: apsw.Connection, sql: str, parameters: tuple[SqlValue, ...] = ()) -> Rows:
    rows: list[Any] = connection.execute(sql, parameters).fetchall()  # apsw's types allow other buffers than bytes
    return rows


def _describe(error: Error) -> str:
    return f"{type(error).__name__}: {error}"
