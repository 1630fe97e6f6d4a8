"""SELECTs that show stored rows of one table as they are; Rome answers them without SQLite.

Invariant: WHERE only compares columns for equality with single values, so a row passes exactly if its key in an index
of all these columns would be the key of the values. If there are several rows, they come in SQLite's order, which is
that of the rowids unless SQLite may walk an index with another order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlglot import exp

from rome.catalog.rows import place_in_record
from rome.catalog.schema import ROWID, Index
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.access import Access, exact
from rome.planner.access.bounds import WHOLE, Inputs, UncertainValue
from rome.planner.access.points import PointRead
from rome.planner.algebra.conjuncts import operand_of, position_of
from rome.planner.algebra.predicates import InList, Leaf, Operand
from rome.planner.algebra.query import QueryReader
from rome.planner.algebra.scope import Scope
from rome.planner.parse.canonical import Slot
from rome.planner.plan import DirectPlan, DirectRows, Values
from rome.store.spi import BEYOND

_ARGS = frozenset(["expressions", "from_", "where", "limit", "offset"])
_NOT_STORED = -1
"""The id of the imagined index that would hold all columns of WHERE; no index in the store has it."""
_NO_LIMIT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class DirectRead:
    """A statement that shows rows as they are.

    Attributes:
        compared: the columns of WHERE, as an access through the imagined index that would hold them all.
        shown: positions of the result columns.
        by_rowid: whether SQLite shows several rows in the order of their rowids.
    """

    compared: Access
    shown: tuple[int, ...]
    limit: Operand | None
    offset: Operand | None
    by_rowid: bool

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
    shown = [position for part in tree.expressions if (position := _stored_column(part, leaf, scope)) is not None]
    compared = _compared(leaf)
    limit, offset = (operand_of(tree.args.get(name), scope) for name in ("limit", "offset"))
    if compared is None or len(shown) < len(tree.expressions):
        return None
    if ("limit" in given and limit is None) or ("offset" in given and offset is None):
        return None
    return DirectRead(compared, tuple(shown), limit, offset, _by_rowid(leaf, {*shown}, {*compared.path.columns}))


def _compared(leaf: Leaf) -> Access | None:
    columns, collations = [], []
    for predicate in leaf.context:
        if not isinstance(predicate, InList) or len(predicate.columns) != 1 or not predicate.is_single:
            return None
        origin = predicate.columns[0].origin
        if origin is None:
            return None
        columns.append(origin[1])
        collations.append(predicate.collations[0])
    return exact(leaf, Index(_NOT_STORED, "", False, tuple(columns), tuple(collations)))


def _by_rowid(leaf: Leaf, shown: set[int], compared: set[int]) -> bool:
    """Whether SQLite finds rows in order of rowid whichever way it takes through the working set.

    The working set has only unique indexes. The table itself is in that order, and so are entries of an index that are
    equal in all of its columns. But SQLite may walk a covering index instead of the table.
    """
    table = leaf.table
    if table.without_rowid:
        return False
    for index in (table.key, *table.indexes):
        columns = {*index.columns}
        is_table, is_there = columns <= {ROWID, table.rowid_alias}, index is table.key or index.unique
        if is_there and not is_table and not columns <= compared:
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
        point: how the rows are read; None if the whole table is read.
    """

    def __init__(self, read: DirectRead, point: PointRead | None, slots: Sequence[Slot]) -> None:
        self.table, self.compared, self.by_rowid = read.compared.table, read.compared.path, read.by_rowid
        self.pick = _picker(read.shown)
        self.pick_from_record = _picker([place_in_record(self.table, position) for position in read.shown])
        self._limit, self._offset, self._slots = read.limit, read.offset, slots
        self._point = point
        self._where = None if read.is_whole else PointRead(read.compared, slots)
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
                return DirectRows(self.table.key, (), (WHOLE,), key, start, stop)
            place = point.key(parameters)
        except (UncertainValue, DataError):
            return None
        if place is None:
            return None
        if point.finds_one:
            return DirectRows(point.path, (place,), (), key, start, stop)
        return DirectRows(point.path, (), ((place, place + BEYOND),), key, start, stop)

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


def _picker(shown: Sequence[int]) -> Callable[[Values], tuple[SqlValue, ...]]:
    """Return a function that takes the columns out of a row's values (a tuple) without a Python call."""
    if len(shown) > 1:
        return itemgetter(*shown)
    (only,) = shown
    return itemgetter(slice(only, only + 1))
