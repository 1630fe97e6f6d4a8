"""Checks that the index entries in the store match its rows."""

from __future__ import annotations

from rome.dbapi import Connection
from rome.engine.attempt.attempt import Attempt
from rome.engine.statement.foreign_keys import whole
from rome.store.spi import BEYOND, Scan, ScanResult


def check_entries(connection: Connection) -> None:
    """Assert that every index leads to the rows that have an entry in it, in order, and to no others.

    Reaches below the driver, as no statement tells: a plan may use another index. A transaction must be open.
    """
    session = connection._session
    assert session is not None
    attempt = session._replay.state
    assert isinstance(attempt, Attempt)
    reader = attempt.reader
    for table in reader.schema.catalog.tables.values():
        reader.read([whole(table)])
        rows = reader.stored(table, whole(table))
        entries = [
            (index.id, key + row.key, row.key)
            for row in rows
            for index, key in reader.working_set.entries(table, row.rowid, row.values)
        ]
        for index in table.indexes:
            request = Scan(table.id, index.id, b"", BEYOND)
            (found,) = session._context.store.read(reader.transaction.snapshot, [request]).answers
            assert isinstance(found, ScanResult)
            expected = [row_key for number, _, row_key in sorted(entries) if number == index.id]
            assert [row.key for row in found.rows] == expected, f"entries of {index.name}"
