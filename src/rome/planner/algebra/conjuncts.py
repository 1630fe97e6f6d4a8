"""From expressions to predicates: what follows from a WHERE or ON that must be true.

Invariant: each predicate is implied by the expression. SQLite puts `=`, IS, IN, BETWEEN and LIKE on one level of
precedence and sqlglot on two, so a comparison is read only when its operands cannot be such expressions themselves
(unless parenthesised): then both parsers agree on what it compares.
Source: https://sqlite.org/datatype3.html sections 4.2 and 7.1 for affinity and collation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace
from sqlglot import exp

from rome.codec.values import Collation
from rome.planner.algebra.predicates import (
    AnyOf,
    ColumnTerm,
    EqualColumns,
    FixedValue,
    InList,
    Leaf,
    NotNull,
    Operand,
    Operator,
    Predicate,
    RangeBound,
    RowBound,
)
from rome.planner.algebra.scope import Scope
from rome.planner.algebra.tree import Subquery

_OPERATORS: dict[type[exp.Expression], Operator] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_FLIPPED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WEAKER: dict[Operator, Operator] = {"<": "<=", "<=": "<=", ">": ">=", ">=": ">="}
_COLLATIONS: dict[str, Collation] = {"BINARY": "BINARY", "NOCASE": "NOCASE", "RTRIM": "RTRIM"}
_TIGHT = (
    exp.Add,
    exp.Anonymous,
    exp.BitwiseNot,
    exp.Case,
    exp.Collate,
    exp.Column,
    exp.Neg,
    exp.Null,
    exp.Paren,
    exp.Placeholder,
    exp.Subquery,
    exp.Tuple,
)
"""Expressions that bind more tightly than any comparison, in both parsers."""
_EXACT = (exp.EQ, exp.NullSafeEQ, exp.Is, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In)
"""Conditions for which the predicates read from them may say everything (see says_all)."""


class _Values:
    """An operand that is one literal or parameter, or a run of them, with its COLLATE."""

    __slots__ = ("collation", "operand")

    def __init__(self, operand: Operand, collation: Collation | None = None) -> None:
        self.operand = operand
        self.collation = collation


class _Shown:
    """An operand that is a column; `explicit` is its COLLATE."""

    __slots__ = ("column", "explicit")

    def __init__(self, column: ColumnTerm, explicit: Collation | None = None) -> None:
        self.column = column
        self.explicit = explicit


_Side = _Values | _Shown | None


class ConjunctReader:
    """Reads the expressions of one scope.

    Args:
        subquery: reads a subquery that is found, once.
        semi: collects predicates that hold for some row of a subquery (from IN and EXISTS). They are true of the rows
            of this scope, but must not be used inside of the subquery again.
    """

    def __init__(
        self, scope: Scope, subquery: Callable[[exp.Expression, Scope], Subquery], semi: list[Predicate] | None = None
    ) -> None:
        self._scope = scope
        self._subquery = subquery
        self._semi = semi
        self.says_all = True

    def read(self, expression: exp.Expression) -> list[Predicate]:
        """The predicates that follow from the expression's being true.

        `says_all` then tells whether the expression is true exactly if all of them are: nothing of it was dropped.
        """
        found: list[Predicate] = []
        for part in conjuncts(expression):
            predicates = self._conjunct(part)
            if not predicates:
                self._note_opaque(part)
            self.says_all = self.says_all and _says_all(part, predicates)
            found += predicates
        return found

    def _note_opaque(self, part: exp.Expression) -> None:
        """Note the columns of a condition from which nothing follows. The branches of an OR have noted theirs."""
        if isinstance(part, exp.Or):
            return
        for node in part.walk(prune=lambda node: isinstance(node, exp.Select | exp.SetOperation)):
            if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
                column = resolve(self._scope, node)
                for leaf, position in () if column is None else column.origins:
                    leaf.opaque = (*leaf.opaque, position)

    def _conjunct(self, part: exp.Expression) -> Sequence[Predicate]:
        if isinstance(part, exp.Or):
            return self._either(part)
        if isinstance(part, exp.EQ):
            return self._equal(part.this, part.expression)
        if isinstance(part, exp.NullSafeEQ):
            return self._null_safe(part.this, part.expression)
        if isinstance(part, exp.Is):
            # Newer versions of sqlglot parse `x IS ?` as NullSafeEQ; `x IS TRUE` means something else.
            compares = isinstance(part.expression, exp.Null | exp.Placeholder)
            return self._null_safe(part.this, part.expression) if compares else ()
        if type(part) in _OPERATORS:
            return self._ordered(part.this, _OPERATORS[type(part)], part.expression)
        if isinstance(part, exp.Between):
            low, high = part.args["low"], part.args["high"]
            return [*self._ordered(part.this, ">=", low), *self._ordered(part.this, "<=", high)]
        if isinstance(part, exp.In):
            return self._in(part)
        if isinstance(part, exp.Exists):
            return self._exists(part)
        if isinstance(part, exp.NEQ):
            return self._present(part.this, part.expression)
        if isinstance(part, exp.Not):
            inner = _unwrap(part.this)
            if isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null):
                return self._present(inner.this)
        return ()

    def _either(self, part: exp.Or) -> Sequence[Predicate]:
        reader = ConjunctReader(self._scope, self._subquery)
        branches = []
        for branch in _operands(part, exp.Or):
            predicates = tuple(reader.read(branch))
            if not predicates:
                return ()
            branches.append(predicates)
        return [AnyOf(tuple(branches))]

    def _equal(self, left: exp.Expression, right: exp.Expression) -> Sequence[Predicate]:
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
            if len(left.expressions) != len(right.expressions):
                return ()
            return [
                predicate
                for one, other in zip(left.expressions, right.expressions, strict=True)
                for predicate in self._equal(one, other)
            ]
        if not isinstance(left, _TIGHT) or not isinstance(right, _TIGHT):
            return ()
        one, other = self._side(left), self._side(right)
        if isinstance(one, _Shown) and isinstance(other, _Shown):
            collation = _collation(one, other)
            if collation is None:
                return _present(one, other)
            joined = EqualColumns(one.column, other.column, collation)
            if one.column.sources and other.column.sources:
                return [joined]
            if self._semi is not None:  # a scalar subquery, whose own rows it must not select
                self._semi.append(joined)
            return _present(one, other)
        if isinstance(one, _Values) and isinstance(other, _Shown):
            return self._among(other, [(one.operand,)], _collation(one, other))
        if isinstance(one, _Shown) and isinstance(other, _Values):
            return self._among(one, [(other.operand,)], _collation(one, other))
        return _present(one, other)

    def _among(
        self, shown: _Shown, rows: Sequence[tuple[Operand, ...]], collation: Collation | None, null_safe: bool = False
    ) -> Sequence[Predicate]:
        if collation is None:
            return () if null_safe else [NotNull((shown.column,))]
        return [InList((shown.column,), tuple(rows), (collation,), null_safe)]

    def _null_safe(self, left: exp.Expression, right: exp.Expression) -> Sequence[Predicate]:
        if not isinstance(left, _TIGHT) or not isinstance(right, _TIGHT):
            return ()
        one, other = self._side(left), self._side(right)
        if isinstance(one, _Shown) and isinstance(other, _Values):
            return self._among(one, [(other.operand,)], _collation(one, other), null_safe=True)
        if isinstance(one, _Values) and isinstance(other, _Shown):
            return self._among(other, [(one.operand,)], _collation(one, other), null_safe=True)
        return ()

    def _ordered(self, left: exp.Expression, operator: Operator, right: exp.Expression) -> Sequence[Predicate]:
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple) and left.expressions and right.expressions:
            return self._rows_ordered(left.expressions, operator, right.expressions)
        if not isinstance(left, _TIGHT) or not isinstance(right, _TIGHT):
            return ()
        one, other = self._side(left), self._side(right)
        if isinstance(one, _Values) and isinstance(other, _Shown):
            one, other, operator = other, one, _FLIPPED[operator]
        if isinstance(one, _Shown) and isinstance(other, _Values):
            collation = _collation(one, other)
            if collation is not None:
                return [RangeBound(one.column, operator, other.operand, collation)]
        return _present(one, other)

    def _rows_ordered(
        self, left: Sequence[exp.Expression], operator: Operator, right: Sequence[exp.Expression]
    ) -> Sequence[Predicate]:
        """Read `(a, b) < (1, 2)`: as much of both rows as are columns beside values, all on the same side."""
        found: list[RangeBound] = []
        for one, other in zip(left, right, strict=False):
            (bound, *_) = self._ordered(one, operator, other) or (None,)
            if not isinstance(bound, RangeBound) or bound.row or (found and bound.operator != found[0].operator):
                break
            found.append(bound)
        if not found:
            return self._ordered(left[0], _WEAKER[operator], right[0])
        first = found[0]
        whole, weaker = first.operator, _WEAKER[first.operator]
        row = RowBound(
            whole if len(found) == len(left) == len(right) else weaker,
            tuple([bound.column for bound in found]),
            tuple([bound.operand for bound in found]),
            tuple([bound.collation for bound in found]),
        )
        return [replace(first, operator=weaker, row=row if len(found) > 1 else None)]

    def _in(self, part: exp.In) -> Sequence[Predicate]:
        if not isinstance(part.this, _TIGHT):
            return ()
        members = part.this.expressions if isinstance(part.this, exp.Tuple) else [part.this]
        sides = [self._side(member) for member in members]
        shown = [side for side in sides if isinstance(side, _Shown)]
        query = part.args.get("query")
        if query is not None:
            if is_query(query.this):
                self._in_query(query.this, sides)
            return _present(*sides)
        if len(shown) != len(sides) or part.args.get("field") is not None:
            return ()
        rows = [self._row(item, len(sides)) for item in part.expressions]
        collations = [_collation(side, None) for side in shown]
        if any(row is None for row in rows) or any(collation is None for collation in collations):
            # `x IN (1, u.y)`: false or NULL for a NULL x, unless the list is empty, and that is no such row.
            return _present(*shown) if all(isinstance(item, _TIGHT) for item in part.expressions) else ()
        columns = tuple(side.column for side in shown)
        kept = tuple(row for row in rows if row is not None)
        return [InList(columns, kept, tuple(collation for collation in collations if collation is not None))]

    def _row(self, item: exp.Expression, width: int) -> tuple[Operand, ...] | None:
        """The constants of one member of an IN list; None if not all are constants."""
        parts = item.expressions if isinstance(item, exp.Tuple) else [item]
        if len(parts) != width:
            return None
        operands: list[Operand] = []
        for part in parts:
            side = self._side(part)
            if not isinstance(side, _Values):
                return None
            operands.append(side.operand)
        return tuple(operands)

    def _in_query(self, query: exp.Expression, sides: Sequence[_Side]) -> None:
        """Read `x IN (SELECT y ..)` as a join: some row of the subquery has y = x."""
        subquery = self._subquery(query, self._scope)
        if self._semi is None:
            return
        self._semi += subquery.facts()
        outputs = subquery.outputs
        if outputs is None or len(outputs) != len(sides):
            return
        for side, (_, column) in zip(sides, outputs, strict=True):
            collation = _collation(side, None) if isinstance(side, _Shown) else None
            if isinstance(side, _Shown) and collation is not None and column.origins:
                joined = EqualColumns(side.column, column, collation)
                self._semi.append(joined)
                subquery.push(joined)

    def _exists(self, part: exp.Exists) -> Sequence[Predicate]:
        query = part.this
        if is_query(query):
            subquery = self._subquery(query, self._scope)
            if self._semi is not None:
                self._semi += subquery.facts()
        return ()

    def _present(self, *parts: exp.Expression) -> Sequence[Predicate]:
        if not all(isinstance(part, _TIGHT) for part in parts):
            return ()
        return _present(*(self._side(part) for part in parts))

    def _side(self, part: exp.Expression) -> _Side:
        """The column or constant that an operand is; None if it is something else."""
        part = _unwrap(part)
        if isinstance(part, exp.Column) and isinstance(part.this, exp.Identifier):
            column = resolve(self._scope, part)
            return None if column is None else _Shown(column)
        if isinstance(part, exp.Placeholder):
            return _Values(self._scope.names.slots(part.name))
        if isinstance(part, exp.Null):
            return _Values(FixedValue(None))
        if isinstance(part, exp.Collate):
            return self._collate(part)
        if isinstance(part, exp.Subquery):
            return self._scalar(part)
        return None

    def _collate(self, part: exp.Collate) -> _Side:
        name = _COLLATIONS.get(part.expression.name.upper())
        inner = self._side(part.this) if isinstance(part.this, _TIGHT) else None
        if name is None or inner is None:
            return None
        if isinstance(inner, _Shown):
            return _Shown(inner.column, inner.explicit or name)
        return _Values(inner.operand, inner.collation or name)

    def _scalar(self, part: exp.Subquery) -> _Side:
        """`(SELECT u.x FROM u ..)` as a column of its own: its value is some row's, or NULL. It has no collation."""
        if not is_query(part.this):
            return None
        outputs = self._subquery(part.this, self._scope).outputs
        if outputs is None or len(outputs) != 1 or not outputs[0][1].origins:
            return None
        column = outputs[0][1]
        return _Shown(replace(column.detached(), collation=None))


