"""PEP 249's Cursor: run a statement and fetch its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from rome.dbapi.rows import RowFactory, made_by, with_texts
from rome.engine.result import ColumnDescription, Result, UnreadRows, describe
from rome.engine.session.session import Session
from rome.errors import Error, InterruptedTransactionError, ProgrammingError

if TYPE_CHECKING:
    from rome.dbapi.connection import Connection

Parameters = Sequence[object] | Mapping[str, object]

_NO_RESULT = Result()
_NO_ROWS: Iterator[Any] = iter(())


class Cursor:
    """Runs statements on one connection, and holds the rows of the last one.

    All rows have been read when execute() returns.

    Attributes:
        description: one 7-tuple per column, of which only the name is known; None after a statement without rows.
        arraysize: how many rows fetchmany() returns.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._row_factory: RowFactory | None = None
        self.description: tuple[ColumnDescription, ...] | None = None
        self.arraysize = 1
        self._result = _NO_RESULT
        self._values: Iterator[tuple[Any, ...]] = _NO_ROWS
        self._rows: Iterator[Any] = _NO_ROWS
        self._closed = False

    def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Run one statement, and begin a transaction if none is open.

        Args:
            parameters: a sequence for `?`, a mapping for `:name`.

        Raises:
            ConflictError: another transaction changed something that this one has read. Roll back, and run the whole
                transaction again. (At AUTOCOMMIT the statement is the transaction: run it again.) sqlstate is 40001.
            IntegrityError: a constraint is violated; the statement did nothing, and the transaction goes on.
            ProgrammingError: the SQL is wrong, there is more than one statement, or the parameters do not fit.
            NotSupportedError: Rome cannot run the statement; the message says what to do instead.
            Error: another error of rome.errors (docs/guarantees.md lists them).

        Cost: one round trip for most statements; `EXPLAIN ROME <statement>` shows how many.
        """
        connection = self.connection
        session = connection._session
        if self._closed or session is None or connection._thread is not None:
            session = self._session()
        self.description = None
        self._values = self._rows = _NO_ROWS
        self._result = _NO_RESULT
        if connection.trace is not None:
            connection.trace(sql)
        result = session.execute(sql, parameters)
        if result.columns is not None:
            self.description = result.description or describe(result.columns)
            self._values = self._rows = iter(result.rows)
            if self._row_factory is not None or connection.text_factory is not str:
                self._shape()
        self._result = result
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Self:
        """Run one INSERT, UPDATE or DELETE for each item of `parameters`.

        Raises:
            ConflictError: as execute() raises it.
            Error: as execute(). If one row fails, those before it stay, as in sqlite3.

        Cost: one round trip for most statements, however many items there are.
        """
        session = self._cleared()
        if self.connection.trace is not None:
            self.connection.trace(sql)
        return self._take(session.executemany(sql, parameters))

    def executescript(self, script: str) -> Self:
        """Run several statements, separated by ";". An open transaction is committed first, as in sqlite3."""
        self._cleared().executescript(script, self.connection.trace)
        return self

    @property
    def row_factory(self) -> RowFactory | None:
        """Makes the rows that are fetched from now on; None for tuples. Initially the connection's."""
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: RowFactory | None) -> None:
        self._row_factory = factory
        if factory is None or self.description is None:
            self._rows = self._values
        else:
            self._rows = made_by(factory, self, self._values)

    def fetchone(self) -> Any:
        """The next row; None if none is left, or if the last statement has no result set, as in sqlite3."""
        return next(self._result_set(), None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next `size` rows (`arraysize` if omitted), or as many as are left."""
        if size is None:
            size = self.arraysize
        if size < 0:
            raise ValueError(
                f"fetchmany() takes a number of rows from 0, not {size}; fetchall() gives all that are left"
            )
        return list(islice(self._result_set(), size))

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        connection = self.connection
        if self._closed or connection._session is None or connection._thread is not None:
            self._session()
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._result_set())

    @property
    def rowcount(self) -> int:
        """How many rows INSERT, UPDATE or DELETE changed; -1 for other statements.

        Reading it before COMMIT fixes it: if the transaction meets a conflict, Rome replays it only if this number
        stays.
        """
        self._result.numbers_shown = True
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The rowid of the last row inserted, or None. Reading it before COMMIT fixes it; see `rowcount`."""
        self._result.numbers_shown = True
        return self._result.lastrowid

    def close(self) -> None:
        """Forget the rows. A closed cursor cannot be used any more."""
        self._closed = True
        self._values = self._rows = _NO_ROWS

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Does nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows."""

    def _cleared(self) -> Session:
        """The session, after the last statement's results are cleared: a statement that fails must not leave them."""
        session = self._session()
        self.description = None
        self._values = self._rows = _NO_ROWS
        self._result = _NO_RESULT
        return session

    def _take(self, result: Result) -> Self:
        if result.columns is not None:
            self.description = result.description or describe(result.columns)
            self._values = self._rows = iter(result.rows) if result.more is None else StreamedRows(self, result)
            self._shape()
        self._result = result
        return self

    def _shape(self) -> None:
        """Apply the row and text factories of the application."""
        if self.connection.text_factory is not str:
            self._values = self._rows = with_texts(self._values, self.connection.text_factory)
        self.row_factory = self._row_factory

    def _session(self) -> Session:
        if self._closed:
            raise ProgrammingError("Cannot operate on a closed cursor.")
        return self.connection.session

    def _result_set(self) -> Iterator[Any]:
        self._session()
        return self._rows


class StreamCursor(Cursor):
    """A cursor that reads the rows of a SELECT while they are fetched, in the memory of some thousands of them.

        with closing(connection.cursor(StreamCursor)) as cursor:
            for row in cursor.execute("SELECT .. FROM .."):
                ..

    The rows are those of the moment of execute(): what this connection changes afterwards does not show. They must be
    fetched before the transaction ends. docs/streaming.md says which statements are streamed; others are run as any
    cursor runs them.
    """

    _stream: UnreadRows | None = None

    def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Run one statement, as Cursor.execute does, and read the first of its rows.

        Raises:
            Error: as Cursor.execute. Fetching may raise the same, and StreamEndedError.

        Cost: one round trip for the first 200 rows, and one for each 2,000 further ones; more where rows of other
            tables are joined.
        """
        session = self._cleared()
        if self.connection.trace is not None:
            self.connection.trace(sql)
        result = session.execute(sql, parameters, streams=True)
        self._stream = result.more
        return self._take(result)

    def close(self) -> None:
        """Forget the rows, and read no more of them."""
        self._end_stream()
        super().close()

    def _cleared(self) -> Session:
        session = super()._cleared()
        self._end_stream()
        return session

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        session = self.connection._session
        if stream is not None and session is not None:
            session.drop(stream)


class StreamedRows:
    """The rows of a result, of which the first have been read.

    After an error it raises that again, and never ends; after an exception from outside, which may have come when rows
    had been read and were not here yet, it raises an InterruptedTransactionError.
    """

    __slots__ = ("_asking", "_cursor", "_here", "_unread")

    def __init__(self, cursor: Cursor, result: Result) -> None:
        self._cursor, self._unread = cursor, result.more
        self._here = iter(result.rows)
        self._asking = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Any, ...]:
        for row in self._here:
            return row
        unread = self._unread
        while unread is not None and (self._asking or not unread.is_finished):
            if self._asking:
                raise InterruptedTransactionError("an exception from outside came while rows were read")
            self._asking = True
            try:
                self._here = iter(self._cursor.connection.session.read_on(unread))
            except Error:
                self._asking = False
                raise
            self._asking = False
            for row in self._here:
                return row
        raise StopIteration
