"""Copies of a whole database: into one of sqlite3's, into another of Rome's, or as bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import apsw

from rome.errors import NotSupportedError, OperationalError

if TYPE_CHECKING:
    from rome.dbapi.connection import Connection

Progress = Callable[[int, int, int], object]


def check_name(name: str) -> None:
    """Check that a name means the stored database.

    Raises:
        NotSupportedError: it is the temporary database.
        OperationalError: there is no database of this name.
    """
    if name.lower() == "temp":
        raise NotSupportedError("only the stored database can be copied, and not temporary tables")
    if name.lower() != "main":
        raise OperationalError(f"unknown database {name}")


def into_sqlite3(
    source: Connection, target: sqlite3.Connection, *, pages: int, progress: Progress | None, sleep: float
) -> None:
    """Replace the contents of a database of sqlite3's by what is committed; through a file, which is removed.

    Raises:
        OperationalError: the source's transaction has written something.
        sqlite3.Error: whatever sqlite3 raises.
    """
    with TemporaryDirectory(prefix="rome-backup-") as folder:
        path = Path(folder) / "database"
        with closing(apsw.Connection(str(path))) as image:
            image.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
            source.session.copy_into(image)
        with closing(sqlite3.connect(path)) as copy:
            copy.backup(target, pages=pages, progress=progress, sleep=sleep)


def into_rome(source: Connection, target: Connection) -> None:
    """Fill an empty database of Rome's in one transaction.

    Raises:
        OperationalError: it is not empty, or in a transaction.
        TransactionTooLargeError: the database is too large for one transaction.
    """
    if target.in_transaction:
        raise OperationalError("the target of backup() is in a transaction: COMMIT or ROLLBACK first")
    if target.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        target.rollback()
        raise OperationalError("the target of backup() is not empty: give it a new database, or drop its tables")
    try:
        for statement in source.iterdump():
            if statement not in ("BEGIN TRANSACTION;", "COMMIT;"):
                target.execute(statement)
        target.commit()
    except BaseException:
        target.rollback()
        raise


def to_bytes(source: Connection) -> bytes:
    """What is committed, as the bytes of an SQLite file."""
    with closing(apsw.Connection(":memory:")) as image:
        image.execute("CREATE TABLE rome_page (a); DROP TABLE rome_page")  # without a table the file would have no page
        source.session.copy_into(image)
        return image.serialize("main")
