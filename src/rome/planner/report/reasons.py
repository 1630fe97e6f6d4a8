"""Why a table is read whole, and so what an operator would change.

The planner only notes that nothing bounds a table. EXPLAIN ROME is rare, so it finds out the reason here, from what the
plan keeps of its leaves. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.values import Collation
from rome.planner.access.access import MAX_BRANCHES, affinity_of, choose, unserved_branch
from rome.planner.access.order import Step
from rome.planner.algebra.predicates import (
    AnyOf,
    EqualColumns,
    InList,
    Leaf,
    NotNull,
    Predicate,
    RangeBound,
    columns_of,
    is_stored,
)
from rome.planner.parse.affinity import key_conversion

_PART = "a part of an OR: "
_KINDS = "=, IS, IN, BETWEEN, <, > with a value"


def why_whole(table: Table, steps: Sequence[Step]) -> str:
    """Why nothing bounds the mentions of a table; empty if no step mentions it.

    Args:
        steps: all steps of the plan.
    """
    leaves = [step.leaf for step in steps]
    reasons = [_why(leaf, leaves) for leaf in leaves if leaf.table is table and choose(leaf, frozenset()) is None]
    return "; ".join(dict.fromkeys(reasons))


def _why(leaf: Leaf, leaves: Iterable[Leaf]) -> str:
    keyed = choose(leaf, {other for other in leaves if other is not leaf})
    if keyed is not None:
        return _late(keyed.needs)
    return _unbounded(leaf, leaf.context)


def _late(suppliers: Iterable[Leaf]) -> str:
    """The reason for a leaf that could be keyed by rows of other leaves, if these were read before it."""
    names = sorted({supplier.table.name for supplier in suppliers})
    return f"it could be keyed by rows of {_and(names)}, but nothing bounds these first"


def _unbounded(leaf: Leaf, context: Sequence[Predicate]) -> str:
    """Why no path serves any of these conditions."""
    reasons = []
    unindexed: dict[str, None] = {}
    for predicate in context:
        for position in _compared(leaf, predicate):
            paths = [path for path in leaf.table.paths if path.columns[0] == position]
            name = _name(leaf, position)
            if paths:
                reasons.append(_misfit(leaf, position, predicate, paths))
            elif any(path.columns[0] == position for path in leaf.table.computed):
                reasons.append(f"the index that begins with {name} has no entries for some of the rows asked for")
            else:
                unindexed[name] = None
    if unindexed:
        reasons.insert(0, f"no index begins with {_or(unindexed)}")
    reasons += [_open_branch(leaf, context, either) for either in context if isinstance(either, AnyOf)]
    if not reasons:
        vague = {column.origin: None for each in context if isinstance(each, NotNull) for column in each.columns}
        positions = [*leaf.opaque, *(origin[1] for origin in vague if origin is not None and origin[0] is leaf)]
        names = dict.fromkeys(_name(leaf, position) for position in positions)
        if not names:
            return "no condition on it"
        return f"no index can serve the conditions on {_and(names)} (only {_KINDS})"
    return "; ".join(dict.fromkeys(reasons))


def _compared(leaf: Leaf, predicate: Predicate) -> list[int]:
    """The positions of the leaf's columns that a predicate compares with something that could be a key."""
    if isinstance(predicate, InList | RangeBound | EqualColumns):
        origins = [column.origin for column in columns_of(predicate)]
        return [origin[1] for origin in origins if origin is not None and origin[0] is leaf]
    return []


def _misfit(leaf: Leaf, position: int, predicate: Predicate, paths: Sequence[Index]) -> str:
    """Why the indexes that begin with a column do not serve a comparison of it."""
    name = _name(leaf, position)
    used = _collation(leaf, position, predicate)
    if not any(
        used == path.collations[0] or (used == "BINARY" and not isinstance(predicate, RangeBound)) for path in paths
    ):
        collations = dict.fromkeys(path.collations[0] for path in paths)
        return f"{name} is compared under collation {used}, and indexed under {_and(collations)}"
    if isinstance(predicate, EqualColumns):
        other = predicate.right if predicate.left.origin == (leaf, position) else predicate.left
        if not other.origins:
            return f"{name} is compared with a computed value, not with a table's column"
        if any(supplier is leaf for supplier, _ in other.origins):
            return f"{name} is compared with a column of its own row"
        if any(not is_stored(supplier.table, place) for supplier, place in other.origins):
            return f"{name} is compared with a rowid or a generated column, which stored rows do not contain"
        if key_conversion(affinity_of((leaf, position)), other.affinity) is not None:
            return _late(supplier for supplier, _ in other.origins)
    return f"{name} is compared with values of another type than its own"


def _collation(leaf: Leaf, position: int, predicate: Predicate) -> Collation:
    if isinstance(predicate, InList):
        at = next(at for at, column in enumerate(predicate.columns) if column.origin == (leaf, position))
        return predicate.collations[at]
    assert isinstance(predicate, RangeBound | EqualColumns)
    return predicate.collation


def _open_branch(leaf: Leaf, context: Sequence[Predicate], either: AnyOf) -> str:
    """Why an OR bounds nothing."""
    if len(either.branches) > MAX_BRANCHES:
        return f"an OR of more than {MAX_BRANCHES} parts bounds nothing"
    branch = unserved_branch(leaf, context, either)
    if branch is None:
        return "ORs are nested too deeply"
    return f"{_PART}{_unbounded(leaf, branch).removeprefix(_PART)}"


def _name(leaf: Leaf, position: int) -> str:
    return "rowid" if position == ROWID else leaf.table.columns[position].name


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)
