"""Asks a store again and again what a database takes, for `rome metrics` and `rome top`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from rome.cli.existing import check_exists
from rome.codec.shown_key import shown_values
from rome.dbapi.connection import Connection, connect
from rome.dbapi.url import make_url, parse_url
from rome.engine.session.conflict_words import row_words
from rome.engine.session.stored import StoredDatabase
from rome.errors import Error
from rome.kv.directory import load_all
from rome.kv.layout import FIRST, OWN_TABLES, shown_collection
from rome.metrics.stored import StoreReading
from rome.store.spi import StoreUsage
from rome.transaction.totals import DatabaseLabel


class DatabaseProbe:
    """A connection to a database that exists. After an error it connects anew, if the database still exists.

    Attributes:
        label: the database, as metrics name it.
    """

    def __init__(self, url: str) -> None:
        location = parse_url(make_url(url), database_needed=True).location
        self.label = DatabaseLabel(location.scheme, location.database)
        self._url = url
        self._connection: Connection | None = None

    def read(self, recent: int = 0) -> StoreReading:
        """What the database takes, and the names of its tables.

        Raises:
            rome.errors.Error: the store has not answered, or there is no such database.

        Cost: two round trips, on etcd three, or four with `recent`; one more where rome.kv is used, and some after the
        schema has changed.
        """
        try:
            connection = self._connected()
            began = time.perf_counter()
            usage = connection.session.usage(recent)
            took_s = time.perf_counter() - began
            try:
                [reading] = connection.session.stored(lambda stored: _read(stored, usage, took_s))
            finally:
                connection.rollback()
        except Error:
            self.close()
            raise
        return reading

    def close(self) -> None:
        """Close the connection; the next `read` opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            check_exists(self._url)
            self._connection = connect(self._url, tracing="off")
        return self._connection


def _read(stored: StoredDatabase, usage: StoreUsage, took_s: float) -> Iterator[StoreReading]:
    tables = {table.id: table for table in stored.tables.values()}
    names = {table_id: table.name for table_id, table in tables.items()}
    rows = {row for commit in usage.recent for row in commit.rows or ()}
    claimed = {(claim.table_id, claim.key) for claims in usage.queue for claim in claims}
    if any(table_id >= FIRST for table_id, _ in (*rows, *claimed)):
        names |= OWN_TABLES
        names |= {each.table_id: shown_collection(each.name) for each in load_all(stored.transaction)}

    def words(table_id: int, key: bytes | None) -> str:
        if key is None:
            return f"{names.get(table_id, f'#{table_id}')} (all rows)"
        if table_id in tables:
            return row_words(tables[table_id], key)
        return f"{names.get(table_id, f'#{table_id}')} {', '.join(map(str, shown_values(key)))}"

    shown: Mapping[tuple[int, bytes | None], str] = {row: words(*row) for row in (*rows, *claimed)}
    yield StoreReading(usage, names, took_s, shown)
