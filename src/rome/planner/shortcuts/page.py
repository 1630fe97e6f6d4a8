"""LIMIT: how to read a page of rows in the order of an index, and no more of it than the page takes.

A SELECT .. LIMIT may stand by itself, be the first derived table of FROM, or be anywhere else in the statement, as
often in `DELETE .. WHERE id IN (SELECT ..)`.

Invariant: a page is only made of a SELECT .. LIMIT whose rows are those of one table that pass WHERE, each at least
once (LEFT JOINs may follow), sorted first by columns of that table in the order of one of its indexes. Then what is
shown is among the first rows of the index that pass WHERE, as many as LIMIT and OFFSET say, and those that sort with
the last of them. How many of the rows read pass WHERE is not judged here: SQLite says so, by the *probe*, which is the
SELECT's own FROM and WHERE. So WHERE must say the same when it is asked again: no random(), no clock, and no function
of which that is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlglot import exp

from rome.catalog.schema import Index, Table
from rome.codec.values import Collation
from rome.errors import DataError
from rome.planner.access.access import Access, Choice, along
from rome.planner.access.bounds import Inputs, UncertainValue, ranges_of
from rome.planner.algebra.conjuncts import operand_of, position_of, queries_in
from rome.planner.algebra.predicates import Leaf, Operand
from rome.planner.algebra.query import QueryReader, may_aggregate
from rome.planner.algebra.scope import Scope
from rome.planner.parse.canonical import FUNCTION
from rome.planner.plan import Page
from rome.planner.shortcuts.page_order import kept, natural, sorted_by
from rome.planner.shortcuts.page_probe import Probe, QueryPlace

_MAX_RANGES = 8
"""More ranges than this are not read one after the other."""

_MARGIN, _FILTERED_MARGIN = 10, 100
"""So many rows more than the page has are read at once, and twice the page if some may not pass WHERE: a row that is
read in vain costs 10 µs, and a trip much more."""

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
"""SQLite's functions of which it is known that they give the same when they are asked again."""

_ARGS = frozenset(["expressions", "from_", "joins", "where", "order", "limit", "offset"])


@dataclass(frozen=True, slots=True)
class Paging:
    """How the rows of a leaf are read in order.

    Attributes:
        accesses: all of one path.
        order: the first columns that the rows are sorted by, positions and collations; rows equal in them are ties.
        place: whether the SELECT is the statement's, the first FROM item of that, or the only one with a LIMIT.
        filtered: WHERE may drop some of the rows.
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
        """Whether a condition bounds the part of the index that is read."""
        return all(access.terms or access.limits for access in self.accesses)

    def is_preferred(self, other: Choice) -> bool:
        """Whether it is better than reading all that another access finds; not if that has more equalities."""
        fixed = min(len(access.terms) for access in self.accesses)
        return other.rank[0] > 0 and not other.needs and fixed >= min(len(access.terms) for access in other.accesses)

    def page(self, inputs: Inputs, probe: Probe) -> Page | None:
        """What to read with the values of this run; None if they do not make a page."""
        try:
            limit = inputs.values(self.limit)[0]
            offset = 0 if self.offset is None else inputs.values(self.offset)[0]
            ranges = ranges_of(self.accesses, inputs)
        except (UncertainValue, DataError):
            return None
        if type(limit) is not int or type(offset) is not int or limit < 0 or len(ranges) > _MAX_RANGES:
            return None
        rows = limit + max(offset, 0)
        first = 2 * rows + _FILTERED_MARGIN if self.filtered else rows + _MARGIN
        parameters = tuple(inputs.parameters[: probe.parameters])
        return Page(self.path, tuple(ranges), self.order, self.reverse, rows, first, probe.sql, parameters)


def read_paging(tree: exp.Expression, reader: QueryReader) -> Paging | None:
    """How a statement's LIMIT bounds what it reads, or None.

    Args:
        reader: has read the statement, and set the contexts of its leaves.
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
    """The page of the only SELECT with a LIMIT inside a statement.

    One that writes must not change what the SELECT shows while it runs: SQLite runs the source of INSERT before, and a
    subquery of WHERE that speaks of its own table alone once.
    """
    limited = [select for select in tree.find_all(exp.Select) if select.args.get("limit")]
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
    shown = [*tree.expressions, *([tree.args["order"]] if "order" in given else [])]
    if any(may_aggregate(part) or part.find(exp.Window) for part in shown):
        return None
    compared = _columns(leaf, tree.args.get("where"), scope)
    limit, offset = (operand_of(tree.args.get(name), scope) for name in ("limit", "offset"))
    if compared is None or limit is None or ("offset" in given and offset is None):
        return None
    wanted = (
        sorted_by(leaf, tree.args["order"], tree, scope) if "order" in given else natural(leaf, compared, tree, scope)
    )
    paths = [_with_row_key(leaf.table, path) for path in leaf.table.paths]
    ways = [each for path in paths if (each := kept(leaf, path, wanted)) is not None]
    if not ways:
        return None
    best = max(ways, key=lambda each: (len(each.access.terms), each.follows, len(each.access.limits)))
    path = best.access.path
    filtered = not compared <= {*path.columns}
    return Paging(leaf, along(leaf, path), best.order, best.reverse, limit, offset, place, filtered)


def _with_row_key(table: Table, path: Index) -> Index:
    """The path with the columns of the row key, which are in its entries behind its own."""
    if path is table.key:
        return path
    return replace(
        path, columns=(*path.columns, *table.key.columns), collations=(*path.collations, *table.key.collations)
    )


def _first_item(tree: exp.Select) -> exp.Expression | None:
    from_ = tree.args.get("from_")
    return None if from_ is None or from_.this.args.get("joins") else from_.this


def _columns(leaf: Leaf, where: exp.Expression | None, scope: Scope) -> set[int] | None:
    """The columns of the leaf in WHERE; None if WHERE has others, too."""
    if where is None:
        return set()
    if any(True for _ in queries_in(where)) or any(call.name not in _PURE for call in where.find_all(exp.Anonymous)):
        return None
    origins = [position_of(column, leaf, scope) for column in where.find_all(exp.Column)]
    return None if None in origins else {position for position in origins if position is not None}
