"""What a row must satisfy to matter: the few forms of predicate that can bound an index.

Invariant: every predicate is implied by the conjunct from which it was made, so a row that fails the predicate fails
the conjunct, too. What else a conjunct says is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from rome.catalog.schema import ROWID, Affinity, Table
from rome.codec.values import Collation, SqlValue
from rome.planner.parse.affinity import Uncertain


class Leaf:
    """One mention of a base table in the statement.

    Attributes:
        context: predicates that a row must all satisfy, together with rows of the other tables, to matter.
        opaque: positions of columns in conditions from which no predicate was made; only EXPLAIN ROME uses them.
    """

    __slots__ = ("context", "opaque", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.context: Sequence[Predicate] = ()
        self.opaque: tuple[int, ...] = ()


class Source:
    """Something in a FROM clause that has columns; compared by identity.

    The columns of a base table are made when they are asked for, since a statement's conditions name few of them.

    Attributes:
        complete: whether no other name can be a column.
        hidden: columns that USING merged into one further left.
    """

    __slots__ = ("_named", "_order", "_stored", "complete", "hidden", "leaf", "name")

    def __init__(self, name: str, leaf: Leaf | None = None) -> None:
        self.name = name
        self.leaf = leaf
        self._named: dict[str, ColumnTerm] = {}
        self._order: list[ColumnTerm] = []
        self._stored: dict[int, ColumnTerm] = {}
        self.complete = True
        self.hidden: set[str | None] = set()

    def add(self, name: str | None, column: ColumnTerm) -> None:
        """Add a column to what is no base table; the first one of a name (in lower case) has it."""
        self._order.append(column)
        if name is not None:
            self._named.setdefault(name, column)

    def column(self, name: str) -> ColumnTerm | None:
        """The column of this name (in lower case)."""
        if self.leaf is None:
            return self._named.get(name)
        position = self.leaf.table.positions.get(name)
        return None if position is None else self.stored(position)

    def stored(self, position: int) -> ColumnTerm:
        """The column of a base table at this position, or its rowid."""
        known = self._stored.get(position)
        if known is None:
            assert self.leaf is not None
            affinity: Affinity = "INTEGER"
            collation: Collation = "BINARY"
            if position != ROWID:
                column = self.leaf.table.columns[position]
                affinity, collation = column.affinity, column.collation
            known = self._stored[position] = ColumnTerm((self,), ((self.leaf, position),), affinity, collation)
        return known

    def columns(self) -> dict[str, ColumnTerm]:
        """{name in lower case: column}."""
        if self.leaf is None:
            return self._named
        return {name: self.stored(position) for name, position in self.leaf.table.positions.items()}

    def order(self) -> list[ColumnTerm]:
        """All columns, including unnamed ones."""
        if self.leaf is None:
            return self._order
        return [self.stored(position) for position in range(len(self.leaf.table.columns))]


class ColumnTerm(Struct, frozen=True, eq=False):
    """A column as an expression sees it.

    It has two meanings that must not be confused. As a value, it is NULL or one of the values of its `origins`, in
    whichever row: keys can be made of all of them. As `origin`, it is the current row itself: what a condition says of
    the column, it says of that row. The second meaning ends where the path of `sources` from the FROM item down to the
    stored row ends: at a scalar subquery, a compound, or a query that shows a column of the query around it.

    Attributes:
        sources: what it is a column of: the FROM item, and the items inside if that is a derived table. If one of them
            is the missing side of an outer join, the column is NULL.
        origins: the stored columns whose values it may show (or NULL); empty if it shows something else.
        affinity, collation: those that comparisons use. Without origins they are not known; a function's result
            has no affinity.
        in_row: whether the value is from the same row as the columns beside it; not so for max(x) and min(x).
    """

    sources: tuple[Source, ...]
    origins: tuple[tuple[Leaf, int], ...] = ()
    affinity: Affinity | None = None
    collation: Collation | None = None
    in_row: bool = True

    @property
    def origin(self) -> tuple[Leaf, int] | None:
        """The stored column of the current row; None if the value may be another row's, or another column's."""
        if len(self.origins) != 1 or not self.in_row or not self.sources:
            return None
        origin = self.origins[0]
        return origin if self.sources[-1].leaf is origin[0] else None

    def detached(self) -> ColumnTerm:
        """The value alone, without the row that it came from."""
        return replace(self, sources=(), in_row=False)


class SlotValue(Struct, frozen=True):
    """The value of a slot; if `many`, the values of a run of parameters."""

    slot: int
    many: bool = False


class FixedValue(Struct, frozen=True):
    """A literal of a view, or NULL."""

    value: SqlValue | Uncertain


Operand = SlotValue | FixedValue
Operator = Literal["<", "<=", ">", ">="]


class InList(Struct, frozen=True, eq=False):
    """`columns` equal one of `rows`, value by value; if `null_safe`, by IS, so that NULL equals NULL.

    In a row of one value, the slot may be a run of parameters, which stands for as many rows.
    """

    columns: tuple[ColumnTerm, ...]
    rows: tuple[tuple[Operand, ...], ...]
    collations: tuple[Collation, ...]
    null_safe: bool = False

    @property
    def is_single(self) -> bool:
        """Whether there is exactly one row."""
        return len(self.rows) == 1 and not any(isinstance(value, SlotValue) and value.many for value in self.rows[0])


class EqualColumns(Struct, frozen=True, eq=False):
    """`left = right`, compared under `collation`."""

    left: ColumnTerm
    right: ColumnTerm
    collation: Collation


class RowBound(Struct, frozen=True, eq=False):
    """A row of columns lies on one side of a row of values, compared from left to right: `(a, b) > (1, 2)`."""

    operator: Operator
    columns: tuple[ColumnTerm, ...]
    operands: tuple[Operand, ...]
    collations: tuple[Collation, ...]


class RangeBound(Struct, frozen=True, eq=False):
    """`column` lies on one side of a value.

    Attributes:
        row: what it is the first column of; the bound itself is then what follows for this column alone.
    """

    column: ColumnTerm
    operator: Operator
    operand: Operand
    collation: Collation
    row: RowBound | None = None


class NotNull(Struct, frozen=True, eq=False):
    """The columns are not NULL; nothing else is known."""

    columns: tuple[ColumnTerm, ...]


class AnyOf(Struct, frozen=True, eq=False):
    """At least one of the branches holds. Each branch is a conjunction, and none is empty."""

    branches: tuple[tuple[Predicate, ...], ...]


Predicate = InList | EqualColumns | RangeBound | NotNull | AnyOf


def columns_of(predicate: Predicate) -> Iterable[ColumnTerm]:
    """Every column that a predicate mentions."""
    if isinstance(predicate, AnyOf):
        for branch in predicate.branches:
            for part in branch:
                yield from columns_of(part)
    elif isinstance(predicate, EqualColumns):
        yield predicate.left
        yield predicate.right
    elif isinstance(predicate, RangeBound):
        yield predicate.column
    else:
        yield from predicate.columns


def mentions(predicate: Predicate, sources: set[Source]) -> bool:
    """Whether the predicate mentions a column of one of the sources."""
    return any(source in sources for column in columns_of(predicate) for source in column.sources)


def is_about(predicate: Predicate, leaf: Leaf) -> bool:
    """Whether the predicate says something of the leaf's current row."""
    return any(column.origin is not None and column.origin[0] is leaf for column in columns_of(predicate))


def rejects_null(predicate: Predicate, sources: set[Source]) -> bool:
    """Whether the predicate is false or NULL if all columns of all these sources are NULL."""
    if isinstance(predicate, AnyOf):
        return all(any(rejects_null(part, sources) for part in branch) for branch in predicate.branches)
    if isinstance(predicate, InList) and predicate.null_safe:
        return False
    return any(source in sources for column in columns_of(predicate) for source in column.sources)


def is_stored(table: Table, position: int) -> bool:
    """Whether a stored row contains this column's value."""
    return position != ROWID and not table.columns[position].generated
