"""The database as a SQL script."""

from __future__ import annotations

from collections.abc import Iterator

from rome.catalog.reflected_table import quote
from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.sequence_table import SequenceTable
from rome.engine.reading.reader import Reader
from rome.engine.statement.foreign_keys import whole
from rome.transaction.read_set import Validation


def dump(current: Attempt) -> Iterator[str]:
    """The statements that create the database again: tables, their rows, indexes and views, and sqlite_sequence.

    All tables come first, and foreign keys wait for COMMIT, so that rows may refer to later rows where keys are
    enforced. (In sqlite3's own dump each table is followed by its rows, since keys are off there.)

    Cost: reads every table whole, one at a time.
    """
    reader = current.reader
    yield "BEGIN TRANSACTION;"
    yield "PRAGMA defer_foreign_keys=ON;"
    schema = reader.schema
    tables = [item for item in schema.definition.master.values() if item.type == "table"]
    for item in tables:
        yield f"{item.sql};"
    for item in tables:
        yield from _rows(reader, item.name)
    for item in schema.definition.master.values():
        if item.type != "table":
            yield f"{item.sql};"
    sequences = SequenceTable(current, Validation.ROWS)
    if sequences.tables:
        yield 'DELETE FROM "sqlite_sequence";'
        for name, seq in sequences.rows().items():
            literal = name.replace("'", "''")
            yield f"INSERT INTO \"sqlite_sequence\" VALUES('{literal}',{'NULL' if seq is None else seq});"
    yield "COMMIT;"


def _rows(reader: Reader, name: str) -> Iterator[str]:
    table = reader.schema.catalog.tables[name.lower()]
    want = whole(table)
    reader.read([want])
    reader.hydrate([want])
    columns = [quote(column.name) for column in table.columns if not column.generated]
    literals = "||','||".join(f"quote({column})" for column in columns)
    listed = f"({','.join(columns)})" if len(columns) < len(table.columns) else ""
    target = quote(name).replace("'", "''")
    listed = listed.replace("'", "''")
    for (text,) in reader.working_set.query(
        f"SELECT 'INSERT INTO {target}{listed} VALUES('||{literals}||');' FROM main.{quote(name)}", ()
    ):
        yield str(text)
