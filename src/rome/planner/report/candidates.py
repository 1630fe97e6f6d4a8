"""Indexes that might bound a table which a statement reads whole.

These are guesses: whoever shows one plans the statement once more, with the index, and sees whether it helps
(rome.engine.observing.full_scans). So a guess may be wrong, and costs nothing but time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rome.catalog.schema import Table
from rome.planner.access.access import choose
from rome.planner.access.order import Step
from rome.planner.algebra.predicates import (
    AnyOf,
    ColumnTerm,
    EqualColumns,
    InList,
    Leaf,
    Predicate,
    RangeBound,
    is_stored,
)

MAX_COLUMNS = 4

IndexColumns = tuple[str, ...]
"""The columns of an index, in order."""


def index_candidates(table: Table, steps: Iterable[Step]) -> list[list[IndexColumns]]:
    """For each guess, the indexes that it needs together; the best guess first.

    Args:
        steps: all steps of the plan.
    """
    found: list[list[IndexColumns]] = []
    for leaf in (step.leaf for step in steps if step.leaf.table is table and choose(step.leaf, frozenset()) is None):
        together = _columns(leaf, leaf.context)
        if together:
            found.append([together])
        for either in leaf.context:
            if isinstance(either, AnyOf):
                branches = [_columns(leaf, branch) for branch in either.branches]
                if all(branches):
                    found.append(list(dict.fromkeys(branches)))
    if len(found) > 1:  # the table is mentioned several times
        found.append(list(dict.fromkeys(index for guess in found for index in guess)))
    return found


def _columns(leaf: Leaf, context: Sequence[Predicate]) -> IndexColumns:
    """The columns that have values by `=` or IN, and then one that is compared with `<` or `>`.

    Without any, those that equal other tables' columns. Beside values these would not narrow what is read at first.
    """
    constant = [column for each in context if isinstance(each, InList) for column in each.columns]
    bounded = [each.column for each in context if isinstance(each, RangeBound)]
    joined = [column for each in context if isinstance(each, EqualColumns) for column in (each.left, each.right)]
    found = [*_names(leaf, constant), *_names(leaf, bounded)[:1]] or _names(leaf, joined)
    return tuple(dict.fromkeys(found))[:MAX_COLUMNS]


def _names(leaf: Leaf, columns: Iterable[ColumnTerm]) -> list[str]:
    """The names of those that are stored columns of the leaf's own row."""
    origins = [column.origin for column in columns]
    positions = [origin[1] for origin in origins if origin is not None and origin[0] is leaf]
    return [leaf.table.columns[position].name for position in positions if is_stored(leaf.table, position)]
