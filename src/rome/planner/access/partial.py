"""Partial indexes: whether one may be read in place of the table.

Invariant: an index is usable for a leaf only if the leaf's context implies the index's condition, so that every row
that matters has an entry. Only conditions that columns are NULL or NOT NULL are understood. Whether another condition
is implied would depend on the values of a run, and a plan is made from the text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from rome.catalog.schema import ROWID, Index
from rome.planner.algebra.predicates import AnyOf, FixedValue, InList, Leaf, Predicate, columns_of
from rome.sql.tokens import identifier, tokenize

_IS_NULL = (("IS", "NULL"), ("ISNULL",))
_IS_NOT_NULL = (("IS", "NOT", "NULL"), ("NOT", "NULL"), ("NOTNULL",))


def usable(leaf: Leaf, context: Sequence[Predicate]) -> Iterator[Index]:
    """The partial indexes over columns that have an entry for every row that satisfies the context."""
    for index in leaf.table.computed:
        assert index.computed is not None
        if index.computed.condition is not None and _has_columns_only(leaf, index):
            wanted = null_conditions(index.computed.condition)
            if wanted is not None and all(
                any(_implies(predicate, leaf, leaf.table.positions.get(name), is_null) for predicate in context)
                for name, is_null in wanted
            ):
                yield index


def _has_columns_only(leaf: Leaf, index: Index) -> bool:
    return all(
        position == ROWID or (position >= 0 and not leaf.table.columns[position].generated)
        for position in index.columns
    )


@lru_cache(maxsize=1024)
def null_conditions(condition: str) -> tuple[tuple[str, bool], ...] | None:
    """(("a", True), ("b", False)) for `a IS NULL AND b IS NOT NULL`; None if the condition says something else."""
    found: list[tuple[str, bool]] = []
    part: list[str] = []
    name = ""
    tokens = tokenize(condition)
    while tokens and (tokens[0].word, tokens[-1].word) == ("(", ")"):
        tokens = tokens[1:-1]
    for token in [*tokens, None]:
        if token is None or token.word == "AND":
            is_null = tuple(part) in _IS_NULL
            if not name or not (is_null or tuple(part) in _IS_NOT_NULL):
                return None
            found.append((name, is_null))
            name, part = "", []
        elif not name and token.kind in ("word", "quoted"):
            name = identifier(token).lower()
        else:
            part.append(token.word)
    return tuple(found)


def _implies(predicate: Predicate, leaf: Leaf, position: int | None, is_null: bool) -> bool:
    """Whether a predicate implies that a column is NULL, or that it is not."""
    if isinstance(predicate, InList) and predicate.null_safe:
        (column,) = predicate.columns
        nulls = predicate.rows == ((FixedValue(None),),)
        return is_null and nulls and column.origin == (leaf, position)
    if is_null or isinstance(predicate, AnyOf):
        return False
    return any(column.origin == (leaf, position) for column in columns_of(predicate))
