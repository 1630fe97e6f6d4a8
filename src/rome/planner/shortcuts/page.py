"""LIMIT: how to read a page of rows in the order of an index, and no more of it than the page takes.

A SELECT .. LIMIT may stand by itself, be the first derived table of FROM, or be anywhere else in the statement, as
often in `DELETE .. WHERE id IN (SELECT ..)`.

Invariant: a page is only made of a SELECT .. LIMIT whose rows are those of one table that pass WHERE, each at least
once (LEFT JOINs may follow), sorted first by columns of that table in the order of one of its indexes. Then what is
shown is among the first rows of the index that pass WHERE, as many as LIMIT and OFFSET say, and those that sort with
the last of them. This module does not judge how many of the rows read pass WHERE: SQLite counts them with the *probe*,
which is the SELECT's own FROM and WHERE. So WHERE must give the same result when it is evaluated again: no random(), no
clock, and no function that is not known to be deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msgspec import Struct
from sqlglot import exp

from rome.catalog.schema import Index, Table
from rome.codec.values import Collation
from rome.errors import DataError
from rome.planner.access.access import Access, Choice, Equalities, along
from rome.planner.access.bounds import Inputs, UncertainValue, ranges_of
from rome.planner.algebra.conjuncts import is_column, nodes_in, operand_of, position_of, queries_in
from rome.planner.algebra.predicates import Leaf, Operand
from rome.planner.algebra.query import QueryReader, may_aggregate
from rome.planner.algebra.scope import Scope
from rome.planner.parse.canonical import FUNCTION
from rome.planner.plan import Page
from rome.planner.shortcuts.page_order import kept, natural, sorted_by
from rome.planner.shortcuts.page_probe import Probe, QueryPlace

MAX_RANGES = 8
"""The most ranges that are read one after the other."""

_MARGIN, _FILTERED_MARGIN = 10, 100
"""The first read has this many rows more than the page, or twice the page if some may fail WHERE: a row read in vain
costs 10 µs, and a trip much more."""

_PURE = frozenset(
    FUNCTION + name
    for name in [
        "abs",
        "cast",
        "char",
        "coalesce",
        "concat",
        "concat_ws",
        "glob",
        "hex",
        "if",
        "ifnull",
        "iif",
        "instr",
        "json_array_length",
        "json_extract",
        "json_type",
        "json_valid",
        "length",
        "like",
        "lower",
        "ltrim",
        "max",
        "min",
        "nullif",
        "octet_length",
        "quote",
        "replace",
        "round",
        "rtrim",
        "sign",
        "substr",
        "substring",
        "trim",
        "typeof",
        "unicode",
        "upper",
    ]
)
"""SQLite's functions that are known to give the same result when they are called again."""

_ARGS = frozenset(["expressions", "from_", "joins", "where", "order", "limit", "offset"])


class Paging(Struct, frozen=True):
    """How to read the rows of a leaf in order.

    Attributes:
        accesses: all of one path.
        order: the first columns that the rows are sorted by, as positions and collations; rows equal in them are ties.
        place: whether the SELECT is the statement, its first FROM item, or the only one with a LIMIT.
        filtered: whether WHERE may drop some of the rows.
    """

    leaf: Leaf
    accesses: tuple[Access, ...]
    order: tuple[tuple[int, Collation], ...]
    reverse: bool
    limit: Operand
    offset: Operand | None
    place: QueryPlace
    filtered: bool

    @property
    def path(self) -> Index:
        """The index along which rows are read."""
        return self.accesses[0].path

    @property
    def is_bounded(self) -> bool:
        """Whether a condition restricts the part of the index that is read."""
        return all(access.terms or access.limits for access in self.accesses)

    def is_preferred(self, other: Choice) -> bool:
        """Whether a page is better than all rows of another access; not if that one has more equalities."""
        return is_preferred(self.accesses, other)

    def page(self, inputs: Inputs, probe: Probe) -> Page | None:
        """Return what to read with the values of this run; None if they do not make a page."""
        try:
            limit = inputs.values(self.limit)[0]
            offset = 0 if self.offset is None else inputs.values(self.offset)[0]
            ranges = ranges_of(self.accesses, inputs)
        except (UncertainValue, DataError):
            return None
        if type(limit) is not int or type(offset) is not int or limit < 0 or len(ranges) > MAX_RANGES:
            return None
        rows = limit + max(offset, 0)
        first = 2 * rows + _FILTERED_MARGIN if self.filtered else rows + _MARGIN
        parameters = tuple(inputs.parameters[: probe.parameters])
        return Page(self.path, tuple(ranges), self.order, self.reverse, rows, first, probe.sql, parameters)


