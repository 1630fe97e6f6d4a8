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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from sqlglot import exp

from rome.catalog.reflected_table import quote
from rome.catalog.schema import ROWID, Index, Table
from rome.codec.values import Collation
from rome.errors import DataError
from rome.planner.access.access import Access, Choice, along, simple
from rome.planner.access.bounds import Inputs, UncertainValue, ranges_of
from rome.planner.algebra.conjuncts import operand_of, position_of, queries_in
from rome.planner.algebra.predicates import InList, Leaf, Operand
from rome.planner.algebra.query import QueryReader, may_aggregate
from rome.planner.algebra.scope import ROWID_NAMES, Scope
from rome.planner.parse.canonical import FUNCTION, number_parameters
from rome.planner.plan import Page
from rome.sql.tokens import Token

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


QueryPlace = Literal["top", "derived", "nested"]


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
        return self.accesses[0].path

    @property
    def is_bounded(self) -> bool:
        """Does a condition bound what is walked through?"""
        return all(access.terms or access.limits for access in self.accesses)

    def is_preferred(self, other: Choice) -> bool:
        """Is it better than reading all that another access finds? Not if that is bound by more equalities."""
        fixed = min(len(access.terms) for access in self.accesses)
        return other.rank[0] > 0 and not other.needs and fixed >= min(len(access.terms) for access in other.accesses)

    def page(self, inputs: Inputs, probe: Probe) -> Page | None:
        """What to read with the values of this run; None: these do not make a page."""
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
        _sorted_by(leaf, tree.args["order"], tree, scope) if "order" in given else _natural(leaf, compared, tree, scope)
    )
    paths = [_with_row_key(leaf.table, path) for path in leaf.table.paths]
    kept = [each for path in paths if (each := _kept(leaf, path, wanted)) is not None]
    if not kept:
        return None
    best = max(kept, key=lambda each: (len(each.access.terms), each.follows, len(each.access.limits)))
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
    """The columns of the leaf that WHERE speaks of; None: it speaks of more than these."""
    if where is None:
        return set()
    if any(True for _ in queries_in(where)) or any(call.name not in _PURE for call in where.find_all(exp.Anonymous)):
        return None
    origins = [position_of(column, leaf, scope) for column in where.find_all(exp.Column)]
    return None if None in origins else {position for position in origins if position is not None}


class Sorted(NamedTuple):
    """One term of ORDER BY: a column of the leaf."""

    position: int
    descending: bool
    collation: Collation


def _sorted_by(leaf: Leaf, order: exp.Expression, tree: exp.Select, scope: Scope) -> list[Sorted]:
    """The first terms of ORDER BY, as far as they are columns of the leaf, NULLs where an index has them.

    `x IS NULL DESC` before `x ASC`, and `x IS NOT NULL DESC` before `x DESC`, as oslo.db writes it, say where they are.
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
        if bool(term.args.get("nulls_first")) is descending and not _never_null(leaf.table, position):
            break
        own: Collation = "BINARY" if position == ROWID else leaf.table.columns[position].collation
        sorted_by = Sorted(position, descending, own if explicit is None else _COLLATIONS[explicit])
        if nulls not in (None, sorted_by):
            break
        found.append(sorted_by)
        nulls = None
    return found


def _null_test(part: exp.Expression) -> exp.Is | None:
    """The IS NULL in `x IS NULL` or `x IS NOT NULL`."""
    while isinstance(part, exp.Paren):
        part = part.this
    test = part.this if isinstance(part, exp.Not) else part
    return test if isinstance(test, exp.Is) and isinstance(test.expression, exp.Null) else None


_COLLATIONS: dict[str, Collation] = {"BINARY": "BINARY", "NOCASE": "NOCASE", "RTRIM": "RTRIM"}


def _never_null(table: Table, position: int) -> bool:
    return position in (ROWID, table.rowid_alias) or table.columns[position].not_null


def _natural(leaf: Leaf, compared: set[int], tree: exp.Select, scope: Scope) -> list[Sorted]:
    """Without ORDER BY: by rowid, where nothing else can tempt SQLite.

    A unique index, which the working set has, too, may lead it to another order: if WHERE speaks of the index's first
    column, or if the index has all columns that the SELECT mentions.
    """
    table = leaf.table
    if table.key.columns not in ((ROWID,), (table.rowid_alias,)):
        return []
    mentioned = {position_of(column, leaf, scope) for column in tree.find_all(exp.Column)} - {None}
    shows_all = any(_is_star(part, scope.sources[0].name) for part in tree.expressions)
    for index in table.indexes:
        if index.unique and (
            index.computed is not None
            or index.columns[0] in compared
            or (not shows_all and mentioned <= {*index.columns, *table.key.columns})
        ):
            return []
    return [Sorted(table.key.columns[0], False, "BINARY")]


def _is_star(part: exp.Expression, name: str) -> bool:
    """Is it `*`, or `name.*`?"""
    star = part.this if isinstance(part, exp.Column) else part
    return isinstance(star, exp.Star) and part.text("table").lower() in ("", name)


class _Kept(NamedTuple):
    """A path that keeps the order wanted, in the first `follows` terms that are not constant."""

    access: Access
    order: tuple[tuple[int, Collation], ...]
    reverse: bool
    follows: int


def _kept(leaf: Leaf, path: Index, wanted: Sequence[Sorted]) -> _Kept | None:
    access = simple(leaf, path)
    columns = [*zip(path.columns, path.collations, strict=True)]
    fixed = {
        place
        for place, term in enumerate(access.terms)
        if isinstance(term.supplier, InList) and term.supplier.is_single and term.collation == "BINARY"
    }
    constant = {path.columns[place] for place in fixed}
    at, follows, reverse = 0, 0, False
    for term in wanted:
        if term.position in constant:
            continue
        while at in fixed:
            at += 1
        if at == len(columns) or columns[at] != (term.position, term.collation):
            break
        if follows and term.descending is not reverse:
            break
        reverse = term.descending
        at, follows = at + 1, follows + 1
    return _Kept(access, tuple(columns[:at]), reverse, follows) if follows else None


class Probe(NamedTuple):
    """Finds the rowids of the rows in the working set that pass a SELECT's WHERE; takes the first parameters."""

    sql: str
    parameters: int


