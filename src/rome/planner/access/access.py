"""How to find the rows that a leaf's context leaves: by which index, with which of its columns fixed, by what.

Invariant: an access finds every row that satisfies the context together with some row of the leaves that key it. An
index serves an equality under its own collation, or under BINARY (equal bytes have equal keys under any collation); it
serves a range only under its own. Constants travel along equalities as long as each comparison leaves the stored values
unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from rome.catalog.schema import ROWID, Affinity, Index, Table
from rome.codec.values import Collation
from rome.planner.access.partial import usable
from rome.planner.algebra.predicates import (
    AnyOf,
    ColumnTerm,
    EqualColumns,
    InList,
    Leaf,
    NotNull,
    Operand,
    Operator,
    Predicate,
    RangeBound,
    RowBound,
    is_stored,
)
from rome.planner.parse.affinity import Conversion, as_is, key_conversion

MAX_BRANCHES = 200
"""An OR of more branches than this is not used to bound a read."""
_MAX_NESTED_ORS = 2

Origin = tuple[Leaf, int]


class Term(Struct, frozen=True, eq=False):
    """What an index column equals: a value from `supplier`, after `conversions` in order.

    Attributes:
        supplier: the constants of a predicate, or the rows of other leaves. Terms of one supplier are combined row by
            row, except for those that are not `in_row`.
        places: the value's position in a row of the supplier; one for each leaf.
        null_safe: whether NULL is a value like others, as for IS.
    """

    supplier: InList | tuple[Leaf, ...]
    places: tuple[int, ...]
    conversions: tuple[Conversion, ...]
    collation: Collation
    null_safe: bool = False
    in_row: bool = True


class Limit(Struct, frozen=True, eq=False):
    """One end of a range of an index column.

    Attributes:
        further: what the columns behind it are compared with, for a row of values; `operator` is then the row's.
    """

    operator: Operator
    operand: Operand
    conversion: Conversion
    further: tuple[tuple[Operand, Conversion], ...] = ()


class Access(Struct, frozen=True, eq=False):
    """Rows of `table` by a path: its first columns equal `terms`, and the next column lies within `limits`.

    `present` says that the next column is also not NULL. That alone is no reason to read by a path, since most rows
    have a value.
    """

    table: Table
    path: Index
    terms: tuple[Term, ...]
    limits: tuple[Limit, ...]
    present: bool = False


class Choice(Struct, frozen=True):
    """The accesses that together find a leaf's rows, with a rank for how good they are: smaller is better.

    Ranks: 0 is a unique key from constants, 1 a whole index key from constants, 2 and 3 are the same from other leaves'
    rows, 4 is the first columns of an index from constants, 5 the same from other leaves' rows, 6 a range alone, 7 a
    whole partial index.
    """

    rank: tuple[int, int]
    accesses: tuple[Access, ...]

    @property
    def needs(self) -> set[Leaf]:
        """The leaves whose rows must be known first."""
        return {
            leaf
            for access in self.accesses
            for term in access.terms
            if not isinstance(term.supplier, InList)
            for leaf in term.supplier
        }


KEYED = 4
"""Choices of a lower rank find few rows: about as many as they have keys."""
_WHOLE_NOT_UNIQUE = (1, 3)


def choose(leaf: Leaf, known: Set[Leaf]) -> Choice | None:
    """The best way to find a leaf's rows when those of `known` have been read; None if the whole table must be read."""
    return _choose(leaf, list(leaf.context), known, _MAX_NESTED_ORS)


def _choose(leaf: Leaf, context: Sequence[Predicate], known: Set[Leaf], depth: int) -> Choice | None:
    equalities = Equalities(leaf, context, known)
    choices = equalities.choices([*leaf.table.paths, *usable(leaf, context)])
    best = min(_narrower_as_good(choices), key=lambda choice: choice.rank, default=None)
    if best is not None and best.rank[0] < KEYED:
        return best
    if (nothing := _nothing(leaf, context)) is not None or depth == 0:
        return nothing or best
    for either in context:
        if isinstance(either, AnyOf) and len(either.branches) <= MAX_BRANCHES:
            rest = [predicate for predicate in context if predicate is not either]
            union = _union(leaf, rest, either, known, depth - 1)
            if union is not None and (best is None or union.rank < best.rank):
                best = union
    return best


