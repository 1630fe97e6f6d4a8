"""PEP 249's Connection, with what users of sqlite3 expect beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL

from rome import errors
from rome.dbapi import backup as backups
from rome.dbapi.abandoned import clean_up, clean_up_later
from rome.dbapi.absent import Absent
from rome.dbapi.callbacks import Callbacks
from rome.dbapi.cursor import Cursor, Parameters
from rome.dbapi.isolation import level_name, level_of
from rome.dbapi.private import drop_after, private_name
from rome.dbapi.rows import RowFactory, TextFactory
from rome.dbapi.sqlite3_options import checks_thread
from rome.dbapi.url import make_url, parse_url
from rome.engine.result import Stats
from rome.engine.session.session import Session
from rome.store.registry import store_class
from rome.tracing import tracer_of
from rome.workingset.sqlite_version import check_sqlite


class Connection(Callbacks, Absent):
    """One connection to one database; used by one thread at a time, and not by a forked child.

    As a context manager it commits, or rolls back after an exception, and stays open. One that is left to the garbage
    collector is closed when the next one is opened.

    Attributes:
        row_factory: of the cursors to come: what makes a row of the cursor and the values, or sqlite3.Row; None:
            rows are tuples.
        text_factory: what makes a text of its UTF-8, from the next statement on: `str`, `bytes`, or a function.
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

    row_factory: RowFactory | None = None
    text_factory: TextFactory = str
    _session: Session | None = None

    def __init__(self, session: Session, *, same_thread: bool = False) -> None:
        self._session = session
        self._isolation_level = session.isolation.value
        self._level_before = "SERIALIZABLE"
        self._thread = get_ident() if same_thread else None

    @property
    def session(self) -> Session:
        """The engine's side.

        Raises:
            ProgrammingError: the connection is closed, or another thread's (check_same_thread).
        """
        if self._session is None:
            raise errors.ProgrammingError("Cannot operate on a closed database.")
        if self._thread is not None and self._thread != get_ident():
            raise errors.ProgrammingError(
                "SQLite objects created in a thread can only be used in that same thread. The object was created in "
                f"thread id {self._thread} and this is thread id {get_ident()}."
            )
        return self._session

    def cursor(self, factory: Callable[[Connection], Cursor] = Cursor) -> Cursor:
        """A new cursor, made by `factory`; all cursors share the connection's transaction."""
        self.session  # noqa: B018  # raises when closed
        cursor = factory(self)
        if self.row_factory is not None:
            cursor.row_factory = self.row_factory
        return cursor

    def commit(self) -> None:
        """Make the transaction's changes last. No round trip when it changed nothing and locked nothing.

        Raises:
            ConflictError: somebody else changed what it rests on; nothing was written, and it may be run again.
            IntegrityError: another transaction has committed first what a statement of this one cannot stand beside;
                nothing was written. Or a deferred foreign key is violated, and the transaction goes on.
            CommitUnknownError: the connection broke; all was written, or nothing.
        """
        session = self.session
        if self.trace is not None and session.in_transaction:
            self.trace("COMMIT")
        session.commit()

    def rollback(self) -> None:
        """Forget the transaction's changes. No round trip."""
        session = self.session
        if self.trace is not None and session.in_transaction:
            self.trace("ROLLBACK")
        session.rollback()

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

    def iterdump(self) -> Iterator[str]:
        """The database as SQL statements, as sqlite3 writes them."""
        return self.session.iterdump()

    def backup(
        self,
        target: sqlite3.Connection | Connection,
        *,
        pages: int = -1,
        progress: backups.Progress | None = None,
        name: str = "main",
        sleep: float = 0.250,
    ) -> None:
        """Copy what is committed into a database of sqlite3's, or into an empty one of Rome's.

        Args:
            pages, progress, sleep: as in sqlite3, which writes the target; of no meaning where that is Rome's.

        Raises:
            OperationalError: this transaction has written something, or the target is in one, or not empty.
        """
        backups.check_name(name)
        if target is self:
            raise ValueError("target cannot be the same connection instance")
        if isinstance(target, Connection):
            backups.into_rome(self, target)
        elif isinstance(target, sqlite3.Connection):
            backups.into_sqlite3(self, target, pages=pages, progress=progress, sleep=sleep)
        else:
            raise TypeError(f"backup() argument 1 must be sqlite3.Connection or rome's, not {type(target).__name__}")

    def serialize(self, *, name: str = "main") -> bytes:
        """What is committed, as the bytes of an SQLite file. All of it is in memory at once.

        Raises:
            OperationalError: this transaction has written something.
        """
        backups.check_name(name)
        return backups.to_bytes(self)

    def interrupt(self) -> None:
        """End the statement that SQLite runs for this connection, if there is one; called by another thread.

        The statement raises an OperationalError, "interrupted"; if it writes, the transaction is rolled back. What
        waits for the store goes on, until its timeout (read_timeout).
        """
        if self._session is None:
            raise errors.ProgrammingError("Cannot operate on a closed database.")
        self._session.interrupt()

    def getlimit(self, category: int, /) -> int:
        """One of SQLite's limits, by its number (sqlite3.SQLITE_LIMIT_..)."""
        return self.session.limit(category)

    def getconfig(self, op: int, /) -> bool:
        """One of SQLite's settings, by its number (sqlite3.SQLITE_DBCONFIG_..)."""
        return self.session.setting(op)

    @property
    def total_changes(self) -> int:
        """Rows inserted, changed and deleted on this connection so far, those of foreign key actions included."""
        return self.session.total_changes

    @property
    def in_transaction(self) -> bool:
        """A transaction is open."""
        return self.session.in_transaction

    @property
    def isolation_level(self) -> str:
        """The level of the transactions to come, by SQLAlchemy's names (rome.dbapi.isolation.LEVELS).

        sqlite3's can be assigned, too: None commits what is open and means AUTOCOMMIT, "", DEFERRED, IMMEDIATE and
        EXCLUSIVE mean SERIALIZABLE. The name that was assigned is read back, not its synonym: SQLAlchemy compares them.
        A transaction that has only read ends for another level.

        Raises:
            ProgrammingError: there is no such level, or the open transaction has written something.
        """
        return self._isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        if level is None:
            self.commit()
        name = "AUTOCOMMIT" if level is None else level_name(level)
        self.session.isolation = level_of(name)
        self._isolation_level = name

    @property
    def autocommit(self) -> bool:
        """Every statement is a transaction of its own; else one is begun by the first, and ended by commit().

        To assign True commits what is open, as in sqlite3; False, or sqlite3.LEGACY_TRANSACTION_CONTROL, goes back to
        transactions, of the level before.
        """
        return self._isolation_level == "AUTOCOMMIT"

    @autocommit.setter
    def autocommit(self, value: bool | int) -> None:
        if value not in (True, False, -1):
            raise ValueError("autocommit must be True, False, or sqlite3.LEGACY_TRANSACTION_CONTROL")
        if (value is True) == self.autocommit:
            return
        if self.autocommit:
            self.isolation_level = self._level_before
        else:
            self.commit()
            self._level_before, self.isolation_level = self._isolation_level, None

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
    same_thread = checks_thread({**url.query, **options})
    check_sqlite()
    tracer = tracer_of(location) if engine_options.tracing else None
    store_type = store_class(location.scheme)
    store = store_type.open(location) if tracer is None else tracer.open_store(store_type)
    try:
        connection = Connection(Session(store, engine_options, tracer), same_thread=same_thread)
    except BaseException:
        store.close()
        raise
    if private is not None:
        drop_after(connection, url)
    return connection
