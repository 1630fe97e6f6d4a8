"""The peers that are compared: other databases, and Rome on each of its stores."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Peer:
    """A database with a driver.

    Attributes:
        key: its name on the command line and in the results.
        server: a key of romebench.servers.SERVERS; None without a server.
        template: its URL, with {db}, {port}, {folder} and {sync} (on or off) to be filled in.
        module: the name of its driver's module.
    """

    key: str
    title: str
    server: str | None
    template: str
    module: str

    def url(self, port: int, folder: Path, *, durable: bool) -> str:
        """An SQLAlchemy URL that still holds {db}."""
        sync = "on" if durable else "off"
        return self.template.replace("{port}", str(port)).replace("{folder}", str(folder)).replace("{sync}", sync)

    def why_not(self) -> str | None:
        """Why its driver cannot be used; None if it can."""
        try:
            import_module(self.module)
        except ImportError as error:
            return f"its driver is not installed: {error}"
        return None


_LMDB = "rome+lmdb:///{folder}/{db}.rome?sync={sync}"

PEERS = (
    Peer("mariadb-pymysql", "MariaDB + PyMySQL", "mariadb", "mysql+pymysql://root@127.0.0.1:{port}/{db}", "pymysql"),
    Peer(
        "mariadb-mysqlclient",
        "MariaDB + mysqlclient",
        "mariadb",
        "mysql+mysqldb://root@127.0.0.1:{port}/{db}",
        "MySQLdb",
    ),
    Peer(
        "postgresql",
        "PostgreSQL + psycopg2",
        "postgresql",
        "postgresql+psycopg2://postgres@127.0.0.1:{port}/{db}",
        "psycopg2",
    ),
    Peer("sqlite", "SQLite file", None, "sqlite:///{folder}/{db}.db", "sqlite3"),
    Peer("rome-lmdb", "Rome on LMDB", None, _LMDB, "rome.store.lmdb"),
    Peer("rome-redis", "Rome on Redis", "redis", "rome+redis://127.0.0.1:{port}/{db}", "rome.store.redis"),
    Peer("rome-valkey", "Rome on Valkey", "valkey", "rome+redis://127.0.0.1:{port}/{db}", "rome.store.redis"),
)
TITLES = {peer.key: peer.title for peer in PEERS}

STOCK = Peer("sqlite-memory", "stock SQLite in memory", None, "sqlite://", "sqlite3")
"""Shows what SQLAlchemy and SQLite cost by themselves. It is no peer, since it stores nothing."""


def tune_sqlite(*, durable: bool) -> None:
    """Make every SQLite file that this process opens from now on as durable as the other peers are."""
    synchronous = "FULL" if durable else "OFF"

    def tune(dbapi_connection: Any, _record: object) -> None:
        if type(dbapi_connection).__module__ == "sqlite3":
            dbapi_connection.execute("PRAGMA journal_mode=WAL")
            dbapi_connection.execute(f"PRAGMA synchronous={synchronous}")

    sa.event.listen(sa.Engine, "connect", tune)
