"""Write the database at one snapshot as a real SQLite file: a backup that any SQLite can open.

Tables keep their texts and rows their rowids; indexes are built when all rows are in. A file gets its name only when it
is complete and on the disk, so a backup that fails leaves nothing.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import apsw

from rome.catalog.rows import decode_row
from rome.catalog.schema import Table
from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.sequence_table import SequenceTable
from rome.engine.reading.reader import Reader
from rome.engine.statement.pragma import HEADER_FIELDS
from rome.errors import OperationalError
from rome.store.spi import BEYOND, ORDER_INDEX
from rome.transaction.read_set import Validation
from rome.workingset.blank import left_blank
from rome.workingset.sqlite_errors import translate
from rome.workingset.tables import statements_of

Equip = Callable[[apsw.Connection], None]
"""Defines on a connection the functions that generated columns, CHECK and indexes of the schema may call."""


def write(current: Attempt, path: str, equip: Equip) -> None:
    """Write the database to a file, as VACUUM INTO does. The transaction must not have written anything.

    Raises:
        OperationalError: the file exists and is not empty, or cannot be written.
        SnapshotTooOldError: writing took longer than superseded versions are kept. As after any error, no file is left.

    Cost: see fill.
    """
    if os.path.exists(path) and os.path.getsize(path):
        raise OperationalError("output file already exists")
    part = f"{path}.{secrets.token_hex(8)}.part"
    try:
        connection = apsw.Connection(part)
    except apsw.CantOpenError:
        raise OperationalError(f"unable to open database: {path}") from None
    try:
        # The file is not visible before it is complete, and is synced once then: no rollback journal is needed.
        for setting in ("journal_mode=OFF", "synchronous=OFF"):
            connection.execute(f"PRAGMA {setting}")
        fill(current, connection, equip)
        connection.close()
        _sync(Path(part))
        os.replace(part, path)
        _sync(Path(path).parent)
    finally:
        connection.close()
        with suppress(FileNotFoundError):
            os.unlink(part)


def fill(current: Attempt, connection: apsw.Connection, equip: Equip) -> None:
    """Copy the whole database, at the transaction's snapshot, into an empty SQLite database.

    Raises:
        SnapshotTooOldError: copying took longer than superseded versions are kept.
        rome.errors.Error: errors of the store and of SQLite (a full disk).

    Cost: reads every table chunk by chunk; the memory of one chunk. Nothing enters the read set.
    """
    equip(connection)
    reader, schema = current.reader, current.schema
    sequences = SequenceTable(current, Validation.NOTHING)
    items = list(schema.definition.master.values())
    try:
        # Rows are copied without checking constraints, as by SQLite's own VACUUM.
        connection.execute("PRAGMA ignore_check_constraints=ON; PRAGMA foreign_keys=OFF; BEGIN")
        for name in HEADER_FIELDS:
            connection.execute(f"PRAGMA {name} = {getattr(schema.definition.header, name)}")
        for item in items:
            if item.type == "table":
                connection.execute(item.sql)
        for table in schema.catalog.tables.values():
            _fill_table(reader, connection, table)
        if sequences.tables:
            connection.execute("DELETE FROM sqlite_sequence")
            connection.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", sequences.rows().items())
        for kind in ("index", "view", "trigger"):  # in the order in which SQLite creates objects that depend on others
            for item in items:
                if item.type == kind:
                    connection.execute(item.sql)
        connection.execute("COMMIT; PRAGMA ignore_check_constraints=OFF")
    except apsw.Error as error:
        raise translate(error) from error


def _fill_table(reader: Reader, connection: apsw.Connection, table: Table) -> None:
    statements = statements_of(table)
    blank = statements.idle_columns  # SQLite's VACUUM computes none of them: one may fail for a row
    with left_blank(connection, table, blank) if blank else nullcontext():
        for chunk in reader.transaction.chunks(table.id, ORDER_INDEX, b"", BEYOND):
            rows = [decode_row(table, row.key, row.record) for row in chunk]
            connection.executemany(statements.insert, statements.bindings(rows))


def _sync(path: Path) -> None:
    """Make sure that a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