def _nothing(leaf: Leaf, context: Sequence[Predicate]) -> Choice | None:
    """No keys, if `IN ()` of any column says that no row matters, whether an index has the column or not."""
    for predicate in context:
        if isinstance(predicate, InList) and not predicate.rows:
            key = leaf.table.key
            none = Term(predicate, (0,), (), "BINARY")
            return Choice((0, 0), (Access(leaf.table, key, tuple(none for _ in key.columns), ()),))
    return None


def _union(leaf: Leaf, rest: Sequence[Predicate], either: AnyOf, known: Set[Leaf], depth: int) -> Choice | None:
    accesses: list[Access] = []
    rank = (0, 0)
    for branch in either.branches:
        choice = _choose(leaf, [*rest, *branch], known, depth)
        if choice is None:
            return None
        accesses += choice.accesses
        rank = max(rank, choice.rank)
    return Choice(rank, tuple(accesses))


def unserved_branch(leaf: Leaf, context: Sequence[Predicate], either: AnyOf) -> Sequence[Predicate] | None:
    """The first branch of an OR that no path serves from constants, given the rest of the context; None if none is."""
    rest = [predicate for predicate in context if predicate is not either]
    for branch in either.branches:
        if _choose(leaf, [*rest, *branch], frozenset(), _MAX_NESTED_ORS - 1) is None:
            return branch
    return None


def alternatives(leaf: Leaf, choice: Choice, known: Set[Leaf]) -> list[Choice]:
    """Other ways to find a leaf's rows, each along one path, that may find fewer than `choice`; best first.

    A way is left out if it bounds no column beyond those that `choice`, or a better way, bounds.

    Args:
        known: leaves whose rows have been read. If empty, only ways keyed by constants count; otherwise only those that
            need some of these rows.
    """
    context = list(leaf.context)
    equalities = Equalities(leaf, context, known)
    others = equalities.choices(leaf.table.paths)
    bounds, found = [_bound(choice)], []
    for other in sorted(others, key=lambda other: other.rank):
        if bool(other.needs) is bool(known) and not any(_bound(other) <= bound for bound in bounds):
            bounds.append(_bound(other))
            found.append(other)
    return found


def simple(leaf: Leaf, path: Index) -> Access:
    """The access by one path, with constants only."""
    return Equalities(leaf, leaf.context).access(path)


def along(leaf: Leaf, path: Index) -> tuple[Access, ...]:
    """The accesses by one path, with constants only, that together find a leaf's rows; an OR is used if it helps."""
    return _all_along(leaf, path, list(leaf.context), _MAX_NESTED_ORS)


def _all_along(leaf: Leaf, path: Index, context: Sequence[Predicate], depth: int) -> tuple[Access, ...]:
    access = Equalities(leaf, context).access(path)
    bounds = len(access.terms), len(access.limits)
    for either in context:
        if depth and isinstance(either, AnyOf) and len(either.branches) <= MAX_BRANCHES:
            rest = [predicate for predicate in context if predicate is not either]
            union = [each for branch in either.branches for each in _all_along(leaf, path, [*rest, *branch], depth - 1)]
            if all((len(each.terms), len(each.limits)) > bounds for each in union):
                return tuple(union)
    return (access,)


def exact(leaf: Leaf, path: Index) -> Access | None:
    """The access by a path that finds exactly the rows which satisfy the leaf's context; None if there is none.

    The context must be all that the statement says of the leaf.
    """
    access = simple(leaf, path)
    used = {(term.supplier, place) for term in access.terms for place in term.places}
    limits = 0
    for predicate in leaf.context:
        if isinstance(predicate, InList):
            if not all((predicate, place) in used for place in range(len(predicate.columns))):
                return None
        elif isinstance(predicate, RangeBound):
            if predicate.row is not None:
                return None
            limits += 1
        elif len(access.terms) == len(path.columns) or not _is_present(
            predicate, leaf, path.columns[len(access.terms)]
        ):
            return None
    alike = all(term.collation == collation for term, collation in zip(access.terms, path.collations, strict=False))
    return access if alike and limits == len(access.limits) else None


def _is_present(predicate: Predicate, leaf: Leaf, position: int) -> bool:
    """Whether the predicate says only that the column is not NULL."""
    return isinstance(predicate, NotNull) and [column.origin for column in predicate.columns] == [(leaf, position)]


