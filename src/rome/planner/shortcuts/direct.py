"""SELECTs that show stored rows of one table as they are; Rome answers them without SQLite.

Invariant: WHERE only compares columns for equality with values, so a row passes exactly if its key in an index of all
these columns would be a key of the values. If there are several rows, they come in SQLite's order: that of ORDER BY, if
no two rows are equal in it; without ORDER BY that of the rowids, unless SQLite may walk an index with another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

from msgspec import Struct
from sqlglot import exp

from rome.catalog.rows import place_in_record
from rome.catalog.schema import ROWID, Index, Table
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.access import Access, exact
from rome.planner.access.bounds import WHOLE, Inputs, UncertainValue, exact_keys
from rome.planner.access.points import PointRead
from rome.planner.algebra.conjuncts import operand_of, position_of
from rome.planner.algebra.predicates import ColumnTerm, InList, Leaf, Operand
from rome.planner.algebra.query import QueryReader
from rome.planner.algebra.scope import Scope
from rome.planner.parse.canonical import Slot
from rome.planner.plan import DirectChoice, DirectPlan, DirectRows, Values
from rome.planner.shortcuts.page_order import Sorted, sorted_by
from rome.store.spi import BEYOND

_ARGS = frozenset(["expressions", "from_", "where", "order", "limit", "offset"])
_NOT_STORED = -1
"""The id of the imagined index that would hold all columns of WHERE; no index in the store has it."""
_NO_LIMIT = (1 << 63) - 1


class DirectRead(Struct, frozen=True):
    """A statement that shows rows as they are.

    Attributes:
        compared: the columns of WHERE, as an access through the imagined index that would hold them all.
        single: whether each of these columns has one value.
        shown: positions of the result columns.
        order: what ORDER BY says, unless that is rowid order.
        by_rowid: whether SQLite shows several rows in the order of their rowids, or, if `reverse`, in descending order.
    """

    compared: Access
    single: bool
    shown: tuple[int, ...]
    limit: Operand | None
    offset: Operand | None
    order: tuple[Sorted, ...]
    by_rowid: bool
    reverse: bool

    @property
    def is_ordered(self) -> bool:
        """Whether the order of several rows is known."""
        return self.by_rowid or bool(self.order)

    @property
    def is_whole(self) -> bool:
        """Whether there is no WHERE."""
        return not self.compared.terms


def read_direct(tree: exp.Expression, reader: QueryReader) -> DirectRead | None:
    """Return how a statement shows rows as they are, or None.

    Args:
        reader: the one that has read the statement and set the contexts of its leaves.
    """
    if not isinstance(tree, exp.Select) or len(reader.leaves) != 1:
        return None
    given = {name for name, value in tree.args.items() if value}
    from_ = tree.args.get("from_")
    if not given <= _ARGS or from_ is None or not isinstance(from_.this, exp.Table) or from_.this.args.get("joins"):
        return None
    leaf, scope = reader.leaves[0], reader.scope_of(tree)
    if [source.leaf for source in scope.sources] != [leaf] or leaf.table.has_generated or not reader.says_all(tree):
        return None
    compared = compared_by(leaf)
    if compared is None:
        return None
    limit, offset = (operand_of(tree.args.get(name), scope) for name in ("limit", "offset"))
    shown = [position for part in tree.expressions if (position := _stored_column(part, leaf, scope)) is not None]
    if len(shown) < len(tree.expressions):
        return None
    if ("limit" in given and limit is None) or ("offset" in given and offset is None):
        return None
    terms = _order(leaf, tree, scope)
    if terms is None:
        return None
    lists = {column.origin[1] for column in _columns_with_lists(leaf) if column.origin is not None}
    by_rowid, reverse = _by_rowid(leaf, {*shown}, {*compared.path.columns}, lists), False
    if len(terms) == 1 and terms[0].position in _rowid_positions(leaf.table):
        by_rowid, reverse, terms = True, terms[0].descending, ()
    elif terms:
        by_rowid = False
    return DirectRead(compared, not lists, tuple(shown), limit, offset, terms, by_rowid, reverse)


def compared_by(leaf: Leaf) -> Access | None:
    """The columns of WHERE, as an access through an imagined index; None if it does more than compare for equality."""
    columns, collations = [], []
    for predicate in leaf.context:
        if not isinstance(predicate, InList) or len(predicate.columns) != 1:
            return None
        origin = predicate.columns[0].origin
        if origin is None:
            return None
        columns.append(origin[1])
        collations.append(predicate.collations[0])
    return exact(leaf, Index(_NOT_STORED, "", False, tuple(columns), tuple(collations)))


def _columns_with_lists(leaf: Leaf) -> Iterable[ColumnTerm]:
    """The columns of WHERE that may have one of several values."""
    for predicate in leaf.context:
        if isinstance(predicate, InList) and not predicate.is_single:
            yield from predicate.columns


def _order(leaf: Leaf, tree: exp.Select, scope: Scope) -> tuple[Sorted, ...] | None:
    """What ORDER BY says; None if some of it is not understood, or if it may leave ties."""
    order = tree.args.get("order")
    if order is None:
        return ()
    terms = tuple(sorted_by(leaf, order, tree, scope))
    if len(terms) < len(order.expressions):
        return None
    table, collation_of = leaf.table, {term.position: term.collation for term in terms}
    if not collation_of.keys().isdisjoint(_rowid_positions(table)):
        return terms
    for index in (table.key, *table.indexes):
        if (index is table.key or index.unique) and index.computed is None:
            columns = zip(index.columns, index.collations, strict=True)
            if all(
                collation_of.get(position) == collation and (position == ROWID or table.columns[position].not_null)
                for position, collation in columns
            ):
                return terms
    return None


def _rowid_positions(table: Table) -> set[int]:
    if table.without_rowid:
        return set()
    return {ROWID} if table.rowid_alias is None else {ROWID, table.rowid_alias}


def _by_rowid(leaf: Leaf, shown: set[int], compared: set[int], lists: set[int]) -> bool:
    """Whether SQLite finds rows in order of rowid whichever way it takes through the working set.

    The working set has only unique indexes. The table itself is in that order, and so are entries of an index that are
    equal in all of its columns. But SQLite may walk a covering index instead of the table.

    Args:
        lists: those of the compared columns that may have one of several values. An index with one of them shows rows
            in its own order.
    """
    table = leaf.table
    if table.without_rowid:
        return False
    for index in (table.key, *table.indexes):
        columns = {*index.columns}
        is_table, is_there = columns <= {ROWID, table.rowid_alias}, index is table.key or index.unique
        if is_there and not is_table and not columns <= compared - lists:
            may_be_searched = index.computed is not None or index.columns[0] in compared
            if may_be_searched or columns | {table.rowid_alias} >= shown | compared:
                return False
    return True


def _stored_column(part: exp.Expression, leaf: Leaf, scope: Scope) -> int | None:
    """Return which column of the leaf a result column is; the rowid does not count."""
    position = position_of(part.this if isinstance(part, exp.Alias) else part, leaf, scope)
    return None if position == ROWID else position


class BoundDirectRead(DirectPlan):
    """A DirectRead, with what the placeholders of one text stand for.

    Args:
        point: how the rows are read; None if the whole table is read, or if what the plan says is.
    """

    def __init__(
        self, read: DirectRead, point: PointRead | None, slots: Sequence[Slot], *, reads_plan: bool = False
    ) -> None:
        self.reads_plan = reads_plan
        self.table, self.compared = read.compared.table, read.compared.path
        self.order, self.by_rowid, self.reverse = read.order, read.by_rowid, read.reverse
        self._access = None if read.is_whole else read.compared
        self.pick = picker(read.shown)
        self.pick_from_record = picker([place_in_record(self.table, position) for position in read.shown])
        self.decode = self.table.decode_whole
        self._limit, self._offset, self._slots = read.limit, read.offset, slots
        self._point = point
        self._where = None if read.is_whole or not read.single else PointRead(read.compared, slots)
        self._needs_key = self._where is not None and not (point is not None and point.finds(self.compared))

    def rows(self, parameters: Sequence[SqlValue]) -> DirectRows | None:
        """Return what to read and which of its rows to show; None if these values need SQLite."""
        start, stop, key, point = 0, _NO_LIMIT, None, self._point
        try:
            if self._limit is not None:
                start, stop = self._cut(self._limit, parameters)
                if start < 0:
                    return None
            if self._needs_key:
                key = self.key(parameters)
                if key is None:  # NULL equals nothing
                    return None
            if point is None:
                return self.table.key.id, (), (WHOLE,), key, start, stop
            place = point.key(parameters)
        except (UncertainValue, DataError):
            return None
        if place is None:
            return None
        if point.finds_one:
            return point.path.id, (place,), (), key, start, stop
        return point.path.id, (), ((place, place + BEYOND),), key, start, stop

    def choice(self, parameters: Sequence[SqlValue]) -> DirectChoice | None:
        """Return which rows to show; None if these values need SQLite."""
        start, stop, keys = 0, _NO_LIMIT, None
        try:
            if self._limit is not None:
                start, stop = self._cut(self._limit, parameters)
                if start < 0:
                    return None
            if self._access is not None:
                keys = exact_keys(self._access, Inputs(self._slots, parameters))
                if keys is None:
                    return None
        except (UncertainValue, DataError):
            return None
        return DirectChoice(keys, start, stop)

    def key(self, parameters: Sequence[SqlValue]) -> bytes | None:
        """Return the key in the imagined index of the rows that WHERE selects; None without WHERE."""
        return None if self._where is None else self._where.key(parameters)

    def _cut(self, limit: Operand, parameters: Sequence[SqlValue]) -> tuple[int, int]:
        """Return which rows LIMIT and OFFSET leave; (-1, 0) if SQLite must decide."""
        inputs = Inputs(self._slots, parameters)
        rows = inputs.values(limit)[0]
        offset = 0 if self._offset is None else inputs.values(self._offset)[0]
        if type(rows) is not int or type(offset) is not int or rows < 0 or offset < 0:
            return -1, 0
        return offset, min(offset + rows, _NO_LIMIT)


def picker(shown: Sequence[int]) -> Callable[[Values], tuple[SqlValue, ...]]:
    """A function that takes the columns out of a row's values (a tuple) without a Python call."""
    if len(shown) > 1:
        return itemgetter(*shown)
    (only,) = shown
    return itemgetter(slice(only, only + 1))
