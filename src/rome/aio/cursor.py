"""A cursor for asyncio: each method is one call in its connection's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rome.dbapi.cursor import Cursor, Parameters
from rome.dbapi.rows import RowFactory
from rome.engine.result import ColumnDescription

if TYPE_CHECKING:
    from rome.aio.connection import AsyncConnection

_ROWS_AHEAD = 100
"""How many rows `async for` fetches at once: a thread switch costs as much as some hundred rows."""


class AsyncCursor:
    """Runs statements on one connection, and holds the rows of the last one.

    As a context manager it closes at the end. `async for` iterates over the rows.
    """

    def __init__(self, connection: AsyncConnection, cursor: Cursor) -> None:
        self.connection = connection
        self._cursor = cursor
        self._ahead: deque[Any] = deque()

    @property
    def sync_cursor(self) -> Cursor:
        """The driver's own cursor. Use it in the connection's thread only (AsyncConnection.run)."""
        return self._cursor

    async def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Cursor.execute."""
        await self._run(sql, partial(self._cursor.execute, sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Self:
        """Cursor.executemany. An iterator is consumed in the connection's thread."""
        await self._run(sql, partial(self._cursor.executemany, sql, parameters))
        return self

    async def executescript(self, script: str) -> Self:
        """Cursor.executescript."""
        self._ahead.clear()
        await self.connection.run(self._cursor.executescript, script, may_commit=True)
        return self

    async def execute_and_fetch(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """Run one statement and fetch all of its rows in one call; without a result set there are none."""

        def both() -> list[Any]:
            return self._cursor.execute(sql, parameters).fetchall()

        rows: list[Any] = await self._run(sql, both)
        return rows

    async def _run(self, sql: str, call: Callable[[], Any]) -> Any:
        self._ahead.clear()
        # The driver refuses what is not text, in the thread.
        may_commit = isinstance(sql, str) and self.connection.may_commit(sql)
        return await self.connection.run(call, may_commit=may_commit)

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self._ahead:
            return self._ahead.popleft()
        return await self.connection.run(self._cursor.fetchone)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next `size` rows (default: `arraysize`), or as many as are left."""
        wanted = self.arraysize if size is None else size
        found = [self._ahead.popleft() for _ in range(min(wanted, len(self._ahead)))]
        if len(found) < wanted or wanted < 1:  # the driver refuses an invalid number
            found += await self.connection.run(self._cursor.fetchmany, wanted - len(found))
        return found

    async def fetchall(self) -> list[Any]:
        """Return all remaining rows."""
        found = list(self._ahead)
        self._ahead.clear()
        return found + await self.connection.run(self._cursor.fetchall)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if not self._ahead:
            self._ahead.extend(await self.connection.run(self._cursor.fetchmany, _ROWS_AHEAD))
            if not self._ahead:
                raise StopAsyncIteration
        return self._ahead.popleft()

    async def close(self) -> None:
        """Discard the rows. A closed cursor cannot be used any more."""
        self.close_soon()

    def close_soon(self) -> None:
        """Close the cursor in the thread, behind the calls that wait there, without waiting."""
        self._ahead.clear()
        self.connection.post(self._cursor.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def description(self) -> tuple[ColumnDescription, ...] | None:
        """Cursor.description."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """Cursor.rowcount; reading it fixes the value for replays."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """Cursor.lastrowid; reading it fixes the value for replays."""
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        """How many rows fetchmany() returns."""
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, size: int) -> None:
        self._cursor.arraysize = size

    @property
    def row_factory(self) -> RowFactory | None:
        """Cursor.row_factory."""
        return self._cursor.row_factory

    @row_factory.setter
    def row_factory(self, factory: RowFactory | None) -> None:
        self._cursor.row_factory = factory
