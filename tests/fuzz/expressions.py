"""Random expressions over the FROM items in sight.

Left out is what raises an error on some rows only (abs() and sum() overflow): SQLite evaluates it on rows that do not
matter, or does not, as its plan has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rome.codec.values import SqlValue
from tests.fuzz.choices import Choices
from tests.fuzz.derived_types import odd
from tests.fuzz.schemas import BOUNDARY, IDS, Pool, Q, RandomSchema, RandomTable, literal
from tests.support.differential import Operation


class Item(NamedTuple):
    """A FROM item; `table` is what it is, unless it is a derived table."""

    alias: str
    columns: Mapping[str, Pool]
    table: RandomTable | None = None


Items = Sequence[Item]

OPERATORS: tuple[str, ...] = ("=", "=", "=", "=", "<", ">", "<=", ">=", "<>", "IS", "IS NOT", "==", "!=")
OPERATORS += ("IS NOT DISTINCT FROM", "IS DISTINCT FROM")
COLLATIONS = ("NOCASE", "BINARY", "RTRIM")
_PATTERNS = ("'a%'", "'%A%'", "'_'", "'%'", "'1%'", "'a\\_%' ESCAPE '\\'")
_GLOBS = ("'a*'", "'*[0-9]*'", "'?'", "'*'")
_EXPRESSIONS = ("'^a'", "'[0-9]'", "'.'", "'^$'")
_FUNCTIONS = (
    *("lower({0})", "upper({0})", "length({0})", "typeof({0})", "coalesce({0}, {1})", "ifnull({0}, {1})", "hex({0})"),
    *("nullif({0}, {1})", "substr({0}, 1, 1)", "trim({0})", "max({0}, {1})", "min({0}, {1})", "quote({0})"),
    *("iif({0}, {1}, 2)", "instr({0}, 'a')", "replace({0}, 'a', 'b')", "round({0})", "unicode({0})"),
)
_ARITHMETIC = ("{0} + 1", "{0} || {1}", "-{0}", "{0} * 2", "{0} - {1}", "{0} % 2", "{0} / 2", "~{0}", "{0} & 3", "+{0}")
_TYPES = ("INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB")


class Expressions:
    """Makes one statement's expressions.

    Attributes:
        parameters: the values of `?1`, `?2`, .. of the text made so far.
    """

    def __init__(self, choices: Choices, schema: RandomSchema, *, parameters: bool = True) -> None:
        self.choices = choices
        self.schema = schema
        self.parameters: list[SqlValue] = []
        self._may_bind = parameters

    def operation(self, sql: str) -> Operation:
        """The statement with its parameters; some may have been made for a part that was not taken."""
        used = max(map(int, re.findall(r"\?([0-9]+)", sql)), default=0)
        return Operation(sql, tuple(self.parameters[:used]))

    def query(self, depth: int, width: int | None, outer: Items = ()) -> str:
        """A SELECT of so many columns (None: any), which sees the items around it."""
        raise NotImplementedError

    def lookup(self, items: Items, depth: int, width: int = 1) -> str:
        """A subquery that picks one of several rows."""
        raise NotImplementedError

    def of_a_value(self, items: Items, depth: int) -> str:
        """A condition on what a lookup gives."""
        raise NotImplementedError

    # -- operands

    def constant(self, pool: Pool) -> str:
        value = self.choices.pick(BOUNDARY if pool is not IDS and self.choices.once_in(15) else pool)
        if self._may_bind and self.choices.once_in(2):
            self.parameters.append(odd(value) if self.choices.once_in(20) else value)
            return f"?{len(self.parameters)}"
        return literal(value)

    def column(self, items: Items) -> tuple[str, Pool]:
        """A column, and the values that it may be compared with."""
        item = self.choices.pick(items)
        name = self.choices.pick(list(item.columns))
        if sum(name in other.columns for other in items) == 1 and self.choices.once_in(6):
            return name, item.columns[name]
        return f"{item.alias}.{name}", item.columns[name]

    def name(self, items: Items) -> str:
        return self.column(items)[0]

    def name_like(self, items: Items, pool: Pool) -> str:
        """A column that mostly has values of the pool."""
        name, own = self.column(items)
        for _ in range(3):
            if len({*own[:8]} & {*pool[:8]}) > 2:
                break
            name, own = self.column(items)
        return name

    def operand(self, items: Items, pool: Pool, depth: int) -> str:
        """What a column is compared with."""
        kind = self.choices.below(14)
        if kind < 8:
            return self.constant(pool)
        if kind < 12:
            return self.name(items)
        if kind == 12 and depth > 1:
            return f"({self.query(depth - 1, 1, items)})"
        if kind == 13 and depth > 0:
            return f"({self.lookup(items, depth - 1)})"
        return self.scalar(items, depth - 1)

    def scalar(self, items: Items, depth: int) -> str:
        """Any value."""
        choices = self.choices
        kind = choices.below(18) if depth > 0 else 0
        column, pool = self.column(items)
        if kind < 6:
            return column
        if kind < 8:
            return self.constant(pool)
        if kind < 10:
            return choices.pick(_FUNCTIONS).format(column, self.scalar(items, depth - 1))
        if kind == 10:
            return "(" + choices.pick(_ARITHMETIC).format(column, self.scalar(items, depth - 1)) + ")"
        if kind == 11:
            return f"CAST({column} AS {choices.pick(_TYPES)})"
        if kind == 12:
            return f"CASE WHEN {self.condition(items, depth - 1)} THEN {column} ELSE {self.constant(pool)} END"
        if kind == 13:
            other = self.name(items)
            return f"CASE {column} WHEN {self.constant(pool)} THEN {other} WHEN {self.constant(pool)} THEN 1 END"
        if kind == 14:
            return f"({self.condition(items, depth - 1)})"
        if kind == 15:
            return f"({self.query(depth, 1, items)})"
        if kind == 16:
            return f"({self.lookup(items, depth - 1)})"
        return f"CASE WHEN {self.of_a_value(items, depth - 1)} THEN {column} ELSE {self.constant(pool)} END"

    # -- conditions

    def condition(self, items: Items, depth: int) -> str:
        """One to three atoms."""
        if depth > 0 and self.choices.once_in(8):
            return self.of_a_value(items, depth - 1)
        text = self._atom(items, depth)
        for _ in range(self.choices.pick((0, 0, 0, 1, 1, 2))):
            text = f"{text} {self.choices.pick(('AND', 'AND', 'OR'))} {self._atom(items, depth)}"
            if self.choices.once_in(3):
                text = f"({text})"
        return text

    def equality(self, left: Items, right: Items) -> str:
        one, other = self.name(left), self.name(right)
        return f"{one} = {other}"

    def _atom(self, items: Items, depth: int) -> str:
        choices = self.choices
        kind = choices.below(38 if depth > 0 else 34)
        column, pool = self.column(items)
        if kind < 11:
            return self._comparison(items, column, pool, depth)
        if kind < 14:
            return f"{column} = {self.constant(pool)}"
        if kind < 16:
            members = [self.constant(pool) for _ in range(choices.below(4))]
            return f"{column} {self.negated()}IN ({', '.join(members)})"
        if kind == 16:
            return f"{column} {choices.pick(('IS NULL', 'IS NOT NULL', 'ISNULL', 'NOTNULL', 'NOT NULL'))}"
        if kind == 17:
            return f"{column} {self.negated()}BETWEEN {self.constant(pool)} AND {self.constant(pool)}"
        if kind in (18, 19):
            return f"{column} {self.negated()}IN ({self.query(depth - 1, 1, items)})" if depth > 1 else f"{column} = 1"
        if kind in (20, 21):
            return f"{self.negated()}EXISTS ({self.query(depth - 1, None, items)})" if depth > 1 else f"{column} = 2"
        if kind == 22:
            return f"NOT {self._atom(items, depth)}"
        if kind == 23:
            return self._row_value(items, depth)
        if kind == 24:
            return f"{column} {self.negated()}LIKE {choices.pick(_PATTERNS)}"
        if kind == 25:
            return f"{column} {self.negated()}GLOB {choices.pick(_GLOBS)}"
        if kind == 26:
            return f"{column} {self.negated()}REGEXP {choices.pick(_EXPRESSIONS)}"
        if kind in (27, 28, 29):
            return self._of_an_index(items) or f"{column} = 1"
        if kind == 30:
            return f"({column} = {self.constant(pool)}) IS {self.negated()}{choices.pick(('TRUE', 'FALSE', 'NULL'))}"
        if kind == 31:
            table = choices.pick(self.schema.tables)
            alias = choices.pick(("p", "q"))  # correlated by an equality: what the planner can key
            inner = Item(alias, table.columns, table)
            condition = f"{self.equality([inner], items)} AND {self.condition([inner], 1)}"
            return f"{self.negated()}EXISTS (SELECT 1 FROM {table.name} AS {alias} WHERE {condition})"
        if kind == 32:
            return f"{self.scalar(items, depth)} {choices.pick(OPERATORS)} {self.constant(pool)}"
        if kind > 33:
            return self.of_a_value(items, depth - 1)
        return self.scalar(items, depth)

    def _comparison(self, items: Items, column: str, pool: Pool, depth: int) -> str:
        other = self.operand(items, pool, depth)
        if self.choices.once_in(10):
            column += f" COLLATE {self.choices.pick(COLLATIONS)}"
        if self.choices.once_in(5):
            column, other = other, column
        return f"{column} {self.choices.pick(OPERATORS)} {other}"

    def _row_value(self, items: Items, depth: int) -> str:
        (one, pool), (two, more) = self.column(items), self.column(items)
        kind = self.choices.below(8)
        if kind > 4:
            return self._row_of_an_index(items) or f"({one}, {two}) > ({self.constant(pool)}, {self.constant(more)})"
        pair = f"({self.constant(pool)}, {self.constant(more)})"
        if kind == 0:
            return f"({one}, {two}) = {pair}"
        if kind == 1:
            return f"({one}, {two}) {self.choices.pick(('<', '>=', '<>', 'IS'))} {pair}"
        if kind == 2:
            return f"({one}, {two}) {self.negated()}IN (VALUES {pair}, ({self.constant(pool)}, {self.constant(more)}))"
        if kind == 3 and depth > 1:
            return f"({one}, {two}) {self.negated()}IN ({self.query(depth - 1, 2, items)})"
        return f"({one}, {two}) = ({self.name(items)}, {self.constant(more)})"

    def _row_of_an_index(self, items: Items) -> str | None:
        """A comparison of the columns that an index begins with, as for the next page."""
        choices, item = self.choices, self.choices.pick(items)
        if item.table is None or not item.table.rows:
            return None
        row = choices.pick(item.table.rows)
        columns = [f"{item.alias}.{name}" for name in row]
        if choices.once_in(4):  # a page's last column is often the key, which ends every entry of an index
            columns = [columns[0], f"{item.alias}.{choices.pick(list(item.columns))}"]
            row = (row[0], columns[1].split(".")[1])
        if choices.once_in(8):
            columns[-1] += f" COLLATE {choices.pick(COLLATIONS)}"
        values = [", ".join(self.constant(item.columns[name]) for name in row) for _ in range(2)]
        if choices.once_in(6):
            return f"({', '.join(columns)}) {self.negated()}BETWEEN ({values[0]}) AND ({values[1]})"
        sides = [f"({', '.join(columns)})", f"({values[0]})"]
        if choices.once_in(6):
            sides.reverse()
        return f"{sides[0]} {choices.pick(('<', '<=', '>', '>='))} {sides[1]}"

    def _of_an_index(self, items: Items) -> str | None:
        """The predicate of a partial index, or a comparison of what an expression index holds."""
        item = self.choices.pick(items)
        if item.table is None:
            return None
        conditions, expressions = item.table.conditions, item.table.expressions
        if expressions and not (conditions and self.choices.once_in(2)):
            expression = self.choices.pick(expressions).replace(Q, f"{item.alias}.")
            return f"{expression} {self.choices.pick(('=', '=', '>', 'IS'))} {self.constant((1, 'a', None, 'text', 2))}"
        if not conditions:
            return None
        condition = self.choices.pick(conditions).replace(Q, f"{item.alias}.")
        column, pool = self.column([item])
        return f"{condition} AND {column} {self.choices.pick(('=', '=', '>'))} {self.constant(pool)}"

    def negated(self) -> str:
        return "NOT " if self.choices.once_in(3) else ""
