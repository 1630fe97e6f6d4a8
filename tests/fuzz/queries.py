"""Random SELECTs: joins, subqueries, compounds, common table expressions, grouping, windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.fuzz.expressions import Item, Items
from tests.fuzz.lookups import Lookups
from tests.fuzz.schemas import Pool

_JOINS: tuple[str, ...] = (
    "JOIN",
    ",",
    "LEFT JOIN",
    "LEFT JOIN",
    "JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "NATURAL JOIN",
    "USING",
)
_JOINS += ("NATURAL LEFT JOIN",)
_AGGREGATES = (
    *("count(*)", "count({0})", "max({0})", "min({0})", "total({0})", "avg({0})", "count(DISTINCT {0})"),
    *("group_concat({0})", "string_agg({0}, '+')", "total({0}) FILTER (WHERE {0} > 1)", "group_concat(DISTINCT {0})"),
)
_WINDOWS = (
    *("row_number()", "rank()", "dense_rank()", "lag({0})", "lead({0}, 2, 'none')", "first_value({0})", "count(*)"),
    *("last_value({0})", "nth_value({0}, 2)", "ntile(2)", "max({0})", "group_concat({0})", "total({0})", "cume_dist()"),
)
_FRAMES = (
    *("", "", "", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"),
    *(" GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES", " RANGE UNBOUNDED PRECEDING"),
)
_COMPOUNDS = ("UNION", "UNION ALL", "INTERSECT", "EXCEPT")
_ANY: Mapping[str, Pool] = {"m0": (1, "a", None, 2), "m1": (1, "a", None, 2)}
_ORDERS = ("", "", " DESC", " COLLATE NOCASE", " NULLS LAST", " DESC NULLS FIRST")


class Queries(Lookups):
    """Makes one statement's queries."""

    _commons: tuple[Item, ...] = ()
    """The common table expressions in sight, under the names that they have."""

    def statement(self) -> str:
        """A SELECT statement, or VALUES."""
        kind = self.choices.below(28)
        if kind > 24:
            return self.as_they_are()
        if kind > 19:
            return self.of_values()
        if kind == 19:
            return self._recursive()
        if kind in (17, 18):
            return self._with() if self.choices.once_in(2) else self.with_commons(lambda: self.query(3, None))
        if kind == 16:
            rows = [f"({self.constant((1, 'a', None))}, ({self.query(1, 1)}))" for _ in range(2)]
            return f"VALUES {', '.join(rows)}"
        return self.query(3, None)

    def of_values(self) -> str:
        """Rows of one table that pass a condition on lookups, and nothing else."""
        table = self.choices.pick(self.schema.tables)
        item = Item("o", table.columns, table)
        condition = self.of_a_value([item], 1)
        if self.choices.once_in(4):
            condition += f" AND {self._atom([item], 0)}"
        shown = self.choices.pick((", ".join(f"o.{column}" for column in table.columns), "count(*)"))
        return f"SELECT {shown} FROM {table.name} AS o WHERE {condition}"

    def as_they_are(self) -> str:
        """Columns of one table, of rows that equal constants, in some order: Rome answers many of these itself."""
        choices = self.choices
        table = choices.pick(self.schema.tables)
        text = f"SELECT {', '.join(f'o.{column}' for column in choices.some(list(table.columns), 1, 4))}"
        text += f" FROM {table.name} AS o"
        conditions = []
        for column in choices.some(list(table.columns), 0, 2):
            values = [self.constant(table.columns[column]) for _ in range(choices.pick((1, 1, 2, 4)))]
            conditions.append(
                f"o.{column} = {values[0]}" if len(values) == 1 else f"o.{column} IN ({', '.join(values)})"
            )
        if conditions:
            text += f" WHERE {' AND '.join(conditions)}"
        if choices.below(3):
            order = [f"o.{column}{choices.pick(_ORDERS)}" for column in choices.some(list(table.columns), 0, 2)]
            text += f" ORDER BY {', '.join([*order, choices.pick(('o.rowid', 'o.rowid DESC'))])}"
            text += choices.pick(("", " LIMIT 2", " LIMIT 1 OFFSET 1"))
        return text

    def query(self, depth: int, width: int | None, outer: Items = ()) -> str:
        if self.choices.once_in(16) and depth > 1:
            return self.with_commons(lambda: self._select(depth - 1, width, outer, may_cut=True))
        if self.choices.once_in(9) and depth > 1:
            width = width or 2
            arms = [self._select(depth - 1, width, outer) for _ in range(self.choices.pick((2, 2, 3)))]
            text = arms[0]
            for arm in arms[1:]:
                text += f" {self.choices.pick(_COMPOUNDS)} {arm}"
            return text + self.choices.pick(("", "", " ORDER BY 1", " ORDER BY 1 DESC LIMIT 2", " LIMIT 1 OFFSET 1"))
        return self._select(depth, width, outer, may_cut=True)

    def _select(self, depth: int, width: int | None, outer: Items, *, may_cut: bool = False) -> str:
        choices = self.choices
        text, items = self._from(depth, outer)
        seen = [*items, *items, *outer]
        kind = choices.below(12)
        where = "" if choices.once_in(7) else f" WHERE {self.condition(seen, depth)}"
        if " LEFT " in text or " RIGHT " in text or " FULL " in text:
            where = self._where_of_outer_join(items) if choices.once_in(2) else where
        head, tail = "", ""
        if kind == 0:
            group = self.name(items)
            columns = [group, *(choices.pick(_AGGREGATES).format(self.name(items)) for _ in range((width or 2) - 1))]
            tail = f" GROUP BY {group}" + choices.pick(("", "", f", {self.name(items)}"))
            if choices.once_in(2):
                having = choices.pick((f"count(*) > {choices.below(3)}", self.condition(seen, depth)))
                if choices.once_in(3):
                    having = self.of_a_value(seen, depth - 1)
                tail += f" HAVING {having}"
        elif kind == 1:
            columns = [choices.pick(_AGGREGATES).format(self.name(items)) for _ in range(width or 2)]
        elif kind == 2:
            columns = [self._window(items) for _ in range(width or 1)]
            if width is None:
                columns.append(self.name(items))
        else:
            has_more = any(item.table is not None and item.table.has_more for item in items)
            if width is None and not has_more and choices.once_in(6):
                columns = ["*"]
            else:
                columns = [self.scalar(seen, depth - 1) for _ in range(width or 1 + choices.below(3))]
            head = "DISTINCT " if choices.once_in(8) else ""
        if any(" OVER w" in column for column in columns):
            tail += f" WINDOW w AS (PARTITION BY {self.name(items)} ORDER BY {self.name(items)})"
        if may_cut and choices.once_in(4):
            order = [choices.pick(("1", self.name(items))) + choices.pick(_ORDERS) for _ in range(1 + choices.below(2))]
            if choices.once_in(5) and not head:
                order.insert(0, choices.pick((self.scalar(items, depth - 1), f"({self.lookup(items, depth - 1)})")))
            tail += f" ORDER BY {', '.join(order)}"
        if may_cut and choices.once_in(6):
            count = f"({self.lookup((), 0)})" if choices.once_in(12) else f"{choices.below(4)}"
            tail += f" LIMIT {count}" + choices.pick(("", "", " OFFSET 1"))
        return f"SELECT {head}{', '.join(columns)} FROM {text}{where}{tail}"

    def _where_of_outer_join(self, items: Items) -> str:
        """About one side; it may keep, or want, the rows that have NULLs there."""
        column, pool = self.column([self.choices.pick((items[-1], items[0]))])
        what = self.choices.pick(("IS NULL", "IS NOT NULL", f"IS {self.constant(pool)}", f"= {self.constant(pool)}"))
        return f" WHERE {column} {what}" + self.choices.pick(("", "", f" OR {self._atom(items, 1)}"))

    def _window(self, items: Items, *, named: bool = True) -> str:
        function = self.choices.pick(_WINDOWS).format(self.name(items))
        if named and self.choices.once_in(5):
            return f"{function} OVER w"
        partition = f"PARTITION BY {self.name(items)} " if self.choices.once_in(2) else ""
        if self.choices.once_in(8):
            partition = f"PARTITION BY ({self.lookup(items, 0)}) "
        frame = self.choices.pick(_FRAMES)
        return f"{function} OVER ({partition}ORDER BY {self.name(items)}{frame})"

    # -- FROM

    def _from(self, depth: int, outer: Items = ()) -> tuple[str, Items]:
        choices = self.choices
        taken: list[str] = []
        text, item = self._item(depth, taken, outer)
        items = [item]
        for _ in range(choices.pick((0, 0, 0, 1, 1, 1, 2))):
            more, item = self._item(depth, taken, outer)
            kind = choices.pick(_JOINS)
            if kind in (",", "CROSS JOIN") or kind.startswith("NATURAL"):
                text += f"{'' if kind == ',' else ' '}{kind} {more}"
            elif kind == "USING":
                common = sorted({name for one in items for name in one.columns} & item.columns.keys())
                how = f"USING ({choices.pick(common)})" if common else f"ON {self.equality(items, [item])}"
                text += f" {choices.pick(('JOIN', 'LEFT JOIN', 'FULL JOIN'))} {more} {how}"
            else:
                on = self.equality(items, [item]) if not choices.once_in(4) else self.condition([*items, item], 1)
                if choices.once_in(4):
                    on += f" AND {self.condition([*items, item], depth - 1)}"
                text += f" {kind} {more} ON {on}"
            items.append(item)
        return text, items

    def _item(self, depth: int, taken: list[str], outer: Items) -> tuple[str, Item]:
        choices = self.choices
        alias = f"x{len(taken)}"
        taken.append(alias)
        if self._commons and choices.once_in(2):
            common = choices.pick(self._commons)
            return f"{common.alias} AS {alias}", common._replace(alias=alias)
        kind = choices.below(14)
        if kind == 13 and depth > 1:
            return f"({self._derived(depth, outer)}) AS {alias}", Item(alias, _ANY)
        if kind == 12 and self.schema.views:
            name, _, columns = choices.pick(self.schema.views)
            return f"{name} AS {alias}", Item(alias, columns)
        table = choices.pick(self.schema.tables)
        if not taken[1:] and choices.once_in(3):
            return table.name, Item(table.name, table.columns, table)
        return f"{table.name} AS {alias}", Item(alias, table.columns, table)

    def _derived(self, depth: int, outer: Items) -> str:
        """A query of columns m0 and m1, of which some are those of the query around."""
        choices = self.choices
        if choices.once_in(6):
            return f"SELECT v0 AS m0, v1 AS m1 FROM ({self._renamed(depth - 1, outer)})"
        text, items = self._from(depth - 1, outer)
        seen = [*items, *items, *outer]
        columns = f"{self.scalar(seen, depth - 1)} AS m0, {self.scalar(items, 1)} AS m1"
        kind = choices.below(8)
        if kind in (0, 1):
            columns = f"{choices.pick(_AGGREGATES).format(self.name(items))} AS m0, {self.name(items)} AS m1"
        elif kind == 2:
            columns = f"{self._window(items, named=False)} AS m0, {self.name(items)} AS m1"
        where = f" WHERE {self.condition(seen, depth - 1)}" if choices.once_in(2) else ""
        distinct = "DISTINCT " if kind > 5 else ""
        tail = choices.pick(("", "", "", " GROUP BY m1", " ORDER BY m0, m1 LIMIT 2", " LIMIT 2"))
        return f"SELECT {distinct}{columns} FROM {text}{where}{tail}"

    def _renamed(self, depth: int, outer: Items) -> str:
        """Any query of two columns, under the names v0 and v1."""
        return f"WITH n (v0, v1) AS ({self.query(depth, 2, outer)}) SELECT * FROM n"

    # -- WITH

    def with_commons(self, make: Callable[[], str]) -> str:
        """What `make` makes, behind one or two common table expressions that it may mention."""
        before, parts = self._commons, []
        for name in ("c", "cc")[: self.choices.pick((1, 1, 2))]:
            hint = self.choices.pick(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
            parts.append(f"{name} (m0, m1) AS {hint}({self.query(2, 2)})")
            self._commons = (*self._commons, Item(name, _ANY))
        text = make()
        self._commons = before
        return f"WITH {', '.join(parts)} {text}"

    def _with(self) -> str:
        hint = self.choices.pick(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
        common = Item("c", _ANY)
        table = self.choices.pick(self.schema.tables)
        other = Item("o", table.columns, table)
        condition = self.condition([common, other], 2)
        kind = self.choices.pick(("JOIN", "LEFT JOIN", "JOIN"))
        query = f"SELECT c.m0, o.{self.choices.pick(list(table.columns))} FROM c {kind} {table.name} AS o ON "
        query += f"{self.equality([common], [other])} WHERE {condition}"
        if self.choices.once_in(4):
            query = f"SELECT m0 FROM c WHERE m1 IN (SELECT m0 FROM c) UNION {self.query(2, 1)}"
        return f"WITH c (m0, m1) AS {hint}({self.query(2, 2)}) {query}"

    def _recursive(self) -> str:
        table = self.choices.pick(self.schema.tables)
        item = Item("t", table.columns, table)
        one, other = self.name([item]), self.name([item])
        if self.choices.once_in(2):
            start = f"SELECT {one} FROM {table.name} AS t WHERE {self.condition([item], 2)}"
            step = f"SELECT {other} FROM {table.name} AS t JOIN r ON r.m0 = {one}"
            body, result = f"{start} UNION {step} LIMIT 20", "SELECT m0 FROM r"
        else:
            body = "SELECT 1 UNION ALL SELECT m0 + 1 FROM r WHERE m0 < 4"
            join = self.choices.pick(("JOIN", "LEFT JOIN"))
            result = f"SELECT r.m0, {other} FROM r {join} {table.name} AS t ON {one} = r.m0"
        return f"WITH RECURSIVE r (m0) AS ({body}) {result}"
