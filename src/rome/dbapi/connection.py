"""PEP 249's Connection, with the additional methods that users of sqlite3 expect."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from types import TracebackType
from typing import Self, TypeVar, overload

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
from rome.errors import VersionTokenError
from rome.insights import tracer_for
from rome.store.registry import store_class
from rome.store.seen import place_of, saw
from rome.tracing import tracer_of
from rome.transaction.totals import PRIVATE, DatabaseLabel, opened
from rome.transaction.version_token import decode_token, encode_token, is_of
from rome.workingset.sqlite_version import check_sqlite

AnyCursor = TypeVar("AnyCursor", bound=Cursor)


class Connection(Callbacks, Absent):
    """One connection to one database. One thread may use it at a time, and a forked child may not.

    As a context manager it commits, or rolls back after an exception, and stays open. A connection that is left to the
    garbage collector is closed when the next one is opened.

    Attributes:
        row_factory: for new cursors: a function of the cursor and a row's values that makes the row, or sqlite3.Row;
            None for tuples.
        text_factory: makes a text from its UTF-8, from the next statement on: `str`, `bytes`, or a function.
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

    def __init__(self, session: Session, *, database: str = "-", same_thread: bool = False) -> None:
        self._session = session
        # Not attributes of the class: Python remembers where an instance has one, and searches the class every time.
        self.trace: Callable[[str], object] | None = None
        self.row_factory: RowFactory | None = None
        self.text_factory: TextFactory = str
        self._database = database
        self._isolation_level = session.isolation.value
        self._level_before = "SERIALIZABLE"
        self._thread = get_ident() if same_thread else None

    @property
    def session(self) -> Session:
        """The connection's session in the engine.

        Raises:
            ProgrammingError: the connection is closed, or belongs to another thread (check_same_thread).
        """
        if self._session is None:
            raise errors.ProgrammingError("Cannot operate on a closed database.")
        if self._thread is not None and self._thread != get_ident():
            raise errors.ProgrammingError(
                "SQLite objects created in a thread can only be used in that same thread. The object was created in "
                f"thread id {self._thread} and this is thread id {get_ident()}."
            )
        return self._session

    @overload
    def cursor(self) -> Cursor: ...

    @overload
    def cursor(self, factory: Callable[[Connection], AnyCursor]) -> AnyCursor: ...

    def cursor(self, factory: Callable[[Connection], Cursor] = Cursor) -> Cursor:
        """A new cursor, made by `factory`. All cursors share the connection's transaction."""
        if self._session is None or self._thread is not None:
            self.session  # noqa: B018  # raises
        cursor = factory(self)
        if self.row_factory is not None:
            cursor.row_factory = self.row_factory
        return cursor

    def commit(self) -> None:
        """Commit the transaction. If no transaction is open, nothing happens.

        After a ConflictError nothing was written and no transaction is open: run the whole transaction again, from its
        first statement. Rome has then tried that itself, as far as the application cannot notice it.

        Raises:
            ConflictError: another transaction changed something that this one read or wrote. sqlstate is 40001.
            IntegrityError: another transaction has committed a row first that violates a constraint together with one
                of this transaction; nothing was written. Or a deferred foreign key is violated; then the transaction
                stays open.
            CommitUnknownError: the connection broke: everything was written, or nothing. Ask rome.was_committed().
            Error: another error of rome.errors; nothing was written (docs/guarantees.md lists them).

        Cost: one round trip; none if the transaction changed nothing and locked nothing.
        """
        session = self._session
        if session is None or self._thread is not None:
            session = self.session
        if self.trace is not None and session.in_transaction:
            self.trace("COMMIT")
        session.commit()

    def rollback(self) -> None:
        """Undo the transaction's changes. If no transaction is open, nothing happens.

        Cost: no round trip, unless the transaction claimed rows or waited in the commit queue.
        """
        session = self._session
        if session is None or self._thread is not None:
            session = self.session
        if self.trace is not None and session.in_transaction:
            self.trace("ROLLBACK")
        session.rollback()

    def close(self) -> None:
        """Roll back and release everything. Idempotent; if it was interrupted, it can be called again."""
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
        """Run Cursor.execute on a new cursor, and return that cursor."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Run Cursor.executemany on a new cursor, and return that cursor."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str) -> Cursor:
        """Run Cursor.executescript on a new cursor, and return that cursor."""
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
            pages, progress, sleep: as in sqlite3, which writes the target; without effect if the target is Rome's.

        Raises:
            OperationalError: this transaction has written something, or the target is in a transaction or not empty.
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
        """What is committed, as the bytes of an SQLite file, all of it in memory at once.

        Raises:
            OperationalError: this transaction has written something.
        """
        backups.check_name(name)
        return backups.to_bytes(self)

    def interrupt(self) -> None:
        """End the statement that SQLite is running for this connection, if any. Another thread calls this.

        The statement raises an OperationalError, "interrupted"; if it writes, the transaction is rolled back. A wait
        for the store is not ended; it lasts up to its timeout (read_timeout).
        """
        if self._session is None:
            raise errors.ProgrammingError("Cannot operate on a closed database.")
        self._session.settings.interrupt()

    def getlimit(self, category: int, /) -> int:
        """One of SQLite's limits, by its number (sqlite3.SQLITE_LIMIT_..)."""
        return self.session.settings.limit(category)

    def getconfig(self, op: int, /) -> bool:
        """One of SQLite's settings, by its number (sqlite3.SQLITE_DBCONFIG_..)."""
        return self.session.settings.config(op)

    @property
    def total_changes(self) -> int:
        """Rows inserted, updated and deleted on this connection so far, including those of foreign key actions."""
        return self.session.settings.total_changes

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.session.in_transaction

    @property
    def isolation_level(self) -> str:
        """The level of the transactions to come, with SQLAlchemy's names (rome.dbapi.isolation.LEVELS).

        sqlite3's values can be assigned, too: None commits the open transaction and means AUTOCOMMIT; "", DEFERRED,
        IMMEDIATE and EXCLUSIVE mean SERIALIZABLE. The name that was assigned is read back, not its synonym, since
        SQLAlchemy compares names. Assigning another level ends a transaction that has only read.

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
        """Whether every statement is a transaction of its own; otherwise a statement begins one, and commit() ends it.

        Assigning True commits the open transaction, as in sqlite3. Assigning False, or
        sqlite3.LEGACY_TRANSACTION_CONTROL, goes back to transactions of the previous level.
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
        """What this connection has cost since it was opened: a copy of the counters."""
        return self.session.stats

    def last_version(self) -> str:
        """The newest version that this connection, or another one of this process, has read or committed, as a token.

        Hand it to another process, for its at_least(). It tells nothing else, and is printable.

        Cost: no round trip.
        """
        session = self.session
        return encode_token(session.last_version(), self._database)

    def at_least(self, version: str) -> None:
        """Let this connection's transactions, from now on, see what the giver of the version had seen or committed.

        That concerns near reads (`reads=near`); other reads always see it. A version is of one database.

        Args:
            version: what last_version() gave, in whichever process.

        Raises:
            VersionTokenError: it is not a version of this database, or the open transaction has read something older.
                The next transaction's first statement raises it if only the store can tell.

        Cost: no round trip. The next transaction's first read goes to the primary if the near server is behind.
        """
        session = self.session
        token = decode_token(version)
        if token.snapshot.incarnation != session.last_version().incarnation and not is_of(token, self._database):
            raise VersionTokenError.of_another_database(self._database)
        session.at_least(token.snapshot)

    def is_usable(self) -> bool:
        """Whether the connection is open, not known to be cut off from its store, and not inherited by a fork.

        Cost: no round trip.
        """
        return self._session is not None and self._session.is_usable()


