"""Administer databases: list, create, drop, trim, diagnose; ask what became of a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL

from rome.dbapi.url import make_url, parse_url
from rome.errors import CommitUnknownError
from rome.store.diagnosis import Diagnosis
from rome.store.registry import store_class
from rome.store.spi import PinnedSnapshot, Retention, Store

_MAX_RETENTION_S = 10**9
_MAX_RETENTION_BYTES = 2**53
"""Beyond it Lua's numbers, with which Redis counts, are not exact."""


def list_databases(url: str | URL) -> list[str]:
    """Names of all databases of the server or folder that `url` points to, sorted.

    The database that the URL names does not matter.
    """
    location = parse_url(make_url(url), database_needed=False).location
    return store_class(location.scheme).list_databases(location)


def database_exists(url: str | URL) -> bool:
    """Whether a database exists. The call does not create it.

    Cost: on Redis and in memory as list_databases, on LMDB that of opening one file.
    """
    location = parse_url(make_url(url)).location
    return store_class(location.scheme).database_exists(location)


def create_database(url: str | URL) -> None:
    """Create an empty database. If it exists, nothing happens. (Connecting creates a database, too.)"""
    with _opened(url):
        pass


def drop_database(url: str | URL) -> None:
    """Delete a database and everything in it. If there is none, nothing happens."""
    location = parse_url(make_url(url)).location
    store_class(location.scheme).drop_database(location)


def was_committed(url: str | URL, error: CommitUnknownError) -> bool:
    """Whether a transaction whose COMMIT raised CommitUnknownError was committed.

    If the answer is False, it will never be applied.

    Raises:
        CommitUnknownError: the error is older than the retention, so the outcome is no longer known.
        NotReplicatedError: it was committed, but on fewer replicas than `wait_replicas`.
    """
    with _opened(url) as store:
        return store.resolve(error.transaction_id, error.snapshot) is not None


def diagnose(url: str | URL) -> Diagnosis:
    """Find out what the store would lose in each kind of failure, and what is wrong with it. Changes nothing.

    A store that cannot be reached is a finding, not an error. Use a user with more permissions than applications need
    (on Redis CONFIG GET): what the user may not ask is reported as unknown.
    """
    location = parse_url(make_url(url), database_needed=False).location
    return store_class(location.scheme).diagnose(location)


def trim(url: str | URL) -> int:
    """Discard superseded versions that are older than the retention; returns of how many commits.

    Every commit also trims a little, so this is for databases that are large and idle.
    """
    with _opened(url) as store:
        return store.trim()


def retention(url: str | URL) -> Retention:
    """How long superseded versions are kept. (A URL that names no database creates it.)"""
    with _opened(url) as store:
        return store.retention()


def set_retention(url: str | URL, *, seconds: float | None = None, max_bytes: int | None = None) -> Retention:
    """Change how long superseded versions are kept, for all clients; returns the retention that now holds.

    Args:
        seconds: None leaves the value as it is.
        max_bytes: None leaves the value as it is.

    Raises:
        ValueError: a number is negative, no number, or beyond what every store can keep.
    """
    with _opened(url) as store:
        now = store.retention()
        retention = Retention(
            now.seconds if seconds is None else seconds,
            now.max_bytes if max_bytes is None else max_bytes,
        )
        _check(retention)
        store.set_retention(retention)
        return retention


def _check(retention: Retention) -> None:
    if min(retention) < 0:
        raise ValueError(f"{retention}: a retention cannot be negative")
    if not (retention.seconds <= _MAX_RETENTION_S and retention.max_bytes <= _MAX_RETENTION_BYTES):  # or it is NaN
        raise ValueError(
            f"{retention}: a retention is {_MAX_RETENTION_S:,} seconds and {_MAX_RETENTION_BYTES:,} bytes at most"
        )


def pins(url: str | URL) -> list[PinnedSnapshot]:
    """The processes for whose long transactions the database keeps more than the retention; the oldest first.

    (A URL that names no database creates it.)
    """
    with _opened(url) as store:
        return store.pins() if store.capabilities.pins else []


def mark_restored(url: str | URL) -> None:
    """Begin a new history of a database, because its server was restored from a backup.

    Call it before applications connect again. Transactions from before the restore then fail with a serialization
    error, and no process relies on what it has read before. Nothing else changes.

    Raises:
        NotSupportedError: the store begins one by itself (LMDB, Redis).
    """
    with _opened(url) as store:
        store.mark_restored()


@contextmanager
def _opened(url: str | URL) -> Iterator[Store]:
    location = parse_url(make_url(url)).location
    store = store_class(location.scheme).open(location)
    try:
        yield store
    finally:
        store.close()