def _narrower_as_good(choices: Sequence[Choice]) -> list[Choice]:
    """Raise a choice of first columns of an index to the rank of a whole index whose columns are a subset of these.

    It finds no more rows than the whole index does, and is then preferred, since it fixes more columns.
    """
    ranked = []
    for choice in choices:
        ranks = [
            other.rank[0]
            for other in choices
            if other.rank[0] in _WHOLE_NOT_UNIQUE and _fixed(other) < _fixed(choice) and choice.needs <= other.needs
        ]
        ranked.append(replace(choice, rank=(min([choice.rank[0], *ranks]), choice.rank[1])))
    return ranked


def _fixed(choice: Choice) -> set[int]:
    """The columns that the first access fixes; along a path there is only one access."""
    access = choice.accesses[0]
    return set(access.path.columns[: len(access.terms)])


def _bound(choice: Choice) -> set[int]:
    """The columns that are fixed or lie within limits."""
    access = choice.accesses[0]
    return set(access.path.columns[: len(access.terms) + bool(access.limits)])


def _of_row(leaf: Leaf, path: Index, at: int, limit: Limit, row: RowBound) -> Limit:
    """The limit of as many columns of a row as follow each other in the path."""
    further: list[tuple[Operand, Conversion]] = []
    for n, column in enumerate(row.columns[1:], 1):
        conversion = _compared(leaf, path, at + n, column, row.collations[n])
        if conversion is None:
            return replace(limit, further=tuple(further))
        further.append((row.operands[n], conversion))
    return replace(limit, operator=row.operator, further=tuple(further))


def _compared(leaf: Leaf, path: Index, at: int, column: ColumnTerm, collation: Collation) -> Conversion | None:
    """What makes a value comparable with a path's column; None if it is another column, or is compared otherwise."""
    if at >= len(path.columns) or path.collations[at] != collation or column.origin != (leaf, path.columns[at]):
        return None
    return key_conversion(affinity_of(column.origin), None)


