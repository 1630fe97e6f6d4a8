"""SELECTs that have no result if some table has no row that matters; Rome then asks SQLite nothing.

Invariant: what such a SELECT says cannot fail, whatever SQLite would have evaluated before it found that there are no
rows: it compares columns and values, and calls, computes and converts nothing. SQLite refuses a LIMIT that is no
integer, also where there are no rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlglot import exp

from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.bounds import Inputs, UncertainValue
from rome.planner.algebra.conjuncts import nodes_in, operand_of
from rome.planner.algebra.predicates import Leaf, Operand
from rome.planner.algebra.query import QueryReader
from rome.planner.algebra.tree import Filter, Item, Join, Node
from rome.planner.parse.canonical import Slot

_FROM = (exp.From, exp.Join, exp.Table, exp.TableAlias, exp.Subquery)
_SELECT = (exp.Select, exp.Where, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Distinct, exp.Alias, exp.Star)
_CONDITIONS = (exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.In)
_VALUES = (exp.Column, exp.Identifier, exp.Placeholder, exp.Null)
_CANNOT_FAIL = frozenset([*_FROM, *_SELECT, *_CONDITIONS, *_VALUES])


class Emptiness(Struct, frozen=True):
    """When a statement has no result.

    Attributes:
        leaves: without a row of any of these that matters, there is none.
        limits: what LIMIT and OFFSET say, each of which must be an integer.
    """

    leaves: frozenset[Leaf]
    limits: tuple[Operand, ...]

    def holds(self, slots: Sequence[Slot], parameters: Sequence[SqlValue]) -> bool:
        """Whether it holds with these parameters."""
        try:
            inputs = Inputs(slots, parameters)
            return all(type(inputs.values(limit)[0]) is int for limit in self.limits)
        except (UncertainValue, DataError):
            return False


def read_emptiness(tree: exp.Expression, reader: QueryReader) -> Emptiness | None:
    """Return when a statement has no result; None if nothing says so.

    Args:
        reader: the one that has read the statement.
    """
    if not isinstance(tree, exp.Select) or any(leaf.table.has_generated for leaf in reader.leaves):
        return None
    limits: list[Operand] = []
    names = {leaf.table.name.lower() for leaf in reader.leaves}
    for part in nodes_in(tree):
        if type(part) not in _CANNOT_FAIL or (isinstance(part, exp.Table) and part.name.lower() not in names):
            return None
        if isinstance(part, exp.Subquery | exp.Select) and not (part is tree or _is_source(part)):
            return None
        if isinstance(part, exp.Limit | exp.Offset):
            assert isinstance(part.parent, exp.Select)
            limit = operand_of(part, reader.scope_of(part.parent))
            if limit is None:
                return None
            limits.append(limit)
    leaves = _needed(reader.from_of(tree))
    return Emptiness(frozenset(leaves), tuple(limits)) if leaves else None


def _is_source(part: exp.Expression) -> bool:
    """Whether it is a query in FROM, or the parentheses around it."""
    return isinstance(part.parent, exp.From | exp.Join | exp.Subquery)


def _needed(node: Node | None) -> list[Leaf]:
    """The leaves of which every row of a node has one."""
    if isinstance(node, Item):
        return _needed(node.inside) if node.source.leaf is None else [node.source.leaf]
    if isinstance(node, Filter):
        return _needed(node.tree) if node.from_rows else []
    if isinstance(node, Join):
        left = _needed(node.left) if node.kind in ("inner", "left") else []
        return left + (_needed(node.right) if node.kind in ("inner", "right") else [])
    return []
