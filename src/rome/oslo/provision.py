"""Creates and drops databases for the functional tests of OpenStack's services, through oslo.db itself.

    OS_TEST_DBAPI_ADMIN_CONNECTION=rome+redis://127.0.0.1:6379/admin

names the server or folder; a test case's fixture requests databases with `DRIVER = "rome"`. oslo.db finds this module
by itself: when it looks for "rome", it loads the dialect, which imports this module.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from oslo_db.sqlalchemy import provision
from sqlalchemy.engine import URL, Engine

from rome import dbapi


@provision.BackendImpl.impl.dispatch_for("rome")
class RomeBackendImpl(provision.BackendImpl):  # type: ignore[misc]
    """oslo.db's interface to a kind of database. Named databases are in the base URL's server, folder or process."""

    supports_drop_fk = False

    def create_opportunistic_driver_url(self) -> str:
        """Return the URL to use if no environment variable names one: in memory, as for SQLite."""
        return "rome+memory:///openstack_citest"

    def provisioned_database_url(self, base_url: URL | str, ident: str) -> URL:
        """Return the URL of a named database, with the base URL's options; on LMDB, a file beside the base URL's."""
        url = sa.make_url(base_url)
        if url.drivername != "rome+lmdb":
            return url.set(database=ident)
        base = Path(url.database or ident)
        return url.set(database=str(base.with_name(ident + base.suffix)))

    def create_named_database(self, engine: Engine, ident: str, conditional: bool = False) -> None:
        """Create an empty database.

        Raises:
            ValueError: the database exists, and `conditional` is not set.
        """
        url = self.provisioned_database_url(engine.url, ident)
        if not conditional and dbapi.database_exists(url):
            raise ValueError(f"database {url.database} exists: drop it first, or create it with conditional=True")
        dbapi.create_database(url)

    def drop_named_database(self, engine: Engine, ident: str, conditional: bool = False) -> None:
        """Drop a database.

        Raises:
            ValueError: the database does not exist, and `conditional` is not set.
        """
        url = self.provisioned_database_url(engine.url, ident)
        if not conditional and not dbapi.database_exists(url):
            raise ValueError(f"there is no database {url.database}")
        dbapi.drop_database(url)

    def database_exists(self, engine: Engine, ident: str) -> bool:
        """Whether a provisioned database exists. The call does not create it."""
        return dbapi.database_exists(self.provisioned_database_url(engine.url, ident))

    def list_databases(self, engine: Engine) -> list[str]:
        """Return the names of the engine's own database and of all those beside it; on LMDB, files."""
        return dbapi.list_databases(engine.url)

    def drop_all_objects(self, engine: Engine) -> None:
        """Drop all tables, with their indexes, and all views, even if rows refer to each other."""
        with engine.connect() as connection:
            enforced = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            try:
                quote = connection.dialect.identifier_preparer.quote
                inspector = sa.inspect(connection)
                for view in inspector.get_view_names():
                    connection.exec_driver_sql(f"DROP VIEW {quote(view)}")
                for table in inspector.get_table_names():
                    connection.exec_driver_sql(f"DROP TABLE {quote(table)}")
                connection.commit()
            finally:
                connection.rollback()
                connection.exec_driver_sql(f"PRAGMA foreign_keys = {enforced}")
