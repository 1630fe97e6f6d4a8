"""Versions for SQLAlchemy's objects: `rome.last_version` and `rome.at_least`, for services that tell each other by RPC.

    rome.last_version(session)                                  after COMMIT: what to send along
    connection.execution_options(rome_at_least=version)         at the receiver: what must be seen
    rome.at_least(session, version)                             the same

A version is a token: a short text that says nothing else. docs/near-reads.md says when one needs it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, scoped_session

from rome import dbapi
from rome.errors import InterfaceError, NotSupportedError
from rome.store.seen import newest_snapshot, place_of
from rome.transaction.version_token import decode_token, encode_token


def last_version(of: Any) -> str:
    """The newest version of a database that this process has read or committed, as a token for `at_least`.

    Whoever reads at least this version sees what this process has seen, and all that it has committed.

    Args:
        of: a Session, Connection or Engine of SQLAlchemy, also those of its asyncio extension; or a connection of
            rome.connect or rome.aio.

    Raises:
        InterfaceError: it is none of these, or an engine with which nothing was read or committed yet.

    Cost: no round trip, and no connection is taken from the pool.
    """
    of = _synchronous(of)
    if isinstance(of, Session | scoped_session):
        of = of.get_bind()
    if isinstance(of, Connection):
        of = of.engine
    if not isinstance(of, Engine):
        return rome_connection(of).last_version()
    location = getattr(of.dialect, "location", None)
    if location is None:
        raise _not_ours(of)
    seen = newest_snapshot(place_of(location))
    if seen is None:
        raise InterfaceError("nothing was read or committed with this engine yet, so there is no last version")
    return encode_token(seen, location.database)


def at_least(of: Any, version: str) -> None:
    """Let transactions see what the giver of a version had seen or committed, from the next one on.

    That concerns near reads (`reads=near`); other reads always see it.

    Args:
        of: a connection or session, whose transactions are meant; or an engine: then the version is read at once, and
            from now on every transaction of this process on this database sees it.
        version: what `last_version` gave, in whichever process.

    Raises:
        VersionTokenError: it is not a version of this database, or the open transaction has read something older. The
            next transaction's first statement raises it if only the store can tell.
        NotSupportedError: `of` must be awaited; the message says how.

    Cost: none; for an engine one round trip.
    """
    if hasattr(of, "sync_session"):
        raise NotSupportedError("rome.at_least() does not await: write await session.run_sync(rome.at_least, version)")
    if hasattr(of, "sync_engine") and not hasattr(of, "sync_connection"):
        raise NotSupportedError("rome.at_least() does not await: write engine.execution_options(rome_at_least=version)")
    of = _synchronous(of)
    if isinstance(of, Engine):
        decode_token(version)
        with of.connect() as connection:
            inner = rome_connection(connection)
            inner.at_least(version)
            inner.session.take_snapshot()
        return
    if isinstance(of, Session | scoped_session):
        of = of.connection()
    rome_connection(of).at_least(version)


def rome_connection(of: Any) -> dbapi.Connection:
    """The driver's own connection below any other.

    Raises:
        InterfaceError: there is none, since it is not a connection of Rome's.
    """
    found = of
    if isinstance(found, Connection):
        found = found.connection
    for name in ("dbapi_connection", "driver_connection", "sync_connection"):
        found = getattr(found, name, found)
    if not isinstance(found, dbapi.Connection):
        raise _not_ours(of)
    return found


def _synchronous(of: Any) -> Any:
    """What is below an object of SQLAlchemy's asyncio extension; all else as it is."""
    for name in ("sync_session", "sync_connection", "sync_engine"):
        found = getattr(of, name, None)
        if found is not None and not isinstance(found, dbapi.Connection):
            return found
    return of


def _not_ours(of: object) -> InterfaceError:
    return InterfaceError(f"{type(of).__module__}.{type(of).__name__} is no session, connection or engine of Rome's")
