"""PEP 249's Connection, with what users of sqlite3 expect beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL

from rome import errors
from rome.codec.values import SqlValue
from rome.dbapi.abandoned import clean_up, clean_up_later
from rome.dbapi.cursor import Cursor, Parameters
from rome.dbapi.isolation import LEVELS, level_name
from rome.dbapi.private import drop_after, private_name
from rome.dbapi.url import make_url, parse_url
from rome.engine.result import Stats
from rome.engine.session import Session
from rome.store.registry import store_class
from rome.tracing import tracer_of
from rome.workingset.sqlite_version import check_sqlite


class Connection:
    """One connection to one database; used by one thread at a time, and not by a forked child.

    As a context manager it commits, or rolls back after an exception, and stays open. One that is left to the garbage
    collector is closed when the next one is opened.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    _session: Session | None = None

    def __init__(self, session: Session) -> None:
        self._session = session
        self._isolation_level = session.isolation.value

    @property
    def session(self) -> Session:
        """The engine's side.

        Raises:
            ProgrammingError: the connection is closed.
        """
        if self._session is None:
            raise errors.ProgrammingError("Cannot operate on a closed database.")
        return self._session

    def cursor(self) -> Cursor:
        """A new cursor; all cursors share the connection's transaction."""
        self.session  # noqa: B018  # raises when closed
        return Cursor(self)

    def commit(self) -> None:
        """Make the transaction's changes last. No round trip when it changed nothing and locked nothing.

        Raises:
            ConflictError: somebody else changed what it rests on; nothing was written, and it may be run again.
            IntegrityError: another transaction has committed first what a statement of this one cannot stand beside;
                nothing was written. Or a deferred foreign key is violated, and the transaction goes on.
            CommitUnknownError: the connection broke; all was written, or nothing.
        """
        self.session.commit()

    def rollback(self) -> None:
        """Forget the transaction's changes. No round trip."""
        self.session.rollback()

    def close(self) -> None:
        """Roll back and give everything back. Idempotent; one that was interrupted can be called again."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __del__(self) -> None:
        if self._session is not None:
            clean_up_later(self._session.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Cursor.execute on a new cursor, which is returned."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Cursor.executemany on a new cursor, which is returned."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str) -> Cursor:
        """Cursor.executescript on a new cursor, which is returned."""
        return self.cursor().executescript(script)

    def create_function(
        self, name: str, narg: int, func: Callable[..., SqlValue] | None, *, deterministic: bool = False
    ) -> None:
        """Let SQL call `func` by `name` with `narg` arguments (-1: any number); None removes the function.

        It may be called more often than stock SQLite would, and a transaction that calls it is never replayed.
        """
        self.session.create_function(name, narg, func, deterministic=deterministic)

    def iterdump(self) -> Iterator[str]:
        """The database as SQL statements, as sqlite3 writes them."""
        return self.session.iterdump()

    @property
    def in_transaction(self) -> bool:
        """A transaction is open."""
        return self.session.in_transaction

    @property
    def isolation_level(self) -> str:
        """The level of the transactions to come, by SQLAlchemy's names (rome.dbapi.isolation.LEVELS).

        None can be assigned, too: it means AUTOCOMMIT, as in sqlite3. The name that was assigned is read back, not
        its synonym: SQLAlchemy compares them.
        """
        return self._isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        name = "AUTOCOMMIT" if level is None else level_name(level)
        self.session.isolation = LEVELS[name]
        self._isolation_level = name

    @property
    def rome_stats(self) -> Stats:
        """What this connection has cost since it was opened; a copy, which does not count on."""
        return self.session.stats

    def is_usable(self) -> bool:
        """False when it is closed, known to be cut off from its store, or inherited by a fork. No round trip."""
        return self._session is not None and self._session.is_usable()


def connect(url: str | URL, **options: object) -> Connection:
    """Open a connection; creates the database when it is not there.

    Args:
        url: as rome.dbapi.url describes it.
        options: more of the URL's options, and `username` and `password`; they prevail over those in the URL.

    Raises:
        URLError: the message says what to write instead.
        InterfaceError: the store's client library is not installed, or SQLite is too old.
        StoreUnavailableError, AuthenticationError, StoreConfigError, FormatError: as Store.open.
    """
    clean_up()
    url = make_url(url)
    private = private_name(url)
    if private is not None:
        url = url.set(database=private)
    location, engine_options = parse_url(url, options)
    check_sqlite()
    tracer = tracer_of(location) if engine_options.tracing else None
    store_type = store_class(location.scheme)
    store = store_type.open(location) if tracer is None else tracer.open_store(store_type)
    try:
        connection = Connection(Session(store, engine_options, tracer))
    except BaseException:
        store.close()
        raise
    if private is not None:
        drop_after(connection, url)
    return connection
