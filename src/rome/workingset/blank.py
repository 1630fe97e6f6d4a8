"""VIRTUAL columns that are not computed while stored rows are hydrated.

SQLite computes all generated columns of a row that it inserts, and refuses the row if one of them fails. But ALTER
TABLE ADD COLUMN does not compute a new VIRTUAL column for existing rows: SQLite reads, changes and deletes a row whose
column fails, and only statements that use the column get an error. So that hydration can insert such a row, the table's
text says NULL for a moment in place of those columns' expressions. Nothing stored depends on them: a VIRTUAL column is
not part of a record, and columns that a key, an index or a STORED column needs are left as they are (they were computed
when the row was written).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import apsw

from rome.catalog.schema import Index, Table
from rome.sql.create_table import CreateTable
from rome.sql.tokens import identifier, tokenize


def idle_columns(table: Table, indexes: Iterable[Index]) -> frozenset[str]:
    """Lower-case names of the VIRTUAL columns on which nothing stored depends.

    Args:
        indexes: the table's indexes that are kept up to date.
    """
    if not table.has_generated:
        return frozenset()
    virtual, needed_by_table = _read(table.sql)
    needed = set(needed_by_table)
    for index in indexes:
        needed.update(table.columns[position].name.lower() for position in index.columns if position >= 0)
        if index.computed is not None:
            for part in (*index.computed.keys, index.computed.condition or ""):
                needed.update(identifier(token).lower() for token in tokenize(part) if token.kind in ("word", "quoted"))
    more = needed
    while more:
        more = {name for column in more & virtual.keys() for name in virtual[column]} - needed
        needed |= more
    return frozenset(virtual.keys() - needed)


@lru_cache(maxsize=256)
def _read(sql: str) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """What a CREATE TABLE says of its VIRTUAL columns; see CreateTable."""
    text = CreateTable(sql)
    return text.virtual_columns(), text.needed_by_stored()


@contextmanager
def left_blank(connection: apsw.Connection, table: Table, columns: frozenset[str]) -> Iterator[None]:
    """Inside the block, these columns of the table are NULL, and CHECK is not enforced.

    The caller has a savepoint, which undoes the block's changes and the change of the text if anything is raised. The
    schema's version changes with the text, so that SQLite notices the undo.

    Cost: 100 µs, and SQLite prepares every statement again when it runs next.
    """
    select = "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?"
    (before,) = next(connection.execute(select, (table.name,)))
    _put_text(connection, table, CreateTable(before).with_blank(columns))
    ((ignored,),) = connection.execute("PRAGMA ignore_check_constraints").fetchall()
    connection.execute("PRAGMA ignore_check_constraints=ON")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA ignore_check_constraints={ignored}")
    _put_text(connection, table, before)


def _put_text(connection: apsw.Connection, table: Table, text: str) -> None:
    (version,) = next(connection.execute("PRAGMA main.schema_version"))
    connection.execute("PRAGMA writable_schema=ON")
    try:
        update = "UPDATE main.sqlite_master SET sql = ? WHERE type = 'table' AND name = ?"
        connection.execute(update, (text, table.name))
        connection.execute(f"PRAGMA main.schema_version={version + 1}")
    finally:
        connection.execute("PRAGMA writable_schema=RESET")
