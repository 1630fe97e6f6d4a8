"""A statement as a tree of joins and filters, and the predicates that a row at each leaf must satisfy to matter.

Invariant (what makes a plan large enough): restrict the rows at the leaves, one leaf after the other, to those that
satisfy their context together with some row of each earlier leaf; then the result does not change, whatever more rows
are left at any leaf. So a leaf's context may hold a predicate only if a row that fails it can neither appear in the
result nor keep another row out of it.

Why reading with such contexts is enough, although the working set holds more than the restricted rows, and one copy of
a table for all of its leaves: restrict the leaves of the whole database one by one, in the order in which they are
read, and the result stays the same. Restrict those of the working set in the same order, and it stays the same, too.
Both end at the same rows, since what is read at a leaf includes its restricted rows, and its keys came from rows that
include the restricted ones of the earlier leaves.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from rome.planner.algebra.predicates import Leaf, Predicate, Source, is_about, mentions, rejects_null
from rome.planner.algebra.scope import Output, Scope

JoinKind = Literal["inner", "left", "right", "full"]


class Item(Struct, eq=False):
    """A FROM item. `inside` is the query of a derived table."""

    source: Source
    inside: Node | None = None


class Join(Struct, eq=False):
    """A join of two operands; `on` is what ON and USING say, and `says_all` whether that is all that they say."""

    left: Node
    right: Node
    kind: JoinKind
    on: list[Predicate] = field(default_factory=list)
    says_all: bool = True


class Filter(Struct, eq=False):
    """A SELECT: its FROM tree (None without FROM) and WHERE.

    Attributes:
        simple: whether the result has exactly one row for each row of the tree that passes `where`: no grouping,
            aggregate, window or LIMIT; DISTINCT only if it merges rows of which every condition says the same.
        from_rows: whether every row of the result comes from some row that passes.
    """

    tree: Node | None
    where: list[Predicate]
    simple: bool
    from_rows: bool


class Arms(Struct, eq=False):
    """The operands of UNION, INTERSECT or EXCEPT."""

    arms: list[Node]


Node = Item | Join | Filter | Arms


def facts(node: Node | None) -> list[Predicate]:
    """The predicates that are true of every row that a node yields."""
    if isinstance(node, Item):
        return facts(node.inside)
    if isinstance(node, Filter):
        return facts(node.tree) + node.where if node.from_rows else []
    if isinstance(node, Join):
        left = facts(node.left) if node.kind in ("inner", "left") else []
        right = facts(node.right) if node.kind in ("inner", "right") else []
        return left + right + (node.on if node.kind == "inner" else [])
    return []


def sources(node: Node | None) -> set[Source]:
    """Every FROM item below a node, including those inside of derived tables."""
    if isinstance(node, Item):
        return {node.source} | sources(node.inside)
    if isinstance(node, Filter):
        return sources(node.tree)
    if isinstance(node, Join):
        return sources(node.left) | sources(node.right)
    if isinstance(node, Arms):
        return {source for arm in node.arms for source in sources(arm)}
    return set()


def set_contexts(node: Node | None, needed: list[Predicate], known: list[Predicate]) -> None:
    """Set the context of every leaf below a node.

    Args:
        needed: what a row of this node must satisfy to matter.
        known: what is true of the rows of the queries around it. It holds at every leaf, whatever lies between. It
            cannot mention the leaf's own rows, which do not exist yet where it is true.
    """
    if isinstance(node, Item):
        leaf = node.source.leaf
        if leaf is not None:
            leaf.context = needed + [predicate for predicate in known if not is_about(predicate, leaf)]
        set_contexts(node.inside, needed, known)
    elif isinstance(node, Filter):
        # Above a group, a window or a LIMIT, a condition on the result says nothing of the rows that made it.
        set_contexts(node.tree, (needed if node.simple else []) + node.where, known)
    elif isinstance(node, Arms):
        for arm in node.arms:
            set_contexts(arm, [], known)
    elif isinstance(node, Join):
        _set_join_contexts(node, needed, known)


def _set_join_contexts(join: Join, needed: list[Predicate], known: list[Predicate]) -> None:
    kind = _reduced(join, needed)
    if kind == "inner":
        both = needed + join.on
        set_contexts(join.left, both + facts(join.right), known)
        set_contexts(join.right, both + facts(join.left), known)
    elif kind == "full":
        # A row of one side keeps the other side's row from appearing alone: neither can be left out.
        set_contexts(join.left, [], known)
        set_contexts(join.right, [], known)
    else:
        kept, supplied = (join.left, join.right) if kind == "left" else (join.right, join.left)
        inside = sources(supplied)
        elsewhere = [predicate for predicate in needed if not mentions(predicate, inside)]
        set_contexts(kept, needed, known)
        set_contexts(supplied, elsewhere + join.on + facts(kept), known)


def _reduced(join: Join, needed: list[Predicate]) -> JoinKind:
    """The kind of the join, given that rows which fail `needed` do not matter.

    LEFT is as good as INNER if the rows with NULLs on the right are dropped anyway.
    """
    keeps_left, keeps_right = join.kind in ("left", "full"), join.kind in ("right", "full")
    if keeps_left:
        right = sources(join.right)
        keeps_left = not any(rejects_null(predicate, right) for predicate in needed)
    if keeps_right:
        left = sources(join.left)
        keeps_right = not any(rejects_null(predicate, left) for predicate in needed)
    if keeps_left:
        return "full" if keeps_right else "left"
    return "right" if keeps_right else "inner"


def leaves(node: Node | None) -> list[Leaf]:
    """The base tables below a node, in the order of mention."""
    if isinstance(node, Item):
        return ([node.source.leaf] if node.source.leaf else []) + leaves(node.inside)
    if isinstance(node, Filter):
        return leaves(node.tree)
    if isinstance(node, Join):
        return leaves(node.left) + leaves(node.right)
    if isinstance(node, Arms):
        return [leaf for arm in node.arms for leaf in leaves(arm)]
    return []


class Query(Struct, eq=False):
    """A SELECT or a compound. `outputs` is None if the result columns are not known."""

    node: Node
    outputs: list[Output] | None


class Root(Struct, eq=False):
    """A query that stands by itself: the statement's, or a subquery of an expression.

    Attributes:
        scope: the scope around it.
        pushed: what its rows must satisfy beyond its own WHERE.
    """

    node: Node
    scope: Scope | None
    pushed: list[Predicate] = field(default_factory=list)


class Subquery(Struct, eq=False):
    """A subquery of an expression."""

    root: Root
    outputs: list[Output] | None

    def facts(self) -> list[Predicate]:
        """What is true of some row, if the subquery has any."""
        return facts(self.root.node)

    def push(self, predicate: Predicate) -> None:
        """Note that only rows that satisfy the predicate matter."""
        self.root.pushed.append(predicate)