class Equalities:
    """What the columns of a leaf are known to equal: constants, and values of other leaves' rows.

    Args:
        context: what a row of the leaf must satisfy to matter.
        known: the leaves whose rows have been read.
    """

    def __init__(self, leaf: Leaf, context: Sequence[Predicate], known: Set[Leaf] = frozenset()) -> None:
        self._leaf = leaf
        self._known = known
        self._ranges: list[RangeBound] = []
        self._present: set[Origin] = set()
        self._joins: dict[Origin, list[tuple[ColumnTerm, ColumnTerm, Collation]]] = {}
        self._constants: dict[Origin, list[tuple[InList, int]]] = {}
        self._found: dict[int, list[Term]] = {}
        for predicate in context:
            if isinstance(predicate, EqualColumns):
                for column, other in ((predicate.left, predicate.right), (predicate.right, predicate.left)):
                    if column.origin is not None:
                        self._joins.setdefault(column.origin, []).append((column, other, predicate.collation))
            elif isinstance(predicate, InList):
                for index, column in enumerate(predicate.columns):
                    if column.origin is not None:
                        self._constants.setdefault(column.origin, []).append((predicate, index))
            elif isinstance(predicate, RangeBound):
                self._ranges.append(predicate)
            elif isinstance(predicate, NotNull) and len(predicate.columns) == 1:
                origin = predicate.columns[0].origin
                if origin is not None:
                    self._present.add(origin)
        origins = [*self._joins, *self._constants, *(bound.column.origin for bound in self._ranges)]
        self._bounded = {origin[1] for origin in origins if origin is not None and origin[0] is leaf}

    def access(self, path: Index) -> Access:
        """The access by one path: equalities fix as many of its first columns as possible, then a range follows."""
        terms: list[Term] = []
        for position, collation in zip(path.columns, path.collations, strict=True):
            term = self.term(position, collation)
            if term is None:
                break
            terms.append(term)
        table, fixed = self._leaf.table, len(terms)
        if fixed == len(path.columns):
            return Access(table, path, tuple(terms), ())
        limits = self._limits(path, fixed) if self._ranges else ()
        return Access(table, path, tuple(terms), limits, (self._leaf, path.columns[fixed]) in self._present)

    def choices(self, paths: Iterable[Index]) -> list[Choice]:
        """The uses of those paths that something bounds."""
        bounded = self._bounded
        return [
            choice
            for path in paths
            if path.computed is not None or path.columns[0] in bounded
            if (choice := self._along(path)) is not None
        ]

    def _along(self, path: Index) -> Choice | None:
        """The use of one path, with its rank; None if nothing bounds it."""
        access = self.access(path)
        terms, limits = access.terms, access.limits
        if not terms and not limits and path.computed is None:
            return None
        constant = all(isinstance(term.supplier, InList) for term in terms)
        whole = len(terms) == len(path.columns)
        if whole:
            unique = path.unique or path.id == self._leaf.table.key.id
            rank = (0 if unique else 1) + (0 if constant else 2)
        elif terms:
            rank = 4 if constant else 5
        else:
            rank = 6 if limits else 7
        # Among equal ranks prefer more fixed columns, then a range after them, then fewer lists of values.
        lists = sum(isinstance(term.supplier, InList) and not term.supplier.is_single for term in terms)
        finer = -8 * len(terms) - 4 * bool(limits) + min(lists, 3)
        return Choice((rank, finer), (access,))

    def _limits(self, path: Index, at: int) -> tuple[Limit, ...]:
        """The limits of a path's column, and of those behind it where rows of values are compared."""
        limits = []
        for predicate in self._ranges:
            conversion = _compared(self._leaf, path, at, predicate.column, predicate.collation)
            if conversion is not None:
                limit = Limit(predicate.operator, predicate.operand, conversion)
                row = predicate.row
                limits.append(limit if row is None else _of_row(self._leaf, path, at, limit, row))
        return tuple(limits)

    def term(self, position: int, collation: Collation) -> Term | None:
        """The best equality for an index column under the index's collation: a single constant, if there is one."""
        if position not in self._found:
            terms = self._terms((self._leaf, position)) if position in self._bounded else []
            self._found[position] = terms if len(terms) < 2 else sorted(terms, key=_preference)
        for term in self._found[position]:
            if term.collation in ("BINARY", collation):
                return term
        return None

    def _terms(self, target: Origin) -> list[Term]:
        """Everything that a column's value can be taken from, found by walking along the equalities from it."""
        terms: list[Term] = []
        seen = {target}
        steps: list[tuple[Origin, tuple[Conversion, ...], Collation]] = [(target, (), "BINARY")]
        for origin, conversions, collation in steps:
            for among, index in self._constants.get(origin, ()):
                conversion = key_conversion(affinity_of(origin), None)
                joint = _joint(collation, among.collations[index])
                if conversion is not None and joint is not None:
                    null_safe = among.null_safe and origin == target
                    terms.append(Term(among, (index,), _then(conversion, conversions), joint, null_safe))
            for _, other, under in self._joins.get(origin, ()):
                conversion = key_conversion(affinity_of(origin), other.affinity)
                joint = _joint(collation, under)
                if conversion is None or joint is None or not other.origins:
                    continue
                chain = _then(conversion, conversions)
                if all(leaf in self._known and is_stored(leaf.table, place) for leaf, place in other.origins):
                    suppliers, places = zip(*other.origins, strict=True)
                    terms.append(Term(suppliers, places, chain, joint, in_row=other.in_row))
                if other.origin is not None and other.origin not in seen:
                    seen.add(other.origin)
                    steps.append((other.origin, chain, joint))
        return terms


def _preference(term: Term) -> int:
    """The sort key that puts constants first, and single constants before lists."""
    if isinstance(term.supplier, InList):
        return 0 if term.supplier.is_single else 1
    return 2


def affinity_of(origin: Origin) -> Affinity:
    """The affinity of a stored column or the rowid."""
    leaf, position = origin
    return "INTEGER" if position == ROWID else leaf.table.columns[position].affinity


def _joint(one: Collation, other: Collation) -> Collation | None:
    """The collation under which a equals c, if a equals b under `one` and b equals c under `other`; None if unknown."""
    if one == other or other == "BINARY":
        return one
    return other if one == "BINARY" else None


def _then(conversion: Conversion, conversions: tuple[Conversion, ...]) -> tuple[Conversion, ...]:
    return conversions if conversion is as_is else (conversion, *conversions)
