"""An SQLite database in a temporary file, for one query that needs more rows than memory may be taken for.

It has the tables of a working set. SQLite keeps what fits into its cache, writes the rest to an unnamed file, and
removes that by itself. SQLITE_TMPDIR or TMPDIR says where; else it is in /var/tmp or /tmp.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import cast

import apsw

from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.workingset.interruption import Interruption
from rome.workingset.lookups import Lookup
from rome.workingset.sqlite_errors import not_unicode, translate
from rome.workingset.tables import statements_of

SqlRow = tuple[SqlValue, ...]


class Overflow:
    """Such a database, without tables at first. Not thread-safe.

    Args:
        cache_bytes: the memory that SQLite may take for it.
    """

    def __init__(self, cache_bytes: int) -> None:
        self.connection = apsw.Connection("")
        self.connection.execute(f"PRAGMA cache_size=-{max(256, cache_bytes >> 10)}")
        for pragma in ("temp_store=FILE", "journal_mode=OFF", "synchronous=OFF", "ignore_check_constraints=ON"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)

    def create(self, statements: Iterable[str]) -> None:
        """Run CREATE statements, and begin."""
        self.connection.execute("BEGIN")
        for statement in statements:
            self.connection.execute(statement)

    def insert(self, table: Table, rows: Iterable[Sequence[tuple[int, Sequence[SqlValue]]]]) -> None:
        """Insert the rows of each chunk: rowid and values. One that is there already counts once.

        Raises:
            rome.errors.Error: SQLite refuses one, or the disk is full.
        """
        statements = statements_of(table)
        sql = statements.insert.replace("INSERT", "INSERT OR IGNORE", 1)
        try:
            for chunk in rows:
                self.connection.executemany(sql, statements.bindings(chunk))
        except apsw.Error as error:
            raise translate(error) from error

    def index(self, lookups: Iterable[Lookup]) -> None:
        """Make indexes by which the query looks up rows."""
        for number, lookup in enumerate(lookups):
            with suppress(apsw.SQLError):  # without it the query is only slower
                self.connection.execute(f'CREATE INDEX main."rome lookup {number}" {lookup.definition}')

    def close(self) -> None:
        """Close it, and so remove its file."""
        self.connection.close(True)


def walk(
    connection: apsw.Connection, interruption: Interruption, sql: str, parameters: Sequence[SqlValue]
) -> Generator[SqlRow, None, None]:
    """The rows of a query, one by one. The statement ends when the iterator does, or is closed.

    Raises:
        rome.errors.Error: SQLite's error, as the class that sqlite3 would raise.
    """
    cursor = connection.cursor()
    interruption.running = True
    try:
        yield from cast("Iterator[SqlRow]", cursor.execute(sql, parameters))
    except apsw.Error as error:
        raise translate(error) from error
    except UnicodeDecodeError as error:
        raise not_unicode(error) from error
    finally:
        interruption.running = False
        cursor.close(force=True)


__all__ = ["Overflow", "SqlRow", "walk"]
