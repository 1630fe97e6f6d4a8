"""Verify a whole database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from tempfile import TemporaryDirectory

import apsw
from sqlalchemy.engine import URL

from rome.dbapi.admin import database_exists
from rome.dbapi.connection import Connection, connect
from rome.dbapi.url import for_a_long_read, make_url
from rome.engine.session.stored import StoredDatabase
from rome.errors import Error, OperationalError
from rome.verify.damage import Damage
from rome.verify.entries import check_entries

OnRows = Callable[[int, str], object]
"""Called with how many rows of all tables were checked, and the table that is under way."""


def verify(url: str | URL, progress: OnRows | None = None) -> Iterator[Damage]:
    """What is wrong with a database. It changes nothing, and others may write meanwhile.

    First the store: every record decodes and has the key that its values make, every row has its entry in each index,
    and no index has others. Then the schema: a copy in a temporary file, of the same size as the database, passes
    SQLite's integrity_check (NOT NULL, CHECK, UNIQUE, types of STRICT tables) and foreign_key_check.

    Raises:
        OperationalError: there is no such database.
        TransactionTooLongError: others have replaced more meanwhile than the retention's bytes.

    Cost: reads every table twice, and asks for each index entry once, a thousand in a round trip.
    """
    url = make_url(url)
    if not database_exists(url):
        raise OperationalError(f"there is no database {url.database}")
    with closing(connect(for_a_long_read(url))) as connection:
        found = False
        for damage in _store(connection, progress):
            found = True
            yield damage
        connection.rollback()
        if not found:  # a copy of records that do not decode would only repeat it
            yield from _schema(connection)


def _store(connection: Connection, progress: OnRows | None) -> Iterator[Damage]:
    before = 0

    def walk(stored: StoredDatabase) -> Iterator[tuple[str, Damage | int]]:
        for table in stored.tables.values():
            yield table.name, 0
            for each in check_entries(stored, table):
                yield table.name, each

    last = 0
    for name, each in connection.session.stored(walk):
        if isinstance(each, Damage):
            yield each
            continue
        before, last = (before + last, 0) if each == 0 else (before, each)
        if progress is not None:
            progress(before + last, name)


def _schema(connection: Connection) -> Iterator[Damage]:
    with TemporaryDirectory(prefix="rome-verify-") as folder, closing(apsw.Connection(f"{folder}/copy")) as copy:
        copy.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
        try:
            connection.session.copy_into(copy)
        except Error as error:
            yield Damage("(all tables)", "constraints", str(error))
            return
        for (text,) in copy.execute("PRAGMA integrity_check"):
            if text != "ok":
                yield Damage("(all tables)", "constraints", str(text))
        for table, rowid, parent, _ in copy.execute("PRAGMA foreign_key_check"):
            yield Damage(str(table), f"rowid {rowid}", f"it refers to a row of {parent} that does not exist")
