"""A driver for DragonFlow's northbound database: its `db_api.DbApi` on rome.kv.

Contract, from dragonflow/db/db_api.py of 4.0.0 and what its drivers for etcd and Redis do where that leaves a choice:
  * A key that is not there raises DBKeyNotFound in get_key and delete_key; set_key creates it; create_key replaces one
    that is there.
  * A topic belongs to an entry. get_all_entries and get_all_keys with a topic give only its entries; elsewhere it is a
    hint, since a key names one entry of a table.
  * Tables need not be created. delete_table deletes the entries, a bounded number in each commit.
  * allocate_unique_key gives 1, 2, 3, .. for each table, no number twice.

Every call is one transaction, run again after a conflict; what it returned is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from dragonflow.common import exceptions
from dragonflow.db import db_api
from oslo_config import cfg

import rome.kv
from rome.kv import Collection, KvDatabase, KvTransaction

T = TypeVar("T")

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "connection",
        help="URL of the database, as in rome+redis://host:6379/dragonflow or rome+lmdb:////var/lib/dragonflow.rome. "
        "Without it: Redis at [df] remote_db_ip and remote_db_port.",
    )
]
GROUP = "df_rome"
MAX_ATTEMPTS = 100
DELETED_AT_ONCE = 1_000

cfg.CONF.register_opts(OPTIONS, GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """For oslo.config's generator of sample files."""
    return [(GROUP, OPTIONS)]


class NorthboundEntry(msgspec.Struct):
    """A key of a table, as DragonFlow stores it: the value is JSON."""

    table: str
    key: str
    topic: str | None
    value: str


class RomeDbDriver(db_api.DbApi):  # type: ignore[misc]  # DragonFlow has no types
    """DragonFlow's driver, named `rome_nb_db_driver` in `nb_db_class`."""

    _db: KvDatabase
    _entries: Collection[NorthboundEntry]

    def initialize(self, db_ip: str, db_port: int, **args: Any) -> None:
        """Open the database.

        Args:
            args: `connection`, a URL that goes before that of the configuration; others are ignored.
        """
        url = args.get("connection") or cfg.CONF[GROUP].connection or f"rome+redis://{db_ip}:{db_port}/dragonflow"
        self._db = rome.kv.open(url)
        self._entries = self._db.collection(
            "northbound", NorthboundEntry, key=("table", "key"), indexes=[("table", "topic")]
        )

    def _run(self, work: Callable[[KvTransaction], T]) -> T:
        return self._db.transactional(max_attempts=MAX_ATTEMPTS)(work)()

    def create_table(self, table: str) -> None:
        """Do nothing: a table is what its entries are."""

    def delete_table(self, table: str) -> None:
        """Delete all entries of a table."""

        def work(tr: KvTransaction) -> int:
            found = self._entries.find(tr, table=table, limit=DELETED_AT_ONCE)
            for entry in found:
                self._entries.delete(tr, (table, entry.key))
            return len(found)

        while self._run(work) == DELETED_AT_ONCE:
            pass

    def get_key(self, table: str, key: str, topic: str | None = None) -> str:
        """Return the value of a key.

        Raises:
            DBKeyNotFound: it is not there.
        """
        entry = self._run(lambda tr: self._entries.get(tr, (table, key)))
        if entry is None:
            raise exceptions.DBKeyNotFound(key=key)
        return entry.value

    def set_key(self, table: str, key: str, value: str, topic: str | None = None) -> None:
        """Set the value of a key, which is created unless it is there. Without a topic its topic stays."""

        def work(tr: KvTransaction) -> None:
            old = None if topic else self._entries.get(tr, (table, key))
            self._entries.put(tr, NorthboundEntry(table, key, topic or (old.topic if old else None), value))

        self._run(work)

    def create_key(self, table: str, key: str, value: str, topic: str | None = None) -> None:
        """Create a key, or replace it."""
        self._run(lambda tr: self._entries.put(tr, NorthboundEntry(table, key, topic or None, value)))

    def delete_key(self, table: str, key: str, topic: str | None = None) -> None:
        """Delete a key.

        Raises:
            DBKeyNotFound: it is not there.
        """
        if not self._run(lambda tr: self._entries.delete(tr, (table, key))):
            raise exceptions.DBKeyNotFound(key=key)

    def _all(self, table: str, topic: str | None) -> list[NorthboundEntry]:
        equal = {"table": table, "topic": topic} if topic else {"table": table}
        return self._run(lambda tr: self._entries.find(tr, limit=None, reverse=False, **equal))

    def get_all_entries(self, table: str, topic: str | None = None) -> list[str]:
        """Return the values of a table, or of a topic in it, in the order of their keys."""
        return [entry.value for entry in self._all(table, topic)]

    def get_all_keys(self, table: str, topic: str | None = None) -> list[str]:
        """Return the keys of a table, or of a topic in it, in order."""
        return [entry.key for entry in self._all(table, topic)]

    def allocate_unique_key(self, table: str) -> int:
        """Return a number that no call for this table has returned; it rises from call to call."""

        def work(tr: KvTransaction) -> int:
            number: int = tr.get(("unique_key", table), 0) + 1
            tr.put(("unique_key", table), number)
            return number

        return self._run(work)

    def process_ha(self) -> None:
        """Do nothing: Rome's stores find their primary themselves."""

    def set_neutron_server(self, is_neutron_server: bool) -> None:
        """Do nothing: every process uses the database in the same way."""
