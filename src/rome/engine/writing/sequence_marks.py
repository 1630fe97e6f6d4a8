"""What the store keeps of sqlite_sequence: for each table a *mark*, in a sequence of its own, that commits raise.

The mark says what the table's row in sqlite_sequence shows: the greatest id that was ever committed. The table's
sequence is about ids that were handed out, which may be greater: some are in open transactions, or were rolled back.

    0: no commit has raised it (of a database that an earlier Rome has made, the rows tell)
    1: there is no row; 2: seq is NULL; n + 3: it is n

Invariant: a mark only ever rises, unless a statement on sqlite_sequence sets it; so commits need not agree about it.
"""

from __future__ import annotations

from typing import NamedTuple

from rome.engine.statement.schema import SchemaVersion
from rome.transaction.write_set import WriteSet
from rome.workingset.contents import TableContents
from rome.workingset.workingset import WorkingSet

UNKNOWN, DELETED, NULL, ZERO = range(4)
_FIRST = 1 << 40  # beyond every table's id


class Looked(NamedTuple):
    """What the store says of a table's ids: its mark; the keys and ids of its last rows, the last one first."""

    mark: int
    last: tuple[tuple[bytes, int], ...]


def mark_of(table_id: int) -> int:
    """The sequence that is the table's mark."""
    return _FIRST + table_id


def mark(present: bool, seq: int | None) -> int:
    """The number that stands for a row of sqlite_sequence."""
    if not present:
        return DELETED
    return NULL if seq is None else ZERO + seq


def greatest_new(contents: TableContents) -> int | None:
    """The greatest rowid that was inserted, even if it was deleted again; None if none was.

    A rowid set by UPDATE counts, too. (SQLite counts it with the next row that is inserted.)
    """
    new = contents.touched.keys() - contents.hydrated.keys()
    return max((rowid for rowid in new if isinstance(rowid, int)), default=None)


def note_sequences(working_set: WorkingSet, schema: SchemaVersion, writes: WriteSet) -> None:
    """Raise the marks of tables with AUTOINCREMENT that got rows; set what statements on sqlite_sequence have set."""
    tables, contents = schema.definition.tables_by_id, working_set.contents
    for table_id, found in contents.tables.items():
        table = tables.get(table_id)
        if table is not None and found.touched and table.autoincrement and table_id not in contents.sequences:
            new = greatest_new(found)
            if new is not None:
                writes.raise_sequence(mark_of(table_id), mark(True, max(0, new)))
    for table_id, row in contents.sequences.items():
        if table_id in tables:
            writes.set_sequence(table_id, max(row.seq or 0, row.floor))
            writes.set_sequence(mark_of(table_id), mark(row.present, row.seq))