def connect(url: str | URL, **options: object) -> Connection:
    """Open a connection, and create the database unless it exists.

    Args:
        url: see rome.dbapi.url.
        options: more of the URL's options, and `username` and `password`; they override those in the URL.

    Raises:
        URLError: the URL is wrong; the message says what to write instead.
        InterfaceError: the store's client library is not installed, or SQLite is too old.
        StoreUnavailableError, AuthenticationError, StoreConfigError, FormatError: as Store.open raises them.
    """
    clean_up()
    url = make_url(url)
    private = private_name(url)
    if private is not None:
        url = url.set(database=private)
    location, engine_options = parse_url(url, options)
    same_thread = checks_thread({**url.query, **options})
    check_sqlite()
    label = DatabaseLabel(location.scheme, location.database if private is None else PRIVATE)
    tracer = tracer_of(location, label.database) if engine_options.tracing else None
    store_type = store_class(location.scheme)
    store = store_type.open(location) if tracer is None else tracer.open_store(store_type)
    try:
        store.place = place_of(location)
        saw(store.place, store.last_snapshot())
        session = Session(store, engine_options, tracer_for(label, tracer))
        opened(session, label)
        connection = Connection(session, database=location.database, same_thread=same_thread)
    except BaseException:
        store.close()
        raise
    if private is not None:
        drop_after(connection, url)
    return connection
