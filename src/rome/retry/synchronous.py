"""run_transaction and transactional, for engines, connections and sessions."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from rome.retry.attempts import FIRST_WAIT_S, MAX_ATTEMPTS, MAX_WAIT_S, Attempts, Policy
from rome.retry.guards import alone, require_no_transaction, require_transaction
from rome.retry.outcome import is_retryable

T = TypeVar("T")
P = ParamSpec("P")
S = TypeVar("S", bound=Session)

Retryable = Callable[[BaseException], bool]


@overload
def run_transaction(
    on: Engine | Connection,
    function: Callable[[Connection], T],
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> T: ...
@overload
def run_transaction(
    on: sessionmaker[S] | scoped_session[S] | S,
    function: Callable[[S], T],
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> T: ...
def run_transaction(
    on: Any,
    function: Callable[[Any], Any],
    *,
    max_attempts: int = MAX_ATTEMPTS,
    first_wait_s: float = FIRST_WAIT_S,
    max_wait_s: float = MAX_WAIT_S,
    retryable: Retryable = is_retryable,
) -> Any:
    """Run a function in a transaction and commit; after a conflict with another transaction, run both again.

    The function may run several times, so its effects outside the database must tolerate that. It must neither commit
    nor roll back. It must read the data for its decisions itself, and should return values: with a sessionmaker the
    session is closed when run_transaction returns.

    Args:
        on: with an engine or a sessionmaker, each attempt gets its own connection or session. A connection, session or
            scoped_session is used by all attempts, and must not be in a transaction.
        function: called with the connection or the session.
        max_attempts: the most runs, including the first.
        first_wait_s: before attempt n + 1 a random time between 0 and first_wait_s * 2 ** (n - 1) passes.
        max_wait_s: the most that passes.
        retryable: tells which errors lead to another attempt. An error that leaves the outcome unknown
            (CommitUnknownError, SQLSTATE 40003) never does.

    Returns:
        The function's result in the attempt that was committed.

    Raises:
        Exception: the function's own exceptions, and database errors that are not retryable, unchanged; after the last
            attempt its error, with a note of the number of attempts.
        InvalidRequestError: `on` is already in a transaction or in AUTOCOMMIT, or the call is inside another
            run_transaction.
        TypeError: `on` is of another kind, or the function is asynchronous (see run_transaction_async).

    Source: the interface of sqlalchemy-cockroachdb's run_transaction.
    """
    policy = Policy(max_attempts, first_wait_s, max_wait_s, retryable)
    _require_synchronous(on, function)
    attempts = Attempts(policy)
    with alone():
        while True:
            try:
                with _transaction(on) as handle:
                    return function(handle)
            except Exception as error:
                wait_s = attempts.wait_s(error)
                if wait_s is None:
                    raise
            time.sleep(wait_s)


@overload
def transactional(
    on: Engine | Connection,
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> Callable[[Callable[Concatenate[Connection, P], T]], Callable[P, T]]: ...
@overload
def transactional(
    on: sessionmaker[S] | scoped_session[S] | S,
    *,
    max_attempts: int = ...,
    first_wait_s: float = ...,
    max_wait_s: float = ...,
    retryable: Retryable = ...,
) -> Callable[[Callable[Concatenate[S, P], T]], Callable[P, T]]: ...
def transactional(on: Any, **options: Any) -> Any:
    """Decorate a function as a transaction that run_transaction runs.

    Callers leave out its first parameter, the connection or the session. The decorator takes run_transaction's options.

        @rome.transactional(engine)
        def rename(connection: Connection, old: str, new: str) -> None: ...

        rename("a", "b")

    Raises:
        TypeError, ValueError: as run_transaction, when it is applied.
    """
    Policy(**options)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        _require_synchronous(on, function)

        @functools.wraps(function)
        def run(*args: Any, **named: Any) -> Any:
            return run_transaction(on, lambda handle: function(handle, *args, **named), **options)

        return run

    return decorate


def _require_synchronous(on: object, function: object) -> None:
    if not isinstance(on, Engine | Connection | Session | sessionmaker | scoped_session):
        name = type(on).__name__
        advice = "; run_transaction_async takes it" if name.startswith(("Async", "async_")) else ""
        raise TypeError(
            "run_transaction takes an Engine, a Connection, a sessionmaker, a Session or a scoped_session, and not "
            f"{name}{advice}"
        )
    for asks in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if asks(function):
            raise TypeError(
                "run_transaction takes a function that has done its work when it returns, not a generator nor an async "
                "function (run_transaction_async takes the latter)"
            )


@contextmanager
def _transaction(on: Any) -> Iterator[Connection | Session]:
    """Run one attempt: commit when the block ends, roll back when it raises."""
    if isinstance(on, Engine):
        with on.connect() as connection, _connection_transaction(connection):
            yield connection
    elif isinstance(on, Connection):
        with _connection_transaction(on):
            yield on
    elif isinstance(on, sessionmaker):
        with on() as session, session_transaction(session):
            yield session
    else:
        session = on() if isinstance(on, scoped_session) else on
        with session_transaction(session):
            yield session


@contextmanager
def _connection_transaction(connection: Connection) -> Iterator[None]:
    require_no_transaction(connection)
    with connection.begin():
        require_transaction(connection)
        yield


@contextmanager
def session_transaction(session: Session) -> Iterator[None]:
    """Run one attempt on a session, which connects when the function first needs it, and is checked then."""

    def look(_session: object, _transaction: object, connection: Connection) -> None:
        require_transaction(connection)

    require_no_transaction(session)
    event.listen(session, "after_begin", look)
    try:
        with session.begin():
            yield
    finally:
        event.remove(session, "after_begin", look)
