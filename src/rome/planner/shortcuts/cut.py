"""Cut a SELECT into parts: its result is that of its parts, one after the other, each over some rows of one table.

Invariant: a SELECT is cut along one FROM item, the *driving* one, only if

- each row of the result comes from one row of it: there is no grouping, aggregate, window, DISTINCT or set operation,
  and no outer join brings rows without it;
- the statement mentions its table nowhere else, so that the other parts of the statement say the same in each part;
- its rows are read in the order in which ORDER BY shows them. Rows that ORDER BY leaves equal may lie in two parts, as
  their order is open; with LIMIT, where it decides which rows are shown, there must be none. (SQLite shows them in the
  order of whichever index it takes.)

Then the parts' results are the statement's, whatever the parts are. What the plan reads of the other tables is sound
for each part, since a part is the statement on a database whose driving table has fewer rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from sqlglot import exp

from rome.catalog.schema import Index, Table
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.access import Access, Equalities, along
from rome.planner.access.bounds import WHOLE, Inputs, UncertainValue, ranges_of
from rome.planner.access.order import Step
from rome.planner.algebra.conjuncts import operand_of
from rome.planner.algebra.predicates import Leaf, Operand
from rome.planner.algebra.query import QueryReader, may_aggregate
from rome.planner.algebra.scope import Scope
from rome.planner.algebra.tree import Item, Join, Node
from rome.planner.parse.canonical import FUNCTION, Slot
from rome.planner.plan import Cut, CutPlan, Fetch
from rome.planner.shortcuts.page import MAX_RANGES, columns_of_where, is_preferred, with_row_key
from rome.planner.shortcuts.page_order import Kept, kept, natural, never_null, sorted_by

_ARGS = frozenset(["expressions", "from_", "joins", "where", "order", "limit", "offset", "with_"])
_ONCE = frozenset([FUNCTION + "random", FUNCTION + "randomblob"])
"""In a subquery these are evaluated once for the statement, and so would be once for each part."""


class Cutting(Struct, frozen=True):
    """How a SELECT is cut.

    Attributes:
        ways: each holds all rows that matter, along one path; several only if the order does not matter.
    """

    leaf: Leaf
    ways: tuple[tuple[Index, tuple[Access, ...]], ...]
    reverse: bool
    is_limited: bool
    limit: Operand | None
    offset: Operand | None


class BoundCutting(CutPlan):
    """A cutting, with what the placeholders of one text stand for.

    Args:
        sql: the statement without its LIMIT; `parameters`: how many it has.
    """

    def __init__(self, cutting: Cutting, slots: tuple[Slot, ...], sql: str, parameters: int) -> None:
        self.table: Table = cutting.leaf.table
        self.path = cutting.ways[0][0]
        self.reverse = cutting.reverse
        self._cutting, self._slots, self._sql, self._parameters = cutting, slots, sql, parameters

    def cut(self, parameters: tuple[SqlValue, ...]) -> Cut | None:
        """Return what to read and to run; None if these values do not allow it."""
        inputs = Inputs(self._slots, parameters)
        cutting = self._cutting
        rows, skipped = None, 0
        try:
            if cutting.is_limited:
                limit = None if cutting.limit is None else inputs.values(cutting.limit)[0]
                offset = 0 if cutting.offset is None else inputs.values(cutting.offset)[0]
                if type(limit) is not int or type(offset) is not int:
                    return None
                rows, skipped = None if limit < 0 else limit, max(0, offset)
            ways = []
            for path, accesses in cutting.ways:
                ranges = ranges_of(accesses, inputs) if accesses else [WHOLE]
                if len(ranges) > MAX_RANGES:
                    return None
                ways.append(Fetch(self.table, path, (), tuple(ranges)))
        except (UncertainValue, DataError):
            return None
        return Cut(tuple(ways), cutting.reverse, rows, skipped, self._sql, parameters[: self._parameters])


def read_cutting(tree: exp.Expression, reader: QueryReader, steps: Mapping[Leaf, Step]) -> Cutting | None:
    """Return how a statement can be cut; None if it cannot.

    Args:
        reader: the one that has read the statement and set the contexts of its leaves.
        steps: how each leaf is read.
    """
    if not isinstance(tree, exp.Select):
        return None
    given = {name for name, value in tree.args.items() if value}
    if not given <= _ARGS or "from_" not in given or ("offset" in given and "limit" not in given):
        return None
    shown = [*tree.expressions, *([tree.args["order"]] if "order" in given else [])]
    if any(may_aggregate(part) or part.find(exp.Window) for part in shown):
        return None
    if any(call.name.lower() in _ONCE for call in tree.find_all(exp.Anonymous)):
        return None
    scope = reader.scope_of(tree)
    limit, offset = (operand_of(tree.args.get(name), scope) for name in ("limit", "offset"))
    if ("limit" in given and limit is None) or ("offset" in given and offset is None):
        return None
    mentions = [leaf.table.id for leaf in reader.leaves]
    leaves = [leaf for leaf in _driving(reader.from_of(tree)) if mentions.count(leaf.table.id) == 1]
    # Rather than a table that something bounds, one that is read whole: that is the larger part.
    for leaf in sorted(leaves, key=lambda leaf: steps[leaf].choice is not None):
        found = _ways(leaf, steps[leaf], tree, scope)
        if found is not None:
            ways, reverse = found
            return Cutting(leaf, ways, reverse, "limit" in given, limit, offset)
    return None


def _driving(node: Node | None) -> Iterator[Leaf]:
    """The leaves of which every row of a FROM clause has exactly one row."""
    if isinstance(node, Item) and node.source.leaf is not None:
        yield node.source.leaf
    elif isinstance(node, Join) and node.kind in ("inner", "left"):
        yield from _driving(node.left)
        if node.kind == "inner":
            yield from _driving(node.right)


_Ways = tuple[tuple[Index, tuple[Access, ...]], ...]


def _ways(leaf: Leaf, step: Step, tree: exp.Select, scope: Scope) -> tuple[_Ways, bool] | None:
    """Return along which paths the leaf's rows may be read, and whether backwards."""
    choice, order, limited = step.choice, tree.args.get("order"), bool(tree.args.get("limit"))
    if step.later is not None or (choice is not None and (choice.needs or choice.rank[0] == 0)):
        return None
    if order is None and not limited:
        if choice is None:
            return ((leaf.table.key, ()),), False
        choices = [choice, *step.instead]
        paths = [{access.path.id for access in each.accesses} for each in choices]
        if any(len(ids) != 1 for ids in paths):
            return None
        return tuple([(each.accesses[0].path, each.accesses) for each in choices]), False
    if order is not None:
        wanted = sorted_by(leaf, order, tree, scope)
        whole = len(wanted) == len(order.expressions)
    else:
        compared = columns_of_where(leaf, tree.args.get("where"), scope)
        if compared is None or leaf.table.without_rowid or not _only_left_joins(tree):
            return None
        wanted, whole = natural(leaf, compared, tree, scope), True
    found = []
    fixed = Equalities(leaf, leaf.context)
    for path in leaf.table.paths:
        way = kept(with_row_key(leaf.table, path), wanted, fixed)
        if way is not None and _is_enough(leaf, way, whole=whole, limited=limited):
            found.append(way)
    if not found:
        return None
    best = max(found, key=lambda each: (len(each.access.terms), each.follows, len(each.access.limits)))
    accesses = along(leaf, best.access.path)
    if choice is not None and not is_preferred(accesses, choice):
        return None
    return ((best.access.path, accesses),), best.reverse


def _only_left_joins(tree: exp.Select) -> bool:
    first = tree.args["from_"].this
    joins = [*(first.args.get("joins") or []), *(tree.args.get("joins") or [])]
    return isinstance(first, exp.Table) and all(join.side == "LEFT" for join in joins)


def _is_enough(leaf: Leaf, way: Kept, *, whole: bool, limited: bool) -> bool:
    """Whether the rows of a path come as they are to be shown.

    Args:
        whole: whether what the path was compared with is all of ORDER BY.
        limited: whether rows that are equal in ORDER BY may not be exchanged.
    """
    table, key = leaf.table, leaf.table.key
    path = next(each for each in table.paths if each.id == way.access.path.id)
    width = len(way.order)
    if path.unique or path is key:
        unique, columns = width >= len(path.columns), path.columns
    else:
        unique, columns = width >= len(path.columns) + len(key.columns), key.columns
    if unique and all(never_null(table, position) for position in columns):
        return True
    return whole and way.is_whole and not limited
