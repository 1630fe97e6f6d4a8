"""Changes of one row that are known without SQLite, and that SQLite has not made yet.

Most transactions that insert or change a row end without looking at it again. So the row, as it is known to become, is
kept here for COMMIT, and SQLite runs the statement only if something is going to look into the working set.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rome.catalog.schema import Index, Table
from rome.codec.values import SqlValue
from rome.workingset.contents import Stored


class BufferedChange(Struct, frozen=True, gc=False):
    """A statement that inserts or changes one row, and what it makes of it.

    Attributes:
        before: the row as the store has it; None: it is inserted.
        is_here: whether SQLite has that row already.
        key, rowid, values: the row afterwards; a row that is changed keeps its key.
        next_rowid: the id that SQLite is to choose; None if the statement sets it, or changes a row.
        positions: the columns that it sets, if it changes a row.
        indexes: those in which the row may have another entry afterwards.
    """

    table: Table
    sql: str
    parameters: Sequence[SqlValue]
    before: Stored | None
    is_here: bool
    key: bytes
    rowid: int
    values: tuple[SqlValue, ...]
    next_rowid: int | None
    positions: Sequence[int]
    indexes: Sequence[Index]
