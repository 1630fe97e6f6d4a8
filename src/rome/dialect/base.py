"""RomeDialect: SQLAlchemy's SQLite dialect over rome.dbapi.

Its name stays "sqlite", since what executes the SQL is SQLite: types, DDL, reflection and every application's branch
on the name apply as they are. What differs is what a shared database with many clients has and a file has not.
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
from rome.dbapi.isolation import BEGINNINGS, LEVELS
from rome.dbapi.private import drop_after, private_name
from rome.dbapi.url import parse_url
from rome.dialect.ddl import RomeDDLCompiler
from rome.errors import ProgrammingError, StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect, Engine
    from sqlalchemy.sql.selectable import GenerativeSelect


class RomeCompiler(SQLiteCompiler):
    """SQLite's SQL, and FOR UPDATE, which SQLite has not: the engine takes it out again and honours it."""

    def for_update_clause(self, select: GenerativeSelect, **kw: Any) -> str:
        """FOR UPDATE, whatever the strength asked for: rows that are locked to be read are validated at COMMIT, too."""
        # Private, but all dialects of SQLAlchemy read it, and there is no public way to it.
        asked = select._for_update_arg
        if asked is None:
            return ""
        return " FOR UPDATE" + (" NOWAIT" if asked.nowait else "") + (" SKIP LOCKED" if asked.skip_locked else "")


class RomeExecutionContext(SQLiteExecutionContext):
    """Asks for the number of rows when the application does.

    SQLAlchemy asks after every statement that returns no rows, as some drivers forget the number when the cursor is
    closed. Rome's do not; and what the application has not asked for may still be decided by a replay.
    """

    _rowcount: Any = ()  # "known", to SQLAlchemy, which takes None for "to be asked for"

    @property
    def rowcount(self) -> int:
        known = self._rowcount
        return self.cursor.rowcount if known == () else known

    @property
    def _has_rowcount(self) -> bool:
        return self._rowcount != () or self.cursor.description is None


_EXTENSIONS = {"oslo_db.sqlalchemy.exc_filters": "rome.oslo", "alembic.ddl.impl": "rome.alembic"}
"""What an application may have loaded -> what then teaches it about Rome."""


def _extend_libraries() -> None:
    """Load what the libraries need that the application has loaded; costs next to nothing, so it is done often.

    By name, since these modules and this one are one layer, and none needs the others to work.
    """
    for library, extension in _EXTENSIONS.items():
        if library in sys.modules and extension not in sys.modules:
            import_module(extension)


def _replace_lost(dbapi_connection: Any, record: object, proxy: object) -> None:
    """Give out no connection that is known to be lost, and none that a forked child inherited. No round trip.

    It spares applications pool_pre_ping, and Engine.dispose() after a fork.
    """
    if not dbapi_connection.is_usable():
        raise DisconnectionError("the connection was lost, or is the parent process's")


class RomeDialect(SQLiteDialect):
    """What `create_engine("rome+<store>://...")` uses.

    The pool is SQLAlchemy's default, QueuePool, on every store.
    """

    driver = "rome"
    supports_statement_cache = True
    returns_native_bytes = True
    statement_compiler = RomeCompiler
    execution_ctx_cls = RomeExecutionContext
    ddl_compiler = RomeDDLCompiler
    # Ids come from the store's sequence, in the order of VALUES: so SQLAlchemy may insert many rows by one statement,
    # and tell by their order whose id is whose. With SQLite's own dialect it inserts them one by one, a trip each.
    insertmanyvalues_implicit_sentinel = InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
    portable_ddl = False
    """Whether the URL says `ddl=portable`; in offline mode, which hands on no URL, it does not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._private_name: str | None = None
        _extend_libraries()

    @classmethod
    def get_dialect_cls(cls, url: URL) -> type[Dialect]:
        """The dialect for a URL; SQLAlchemy-Utils asks for databases, and gets another (rome.dialect.databases)."""
        if "sqlalchemy_utils" in sys.modules:
            databases = import_module("rome.dialect.databases")
            if databases.is_asked_by_utils():
                return databases.DatabasesDialect  # type: ignore[no-any-return]
        return cls

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return dbapi

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Guard the pool, and extend what the application has loaded.

        oslo.db is loaded before its engines are made, alembic perhaps after, but before it works on a connection. (It
        may do without: `alembic upgrade --sql` makes a dialect, and neither engine nor connection.)
        """
        event.listen(engine, "checkout", _replace_lost)
        event.listen(engine, "checkout", lambda *_: _extend_libraries())

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """The URL itself, once it is known to be right: a wrong one fails in create_engine, not at the first query.

        A URL that names no database gets one that belongs to the engine, so that all of its connections share it.

        Raises:
            URLError, InterfaceError: as rome.dbapi.connect.
        """
        private = private_name(url)
        if private is not None:
            if self._private_name is None:
                self._private_name = private
                drop_after(self, url.set(database=private))
            url = url.set(database=self._private_name)
        self.portable_ddl = parse_url(url).options.ddl == "portable"
        return [], {"url": url}

    # SQLAlchemy types a connection as what every driver has, and a level as one of those it knows: hence Any.

    def get_isolation_level_values(self, dbapi_connection: Any) -> list[Any]:
        return list(LEVELS)

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        name = dbapi_connection.isolation_level
        return "SERIALIZABLE" if name in BEGINNINGS else name

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        dbapi_connection.isolation_level = level

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        return bool(dbapi_conn.isolation_level == "AUTOCOMMIT")

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Whether the connection is alive, as far as the socket tells; no round trip.

        What it cannot tell does no harm: the first read of a transaction reconnects by itself.
        """
        return bool(dbapi_connection.is_usable())

    def is_disconnect(self, e: Exception, connection: object, cursor: object) -> bool:
        """The pool must replace its connections.

        Not after CommitUnknownError, although the connection broke: oslo.db and others run a transaction again
        after a disconnect, and this one may have been committed. The engine reconnects by itself.
        """
        if isinstance(e, StoreUnavailableError):
            return True
        return isinstance(e, ProgrammingError) and "Cannot operate on a closed database." in str(e)

    def _get_server_version_info(self, connection: object) -> tuple[int, ...]:
        return dbapi.sqlite_version_info
