"""Tables that the target has already, as a service's own migrations make them: only rows are copied."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.engine import Engine

from rome.transfer.errors import TransferError
from rome.transfer.family import is_sqlites
from rome.transfer.note import Note
from rome.transfer.schema import Schema, TableWays, plain


def existing_tables(source: Engine, target: Engine, schema: Schema) -> tuple[list[TableWays], list[Note]]:
    """The target's own tables beside the source's, and what is noted of them.

    Raises:
        TransferError: a table lacks a column.
    """
    names = [ways.source.name for ways in schema.tables]
    metadata = MetaData()
    metadata.reflect(target, only=names)
    tables = []
    as_stored = is_sqlites(source) and is_sqlites(target)
    for read, written in schema.tables:
        found = metadata.tables[read.name]
        columns = {column.name.lower(): column for column in found.columns if column.computed is None}
        missing = [column.name for column in read.columns if column.name.lower() not in columns]
        if missing:
            raise TransferError(
                f"table {read.name} of the target lacks {', '.join(missing)}: the two schemas have to be the same, as "
                "the same version of a service makes them"
            )
        made = plain(target, found, [columns[column.name.lower()] for column in read.columns])
        tables.append(TableWays(read, written if as_stored else made))
    return tables, [note for note in schema.notes if note.of_values]
