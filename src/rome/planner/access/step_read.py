"""How one step of a plan is read: what does not depend on parameters or rows, made once for a statement."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rome.planner.access.bounds import Inputs, fetches, whole
from rome.planner.access.order import Step
from rome.planner.access.points import KeyedRead, PointRead
from rome.planner.algebra.predicates import Leaf
from rome.planner.parse.canonical import Slot
from rome.planner.plan import Fetch


class StepRead:
    """One step, with what the placeholders of one text stand for.

    Attributes:
        needs: the leaves whose rows must be known first.
        later_needs: the same for `step.later`.
        point: the fast path of a step that single constants key.
        decides: whether there is no result without a row of the step.
        keys_others: whether another step needs the rows of this one.
    """

    __slots__ = ("_keyed", "decides", "keys_others", "later_needs", "leaf", "needs", "point", "step", "table")

    def __init__(self, step: Step, slots: Sequence[Slot], *, decides: bool) -> None:
        self.step, self.leaf, self.table, self.decides = step, step.leaf, step.leaf.table, decides
        choice = step.choice
        self.needs: frozenset[Leaf] = frozenset() if choice is None else frozenset(choice.needs)
        self.later_needs: frozenset[Leaf] = frozenset() if step.later is None else frozenset(step.later.needs)
        self.point = None if choice is None else PointRead.of(choice.accesses, slots, decides=decides)
        self._keyed = None if choice is None else KeyedRead.of(choice.accesses, slots, decides=decides)
        self.keys_others = False

    def few(self, inputs: Inputs) -> list[Fetch] | None:
        """What to read, where a fast path says it; None if `fetches` must."""
        if self.point is not None:
            only = self.point.fetch(inputs.parameters)
            return [] if only is None else [only]
        return None if self._keyed is None else self._keyed.fetches(inputs)

    def fetches(self, inputs: Inputs) -> list[Fetch]:
        """What to read."""
        found = self.few(inputs)
        if found is not None:
            return found
        choice = self.step.choice
        found = [whole(self.table)] if choice is None else fetches(self.table, choice.accesses, inputs)
        return [replace(found[0], decides=True)] if self.decides and len(found) == 1 else found

    def supplied(self, inputs: Inputs) -> int:
        """How many rows key the step."""
        return sum(len(rows) for leaf in self.needs for rows in inputs.rows.get(leaf, ()))
