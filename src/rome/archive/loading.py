"""Fill a new database from an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, BinaryIO

from sqlalchemy.engine import URL

from rome.archive.format import ArchiveError, frames
from rome.archive.tally import OnTally, RowCounter, Tally
from rome.catalog.reflected_table import quote
from rome.dbapi.connection import Connection, connect
from rome.dbapi.url import make_url, parse_url
from rome.errors import TransactionTooLargeError
from rome.kv import copies
from rome.kv.inspection import has_keys
from rome.store.registry import store_class
from rome.store.spi import Store


def load(url: str | URL, file: BinaryIO, progress: OnTally | None = None) -> Tally:
    """Fill an empty database from an archive; returns the rows by table.

    The database is created unless it exists. The rows come in bounded commits, so others see it grow; after an error
    it is incomplete: drop it, and load again.

    Args:
        file: open for reading, in binary mode. If it can seek, it is read twice: first to check that it is whole.
        progress: called after each commit.

    Raises:
        ArchiveError: the file is no archive, or is damaged; or the database is not empty; or the counts differ at the
            end.
        Error: of the store.

    Cost: one commit for up to 1,000 rows. Indexes are filled row by row.
    """
    if file.seekable():
        start = file.tell()
        for _ in frames(file):
            pass
        file.seek(start)
    with closing(connect(url)) as connection, closing(_store(url)) as store:
        return _Loading(url, connection, store, RowCounter(progress)).run(file)


def _store(url: str | URL) -> Store:
    location = parse_url(make_url(url)).location
    return store_class(location.scheme).open(location)


_KV: Mapping[str, Callable[..., None]] = {
    copies.KEYS_FRAME: copies.Filling.keys,
    copies.COLLECTION_FRAME: copies.Filling.collection,
    copies.OBJECTS_FRAME: copies.Filling.objects,
}


class _Loading:
    def __init__(self, url: str | URL, connection: Connection, store: Store, counter: RowCounter) -> None:
        self._url = url
        self._connection, self._counter = connection, counter
        self._filling = copies.Filling(store)
        self._inserts: dict[str, str] = {}
        self._later: list[str] = []

    def run(self, file: BinaryIO) -> Tally:
        connection = self._connection
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,) or has_keys(self._url):
            raise ArchiveError("the database is not empty: load into a new one, or drop it first")
        connection.rollback()
        connection.execute("PRAGMA foreign_keys = OFF")  # a table may come before the one that it refers to
        for kind, *frame in frames(file):
            if kind == "rows":
                self._rows(*frame)
            elif kind == "table":
                self._table(*frame)
            elif kind == "index":
                connection.execute(frame[1])
            elif kind in ("view", "trigger"):
                self._later.append(frame[1])
            elif kind == "header":
                for name, value in frame[0].items():
                    connection.execute(f"PRAGMA {name} = {int(value)}")
            elif kind == "sequences":
                self._sequences(frame[0])
            elif kind in _KV:
                connection.commit()
                _KV[kind](self._filling, *frame)
                self._counter.add_kv(kind, *frame)
        for statement in self._later:
            connection.execute(statement)
        connection.commit()
        self._filling.finish()
        self._check_counts()
        return self._counter.tally

    def _table(self, name: str, sql: str, columns: Sequence[str], with_rowid: bool) -> None:
        self._connection.execute(sql)
        self._counter.begin(name)
        taken = {column.lower() for column in columns}
        hidden = [word for word in ("rowid", "_rowid_", "oid") if word not in taken]
        named = [*([hidden[0]] if with_rowid and hidden else []), *map(quote, columns)]
        marks = ", ".join("?" * len(named))
        self._inserts[name] = f"INSERT INTO {quote(name)} ({', '.join(named)}) VALUES ({marks})"

    def _rows(self, name: str, rows: list[list[Any]]) -> None:
        """Insert rows in one commit, or in several where that is too large."""
        connection = self._connection
        connection.commit()
        try:
            connection.executemany(self._inserts[name], rows)
            connection.commit()
        except TransactionTooLargeError:
            connection.rollback()
            if len(rows) == 1:
                raise
            middle = len(rows) // 2
            self._rows(name, rows[:middle])
            self._rows(name, rows[middle:])
            return
        self._counter.add(name, len(rows))

    def _sequences(self, rows: dict[str, int | None] | None) -> None:
        if rows is None:
            return
        self._connection.execute("DELETE FROM sqlite_sequence")
        self._connection.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", [*rows.items()])

    def _check_counts(self) -> None:
        for name in self._inserts:
            rows = self._counter.tables[name]
            found = self._connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()[0]
            if found != rows:
                raise ArchiveError(f"table {name} has {found:,} rows where the archive has {rows:,}")
        self._connection.rollback()
