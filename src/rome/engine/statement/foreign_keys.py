"""How foreign keys lead from a row to its parents and its children, as far as the schema alone tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from rome.catalog.schema import ROWID, Catalog, ForeignKey, Table
from rome.codec.keys import encode_key
from rome.codec.values import Collation, SqlValue
from rome.store.spi import BEYOND, ORDER_INDEX
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest


def whole(table: Table) -> ReadRequest:
    """A request for the whole table, row by row."""
    return ReadRequest(table.id, ORDER_INDEX, (), ((b"", BEYOND),), Validation.ROWS)


class RowLookup(Struct, frozen=True, gc=False):
    """The way to the rows of a table whose columns equal given values.

    Attributes:
        index_id: of the path that leads there; `order` says which of the given values is its first column, its second
            and so on. None: no path does, and the rows are those of the whole table.
        is_row_key: the values are a row key.
    """

    table: Table
    index_id: int | None
    order: tuple[int, ...]
    collations: tuple[Collation, ...]
    is_row_key: bool

    def request(self, values: Sequence[SqlValue]) -> ReadRequest:
        """The rows with these values, none of which is NULL."""
        if self.index_id is None:
            return whole(self.table)
        key = encode_key(map(values.__getitem__, self.order), self.collations)
        if self.is_row_key:
            return ReadRequest(self.table.id, ORDER_INDEX, (key,), (), Validation.KEYS)
        return ReadRequest(self.table.id, self.index_id, (), ((key, key + b"\xff"),), Validation.KEYS)


class ParentLookup(Struct, frozen=True, gc=False):
    """A foreign key of a table, and the way to the row that it names.

    Attributes:
        columns: positions of the child's columns.
        is_computed: one of them is generated.
        positions: of the parent's columns, in the same order.
    """

    columns: tuple[int, ...]
    is_computed: bool
    parent: Table
    positions: tuple[int, ...]
    rows: RowLookup


class ChildLookup(Struct, frozen=True, gc=False):
    """A foreign key that refers to a table, and the way to the rows that name one of the table's rows by it.

    Attributes:
        positions: of the columns of the table referred to.
        is_computed: one of them is generated.
    """

    positions: tuple[int, ...]
    is_computed: bool
    child: Table
    key: ForeignKey
    rows: RowLookup


def parent_lookups(catalog: Catalog, table: Table) -> tuple[ParentLookup, ...]:
    """The parents of a table's rows; foreign keys to tables that do not exist have none."""
    found = []
    for key in table.foreign_keys:
        parent = catalog.tables.get(key.parent.lower())
        if parent is not None:
            positions = parent_positions(parent, key)
            rows = lookup(parent, positions, table, key.columns)
            found.append(ParentLookup(key.columns, are_computed(table, key.columns), parent, positions, rows))
    return tuple(found)


def child_lookups(catalog: Catalog, table: Table) -> tuple[ChildLookup, ...]:
    """The children of a table's rows."""
    found = []
    for child, key in catalog.referencing.get(table.name.lower(), ()):
        positions = parent_positions(table, key)
        rows = lookup(child, key.columns, table, positions)
        found.append(ChildLookup(positions, are_computed(table, positions), child, key, rows))
    return tuple(found)


def lookup(table: Table, positions: Sequence[int], other: Table, other_positions: Sequence[int]) -> RowLookup:
    """The way to the rows of `table` whose columns equal the values of another table's columns.

    Foreign keys compare with the parent's affinity and collation: an index leads to the rows only where both sides
    have the same of both. Otherwise it is the whole table.
    """
    if len(positions) == len(other_positions) and compare_alike(table, positions, other, other_positions):
        for path in table.paths:
            leading = path.columns[: len(positions)]
            if set(leading) == set(positions) and all(
                collation == _comparison(table, position)[1]
                for position, collation in zip(leading, path.collations, strict=False)
            ):
                order = tuple(_last(positions, position) for position in leading)
                is_row_key = path.id == ORDER_INDEX and len(path.columns) == len(positions)
                return RowLookup(table, path.id, order, path.collations, is_row_key)
    return RowLookup(table, None, (), (), False)


def _last(positions: Sequence[int], position: int) -> int:
    """The place of a position; if a foreign key names a column twice, the later place."""
    return max(at for at, each in enumerate(positions) if each == position)


def rows_by(
    table: Table, positions: Sequence[int], values: Sequence[SqlValue], other: Table, other_positions: Sequence[int]
) -> ReadRequest:
    """The rows of `table` whose columns equal the values of another table's columns; see `lookup`."""
    if len(positions) != len(values):
        return whole(table)
    return lookup(table, positions, other, other_positions).request(values)


def compare_alike(table: Table, positions: Sequence[int], other: Table, other_positions: Sequence[int]) -> bool:
    """Whether the columns of both sides have the same affinity and collation."""
    return all(
        _comparison(table, mine) == _comparison(other, theirs)
        for mine, theirs in zip(positions, other_positions, strict=True)
    )


def _comparison(table: Table, position: int) -> tuple[str, str]:
    if position == ROWID:
        return "INTEGER", "BINARY"
    column = table.columns[position]
    return column.affinity, column.collation


def are_computed(table: Table, positions: Iterable[int]) -> bool:
    """Whether one of the columns is generated, so that a row's values do not show it."""
    return table.has_generated and any(
        position != ROWID and bool(table.columns[position].generated) for position in positions
    )


def parent_positions(parent: Table, key: ForeignKey) -> tuple[int, ...]:
    """Positions of the parent's columns that a foreign key refers to; those it does not have are left out."""
    if key.parent_columns is None:
        return parent.key.columns
    return tuple(parent.positions[name.lower()] for name in key.parent_columns if name.lower() in parent.positions)


def are_usual(catalog: Catalog, table: Table) -> bool:
    """Whether all foreign keys from and to a table are immediate, and name parent keys that SQLite knows as such.

    Then to add a row whose parents are there violates none, and SQLite has nothing to say against it.
    """
    keys = [(catalog.tables.get(key.parent.lower()), key) for key in table.foreign_keys]
    keys += [(table, key) for _, key in catalog.referencing.get(table.name.lower(), ())]
    return all(parent is not None and not key.deferred and _is_unique(parent, key) for parent, key in keys)


def _is_unique(parent: Table, key: ForeignKey) -> bool:
    """Whether a foreign key refers to the primary key, or to a unique index, under the columns' own collations."""
    positions = parent_positions(parent, key)
    if len(positions) != len(key.columns) or ROWID in positions:
        return False
    return any(
        (path is parent.key or path.unique)
        and sorted(path.columns) == sorted(positions)
        and all(
            collation == parent.columns[position].collation
            for position, collation in zip(path.columns, path.collations, strict=True)
        )
        for path in parent.paths
    )
