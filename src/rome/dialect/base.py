"""RomeDialect: SQLAlchemy's SQLite dialect over rome.dbapi.

The dialect's name stays "sqlite", since SQLite executes the SQL: SQLAlchemy's types, DDL and reflection, and what an
application does for that name, apply unchanged. This module holds what a database shared by many clients needs and a
file does not: isolation levels, FOR UPDATE, and a pool that replaces lost connections.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler, SQLiteDialect, SQLiteExecutionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from rome import dbapi
from rome.dbapi.cursor import StreamCursor
from rome.dbapi.isolation import BEGINNINGS, LEVELS
from rome.dbapi.private import drop_after, private_name
from rome.dbapi.url import parse_url
from rome.dialect.ddl import RomeDDLCompiler
from rome.dialect.versions import rome_connection
from rome.errors import ProgrammingError, StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect, Engine
    from sqlalchemy.sql.selectable import GenerativeSelect

    from rome.store.location import Location


class RomeCompiler(SQLiteCompiler):
    """SQLite's SQL, plus FOR UPDATE. SQLite does not know it: the engine removes it from the text and honours it."""

    def for_update_clause(self, select: GenerativeSelect, **kw: Any) -> str:
        """FOR UPDATE for every strength: with_for_update(read=True), too, asks that the rows be the same at COMMIT."""
        # A private attribute, but all of SQLAlchemy's dialects read it, and there is no public one.
        asked = select._for_update_arg
        if asked is None:
            return ""
        return " FOR UPDATE" + (" NOWAIT" if asked.nowait else "") + (" SKIP LOCKED" if asked.skip_locked else "")


class RomeExecutionContext(SQLiteExecutionContext):
    """Asks the cursor for the number of rows only when the application does.

    SQLAlchemy asks after every statement that returns no rows, since some drivers forget the number when the cursor is
    closed. Rome's cursors do not. Until the application has asked, a replay may still come to another number.
    """

    _rowcount: Any = ()  # SQLAlchemy takes None for "not asked yet" and would ask; anything else keeps it from asking

    @property
    def rowcount(self) -> int:
        """The number of rows, which the cursor is asked for now."""
        known = self._rowcount
        return self.cursor.rowcount if known == () else known

    @property
    def _has_rowcount(self) -> bool:
        return self._rowcount != () or self.cursor.description is None

    def create_server_side_cursor(self) -> Any:
        """The cursor for `yield_per` and `stream_results`: it reads rows while they are fetched."""
        connection: Any = self._dbapi_connection
        return connection.cursor(StreamCursor)

    def pre_exec(self) -> None:
        """Honour the execution option `rome_at_least`, of the statement, its connection or its engine."""
        version = self.execution_options.get("rome_at_least")
        if version is not None:
            rome_connection(self.root_connection).at_least(version)


_EXTENSIONS = {
    "oslo_db.sqlalchemy.exc_filters": "rome.oslo",
    "oslo_db.sqlalchemy.provision": "rome.oslo.provision",
    "alembic.ddl.impl": "rome.alembic",
}
"""{module of a library: module of Rome that adapts it, which is imported if the application has loaded the library}"""


def _extend_libraries() -> None:
    """Adapt the libraries that the application has loaded by now.

    It imports by name, since these modules are on the same layer as this one, which works without them.

    Cost: three look-ups in sys.modules, so it may be called often.
    """
    for library, extension in _EXTENSIONS.items():
        if library in sys.modules and extension not in sys.modules:
            import_module(extension)


def _replace_lost(dbapi_connection: Any, record: object, proxy: object) -> None:
    """Make the pool replace a connection that is known to be lost, or that a forked child inherited.

    So applications need neither pool_pre_ping nor Engine.dispose() after a fork.

    Cost: no round trip.
    """
    if not dbapi_connection.is_usable():
        raise DisconnectionError("the connection was lost, or belongs to the parent process")


