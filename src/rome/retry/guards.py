"""Checks that refuse what run_transaction could not run again, or would do twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy.engine import Connection
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session


@dataclass(slots=True)
class _Run:
    """One call of run_transaction; tasks that it starts inherit it, and may outlive it."""

    over: bool = False


_innermost: ContextVar[_Run | None] = ContextVar("rome_retry_innermost", default=None)


@contextmanager
def alone() -> Iterator[None]:
    """Make run_transaction's calls of a function, one after the other; refuse to nest.

    Raises:
        InvalidRequestError: there is an outer run_transaction. When that is run again, what the inner one has committed
            would stay, and be done once more.
    """
    around = _innermost.get()
    if around is not None and not around.over:
        raise InvalidRequestError(
            "run_transaction inside a function that run_transaction has called: the inner transaction would be "
            "committed by itself, and once more whenever the outer one is run again; call the inner function with the "
            "outer one's session or connection"
        )
    run = _Run()
    token = _innermost.set(run)
    try:
        yield
    finally:
        run.over = True
        _innermost.reset(token)


def require_no_transaction(on: Session | Connection) -> None:
    """Refuse a session or connection on which something was done that could not be done again.

    Raises:
        InvalidRequestError.
    """
    kind, maker = ("session", "sessionmaker") if isinstance(on, Session) else ("connection", "engine")
    if on.in_transaction() or (isinstance(on, Session) and _is_inside_another(on)):
        raise InvalidRequestError(
            f"run_transaction must be able to run all of a transaction again, and this {kind} is in one already: "
            f"commit or roll back first, or give run_transaction the {maker}"
        )
    if isinstance(on, Session) and (on.new or on.dirty or on.deleted):
        raise InvalidRequestError(
            "run_transaction must be able to run all of a transaction again, and this session holds changes from "
            "before: make them in the function"
        )


def _is_inside_another(session: Session) -> bool:
    """Whether the session has a given connection in a transaction, so that its COMMIT would not reach the database."""
    return isinstance(session.bind, Connection) and session.bind.in_transaction()


def require_transaction(connection: Connection) -> None:
    """Refuse AUTOCOMMIT: what the function did before an error would stay, and be done once more.

    Raises:
        InvalidRequestError.
    """
    raw = connection.connection.dbapi_connection
    if raw is None or getattr(raw, "in_transaction", False):
        return  # oslo.db issues its own BEGIN, with a driver that is in AUTOCOMMIT
    try:
        autocommit = connection.dialect.detect_autocommit_setting(raw)
    except NotImplementedError:
        return
    if autocommit:
        raise InvalidRequestError(
            "run_transaction needs a transaction, and this connection is in AUTOCOMMIT: choose another isolation_level"
        )