def _says_all(part: exp.Expression, found: Sequence[Predicate]) -> bool:
    """Whether a conjunct is true exactly if all that was found in it is."""
    if isinstance(part, exp.Not):  # IS NOT NULL
        return len(found) == 1
    return (
        isinstance(part, _EXACT)
        and len(found) == (2 if isinstance(part, exp.Between) else 1)
        and all(isinstance(predicate, InList | EqualColumns | RangeBound) for predicate in found)
        and not any(isinstance(side, exp.Tuple) for side in part.iter_expressions())
    )


def conjuncts(expression: exp.Expression) -> Iterator[exp.Expression]:
    """The parts of a conjunction, without their parentheses."""
    expression = _unwrap(expression)
    if isinstance(expression, exp.And):
        for part in _operands(expression, exp.And):
            yield from conjuncts(part)
    else:
        yield expression


def _operands(expression: exp.Expression, kind: type[exp.Expression]) -> list[exp.Expression]:
    """The operands of `a AND b AND c`, which is nested to the left. No recursion, since there may be thousands."""
    operands = []
    while isinstance(expression, kind):
        operands.append(expression.args["expression"])
        expression = expression.this
    return [expression, *reversed(operands)]


def is_column(part: exp.Expression) -> bool:
    """Whether a result column is a column of a FROM item, renamed or not: it holds no query, no call, no window.

    Most are, and an ORM's SELECT has dozens; what looks for such things in a statement leaves them out.
    """
    if type(part) is exp.Alias:
        part = part.this
    return type(part) is exp.Column and type(part.this) is exp.Identifier


