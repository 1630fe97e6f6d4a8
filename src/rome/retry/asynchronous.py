"""run_transaction_async and transactional_async, for SQLAlchemy's asyncio extension."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)

from rome.retry.attempts import FIRST_WAIT_S, MAX_ATTEMPTS, MAX_WAIT_S, Attempts, Policy
from rome.retry.guards import alone, require_no_transaction, require_transaction
from rome.retry.outcome import is_retryable

T = TypeVar("T")
P = ParamSpec("P")
S = TypeVar("S", bound=AsyncSession)

Retryable = Callable[[BaseException], bool]


@overload
async def run_transaction_async(
    on: AsyncEngine | AsyncConnection,
    function: Callable[[AsyncConnection], Awaitable[T]],
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> T: ...
@overload
async def run_transaction_async(
    on: async_sessionmaker[S] | async_scoped_session[S] | S,
    function: Callable[[S], Awaitable[T]],
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> T: ...
async def run_transaction_async(
    on: Any,
    function: Callable[[Any], Awaitable[Any]],
    *,
    max_attempts: int = MAX_ATTEMPTS,
    first_wait_s: float = FIRST_WAIT_S,
    max_wait_s: float = MAX_WAIT_S,
    retryable: Retryable = is_retryable,
) -> Any:
    """Do as run_transaction, with an async function and SQLAlchemy's asynchronous engines, connections and sessions.

    A cancelled task rolls back, and its function is not run again.

    Args:
        on: an AsyncEngine, async_sessionmaker, AsyncConnection, AsyncSession or async_scoped_session.
        function: called with the connection or the session; its result is awaited.

    Returns, Raises: as run_transaction.
    """
    policy = Policy(max_attempts, first_wait_s, max_wait_s, retryable)
    _require_asynchronous(on)
    attempts = Attempts(policy)
    with alone():
        while True:
            try:
                async with _transaction(on) as handle:
                    return await function(handle)
            except Exception as error:
                wait_s = attempts.wait_s(error)
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)


@overload
def transactional_async(
    on: AsyncEngine | AsyncConnection,
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> Callable[[Callable[Concatenate[AsyncConnection, P], Awaitable[T]]], Callable[P, Awaitable[T]]]: ...
@overload
def transactional_async(
    on: async_sessionmaker[S] | async_scoped_session[S] | S,
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> Callable[[Callable[Concatenate[S, P], Awaitable[T]]], Callable[P, Awaitable[T]]]: ...
def transactional_async(on: Any, **options: Any) -> Any:
    """Decorate an async function as a transaction that run_transaction_async runs; see transactional."""
    Policy(**options)
    _require_asynchronous(on)

    def decorate(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(function)
        async def run(*args: Any, **named: Any) -> Any:
            return await run_transaction_async(on, lambda handle: function(handle, *args, **named), **options)

        return run

    return decorate


def _require_asynchronous(on: object) -> None:
    if not isinstance(on, AsyncEngine | AsyncConnection | AsyncSession | async_sessionmaker | async_scoped_session):
        raise TypeError(
            "run_transaction_async takes an AsyncEngine, an AsyncConnection, an async_sessionmaker, an AsyncSession or "
            f"an async_scoped_session, and not {type(on).__name__}; run_transaction takes those that are not async"
        )


@asynccontextmanager
async def _transaction(on: Any) -> AsyncIterator[AsyncConnection | AsyncSession]:
    """Run one attempt: commit when the block ends, roll back when it raises."""
    if isinstance(on, AsyncEngine):
        async with on.connect() as connection, _connection_transaction(connection):
            yield connection
    elif isinstance(on, AsyncConnection):
        async with _connection_transaction(on):
            yield on
    elif isinstance(on, async_sessionmaker):
        async with on() as session, _session_transaction(session):
            yield session
    else:
        session = on() if isinstance(on, async_scoped_session) else on
        async with _session_transaction(session):
            yield session


@asynccontextmanager
async def _connection_transaction(connection: AsyncConnection) -> AsyncIterator[None]:
    await connection.run_sync(require_no_transaction)
    async with connection.begin():
        await connection.run_sync(require_transaction)
        yield


@asynccontextmanager
async def _session_transaction(session: AsyncSession) -> AsyncIterator[None]:
    def look(_session: object, _transaction: object, connection: Connection) -> None:
        require_transaction(connection)

    require_no_transaction(session.sync_session)
    event.listen(session.sync_session, "after_begin", look)
    try:
        async with session.begin():
            yield
    finally:
        event.remove(session.sync_session, "after_begin", look)
