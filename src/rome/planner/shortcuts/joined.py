"""SELECTs of joins that show columns of few stored rows; Rome joins these itself, without SQLite.

Invariant: the rows of a plan, joined as the statement says, give what they give in SQLite. Every condition compares
columns with columns or values for equality, without converting a stored value; nothing in the statement can fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from msgspec import Struct
from sqlglot import exp

from rome.catalog.schema import ROWID
from rome.codec.keys import encode_key
from rome.codec.values import Collation, SqlValue
from rome.errors import DataError
from rome.planner.access.access import affinity_of
from rome.planner.access.bounds import Inputs, UncertainValue
from rome.planner.algebra.conjuncts import is_column, nodes_in, operand_of, resolve
from rome.planner.algebra.predicates import ColumnTerm, EqualColumns, InList, Leaf, Operand, Predicate, SlotValue
from rome.planner.algebra.query import QueryReader
from rome.planner.algebra.tree import Filter, Item, Join, Node
from rome.planner.parse.affinity import UNCERTAIN, Conversion, as_is, key_conversion
from rome.planner.parse.canonical import Slot
from rome.planner.plan import JoinedPlan, Values

_ARGS = frozenset(["expressions", "from_", "joins", "where", "order", "limit", "offset", "distinct"])
MAX_JOINED = 1_000
"""From so many joined rows on SQLite joins them sooner."""


class Condition(Struct, frozen=True):
    """A column of a joined row equals another one, or a value after the column's conversion.

    A place counts the columns of all leaves, in the order of mention.
    """

    place: int
    collation: Collation
    other: int | None = None
    operand: Operand | None = None
    conversion: Conversion = as_is


class Cutoff(Struct, frozen=True):
    """What LIMIT and OFFSET say, of which each may be missing. DISTINCT alone says neither."""

    limit: Operand | None
    offset: Operand | None


class JoinStep(Struct, frozen=True):
    """One operand of a chain of joins: each row so far is joined with each of its rows.

    Attributes:
        leaf: which it is; None for the `group` of a parenthesised join, a derived table or the statement.
        conditions: of ON; of a SELECT, those of WHERE.
        width: how many columns it adds.
        outer: a row that finds none is kept, with NULLs.
        cutoff: what is left of a SELECT's rows in the end.
    """

    leaf: int | None
    group: tuple[JoinStep, ...]
    conditions: tuple[Condition, ...]
    width: int
    outer: bool = False
    cutoff: Cutoff | None = None


class JoinedRead(Struct, frozen=True):
    """A statement that shows columns of joined rows.

    Attributes:
        leaves: in the order of mention.
        select: the whole of it.
        shown: places of the result columns.
        in_order: whether there is ORDER BY.
    """

    leaves: tuple[Leaf, ...]
    select: JoinStep
    shown: tuple[int, ...]
    in_order: bool


class _NotJoined(Exception):
    """The statement says something else."""


def read_joined(tree: exp.Expression, reader: QueryReader) -> JoinedRead | None:
    """Return how a statement joins rows, or None.

    Args:
        reader: the one that has read the statement, in which nothing can fail (rome.planner.shortcuts.emptiness).
    """
    if not isinstance(tree, exp.Select) or len(reader.leaves) < 2:
        return None
    try:
        return _JoinReader(tree, reader).read()
    except _NotJoined:
        return None


class _JoinReader:
    """Reads one statement. Places are given out as the leaves are met."""

    def __init__(self, tree: exp.Select, reader: QueryReader) -> None:
        self._tree, self._reader = tree, reader
        selects = (part for part in nodes_in(tree) if isinstance(part, exp.Select))
        self._select_of = {id(reader.filter_of(part)): part for part in selects if reader.has_read(part)}
        self._leaves: list[Leaf] = []
        self._starts: dict[Leaf, int] = {}
        self._width = 0

    def read(self) -> JoinedRead:
        """The whole statement."""
        tree = self._tree
        select = self._select(tree)
        if set(self._leaves) != set(self._reader.leaves):
            raise _NotJoined
        shown = []
        scope = self._reader.scope_of(tree)
        for part in tree.expressions:
            column = part.this if isinstance(part, exp.Alias) else part
            if not is_column(part):
                raise _NotJoined
            shown.append(self._place(resolve(scope, column)))
        return JoinedRead(tuple(self._leaves), select, tuple(shown), bool(tree.args.get("order")))

    def _select(self, tree: exp.Select) -> JoinStep:
        if not {name for name, value in tree.args.items() if value} <= _ARGS or not self._reader.says_all(tree):
            raise _NotJoined
        found, start = self._reader.filter_of(tree), self._width
        if found.tree is None:
            raise _NotJoined
        steps = self._steps(found.tree)
        conditions = self._conditions(found.where)
        cutoff = None
        if any(tree.args.get(name) for name in ("limit", "offset", "distinct")):
            scope = self._reader.scope_of(tree)
            limit, offset = (operand_of(tree.args.get(name), scope) for name in ("limit", "offset"))
            cutoff = Cutoff(limit, offset)
        return JoinStep(None, steps, conditions, self._width - start, cutoff=cutoff)

    def _steps(self, node: Node) -> tuple[JoinStep, ...]:
        if isinstance(node, Item):
            return self._item(node)
        if not isinstance(node, Join) or node.kind not in ("inner", "left") or not node.says_all:
            raise _NotJoined
        before, start = self._steps(node.left), self._width
        right = self._steps(node.right)
        conditions, outer = self._conditions(node.on), node.kind == "left"
        leaf = right[0].leaf if len(right) == 1 else None
        group = right if leaf is None else ()
        return (*before, JoinStep(leaf, group, conditions, self._width - start, outer))

    def _item(self, item: Item) -> tuple[JoinStep, ...]:
        leaf = item.source.leaf
        if leaf is not None:
            if item.inside is not None or leaf.table.has_generated:
                raise _NotJoined
            number, width = len(self._leaves), len(leaf.table.columns)
            self._leaves.append(leaf)
            self._starts[leaf] = self._width
            self._width += width
            return (JoinStep(number, (), (), width),)
        select = self._select_of.get(id(item.inside)) if isinstance(item.inside, Filter) else None
        if select is None:
            raise _NotJoined
        return (self._select(select),)

    def _conditions(self, predicates: Iterable[Predicate]) -> tuple[Condition, ...]:
        return tuple([self._condition(predicate) for predicate in predicates])

    def _condition(self, predicate: Predicate) -> Condition:
        if isinstance(predicate, EqualColumns):
            left, right = predicate.left, predicate.right
            place, other = self._place(left), self._place(right)
            assert left.origin is not None
            assert right.origin is not None
            ways = (
                key_conversion(affinity_of(left.origin), right.affinity),
                key_conversion(affinity_of(right.origin), left.affinity),
            )
            if ways == (as_is, as_is):
                return Condition(place, predicate.collation, other)
        elif isinstance(predicate, InList) and predicate.is_single and len(predicate.columns) == 1:
            (column,), ((operand,),), (collation,) = predicate.columns, predicate.rows, predicate.collations
            place = self._place(column)
            assert column.origin is not None
            conversion = key_conversion(affinity_of(column.origin), None)
            if conversion is not None and not predicate.null_safe:
                return Condition(place, collation, None, operand, conversion)
        raise _NotJoined

    def _place(self, column: ColumnTerm | None) -> int:
        """Where a joined row has a column. One that is read later than its condition has no place yet."""
        origin = None if column is None else column.origin
        if origin is None or origin[1] == ROWID or origin[0] not in self._starts:
            raise _NotJoined
        return self._starts[origin[0]] + origin[1]


_Test = tuple[int, int | None, int, Collation]
"""A condition: a place, and another one, or which of the values."""
_Part = tuple[int | None, "tuple[_Part, ...]", list[_Test], tuple[None, ...], bool, Cutoff | None]
"""A JoinStep, with NULLs as wide as it is."""


class BoundJoinedRead(JoinedPlan):
    """A JoinedRead, with what the placeholders of one text stand for."""

    def __init__(self, read: JoinedRead, slots: Sequence[Slot]) -> None:
        self.tables = tuple([leaf.table for leaf in read.leaves])
        self._slots = slots
        self._values: list[tuple[int | None, Operand, Conversion]] = []
        self._select = self._bound(read.select)
        self._may_show_several = not read.in_order and read.select.cutoff is None
        # SQLite might go through a unique index, the only kind that a working set has, and show the rows in its order.
        self._order_is_certain = [
            table.key.columns in ((ROWID,), (table.rowid_alias,)) and not any(index.unique for index in table.indexes)
            for table in self.tables
        ]
        first, *others = read.shown
        self._pick = itemgetter(first, *others) if others else itemgetter(slice(first, first + 1))

    def join(
        self, parameters: Sequence[SqlValue], rows: Sequence[Sequence[Values]]
    ) -> list[tuple[SqlValue, ...]] | None:
        """See JoinedPlan."""
        try:
            inputs = Inputs(self._slots, parameters)
            values: list[SqlValue] = []
            for position, operand, conversion in self._values:
                if position is not None and position < len(parameters):
                    value = conversion(parameters[position])
                else:
                    value = conversion(inputs.values(operand)[0])
                if value is UNCERTAIN:
                    return None
                values.append(value)
            found = _join(self._select, [()], rows, values, inputs)
        except (UncertainValue, DataError, _NotJoined):
            return None
        if len(found) > 1:
            several = [number for number, each in enumerate(rows) if len(each) > 1]
            if not self._may_show_several or len(several) != 1 or not self._order_is_certain[several[0]]:
                return None
        return list(map(self._pick, found))

    def _bound(self, step: JoinStep) -> _Part:
        tests: list[_Test] = []
        group = tuple([self._bound(each) for each in step.group])
        for condition in step.conditions:
            tests.append((condition.place, condition.other, len(self._values), condition.collation))
            if condition.operand is not None:
                slot = self._slots[condition.operand.slot] if isinstance(condition.operand, SlotValue) else None
                position = slot if isinstance(slot, int) else None
                self._values.append((position, condition.operand, condition.conversion))
        return step.leaf, group, tests, (None,) * step.width, step.outer, step.cutoff


_Joined = tuple[SqlValue, ...]


def _join(
    part: _Part,
    before: list[_Joined],
    rows: Sequence[Sequence[Values]],
    values: Sequence[SqlValue],
    inputs: Inputs,
) -> list[_Joined]:
    """The rows before, joined with those of a part.

    Raises:
        _NotJoined: they are too many, or SQLite must say which of them LIMIT leaves.
    """
    leaf, group, tests, blank, outer, cutoff = part
    if outer and len(before) != 1:
        return [joined for each in before for joined in _join(part, [each], rows, values, inputs)]
    found = before
    if leaf is not None:
        more = rows[leaf]
        if len(more) * len(before) > MAX_JOINED:
            raise _NotJoined
        found = []
        for each in before:  # loops, since a comprehension is a call
            for row in more:
                found.append((*each, *row))
    for inner in group:
        found = _join(inner, found, rows, values, inputs)
    for place, other, number, collation in tests:
        equal = []
        for each in found:
            one, wanted = each[place], values[number] if other is None else each[other]
            if one is None or wanted is None:
                continue
            same = type(one) is type(wanted) and one == wanted
            if same or encode_key((one,), (collation,)) == encode_key((wanted,), (collation,)):
                equal.append(each)
        found = equal
    if cutoff is not None and found:
        if len(found) > 1:
            raise _NotJoined
        found = found[_slice(cutoff, inputs)]
    return found if found or not outer else [(*before[0], *blank)]


def _slice(cutoff: Cutoff, inputs: Inputs) -> slice:
    """Which rows LIMIT and OFFSET leave."""
    offset = 0 if cutoff.offset is None else inputs.values(cutoff.offset)[0]
    limit = -1 if cutoff.limit is None else inputs.values(cutoff.limit)[0]
    if type(offset) is not int or type(limit) is not int:
        raise _NotJoined
    start = max(offset, 0)
    return slice(start, None if limit < 0 else start + limit)