def nodes_in(expression: exp.Expression) -> Iterator[exp.Expression]:
    """All nodes of a tree, except for result columns as in `is_column`."""
    stack = [expression]
    while stack:
        part = stack.pop()
        yield part
        for name, value in part.args.items():
            if isinstance(value, exp.Expression):
                stack.append(value)
            elif isinstance(value, list):
                columns = name == "expressions" and type(part) is exp.Select
                stack += [
                    each for each in value if isinstance(each, exp.Expression) and not (columns and is_column(each))
                ]


def queries_in(expression: exp.Expression) -> Iterator[exp.Expression]:
    """The outermost queries within an expression, in the order of the text."""
    stack: list[object] = [expression]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack += reversed(part)
        elif isinstance(part, exp.Expression):
            if is_query(part):
                yield part
            else:
                stack += reversed(list(part.args.values()))


def is_query(expression: exp.Expression) -> bool:
    """Whether it is a SELECT or a compound, but not one in parentheses: `x IN ((SELECT y))` takes one y only."""
    return isinstance(expression, exp.Select | exp.SetOperation)


def _unwrap(expression: exp.Expression) -> exp.Expression:
    while isinstance(expression, exp.Paren):
        expression = expression.this
    return expression


def resolve(scope: Scope, column: exp.Column) -> ColumnTerm | None:
    """The column that a name in the text means; None if that is not known."""
    args = column.args
    if args.get("catalog") is not None:
        return None
    if args.get("db") is not None and column.text("db").lower() not in ("", "main"):
        return None
    return scope.resolve(column.name, column.table or None)