def is_preferred(accesses: Sequence[Access], other: Choice) -> bool:
    """Whether reading in order is better than all rows of another access; not if that one has more equalities."""
    fixed = min(len(access.terms) for access in accesses)
    return other.rank[0] > 0 and not other.needs and fixed >= min(len(access.terms) for access in other.accesses)


def read_paging(tree: exp.Expression, reader: QueryReader) -> Paging | None:
    """Return how a statement's LIMIT bounds what it reads, or None.

    Args:
        reader: the one that has read the statement and set the contexts of its leaves.
    """
    found = None
    if isinstance(tree, exp.Select) and not tree.args.get("with_"):
        derived = _first_item(tree)
        if isinstance(derived, exp.Subquery) and isinstance(derived.this, exp.Select):
            found = _paging(derived.this, reader, "derived")
        else:
            found = _paging(tree, reader, "top")
    return found or _nested(tree, reader)


def _nested(tree: exp.Expression, reader: QueryReader) -> Paging | None:
    """Return the page of the only SELECT with a LIMIT inside a statement.

    A statement that writes must not change what the SELECT shows while it runs. SQLite runs the source of INSERT first,
    and an uncorrelated subquery of WHERE only once.
    """
    limited = [part for part in nodes_in(tree) if isinstance(part, exp.Select) and part.args.get("limit")]
    if len(limited) != 1 or limited[0] is tree or not reader.has_read(limited[0]):
        return None
    select = limited[0]
    paging = _paging(select, reader, "nested")
    if paging is None or isinstance(tree, exp.Select | exp.SetOperation):
        return paging
    if isinstance(tree, exp.Insert):
        return paging if tree.expression is select else None
    scope, where = reader.scope_of(select), tree.args.get("where")
    in_where = where is not None and any(each is select for each in where.find_all(exp.Select))
    of_itself = all(position_of(column, paging.leaf, scope) is not None for column in select.find_all(exp.Column))
    return paging if in_where and of_itself else None


def _paging(tree: exp.Select, reader: QueryReader, place: QueryPlace) -> Paging | None:
    given = {name for name, value in tree.args.items() if value}
    if not given <= _ARGS or "limit" not in given or not isinstance(_first_item(tree), exp.Table):
        return None
    scope = reader.scope_of(tree)
    leaf = scope.sources[0].leaf
    if leaf is None or leaf.table.without_rowid or any(join.side != "LEFT" for join in tree.args.get("joins") or []):
        return None
    shown = [part for part in tree.expressions if not is_column(part)]
    if "order" in given:
        shown.append(tree.args["order"])
    if any(may_aggregate(part) or part.find(exp.Window) for part in shown):
        return None
    compared = columns_of_where(leaf, tree.args.get("where"), scope)
    limit, offset = (operand_of(tree.args.get(name), scope) for name in ("limit", "offset"))
    if compared is None or limit is None or ("offset" in given and offset is None):
        return None
    wanted = (
        sorted_by(leaf, tree.args["order"], tree, scope) if "order" in given else natural(leaf, compared, tree, scope)
    )
    if not wanted:
        return None
    paths = [with_row_key(leaf.table, path) for path in leaf.table.paths]
    fixed = Equalities(leaf, leaf.context)
    ways = [each for path in paths if (each := kept(path, wanted, fixed)) is not None]
    if not ways:
        return None
    best = max(ways, key=lambda each: (len(each.access.terms), each.follows, len(each.access.limits)))
    path = best.access.path
    filtered = not compared <= {*path.columns}
    return Paging(leaf, along(leaf, path), best.order, best.reverse, limit, offset, place, filtered)


def with_row_key(table: Table, path: Index) -> Index:
    """Return the path extended by the row key's columns, which follow its own columns in its entries."""
    if path is table.key:
        return path
    return replace(
        path, columns=(*path.columns, *table.key.columns), collations=(*path.collations, *table.key.collations)
    )


def _first_item(tree: exp.Select) -> exp.Expression | None:
    from_ = tree.args.get("from_")
    return None if from_ is None or from_.this.args.get("joins") else from_.this


def columns_of_where(leaf: Leaf, where: exp.Expression | None, scope: Scope) -> set[int] | None:
    """Return the leaf's columns in WHERE; None if WHERE has other columns, too."""
    if where is None:
        return set()
    if any(True for _ in queries_in(where)) or any(call.name not in _PURE for call in where.find_all(exp.Anonymous)):
        return None
    origins = [position_of(column, leaf, scope) for column in where.find_all(exp.Column)]
    return None if None in origins else {position for position in origins if position is not None}