def probe_of(tokens: Sequence[Token], paging: Paging) -> Probe | None:
    """The probe of a statement; None: its text is not such that its parts can be told.

    Args:
        tokens: of the statement, whose paging this is.
    """
    numbers = {token.start: slot for token, slot in number_parameters(tokens)}
    if paging.place == "nested":
        start = _select_of_limit(tokens)
        if start is None:
            return None
        tokens = tokens[start:]
    elif paging.place == "derived":
        start = _clause(tokens, "FROM", 0)
        if start is None or [token.word for token in tokens[start + 1 : start + 3]] != ["(", "SELECT"]:
            return None
        tokens = tokens[start + 2 :]
    from_ = _clause(tokens, "FROM", 0)
    if from_ is None:
        return None
    end = from_ + 1
    while end < len(tokens) and tokens[end].word not in _AFTER_TABLE:
        end += 1
    table = [token.text for token in tokens[from_ + 1 : end]]
    where = _clause(tokens, "WHERE", end)
    condition = [] if where is None else tokens[where : _end_of_where(tokens, where + 1)]
    texts, count = [], 0
    for token in condition:
        slot = numbers.get(token.start)
        positions = (
            [] if slot is None else [slot] if isinstance(slot, int) else list(slot) if isinstance(slot, range) else []
        )
        texts.append(", ".join(f"?{position + 1}" for position in positions) or token.text)
        count = max([count, *(position + 1 for position in positions)])
    return Probe(f"SELECT {_rowid(paging.leaf.table)} FROM {' '.join(table)} {' '.join(texts)}", count)


_AFTER_TABLE = frozenset(["WHERE", "ORDER", "LIMIT", "LEFT", "NATURAL", "JOIN", ",", ")", ";"])
_AFTER_WHERE = frozenset(["ORDER", "LIMIT", ")", ";"])


def _select_of_limit(tokens: Sequence[Token]) -> int | None:
    """Where the SELECT begins that the only LIMIT belongs to."""
    limits = [at for at, token in enumerate(tokens) if token.word == "LIMIT"]
    depth = 0
    for at in range(limits[0], -1, -1) if len(limits) == 1 else ():
        word = tokens[at].word
        depth += (word == ")") - (word == "(")
        if depth < 0:
            return None
        if depth == 0 and word == "SELECT":
            return at
    return None


def _clause(tokens: Sequence[Token], word: str, start: int) -> int | None:
    """Where a clause of a SELECT begins; not one of a subquery in it, nor IS DISTINCT FROM."""
    depth = 0
    for at in range(start, len(tokens)):
        found = tokens[at].word
        if depth == 0 and found == word and tokens[at - 1].word not in ("DISTINCT", "."):
            return at
        depth += (found == "(") - (found == ")")
        if depth < 0 or (depth == 0 and found == "LIMIT"):
            return None
    return None


def _end_of_where(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        word = tokens[at].word
        if depth == 0 and word in _AFTER_WHERE:
            return at
        depth += (word == "(") - (word == ")")
    return len(tokens)


def _rowid(table: Table) -> str:
    if table.rowid_alias is not None:
        return quote(table.columns[table.rowid_alias].name)
    return next(name for name in ("rowid", *ROWID_NAMES) if name not in table.positions)