def position_of(part: exp.Expression | None, leaf: Leaf, scope: Scope) -> int | None:
    """The position of the leaf's column that an expression is; None if it is something else."""
    if not isinstance(part, exp.Column) or not isinstance(part.this, exp.Identifier):
        return None
    column = resolve(scope, part)
    origin = None if column is None else column.origin
    return origin[1] if origin is not None and origin[0] is leaf else None


def operand_of(clause: exp.Expression | None, scope: Scope) -> Operand | None:
    """The value of LIMIT or OFFSET; None if it is missing, or not a single value."""
    value = None if clause is None else clause.args.get("expression")
    return scope.names.slots(value.name) if isinstance(value, exp.Placeholder) else None


def _present(*sides: _Side) -> Sequence[Predicate]:
    columns = tuple(side.column for side in sides if isinstance(side, _Shown))
    return [NotNull(columns)] if columns else ()


def _collation(left: _Shown | _Values, right: _Shown | _Values | None) -> Collation | None:
    """The collation of a comparison: an explicit one, else the left column's, else the right one's; None if unknown."""
    for side in (left, right):
        explicit = side.explicit if isinstance(side, _Shown) else side.collation if side else None
        if explicit is not None:
            return explicit
    for side in (left, right):
        if isinstance(side, _Shown) and side.column.sources:
            return side.column.collation
    return "BINARY"