class RomeDialect(SQLiteDialect):
    """The dialect of `create_engine("rome+<store>://...")`.

    Its pool is SQLAlchemy's default, QueuePool, on every store.
    """

    driver = "rome"
    supports_statement_cache = True
    supports_server_side_cursors = True
    returns_native_bytes = True
    statement_compiler = RomeCompiler
    execution_ctx_cls = RomeExecutionContext
    ddl_compiler = RomeDDLCompiler
    # Ids come from the store's sequence, in the order of VALUES. So SQLAlchemy may insert many rows with one statement
    # and assign the ids by their order. With SQLite's own dialect it inserts them one by one, a round trip each.
    insertmanyvalues_implicit_sentinel = InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
    portable_ddl = False
    """Whether the URL says `ddl=portable`. False in Alembic's offline mode, where the dialect is given no URL."""
    location: Location | None = None
    """What the engine's URL names; None in that mode."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._private_name: str | None = None
        _extend_libraries()

    @classmethod
    def get_dialect_cls(cls, url: URL) -> type[Dialect]:
        """The dialect class for a URL. SQLAlchemy-Utils gets one of its own: see rome.dialect.databases.

        oslo.db's provisioning asks for it, and makes no engine, before it looks for what knows databases of its kind.
        """
        _extend_libraries()
        if "sqlalchemy_utils" in sys.modules:
            databases = import_module("rome.dialect.databases")
            if databases.is_asked_by_utils():
                return databases.DatabasesDialect  # type: ignore[no-any-return]
        return cls

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[Dialect]:
        """The dialect for create_async_engine, imported when somebody makes one: it needs greenlet."""
        return import_module("rome.dialect.aio").RomeAsyncDialect  # type: ignore[no-any-return]

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The PEP 249 module, rome.dbapi."""
        return dbapi

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Watch the pool for lost connections, and adapt the libraries that the application has loaded.

        oslo.db is loaded before it makes an engine. Alembic may be loaded later, but before it uses a connection;
        `alembic upgrade --sql` makes a dialect without engine or connection. Hence there are three such moments.
        """
        event.listen(engine, "checkout", _replace_lost)
        event.listen(engine, "checkout", lambda *_: _extend_libraries())

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """Check the URL, so that a wrong one fails in create_engine and not at the first query, and hand it on.

        A URL that names no database gets a database of the engine's own, which all of its connections share.

        Raises:
            URLError, InterfaceError: as rome.dbapi.connect raises them.
        """
        private = private_name(url)
        if private is not None:
            if self._private_name is None:
                self._private_name = private
                drop_after(self, url.set(database=private))
            url = url.set(database=self._private_name)
        self.location, options = parse_url(url)
        self.portable_ddl = options.ddl == "portable"
        return [], {"url": url}

    # SQLAlchemy's types of a connection and of a level do not include Rome's: hence Any.

    def get_isolation_level_values(self, dbapi_connection: Any) -> list[Any]:
        """The levels that the application may set."""
        return list(LEVELS)

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """The level of a connection. One that names only how transactions begin, as sqlite3 has it, is SERIALIZABLE."""
        name = dbapi_connection.isolation_level
        return "SERIALIZABLE" if name in BEGINNINGS else name

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Set the level of a connection, from its next transaction on."""
        dbapi_connection.isolation_level = level

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether a connection is at AUTOCOMMIT."""
        return bool(dbapi_conn.isolation_level == "AUTOCOMMIT")

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Whether the connection is alive, as far as its socket shows.

        A connection that is lost and does not show it does no harm: a transaction's first read reconnects by itself.

        Cost: no round trip.
        """
        return bool(dbapi_connection.is_usable())

    def is_disconnect(self, e: Exception, connection: object, cursor: object) -> bool:
        """Whether an error means that the pool must replace its connections.

        A CommitUnknownError does not, although the connection broke: oslo.db and others run a transaction again after a
        disconnect, and this one may have been committed. The connection reconnects by itself.
        """
        if isinstance(e, StoreUnavailableError):
            return True
        return isinstance(e, ProgrammingError) and "Cannot operate on a closed database." in str(e)

    def _get_server_version_info(self, connection: object) -> tuple[int, ...]:
        return dbapi.sqlite_version_info
