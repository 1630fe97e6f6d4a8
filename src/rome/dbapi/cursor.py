"""PEP 249's Cursor: run a statement, walk its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Self

from rome.codec.values import SqlValue
from rome.engine.result import Result
from rome.engine.session import Session
from rome.errors import ProgrammingError

if TYPE_CHECKING:
    from rome.dbapi.connection import Connection

Parameters = Sequence[object] | Mapping[str, object]
ResultRow = tuple[SqlValue, ...]
ColumnDescription = tuple[str, None, None, None, None, None, None]


_NO_RESULT = Result()


@lru_cache(maxsize=1024)
def _describe(columns: tuple[tuple[str, str | None], ...]) -> tuple[ColumnDescription, ...]:
    """PEP 249's description. Cached: for 53 columns that is 2 instead of 7 us in every execution of a statement."""
    return tuple((name, None, None, None, None, None, None) for name, _ in columns)


class Cursor:
    """Statements of one connection, and the rows of the last one. All rows are there when execute returns.

    Attributes:
        description: one 7-tuple per column, of which only the name is known; None after a statement without rows.
        arraysize: how many rows fetchmany() returns.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: tuple[ColumnDescription, ...] | None = None
        self.arraysize = 1
        self._result = _NO_RESULT
        self._rows: Iterator[ResultRow] | None = None
        self._closed = False

    def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Run one statement; `?` takes a sequence, `:name` a mapping. Begins a transaction when none is open.

        Raises:
            ProgrammingError: more than one statement, or the wrong parameters. Every other class of rome.errors.

        Cost: one round trip for most statements; `EXPLAIN ROME <statement>` says how many.
        """
        return self._take(self._cleared().execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Self:
        """Run one INSERT, UPDATE or DELETE for each item of `parameters`."""
        return self._take(self._cleared().executemany(sql, parameters))

    def executescript(self, script: str) -> Self:
        """Run several statements, separated by ";". Commits an open transaction first, as sqlite3 does."""
        self._cleared().executescript(script)
        return self

    def fetchone(self) -> ResultRow | None:
        """The next row; None when there is none left.

        Raises:
            ProgrammingError: the last statement has no result set. (All fetch methods.)
        """
        return next(self._result_set(), None)

    def fetchmany(self, size: int | None = None) -> list[ResultRow]:
        """The next `size` rows (`arraysize` when left out), or as many as are left."""
        return list(islice(self._result_set(), self.arraysize if size is None else size))

    def fetchall(self) -> list[ResultRow]:
        """All rows that are left."""
        return list(self._result_set())

    def __iter__(self) -> Iterator[ResultRow]:
        return self

    def __next__(self) -> ResultRow:
        return next(self._result_set())

    @property
    def rowcount(self) -> int:
        """Rows changed by INSERT, UPDATE or DELETE; else -1.

        Who asks before COMMIT pins it: if the transaction meets a conflict, it comes through only with this number.
        """
        self._result.numbers_shown = True
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        """Rowid of the last row inserted, or None; see `rowcount`."""
        self._result.numbers_shown = True
        return self._result.lastrowid

    def close(self) -> None:
        """Forget the rows. A closed cursor can do nothing any more."""
        self._closed = True
        self._rows = None

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Does nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows."""

    def _cleared(self) -> Session:
        """The session, once the last statement's results are forgotten: one that fails must not leave them here."""
        session = self._session()
        self.description = self._rows = None
        self._result = _NO_RESULT
        return session

    def _take(self, result: Result) -> Self:
        if result.columns is not None:
            self.description = _describe(result.columns)
            self._rows = iter(result.rows)
        self._result = result
        return self

    def _session(self) -> Session:
        if self._closed:
            raise ProgrammingError("Cannot operate on a closed cursor.")
        return self.connection.session

    def _result_set(self) -> Iterator[ResultRow]:
        self._session()
        if self._rows is None:
            raise ProgrammingError("there are no rows to fetch: the last statement has no result set")
        return self._rows
