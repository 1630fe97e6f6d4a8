"""Which rows the working set holds, which of them came from the store, and which the transaction touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from rome.codec.values import SqlValue
from rome.store.row_block import RowBlock

Identity = int | bytes
"""What identifies a row inside the working set: its rowid, or its row key in a WITHOUT ROWID table."""


class Stored(Struct, frozen=True, gc=False):
    """A row as the store holds it at the transaction's snapshot."""

    key: bytes
    version: int
    rowid: int
    values: Sequence[SqlValue]


class SequenceRow(Struct, frozen=True, gc=False):
    """How a transaction has changed a table's row in sqlite_sequence.

    Attributes:
        seq: may be NULL.
        present: False if the row was deleted.
        floor: the greatest id in the store, which COMMIT validates.
    """

    present: bool
    seq: int | None
    floor: int


class TableContents:
    """One table's rows.

    Attributes:
        hydrated: stored rows that were put in, whether or not they have been changed since.
        keys: their row keys. A row is never hydrated twice, since a deleted one would come back.
        touched: rows inserted, updated or deleted; the value finds the row again (see WorkingSet.final_row).
        whole: if True, touched rows are not known one by one, so all rows count as touched.
    """

    __slots__ = ("hydrated", "keys", "touched", "whole")

    def __init__(self) -> None:
        self.hydrated: dict[Identity, Stored] = {}
        self.keys: set[bytes] = set()
        self.touched: dict[Identity, tuple[SqlValue, ...]] = {}
        self.whole = False

    @property
    def count(self) -> int:
        """How many rows were hydrated."""
        return len(self.hydrated)

    def copy(self) -> TableContents:
        """A copy that later changes do not affect."""
        made = TableContents()
        made.hydrated, made.keys, made.touched = dict(self.hydrated), set(self.keys), dict(self.touched)
        made.whole = self.whole
        return made


class BlockContents(TableContents):
    """The rows of a table into which a block was inserted when it was empty.

    `hydrated` and `keys` are made of the block when they are first asked for, since most statements only read.

    Attributes:
        block: none of its rows is to be inserted again.
    """

    __slots__ = ("_decode", "_hydrated", "_keys", "block")

    def __init__(self, block: RowBlock, decode: Callable[[], dict[Identity, Stored]]) -> None:
        self.block, self._decode = block, decode
        self._hydrated: dict[Identity, Stored] | None = None
        self._keys: set[bytes] | None = None
        self.touched, self.whole = {}, False

    @property
    def hydrated(self) -> dict[Identity, Stored]:  # type: ignore[override]  # the map itself never changes
        """See TableContents."""
        if self._hydrated is None:
            self._hydrated = self._decode()
        return self._hydrated

    @property
    def keys(self) -> set[bytes]:  # type: ignore[override]
        """See TableContents."""
        if self._keys is None:
            self._keys = set(self.block.keys())
        return self._keys

    @property
    def count(self) -> int:
        """How many rows were hydrated."""
        return len(self.block) if self._hydrated is None else len(self._hydrated)

    def copy(self) -> BlockContents:
        """A copy that later changes do not affect."""
        made = BlockContents(self.block, self._decode)
        made._hydrated = None if self._hydrated is None else dict(self._hydrated)
        made._keys = None if self._keys is None else set(self._keys)
        made.touched, made.whole = dict(self.touched), self.whole
        return made

    def plain(self) -> TableContents:
        """The same rows without the block, which may be inserted again."""
        made = TableContents()
        made.hydrated, made.keys, made.touched, made.whole = self.hydrated, self.keys, self.touched, self.whole
        return made


LARGE_ROWS = 300
"""A table with no more rows is passed over so quickly that no index would gain much."""


class Contents:
    """The rows of all tables, by table id. Copied at every SAVEPOINT, restored by ROLLBACK TO.

    Attributes:
        sequences: the rows of sqlite_sequence that statements have written.
        large: some table has had more than LARGE_ROWS rows.
        lookups: the names of the indexes that were made for a while (rome.workingset.lookups).
    """

    def __init__(self) -> None:
        self.large = False
        self.lookups: set[str] = set()
        self.tables: dict[int, TableContents] = {}
        self.sequences: dict[int, SequenceRow] = {}

    def of(self, table_id: int) -> TableContents:
        """The rows of one table."""
        found = self.tables.get(table_id)
        if found is None:
            found = self.tables[table_id] = TableContents()
        return found

    def copy(self) -> Contents:
        """A copy that later changes do not affect."""
        made = Contents()
        made.tables = {table_id: contents.copy() for table_id, contents in self.tables.items()}
        made.sequences = dict(self.sequences)
        made.large, made.lookups = self.large, set(self.lookups)
        return made

    def is_dirty(self) -> bool:
        """Whether the transaction has changed anything."""
        return bool(self.sequences) or any(contents.touched or contents.whole for contents in self.tables.values())
