"""Adapts rome.aio's connections to the driver interface that SQLAlchemy expects, without `await`.

SQLAlchemy runs its own code in a greenlet, where `await_` passes an awaitable to the calling task and waits. So each
method here waits for its awaitable counterpart. SQLAlchemy has base classes for this (sqlalchemy.connectors.asyncio),
but the classes here fetch the result in the call that executes, which saves half of the thread switches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from sqlalchemy.engine import AdaptedConnection

from rome import aio, dbapi
from rome.dbapi.cursor import Parameters
from rome.engine.result import ColumnDescription

try:
    from sqlalchemy.util.concurrency import await_
except ImportError:  # SQLAlchemy 2.0
    from sqlalchemy.util import await_only as await_


class AdaptedCursor:
    """A cursor that has fetched all rows when `execute` returns."""

    server_side = False

    def __init__(self, connection: AdaptedRomeConnection) -> None:
        self.connection = connection
        self._cursor = connection.driver_connection.cursor(streams=self.server_side)
        self._rows: deque[Any] = deque()

    def execute(self, operation: str, parameters: Parameters | None = None) -> Self:
        self._rows.clear()
        self._rows.extend(await_(self._cursor.execute_and_fetch(operation, () if parameters is None else parameters)))
        return self

    def executemany(self, operation: str, parameters: Iterable[Parameters]) -> Self:
        self._rows.clear()
        await_(self._cursor.executemany(operation, parameters))
        return self

    def executescript(self, script: str) -> Self:
        self._rows.clear()
        await_(self._cursor.executescript(script))
        return self

    def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self.arraysize if size is None else size
        if wanted < 0:
            self._cursor.sync_cursor.fetchmany(wanted)  # which refuses it
        return [self._rows.popleft() for _ in range(min(wanted, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        found = list(self._rows)
        self._rows.clear()
        return found

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.popleft()

    def close(self) -> None:
        """Discard the rows. The driver's cursor holds no rows, and nothing of its transaction."""
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """Do nothing: sqlalchemy.ext.asyncio calls this if the result goes on without the cursor."""

    def setinputsizes(self, *sizes: object) -> None:
        """Does nothing, as PEP 249 allows."""

    def nextset(self) -> None:
        """Return None: there is never a further result set."""

    @property
    def description(self) -> tuple[ColumnDescription, ...] | None:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, size: int) -> None:
        self._cursor.arraysize = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StreamingCursor(AdaptedCursor):
    """A cursor that reads and fetches rows on demand; SQLAlchemy calls it a server-side cursor."""

    server_side = True

    def execute(self, operation: str, parameters: Parameters | None = None) -> Self:
        await_(self._cursor.execute(operation, () if parameters is None else parameters))
        return self

    def fetchone(self) -> Any:
        return await_(self._cursor.fetchone())

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return await_(self._cursor.fetchmany(size))

    def fetchall(self) -> list[Any]:
        return await_(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        self._cursor.close_soon()


class AdaptedRomeConnection(AdaptedConnection):
    """The connection that the pool holds. `driver_connection` is the rome.aio.AsyncConnection below it.

    It also has the methods that applications call in event handlers; functions that they define run in the connection's
    thread.
    """

    __slots__ = ()

    _connection: aio.AsyncConnection  # type: ignore[assignment]  # SQLAlchemy's protocol wants __getattr__

    def __init__(self, connection: aio.AsyncConnection) -> None:
        self._connection = connection

    @property
    def driver_connection(self) -> aio.AsyncConnection:
        return self._connection

    def cursor(self, *, server_side: bool = False) -> AdaptedCursor:
        return (StreamingCursor if server_side else AdaptedCursor)(self)

    def execute(self, operation: str, parameters: Parameters | None = None) -> AdaptedCursor:
        return self.cursor().execute(operation, parameters)

    def executescript(self, script: str) -> AdaptedCursor:
        return self.cursor().executescript(script)

    def commit(self) -> None:
        await_(self._connection.commit())

    def rollback(self) -> None:
        await_(self._connection.rollback())

    def close(self) -> None:
        await_(self._connection.close())

    def terminate(self) -> None:
        """Close without waiting, after a cancellation or when the garbage collector finds the connection."""
        self._connection.close_soon()

    def is_usable(self) -> bool:
        return self._connection.is_usable()

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def isolation_level(self) -> str:
        return self._connection.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        await_(self._connection.set_isolation_level(level))

    def run(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function in the connection's thread, with the sync connection as its first argument."""
        return await_(self._connection.run(function, self._connection.sync_connection, *arguments, may_commit=True))

    def create_function(self, name: str, narg: int, func: Callable[..., Any] | None, **options: bool) -> None:
        self.run(lambda connection: connection.create_function(name, narg, func, **options))

    def create_aggregate(self, name: str, n_arg: int, aggregate_class: Callable[[], object] | None) -> None:
        self.run(dbapi.Connection.create_aggregate, name, n_arg, aggregate_class)

    def create_window_function(self, name: str, num_params: int, aggregate_class: Callable[[], object] | None) -> None:
        self.run(dbapi.Connection.create_window_function, name, num_params, aggregate_class)

    def create_collation(self, name: str, callback: Callable[[str, str], int] | None) -> None:
        self.run(dbapi.Connection.create_collation, name, callback)


class AsyncDriver:
    """The driver module for asyncio: `connect` opens an asyncio connection; all other names are those of rome.dbapi."""

    exceptions_module = dbapi

    def __getattr__(self, name: str) -> Any:
        return getattr(dbapi, name)

    def connect(self, *arguments: Any, async_creator_fn: Any = None, **options: Any) -> AdaptedRomeConnection:
        """Open a connection.

        Args:
            async_creator_fn: opens the connection instead of rome.aio.connect; create_async_engine's `async_creator`.

        Raises:
            Whatever rome.aio.connect raises.
        """
        opening = aio.connect if async_creator_fn is None else async_creator_fn
        return AdaptedRomeConnection(await_(opening(*arguments, **options)))
