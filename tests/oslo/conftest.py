"""Real servers that raise CockroachDB's and TiDB's very codes and texts. Without a server its tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
import sqlalchemy as sa
from oslo_db.sqlalchemy import engines
from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

import rome.oslo  # noqa: F401  # registers the filters that are tested
from tests.support.sql_servers import MariaDb, PostgreSql, SqlServer


class CockroachPsycopg2(PGDialect_psycopg2):
    """PostgreSQL under CockroachDB's name.

    The real package, sqlalchemy-cockroachdb, wants SQLAlchemy below 2.1; where it is installed it is used as well.
    """

    name = "cockroachdb"
    supports_statement_cache = True


class CockroachPsycopg(PGDialect_psycopg):
    name = "cockroachdb"
    supports_statement_cache = True


for _driver in (CockroachPsycopg2, CockroachPsycopg):
    registry.register(f"postgresql_as_cockroachdb.{_driver.driver}", __name__, _driver.__name__)


def _running(kind: type[SqlServer]) -> Iterator[SqlServer]:
    missing = kind.missing()
    if missing is not None:
        pytest.skip(missing)
    server = kind()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[SqlServer]:
    yield from _running(PostgreSql)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[SqlServer]:
    yield from _running(MariaDb)


@pytest.fixture
def oslo_engine() -> Iterator[Callable[[str], Engine]]:
    """Makes engines as oslo.db's facade does."""
    with ExitStack() as made:

        def make(url: str) -> Engine:
            engine: Engine = engines.create_engine(url, max_retries=0)
            made.callback(engine.dispose)
            return engine

        yield make


COCKROACHDB = ["postgresql_as_cockroachdb+psycopg2", "postgresql_as_cockroachdb+psycopg"]
if find_spec("sqlalchemy_cockroachdb") is not None:
    COCKROACHDB += ["cockroachdb+psycopg2", "cockroachdb+psycopg"]


@pytest.fixture(params=COCKROACHDB)
def cockroachdb_url(request: pytest.FixtureRequest, postgresql: SqlServer) -> str:
    """PostgreSQL through a dialect named `cockroachdb`; the real package's where that is installed."""
    return f"{request.param}://{postgresql.netloc}"


@pytest.fixture
def cockroachdb(cockroachdb_url: str, oslo_engine: Callable[[str], Engine]) -> Engine:
    return _with_tables(oslo_engine(cockroachdb_url))


@pytest.fixture
def tidb_url(mariadb: SqlServer) -> str:
    return f"mysql+pymysql://{mariadb.netloc}"


@pytest.fixture
def tidb(tidb_url: str, mariadb: SqlServer, oslo_engine: Callable[[str], Engine]) -> Engine:
    admin = sa.create_engine(tidb_url.removesuffix("test") + "mysql")
    with admin.begin() as connection:
        connection.exec_driver_sql("CREATE DATABASE IF NOT EXISTS test")
    admin.dispose()
    return _with_tables(oslo_engine(tidb_url))


metadata = sa.MetaData()
parent = sa.Table(
    "parent",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("host", sa.String(10)),
    sa.Column("node", sa.String(10)),
    sa.CheckConstraint("id > 0", name="id_is_positive"),
    sa.UniqueConstraint("host", "node", name="uniq_parent0host0node"),
)
child = sa.Table(
    "child",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("parent.id", name="child_of_parent")),
)


def _with_tables(engine: Engine) -> Engine:
    """With one parent, and a sequence: numbers that no rollback takes back."""
    with engine.begin() as connection:
        for statement in ("DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS parent", "DROP SEQUENCE IF EXISTS tries"):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("CREATE SEQUENCE tries")
        for table in (parent, child):
            connection.execute(sa.schema.CreateTable(table))
        connection.execute(parent.insert().values(id=1, host="h", node="n"))
    return engine
