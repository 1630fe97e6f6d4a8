"""What the catalog knows of a table: columns, layouts, access paths, foreign keys. All values are immutable.

Names compare as in SQLite, case-insensitively: maps are keyed by `name.lower()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from rome.codec.rows import decoder
from rome.codec.values import Collation, SqlValue
from rome.sql.tokens import tokenize

Affinity = Literal["BLOB", "TEXT", "NUMERIC", "INTEGER", "REAL"]
ForeignKeyAction = Literal["NO ACTION", "RESTRICT", "SET NULL", "SET DEFAULT", "CASCADE"]

ROWID = -1
"""The position that stands for the rowid."""

EXPRESSION = -2
"""The position that stands for an expression."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. SQLite computes `generated` columns (VIRTUAL or STORED), and they are never stored.

    Attributes:
        id: unique in its table forever.
        default: the value that rows written before ADD COLUMN have.
    """

    id: int
    name: str
    affinity: Affinity
    collation: Collation
    not_null: bool
    generated: bool
    default: SqlValue


class Computed(NamedTuple):
    """What SQLite must compute from a row to know its key in an index.

    Attributes:
        keys: the SQL of each key column.
        condition: a row has an entry only if this is true; None if every row has one.
        columns: (name, affinity, collation) of the table's columns that the texts may mean, since a key depends on
            them.
    """

    keys: tuple[str, ...]
    condition: str | None
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Index:
    """An index; its entries in the store are ordered by its columns and then by row key.

    Attributes:
        id: its number in the store; ORDER_INDEX (0) for the table's own key.
        columns: positions in Table.columns; ROWID for the rowid, EXPRESSION for an expression.
        collations: one per column, under which the entries are encoded.
        computed: for a partial index, an expression index, or one over a generated column; None if entries consist of
            stored columns and every row has one.
    """

    id: int
    name: str
    unique: bool
    columns: tuple[int, ...]
    collations: tuple[Collation, ...]
    computed: Computed | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`columns` of the table that has it refer to `parent_columns` (names; None for the parent's primary key).

    If `deferred`, it may be INITIALLY DEFERRED, and is checked at COMMIT. (No PRAGMA tells: the table's text says so of
    some key. For an immediate key the check is needless and harmless.)
    """

    columns: tuple[int, ...]
    parent: str
    parent_columns: tuple[str, ...] | None
    on_update: ForeignKeyAction
    on_delete: ForeignKeyAction
    deferred: bool


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        key: the order index. Its columns are the declared primary key, or (ROWID,) without one; for INTEGER PRIMARY KEY
            the column that is the rowid's alias. If a row's declared primary key holds a NULL, the rowid is appended to
            its row key, since SQLite allows several such rows.
        rowid_alias: position of the INTEGER PRIMARY KEY column, or None.
        indexes: all other indexes, in SQLite's order.
        layout: number of the layout in which new records are written.
        layouts: {number of a layout: column ids, in the order in which a record holds their values}.
    """

    id: int
    name: str
    columns: tuple[Column, ...]
    key: Index
    indexes: tuple[Index, ...]
    foreign_keys: tuple[ForeignKey, ...]
    rowid_alias: int | None
    without_rowid: bool
    layout: int
    layouts: Mapping[int, tuple[int, ...]]
    sql: str

    @cached_property
    def positions(self) -> dict[str, int]:
        """{column name in lower case: position}"""
        return {column.name.lower(): position for position, column in enumerate(self.columns)}

    @cached_property
    def autoincrement(self) -> bool:
        """Whether its CREATE TABLE says AUTOINCREMENT, so that sqlite_sequence has a row for it."""
        return "AUTOINCREMENT" in self.sql.upper() and any(
            token.word == "AUTOINCREMENT" for token in tokenize(self.sql)
        )

    @cached_property
    def has_generated(self) -> bool:
        """Whether the table has a generated column."""
        return any(column.generated for column in self.columns)

    @cached_property
    def stored_positions(self) -> tuple[int, ...]:
        """Positions of the columns whose values a record of the current layout holds, in its order."""
        return self.layout_positions[self.layout]

    @cached_property
    def layout_positions(self) -> dict[int, tuple[int, ...]]:
        """{number of a layout: position of each of its columns}; -1 for a column that was dropped since."""
        by_id = {column.id: position for position, column in enumerate(self.columns)}
        return {number: tuple(by_id.get(column, -1) for column in ids) for number, ids in self.layouts.items()}

    @cached_property
    def whole_layouts(self) -> dict[int, int]:
        """{number of a layout whose records hold every column except the rowid's alias, in order: how many values}"""
        every = tuple(position for position in range(len(self.columns)) if position != self.rowid_alias)
        return {number: len(every) for number, positions in self.layout_positions.items() if positions == every}

    @cached_property
    def decode_whole(self) -> Callable[[bytes], tuple[Any, ...]] | None:
        """Decodes a record of the table's own layout; None if that is not a whole one (see codec.rows.decoder)."""
        values = self.whole_layouts.get(self.layout)
        return None if values is None else decoder(self.layout, values)

    @cached_property
    def guarding(self) -> frozenset[int]:
        """Positions, possibly ROWID, of the columns that decide against which other rows a new row is checked."""
        unique = (index.columns for index in self.indexes if index.unique and index.computed is None)
        return frozenset().union(self.key.columns, *unique, *(key.columns for key in self.foreign_keys))

    @cached_property
    def blank_row(self) -> tuple[SqlValue, ...]:
        """What a row has for columns that its record's layout does not know."""
        return tuple(column.default for column in self.columns)

    @cached_property
    def paths(self) -> tuple[Index, ...]:
        """The indexes that lead to all rows by the values of columns, the order index first."""
        return (self.key, *(index for index in self.indexes if index.computed is None))

    @cached_property
    def computed(self) -> tuple[Index, ...]:
        """The indexes whose keys SQLite must compute."""
        return tuple(index for index in self.indexes if index.computed is not None)

    @cached_property
    def index_ids(self) -> frozenset[int]:
        """The ids of the indexes, without that of the table's own key."""
        return frozenset(index.id for index in self.indexes)

    def indexes_beyond(self, before: Table) -> list[Index]:
        """The indexes that an earlier form of the table lacks, or of which it has other entries."""
        return [index for index in self.indexes if index.id not in before.index_ids]


@dataclass(frozen=True)
class View:
    """A view; SQLite interprets its text."""

    id: int
    name: str
    sql: str


@dataclass(frozen=True)
class Catalog:
    """The schema of a database as of one catalog version.

    Attributes:
        temporary: lower-case names of the connection's temporary tables and views, which hide stored ones.
    """

    version: int
    tables: Mapping[str, Table]
    views: Mapping[str, View]
    temporary: frozenset[str] = frozenset()

    def is_stored(self, schema: str, name: str) -> bool:
        """Whether a name can mean a stored object.

        Args:
            schema: as the statement gives it, or "".
            name: in lower case.
        """
        return schema == "main" or (not schema and name not in self.temporary)

    @cached_property
    def referencing(self) -> dict[str, list[tuple[Table, ForeignKey]]]:
        """{name of a parent in lower case: foreign keys that refer to it, each with its table}"""
        found: dict[str, list[tuple[Table, ForeignKey]]] = {}
        for table in self.tables.values():
            for foreign_key in table.foreign_keys:
                found.setdefault(foreign_key.parent.lower(), []).append((table, foreign_key))
        return found
