"""SELECTs that show stored rows of one table as they are: they are answered without SQLite.

Invariant: WHERE is nothing but columns that equal single values, so a row passes exactly when its key in an index of
all these columns would be the key of the values. Of several rows, SQLite's order is kept: that of the rowids, unless
it may walk through an index that puts them in another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from rome.catalog.schema import ROWID, Index
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.access import Access, exact
from rome.planner.access.bounds import Inputs, PointRead, UncertainValue, whole
from rome.planner.algebra.conjuncts import operand_of, position_of
from rome.planner.algebra.predicates import InList, Leaf, Operand
from rome.planner.algebra.query import QueryReader
from rome.planner.algebra.scope import Scope
from rome.planner.parse.canonical import Slot
from rome.planner.plan import DirectRows

_ARGS = frozenset(["expressions", "from_", "where", "limit", "offset"])
_NOT_STORED = -1
"""As the id of the index that would hold all the columns of WHERE; the store has none of it."""
_NO_LIMIT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class DirectRead:
    """A statement that shows rows as they are.

    Attributes:
        compared: the columns of WHERE, as an access along the index that would hold them all.
        shown: positions of the result columns.
        by_rowid: SQLite shows several rows in the order of their rowids.
    """

    compared: Access
    shown: tuple[int, ...]
    limit: Operand | None
    offset: Operand | None
    by_rowid: bool

    @property
    def is_whole(self) -> bool:
        """There is no WHERE."""
        return not self.compared.terms


def read_plain(tree: exp.Expression, reader: QueryReader) -> DirectRead | None:
    """How a statement shows rows as they are, or None.

    Args:
        reader: has read the statement, and set the contexts of its leaves.
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
    """Whether each way that SQLite may take in a working set, which has unique indexes only, is one of rising rowids.

    The table itself is, and so is an index for entries that are equal in all of its columns. An index that has all that
    is wanted may be walked through in place of the table.
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
    """Which column of the leaf a result column is; the rowid is none."""
    position = position_of(part.this if isinstance(part, exp.Alias) else part, leaf, scope)
    return None if position == ROWID else position


class BoundDirectRead:
    """A plain statement, and what the placeholders of one text stand for.

    Args:
        point: how the rows are read; None: all of the table.
    """

    __slots__ = ("_compared", "_plain", "_point", "_slots")

    def __init__(self, plain: DirectRead, point: PointRead | None, slots: Sequence[Slot]) -> None:
        self._plain, self._point, self._slots = plain, point, slots
        tells_all = plain.is_whole or (point is not None and point.finds(plain.compared.path))
        self._compared = None if tells_all else PointRead(plain.compared, slots)

    def rows(self, parameters: Sequence[SqlValue]) -> DirectRows | None:
        """What to read, and which rows of it to show; None: with the values of this run it is not so simple."""
        plain, key = self._plain, None
        try:
            start, stop = self._cut(parameters)
            if self._compared is not None:
                key = self._compared.key(parameters)
        except (UncertainValue, DataError):
            return None
        fetch = whole(plain.compared.table) if self._point is None else self._point.fetch(parameters)
        if fetch is None or start < 0:
            return None
        if key is None and (self._compared is not None or not (fetch.keys or plain.is_whole)):
            return None  # NULL equals nothing; or it is not certain which key a value makes
        return DirectRows(fetch, plain.compared.path, key, plain.shown, plain.by_rowid, start, stop)

    def _cut(self, parameters: Sequence[SqlValue]) -> tuple[int, int]:
        """Which of the rows LIMIT and OFFSET leave; (-1, 0): it is for SQLite to say."""
        plain = self._plain
        if plain.limit is None:
            return 0, _NO_LIMIT
        inputs = Inputs(self._slots, parameters)
        limit = inputs.values(plain.limit)[0]
        offset = 0 if plain.offset is None else inputs.values(plain.offset)[0]
        if type(limit) is not int or type(offset) is not int or limit < 0 or offset < 0:
            return -1, 0
        return offset, min(offset + limit, _NO_LIMIT)
