"""Statements for a count, or for a column's least or greatest value, which the store finds without sending all rows.

Invariant: only a SELECT whose WHERE is exactly a part of one index becomes an aggregate read, so that the entries of
that part are the selected rows, all of them and no others. `SELECT count(*) FROM (SELECT .. FROM t WHERE ..)`, which is
how SQLAlchemy counts a query, qualifies, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from sqlglot import exp

from rome.catalog.schema import ROWID, Index, Table
from rome.errors import DataError
from rome.planner.access.access import Access, exact
from rome.planner.access.bounds import Inputs, UncertainValue, exact_ranges
from rome.planner.algebra.conjuncts import position_of
from rome.planner.algebra.predicates import Leaf
from rome.planner.algebra.query import QueryReader
from rome.planner.algebra.scope import Scope
from rome.planner.parse.canonical import FUNCTION
from rome.planner.plan import AggregateKind, AggregateRequest

_KINDS: dict[str, AggregateKind] = {FUNCTION + "min": "least", FUNCTION + "max": "greatest"}
_COUNT = FUNCTION + "count"


class AggregateColumn(Struct, frozen=True):
    """One result column: the aggregate over the rows that an access finds, and the `position` of its column."""

    kind: AggregateKind
    access: Access
    position: int


class AggregateRead(Struct, frozen=True):
    """A statement whose result is one row of aggregates."""

    asked: tuple[AggregateColumn, ...]

    def questions(self, inputs: Inputs) -> list[AggregateRequest] | None:
        """Return one question per result column; None if the values of this run do not make exact ranges."""
        questions = []
        for kind, access, position in ((each.kind, each.access, each.position) for each in self.asked):
            try:
                ranges = exact_ranges(access, inputs, present=kind != "count")
            except (UncertainValue, DataError):
                return None
            if ranges is None or (kind != "count" and len(ranges) > 1):
                return None
            questions.append(AggregateRequest(kind, access.table, access.path, tuple(ranges), position))
        return questions


def read_summary(tree: exp.Expression, reader: QueryReader) -> AggregateRead | None:
    """Return the aggregate read of a statement, or None.

    Args:
        reader: the one that has read the statement and set the contexts of its leaves.
    """
    if not isinstance(tree, exp.Select) or len(reader.leaves) != 1 or not _has_only(tree, _OUTER_ARGS):
        return None
    leaf, rows = reader.leaves[0], tree
    derived = _source(tree)
    if isinstance(derived, exp.Subquery):
        inside = derived.this
        if not isinstance(inside, exp.Select) or "where" in _given(tree) or not reader.is_simple(inside):
            return None
        rows, derived = inside, _source(inside)
    if not isinstance(derived, exp.Table) or [source.leaf for source in reader.scope_of(rows).sources] != [leaf]:
        return None  # a view may show more than its table's rows; a temporary table has other rows
    if not reader.says_all(rows):
        return None
    asked = [_asked(part, leaf, reader.scope_of(tree)) for part in tree.expressions]
    found = [each for each in asked if each is not None]
    return AggregateRead(tuple(found)) if len(found) == len(asked) else None


_OUTER_ARGS = frozenset(["expressions", "from_", "where"])


def _given(tree: exp.Select) -> set[str]:
    return {name for name, value in tree.args.items() if value}


def _has_only(tree: exp.Select, names: frozenset[str]) -> bool:
    return _given(tree) <= names


def _source(tree: exp.Select) -> exp.Expression | None:
    """Return the only FROM item."""
    from_ = tree.args.get("from_")
    if from_ is None or from_.this.args.get("joins") or tree.args.get("joins"):
        return None
    return from_.this  # type: ignore[no-any-return]


def _asked(part: exp.Expression, leaf: Leaf, scope: Scope) -> AggregateColumn | None:
    call = part.this if isinstance(part, exp.Alias) else part
    if not isinstance(call, exp.Anonymous) or len(call.expressions) > 1:
        return None
    argument = call.expressions[0] if call.expressions else None
    if call.name == _COUNT:
        if argument is None or isinstance(argument, exp.Star) or _is_present(position_of(argument, leaf, scope), leaf):
            access = _best(leaf, leaf.table.paths)
            return None if access is None else AggregateColumn("count", access, ROWID)
        return None
    position = position_of(argument, leaf, scope)
    if call.name not in _KINDS or position is None:
        return None
    if position != ROWID and leaf.table.columns[position].collation != "BINARY":
        return None  # if 'a' and 'A' are equal, SQLite shows the one that it meets first
    for path in leaf.table.paths:
        access = exact(leaf, path)
        if access is not None and len(access.terms) < len(path.columns):
            place = len(access.terms)
            if path.columns[place] == position and path.collations[place] == "BINARY":
                return AggregateColumn(_KINDS[call.name], access, position)
    return None


def _best(leaf: Leaf, paths: Iterable[Index]) -> Access | None:
    accesses = [access for path in paths if (access := exact(leaf, path)) is not None]
    return max(accesses, key=lambda access: len(access.terms), default=None)


def _is_present(position: int | None, leaf: Leaf) -> bool:
    """Whether the column can never be NULL."""
    if position is None:
        return False
    table: Table = leaf.table
    return position in (ROWID, table.rowid_alias) or table.columns[position].not_null
