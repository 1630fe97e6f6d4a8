"""What the catalog knows of a table: columns, layouts, access paths, foreign keys. Immutable values.

Names compare as SQLite does (case-insensitively): maps are keyed by `name.lower()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from rome.codec.values import Collation, SqlValue
from rome.sql.tokens import tokenize

Affinity = Literal["BLOB", "TEXT", "NUMERIC", "INTEGER", "REAL"]
ForeignKeyAction = Literal["NO ACTION", "RESTRICT", "SET NULL", "SET DEFAULT", "CASCADE"]

ROWID = -1
"""Stands for the rowid where a column position is asked for."""

EXPRESSION = -2
"""Stands for what is no column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `generated` columns (VIRTUAL or STORED) are computed by SQLite and never stored.

    `id` is unique in its table for ever; `default` is the value that rows written before ADD COLUMN have.
    """

    id: int
    name: str
    affinity: Affinity
    collation: Collation
    not_null: bool
    generated: bool
    default: SqlValue


class Computed(NamedTuple):
    """What SQLite has to compute of a row to know its key in an index.

    Attributes:
        keys: the SQL of each key column. `condition`: a row has an entry only where it is true; None: every row has.
        columns: name, affinity, collation of the table's columns that the texts may mean, on which a key depends, too.
    """

    keys: tuple[str, ...]
    condition: str | None
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Index:
    """An index; its entries in the store are ordered by its columns and then by row key.

    Attributes:
        id: number in the store; ORDER_INDEX (0) for the table's own key.
        columns: positions in Table.columns, ROWID for the rowid, EXPRESSION for an expression.
        collations: one per column; the entries are encoded under it.
        computed: of a partial or expression index and one over a generated column; None: its entries are made of the
            columns alone, and every row has one.
    """

    id: int
    name: str
    unique: bool
    columns: tuple[int, ...]
    collations: tuple[Collation, ...]
    computed: Computed | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`columns` of the table that has it refer to `parent_columns` (names, None: the parent's primary key).

    `deferred`: it may be INITIALLY DEFERRED (no PRAGMA tells; the table's text says so of some key of it), and so
    is checked at COMMIT; for an immediate key that check is needless and harmless.
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
        key: the order index. Its columns are the declared primary key; (ROWID,) when there is none; the column that
            is the rowid's alias for INTEGER PRIMARY KEY. A row whose declared primary key holds a NULL has its rowid
            appended to its row key, since SQLite allows several such rows.
        rowid_alias: position of the INTEGER PRIMARY KEY column, or None.
        indexes: all others, in SQLite's order.
        layout: number of the layout that new records are written with.
        layouts: layout number -> column ids, in the order in which a record holds their values.
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
        """Column name in lower case -> position."""
        return {column.name.lower(): position for position, column in enumerate(self.columns)}

    @cached_property
    def autoincrement(self) -> bool:
        """Whether its CREATE TABLE says AUTOINCREMENT, so that sqlite_sequence has a row for it."""
        return "AUTOINCREMENT" in self.sql.upper() and any(
            token.word == "AUTOINCREMENT" for token in tokenize(self.sql)
        )

    @cached_property
    def has_generated(self) -> bool:
        return any(column.generated for column in self.columns)

    @cached_property
    def stored_positions(self) -> tuple[int, ...]:
        """Positions of the columns whose values a record of the current layout holds, in its order."""
        return self.layout_positions[self.layout]

    @cached_property
    def layout_positions(self) -> dict[int, tuple[int, ...]]:
        """Layout number -> position of each of its columns; -1 for a column that was dropped since."""
        by_id = {column.id: position for position, column in enumerate(self.columns)}
        return {number: tuple(by_id.get(column, -1) for column in ids) for number, ids in self.layouts.items()}

    @cached_property
    def whole_layouts(self) -> dict[int, int]:
        """Layouts whose records hold every column but the rowid's alias, in order -> how many values that is."""
        every = tuple(position for position in range(len(self.columns)) if position != self.rowid_alias)
        return {number: len(every) for number, positions in self.layout_positions.items() if positions == every}

    @cached_property
    def guarding(self) -> frozenset[int]:
        """Positions, ROWID among them, whose values decide by which other rows a new row is checked."""
        unique = (index.columns for index in self.indexes if index.unique and index.computed is None)
        return frozenset().union(self.key.columns, *unique, *(key.columns for key in self.foreign_keys))

    @cached_property
    def blank_row(self) -> tuple[SqlValue, ...]:
        """What a record's row holds for columns that its layout does not know."""
        return tuple(column.default for column in self.columns)

    @cached_property
    def paths(self) -> tuple[Index, ...]:
        """What leads to all rows by the values of columns, the order index first."""
        return (self.key, *(index for index in self.indexes if index.computed is None))

    @cached_property
    def computed(self) -> tuple[Index, ...]:
        """The indexes whose keys SQLite has to compute."""
        return tuple(index for index in self.indexes if index.computed is not None)

    def indexes_beyond(self, before: Table) -> list[Index]:
        """The indexes that an earlier form of the table lacks, or has other entries of."""
        had = {index.id for index in before.indexes}
        return [index for index in self.indexes if index.id not in had]


@dataclass(frozen=True)
class View:
    """A view; its text is SQLite's."""

    id: int
    name: str
    sql: str


@dataclass(frozen=True)
class Catalog:
    """The schema of a database as of one catalog version.

    Attributes:
        temporary: lower-case names of the connection's temporary tables and views, which hide those stored.
    """

    version: int
    tables: Mapping[str, Table]
    views: Mapping[str, View]
    temporary: frozenset[str] = frozenset()

    def is_stored(self, schema: str, name: str) -> bool:
        """Whether a name in lower case, with the schema that a statement gives it, or "", can be a stored object's."""
        return schema == "main" or (not schema and name not in self.temporary)

    @cached_property
    def referencing(self) -> dict[str, list[tuple[Table, ForeignKey]]]:
        """Parent's name in lower case -> the foreign keys that refer to it, with the tables that have them."""
        found: dict[str, list[tuple[Table, ForeignKey]]] = {}
        for table in self.tables.values():
            for foreign_key in table.foreign_keys:
                found.setdefault(foreign_key.parent.lower(), []).append((table, foreign_key))
        return found
