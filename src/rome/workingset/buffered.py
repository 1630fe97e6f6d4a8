"""Changes of rows that are known without SQLite, and that SQLite has not made yet.

Most transactions that insert or change a row end without looking at it again. So the row, as it is known to become, is
kept here for COMMIT, and SQLite runs the statement only if something is going to look into the working set.

Invariant: no row is changed twice, so the changes of a table say what each of its rows has become, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from rome.catalog.schema import Index, Table
from rome.codec.values import SqlValue
from rome.workingset.contents import Stored


class BufferedChange(Struct, frozen=True, gc=False):
    """A row that a statement inserts, changes or deletes, and what it makes of it.

    Attributes:
        sql: None: the statement of the change before makes this one, too.
        before: the row as the store has it; None: it is inserted.
        is_here: whether SQLite has that row already.
        key, rowid: of the row; one that is changed keeps them.
        values: the row afterwards; None: it is deleted.
        next_rowid: the id that SQLite is to choose for the first row; None if the statement sets it, or inserts none.
        positions: the columns that it sets, if it changes a row.
        indexes: those in which the row may have another entry afterwards.
    """

    table: Table
    sql: str | None
    parameters: Sequence[SqlValue]
    before: Stored | None
    is_here: bool
    key: bytes
    rowid: int
    values: tuple[SqlValue, ...] | None
    next_rowid: int | None
    positions: Sequence[int]
    indexes: Sequence[Index]


class BufferedTable(Struct, gc=False):
    """The changes of one table, in the order of their statements.

    Attributes:
        greatest: the greatest rowid of theirs.
        unique: (index id, key) of the rows that are inserted, in unique indexes; None if nobody has asked.
    """

    changes: list[BufferedChange] = field(default_factory=list)
    greatest: int = 0
    unique: set[tuple[int, bytes]] | None = None
