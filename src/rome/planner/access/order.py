"""The waves in which the leaves of a statement are read.

A leaf that constants key well is read in the first wave. A leaf that only rows of other leaves key waits for these.
A leaf that nothing keys is read whole, as late as possible, since rows read before it may still key it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from msgspec import Struct

from rome.catalog.schema import Table
from rome.planner.access.access import KEYED, Choice, alternatives, choose
from rome.planner.algebra.predicates import Leaf


class Step(Struct, eq=False):
    """How one leaf is read, and in which wave (from 0).

    Attributes:
        choice: how its rows are found; None if its table is read whole.
        instead: other ways, which may find fewer rows; which one does, shows only when the plan runs.
        later: a way keyed by rows of other leaves, for the case that all of these find many rows.
    """

    leaf: Leaf
    choice: Choice | None
    wave: int = 0
    instead: tuple[Choice, ...] = ()
    later: Choice | None = None


def order(leaves: Sequence[Leaf], whole: Iterable[Table], first: Leaf | None = None) -> list[Step]:
    """Decide how every leaf is read.

    Args:
        whole: tables that are read whole in any case.
        first: a leaf of which only a page is read, so that it comes before everything that its rows may key.

    Returns:
        one step per leaf, sorted by wave. If a table is read whole, all of its leaves are, in the first wave.

    Cost: O(leaves squared x their predicates); 11 tables joined on one key take 1.5 ms.
    """
    scanned = {table.id for table in whole}
    steps: dict[Leaf, Step] = {leaf: Step(leaf, None) for leaf in leaves if leaf.table.id in scanned}
    if first is not None and first not in steps:
        steps[first] = Step(first, choose(first, frozenset()))
    open_leaves = [leaf for leaf in leaves if leaf not in steps]
    while open_leaves:
        choices = [(leaf, choose(leaf, steps.keys())) for leaf in open_leaves]
        keyed = [(leaf, choice) for leaf, choice in choices if choice is not None and choice.rank[0] < KEYED]
        constant = [(leaf, choice) for leaf, choice in keyed if not choice.needs]
        if constant or keyed:
            for leaf, choice in constant or keyed:
                steps[leaf] = Step(leaf, choice)
        else:
            best = min(
                ((leaf, choice) for leaf, choice in choices if choice is not None),
                key=lambda pair: pair[1].rank,
                default=None,
            )
            if best is not None:
                steps[best[0]] = Step(*best)
            else:
                table = _least_keyed(open_leaves).table
                steps |= {leaf: Step(leaf, None) for leaf in leaves if leaf.table.id == table.id}
        open_leaves = [leaf for leaf in open_leaves if leaf not in steps]
    _add_alternatives([step for step in steps.values() if step.leaf is not first])
    return _in_waves(steps, leaves)


def _add_alternatives(steps: Sequence[Step]) -> None:
    """Add other ways to the steps whose constants may find many rows."""
    several = {step.leaf: step for step in steps if step.choice is not None and _may_find_many(step.choice)}
    needs = {step.leaf: step.choice.needs for step in steps if step.choice is not None}
    for leaf, step in several.items():
        assert step.choice is not None
        step.instead = tuple(alternatives(leaf, step.choice, frozenset()))
        others = {other for other in needs if leaf not in _all_needs(other, needs)}
        for known in (others - several.keys(), others):
            later = alternatives(leaf, step.choice, known) if known else ()
            if later:
                step.later = later[0]
                break


def _all_needs(leaf: Leaf, needs: Mapping[Leaf, Set[Leaf]]) -> list[Leaf]:
    """The leaf, and all leaves whose rows it needs, directly or through others."""
    found = [leaf]
    for each in found:
        found += needs.get(each, frozenset()) - set(found)
    return found


def _may_find_many(choice: Choice) -> bool:
    """Whether the choice is one path keyed by constants that are not a unique key."""
    return len(choice.accesses) == 1 and choice.rank[0] > 0 and not choice.needs


def _least_keyed(leaves: Sequence[Leaf]) -> Leaf:
    """A leaf that the rows of the others would not key, if there is one: reading it first may key the others."""
    for leaf in leaves:
        if choose(leaf, {other for other in leaves if other is not leaf}) is None:
            return leaf
    return leaves[0]


def _in_waves(steps: dict[Leaf, Step], leaves: Sequence[Leaf]) -> list[Step]:
    """The steps with their waves, in an order in which each needs only earlier ones.

    Tables that became whole later are the exception.
    """
    for step in steps.values():
        if step.choice is not None:
            step.wave = max((steps[leaf].wave + 1 for leaf in step.choice.needs), default=0)
    return sorted((steps[leaf] for leaf in leaves), key=lambda step: step.wave)
