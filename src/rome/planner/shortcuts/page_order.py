"""The order in which a SELECT shows rows, and how far a path of the table preserves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.values import Collation
from rome.planner.access.access import Access, Equalities
from rome.planner.algebra.conjuncts import position_of
from rome.planner.algebra.predicates import InList, Leaf
from rome.planner.algebra.scope import Scope


class Sorted(NamedTuple):
    """One term of ORDER BY: a column of the leaf."""

    position: int
    descending: bool
    collation: Collation


def sorted_by(leaf: Leaf, order: exp.Expression, tree: exp.Select, scope: Scope) -> list[Sorted]:
    """Return the leading ORDER BY terms that are columns of the leaf and put NULLs where an index has them.

    `x IS NULL DESC` before `x ASC`, and `x IS NOT NULL DESC` before `x DESC`, as oslo.db writes them, place the NULLs.
    """
    aliases = {part.alias.lower(): part.this for part in tree.expressions if isinstance(part, exp.Alias)}
    found: list[Sorted] = []
    nulls: Sorted | None = None  # the term that must follow
    for term in order.expressions:
        part, explicit = term.this, None
        if nulls is None and (tested := _null_test(part)) is not None and term.args.get("desc"):
            position = position_of(tested.this, leaf, scope)
            if position is None or position == ROWID:
                break
            nulls = Sorted(position, part.find(exp.Not) is not None, leaf.table.columns[position].collation)
            continue
        if isinstance(part, exp.Collate):
            part, explicit = part.this, part.expression.name.upper()
        if isinstance(part, exp.Column) and not part.table:  # a result column's name comes before a table's column
            part = aliases.get(part.name.lower(), part)
        position = position_of(part, leaf, scope)
        if position is None or (explicit is not None and explicit not in _COLLATIONS):
            break
        descending = bool(term.args.get("desc"))
        if bool(term.args.get("nulls_first")) is descending and not never_null(leaf.table, position):
            break
        own: Collation = "BINARY" if position == ROWID else leaf.table.columns[position].collation
        term_sorted = Sorted(position, descending, own if explicit is None else _COLLATIONS[explicit])
        if nulls not in (None, term_sorted):
            break
        found.append(term_sorted)
        nulls = None
    return found


def _null_test(part: exp.Expression) -> exp.Is | None:
    """Return the IS NULL in `x IS NULL` or `x IS NOT NULL`."""
    while isinstance(part, exp.Paren):
        part = part.this
    test = part.this if isinstance(part, exp.Not) else part
    return test if isinstance(test, exp.Is) and isinstance(test.expression, exp.Null) else None


_COLLATIONS: dict[str, Collation] = {"BINARY": "BINARY", "NOCASE": "NOCASE", "RTRIM": "RTRIM"}


def never_null(table: Table, position: int) -> bool:
    """Whether no row has NULL in a column."""
    return position in (ROWID, table.rowid_alias) or table.columns[position].not_null


def natural(leaf: Leaf, compared: set[int], tree: exp.Select, scope: Scope) -> list[Sorted]:
    """Return the order without ORDER BY: by rowid, if SQLite cannot prefer another one.

    The working set has the table's unique indexes, and SQLite may choose such an index's order if WHERE uses its first
    column, or if it contains all columns that the SELECT mentions.
    """
    table = leaf.table
    if table.key.columns not in ((ROWID,), (table.rowid_alias,)):
        return []
    unique = [index for index in table.indexes if index.unique]
    if any(index.computed is not None or index.columns[0] in compared for index in unique):
        return []
    if unique and not any(_is_star(part, scope.sources[0].name) for part in tree.expressions):
        mentioned = {position_of(column, leaf, scope) for column in tree.find_all(exp.Column)} - {None}
        if any(mentioned <= {*index.columns, *table.key.columns} for index in unique):
            return []
    return [Sorted(table.key.columns[0], False, "BINARY")]


def _is_star(part: exp.Expression, name: str) -> bool:
    """Whether an expression is `*` or `name.*`."""
    star = part.this if isinstance(part, exp.Column) else part
    return isinstance(star, exp.Star) and part.text("table").lower() in ("", name)


class Kept(NamedTuple):
    """A path that preserves the wanted order in the first `follows` terms that are not constant.

    `is_whole`: in all of them.
    """

    access: Access
    order: tuple[tuple[int, Collation], ...]
    reverse: bool
    follows: int
    is_whole: bool


def kept(path: Index, wanted: Sequence[Sorted], fixed: Equalities) -> Kept | None:
    """Return how a path preserves the wanted order; None if it does not.

    Args:
        fixed: what the columns of the path's leaf equal.
    """
    access = fixed.access(path)
    columns = [*zip(path.columns, path.collations, strict=True)]
    single = {
        place
        for place, term in enumerate(access.terms)
        if isinstance(term.supplier, InList) and term.supplier.is_single and term.collation == "BINARY"
    }
    constant = {path.columns[place] for place in single}
    at, follows, reverse, whole = 0, 0, False, True
    for term in wanted:
        if term.position in constant:
            continue
        whole = False
        while at in single:
            at += 1
        if at == len(columns) or columns[at] != (term.position, term.collation):
            break
        if follows and term.descending is not reverse:
            break
        reverse = term.descending
        at, follows, whole = at + 1, follows + 1, True
    return Kept(access, tuple(columns[:at]), reverse, follows, whole) if follows else None
