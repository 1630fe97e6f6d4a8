"""A connection for asyncio: a rome.dbapi connection with its own thread.

Invariant: a cancelled task leaves its connection unchanged or closed, and never with an open transaction in which
something happened that the application was not told about. So

- a cancelled statement or fetch is interrupted if SQLite runs it, and nobody waits for it; the connection closes behind
  it, which rolls back;
- cancellation waits for a call that may commit (COMMIT, a change at AUTOCOMMIT, a script), since it could otherwise
  arrive later. CancelledError is raised afterwards, so a read after it sees the outcome.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy.engine import URL

from rome import dbapi
from rome.aio.cursor import AsyncCursor
from rome.aio.worker import Worker
from rome.dbapi.cursor import Cursor, Parameters, StreamCursor
from rome.dbapi.rows import RowFactory, TextFactory
from rome.engine.result import Stats
from rome.errors import ProgrammingError
from rome.planner.parse.statement import StatementKind, classify

Returned = TypeVar("Returned")


class AsyncConnection:
    """One connection to one database. Tasks that share it take turns in one transaction, so give each task its own.

    As a context manager it closes at the end, as in aiosqlite, and rolls back what is not committed. The garbage
    collector closes it, too.
    """

    def __init__(self, worker: Worker, connection: dbapi.Connection) -> None:
        self._worker = worker
        self._connection = connection
        self._left = weakref.finalize(self, worker.finish, connection.close)
        self._left.atexit = False

    @property
    def sync_connection(self) -> dbapi.Connection:
        """The driver's own connection. Use it only in the connection's thread, that is, inside `run`."""
        return self._connection

    # ------------------------------------------------------------ statements and transactions
    def cursor(self, *, streams: bool = False) -> AsyncCursor:
        """Return a new cursor; all cursors share the connection's transaction.

        Args:
            streams: whether it reads the rows of a SELECT while they are fetched (rome.dbapi.StreamCursor).
        """
        return AsyncCursor(self, self._usable().cursor(StreamCursor if streams else Cursor))

    async def execute(self, sql: str, parameters: Parameters = ()) -> AsyncCursor:
        """AsyncCursor.execute on a new cursor, which is returned."""
        return await self.cursor().execute(sql, parameters)

    async def executemany(self, sql: str, parameters: Iterable[Parameters]) -> AsyncCursor:
        """AsyncCursor.executemany on a new cursor, which is returned."""
        return await self.cursor().executemany(sql, parameters)

    async def executescript(self, script: str) -> AsyncCursor:
        """AsyncCursor.executescript on a new cursor, which is returned."""
        return await self.cursor().executescript(script)

    async def commit(self) -> None:
        """Do Connection.commit. If the task is cancelled meanwhile, this still waits for COMMIT to end.

        Raises:
            CancelledError: the task was cancelled, and COMMIT has ended; `__cause__` is its error, if it failed.
        """
        connection = self._usable()
        if not self._worker.is_idle or connection.in_transaction:
            await self._worker.call_to_its_end(connection.commit, _nothing)

    async def rollback(self) -> None:
        """Connection.rollback."""
        connection = self._usable()
        if not self._worker.is_idle or connection.in_transaction:
            await self._worker.call_to_its_end(connection.rollback, _nothing)

    async def close(self) -> None:
        """Roll back, release all resources and end the thread. Idempotent."""
        if self._left.alive:
            try:
                if self._worker.is_here:
                    await self._worker.call_to_its_end(self._connection.close, _nothing)
            finally:
                self.close_soon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # ------------------------------------------------------------ the thread
    async def run(self, function: Callable[..., Returned], *arguments: object, may_commit: bool = False) -> Returned:
        """Call a function in the connection's thread; for features of rome.dbapi.Connection that this class lacks.

            await connection.run(connection.sync_connection.create_function, "double", 1, lambda x: 2 * x)

        Args:
            may_commit: whether the function may commit; if so, cancellation waits for it to end.

        Raises:
            CancelledError: the task was cancelled, and the connection is closed.
            ProgrammingError: the connection is closed. Also whatever the function raises.
        """
        self._usable()
        call = partial(function, *arguments) if arguments else function
        try:
            if may_commit:
                return await self._worker.call_to_its_end(call, self._interrupt)
            return await self._worker.call(call)
        except (asyncio.CancelledError, GeneratorExit):
            self.close_soon()
            raise

    def close_soon(self) -> None:
        """Close the connection without waiting, and interrupt what SQLite runs. Finalizers may use it."""
        if self._left.alive:
            if not self._worker.is_idle:
                self._interrupt()
            self._left()

    def post(self, function: Callable[[], None]) -> None:
        """Call a function in the connection's thread without waiting for it."""
        self._worker.post(function)

    def may_commit(self, sql: str) -> bool:
        """Whether a statement may commit something, as far as its text and the isolation level tell."""
        statement = classify(sql)
        if statement.kind in _ONLY_READ:
            return False
        return not statement.reads_or_writes_rows or self.isolation_level == "AUTOCOMMIT"

    def _interrupt(self) -> None:
        with suppress(ProgrammingError):  # the connection is closed
            self._connection.interrupt()

    def _usable(self) -> dbapi.Connection:
        if not self._left.alive:
            raise ProgrammingError("Cannot operate on a closed database.")
        return self._connection

    # ------------------------------------------------------------ what is known without waiting
    def is_usable(self) -> bool:
        """Return Connection.is_usable, or False once the connection is closing. No round trip."""
        return self._left.alive and self._worker.is_here and self._connection.is_usable()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._usable().in_transaction

    @property
    def total_changes(self) -> int:
        """Rows inserted, changed and deleted on this connection so far."""
        return self._usable().total_changes

    @property
    def rome_stats(self) -> Stats:
        """A copy of this connection's counters since it was opened."""
        return self._usable().rome_stats

    @property
    def isolation_level(self) -> str:
        """The isolation level of future transactions; set_isolation_level() changes it."""
        return self._connection.isolation_level

    async def set_isolation_level(self, level: str | None) -> None:
        """Set Connection.isolation_level.

        Raises:
            ProgrammingError: there is no such level, or the open transaction has written something.
        """
        await self.run(partial(setattr, self._connection, "isolation_level", level), may_commit=True)

    @property
    def row_factory(self) -> RowFactory | None:
        """The row factory of future cursors, as Connection.row_factory."""
        return self._connection.row_factory

    @row_factory.setter
    def row_factory(self, factory: RowFactory | None) -> None:
        self._connection.row_factory = factory

    @property
    def text_factory(self) -> TextFactory:
        """The text factory from the next statement on, as Connection.text_factory."""
        return self._connection.text_factory

    @text_factory.setter
    def text_factory(self, factory: TextFactory) -> None:
        self._connection.text_factory = factory

    def interrupt(self) -> None:
        """Interrupt the statement that SQLite runs, as Connection.interrupt; call it from another task."""
        self._usable().interrupt()


async def connect(url: str | URL, **options: Any) -> AsyncConnection:
    """Open a connection, and start its thread; creates the database if it does not exist.

    Args:
        url, options: as for rome.dbapi.connect. `check_same_thread` has no effect.

    Raises:
        CancelledError: the task was cancelled; if the connection is opened anyway, it is closed at once.
        Whatever rome.dbapi.connect raises.
    """
    worker = Worker()
    opened: list[dbapi.Connection] = []

    def open_one() -> None:
        opened.append(dbapi.connect(url, **{**options, "check_same_thread": False}))

    def close_all() -> None:
        for connection in opened:
            connection.close()

    try:
        await worker.call(open_one)
        return AsyncConnection(worker, opened[0])
    except BaseException:
        worker.finish(close_all)
        raise


_ONLY_READ = frozenset(
    {
        StatementKind.SELECT,
        StatementKind.EXPLAIN,
        StatementKind.EXPLAIN_ROME,
        StatementKind.EXPLAIN_ROME_ANALYZE,
        StatementKind.EMPTY,
    }
)


def _nothing() -> None:
    """Do nothing: the call cannot be hurried."""
