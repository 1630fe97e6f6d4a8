"""Subqueries that pick one of several rows, in which it matters that all of these rows are there.

Most are keyed by an index, if there is one by a partial one, and show a column that its condition speaks of: what is
said of the value must not be taken for something that is true of the rows.
"""

from __future__ import annotations

from tests.fuzz.expressions import COLLATIONS, OPERATORS, Expressions, Item, Items
from tests.fuzz.schemas import Pool, Q, RandomTable

_SHOWN = ("{0}", "{0}", "{0}", "{0}", "max({0})", "min({0})", "count({0})", "coalesce({0}, 1)", "{0} + 1")
_LIMITS = (" LIMIT 1", " LIMIT 1", " LIMIT 1 OFFSET 1", "", " LIMIT 2", " LIMIT 0")


class Lookups(Expressions):
    """Makes one statement's lookups, and the conditions on them."""

    _shown: Pool = (1, "a", None, 2)
    """The values that the last lookup may give."""

    def lookup(self, items: Items, depth: int, width: int = 1) -> str:
        """A subquery of so many columns, without parentheses."""
        choices = self.choices
        if choices.once_in(8):
            return self._without_rows(items, width)
        table = self._other_table(items)
        alias = f"s{len(items)}"
        inner = Item(alias, table.columns, table)
        condition, shown = self._keyed(table, alias, items, depth)
        self._shown = table.columns[shown]
        values = [choices.pick(_SHOWN).format(f"{alias}.{shown}")]
        values += [self.name([inner, *items]) for _ in range(width - 1)]
        order = ""
        if choices.below(4):
            order = f" ORDER BY {alias}.{choices.pick(list(table.columns))}{choices.pick(('', ' DESC'))}"
        query = f"SELECT {', '.join(values)} FROM {table.name} AS {alias} WHERE {condition}"
        return self._wrapped(query, order + choices.pick(_LIMITS), items, width)

    def _other_table(self, items: Items) -> RandomTable:
        """Mostly one with a partial index that is not in sight: of a table that is read whole for others nothing is
        missing."""
        tables: list[RandomTable] = list(self.schema.tables)
        if self.choices.below(6):
            seen = [item.table for item in items]
            tables = [table for table in tables if table not in seen] or tables
            tables = [table for table in tables if table.partials] or tables
        return self.choices.pick(tables)

    def _keyed(self, table: RandomTable, alias: str, items: Items, depth: int) -> tuple[str, str]:
        """What keys the rows, and the column to show."""
        choices = self.choices
        inner = Item(alias, table.columns, table)
        key, shown, more = choices.pick(list(table.columns)), choices.pick(list(table.columns)), ""
        if table.partials:
            partial = choices.pick(table.partials)
            key = partial.key
            spoken = [column for column in table.columns if Q + column in partial.condition]
            shown = choices.pick(spoken) if choices.below(4) else shown
            if choices.once_in(4):
                more = f" AND {partial.condition.replace(Q, f'{alias}.')}"
        pool = table.columns[key]
        other = self.name_like(items, pool) if items and choices.below(4) else self.constant(pool)
        if choices.once_in(5):
            more += f" AND {self.condition([inner, *items], depth - 1)}"
        return f"{alias}.{key} = {other}{more}", shown

    def _without_rows(self, items: Items, width: int) -> str:
        """One that shows columns of the query around, if some condition holds."""
        if not items:
            return f"SELECT {', '.join(['1'] * width)}"
        names = [self.name(items) for _ in range(width)]
        table = self.choices.pick(self.schema.tables)
        inner = Item("e", table.columns, table)
        kind = self.choices.below(4)
        if kind == 0:
            return f"SELECT {', '.join(names)} WHERE {self.condition(items, 0)}"
        rows = f"{table.name} AS e WHERE {self.condition([inner], 0)}"
        if kind == 1:
            return f"SELECT {', '.join(names)} FROM {rows}"
        shown = ", ".join(f"{name} AS m{at}" for at, name in enumerate(names))
        wanted = ", ".join(f"d.m{at}" for at in range(width))
        if kind == 2:
            return f"SELECT {wanted} FROM (SELECT {shown} FROM {rows}) AS d"
        on = f"d.m0 = {self.name([inner])}"
        test = self.choices.pick(("IS NULL", "IS NOT NULL", "IS 1"))
        return f"SELECT {wanted} FROM {table.name} AS e LEFT JOIN (SELECT {shown}) AS d ON {on} WHERE d.m0 {test}"

    def _wrapped(self, query: str, tail: str, items: Items, width: int) -> str:
        """The query inside of others."""
        kind = self.choices.below(12)
        names = [f"m{at}" for at in range(width)]
        listed = ", ".join(names)
        if kind == 0:
            return f"SELECT {listed} FROM (WITH c ({listed}) AS ({query}{tail}) SELECT * FROM c)"
        if kind == 1:
            hint = self.choices.pick(("", "MATERIALIZED ", "NOT MATERIALIZED "))
            return f"WITH c ({listed}) AS {hint}({query}{tail}) SELECT {listed} FROM c"
        if kind == 2:
            constants = ", ".join(self.constant((1, None, "a")) for _ in names)
            compound = self.choices.pick(("UNION ALL", "UNION", "EXCEPT", "INTERSECT"))
            return f"{query} {compound} SELECT {constants} ORDER BY 1 DESC LIMIT 1"
        if kind == 3:
            return query.replace("SELECT ", "SELECT DISTINCT ", 1) + tail
        return query + tail

    # -- conditions

    def of_a_value(self, items: Items, depth: int) -> str:
        """A condition on the value that a lookup gives."""
        choices = self.choices
        value, column = f"({self.lookup(items, depth)})", self.name(items)
        pool = self._shown
        kind = choices.below(19)
        if kind < 3:
            return f"{value} {choices.pick(OPERATORS)} {self.constant(pool)}"
        if kind == 3:
            return f"{self.constant(pool)} {choices.pick(OPERATORS)} {value}"
        if kind == 4:
            return f"{value} {choices.pick(OPERATORS)} {self.name_like(items, pool)}"
        if kind == 5:
            return f"{column} {choices.pick(OPERATORS)} {value}"
        if kind == 6:
            return f"{value} {self.negated()}BETWEEN {self.constant(pool)} AND {self.constant(pool)}"
        if kind == 7:
            return f"{column} {self.negated()}BETWEEN {value} AND {self.constant(pool)}"
        if kind == 8:
            return f"{value} {self.negated()}IN ({self.constant(pool)}, {self.constant(pool)})"
        if kind == 9:
            return f"{column} {self.negated()}IN ({self.constant(pool)}, {value})"
        if kind == 10 or kind > 16:
            return f"{value} {choices.pick(('IS NULL', 'IS NOT NULL', 'NOTNULL', 'ISNULL'))}"
        if kind == 11:
            return self._of_a_pair(value, items, depth, pool)
        if kind == 12:
            return f"{value} COLLATE {choices.pick(COLLATIONS)} {choices.pick(OPERATORS)} {self.constant(pool)}"
        if kind == 13:
            subject = choices.pick((column, value))
            return f"{subject} {self.negated()}IN ({self.lookup(items, depth)})"
        if kind == 14:
            return f"{self.negated()}EXISTS ({self.lookup(items, depth)})"
        if kind == 15:
            return f"{value} {choices.pick(OPERATORS)} ({self.lookup(items, depth)})"
        return f"{value} {choices.pick(('<>', '>', '<', '>=', '<='))} {self.constant(pool)}"

    def _of_a_pair(self, value: str, items: Items, depth: int, pool: Pool) -> str:
        operator = self.choices.pick(("=", "<", ">=", "<>", "IS", "IS NOT"))
        pair = f"({self.constant(pool)}, {self.constant(pool)})"
        kind = self.choices.below(4)
        if kind == 0:
            return f"({value}, {self.name(items)}) {operator} {pair}"
        if kind == 1:
            return f"({value}, 1) {self.negated()}IN (VALUES {pair}, ({self.constant(pool)}, 1))"
        if kind == 2:
            return f"({self.lookup(items, depth, 2)}) {operator} {pair}"
        return f"({value}, {self.name(items)}) {self.negated()}IN ({self.lookup(items, depth, 2)})"
