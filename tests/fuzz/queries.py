"""Random SELECTs: joins, subqueries, compounds, common table expressions, grouping, windows."""

from __future__ import annotations

from fuzz.expressions import Expressions, Item, Items

_JOINS = (
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
_ORDERS = ("", "", " DESC", " COLLATE NOCASE", " NULLS LAST", " DESC NULLS FIRST")


class Queries(Expressions):
    """Makes one statement's queries."""

    def statement(self) -> str:
        """A SELECT statement, or VALUES."""
        kind = self.choices.below(20)
        if kind == 19:
            return self._recursive()
        if kind in (17, 18):
            return self._with()
        if kind == 16:
            rows = [f"({self.constant((1, 'a', None))}, ({self.query(1, 1)}))" for _ in range(2)]
            return f"VALUES {', '.join(rows)}"
        return self.query(3, None)

    def query(self, depth: int, width: int | None, outer: Items = ()) -> str:
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
        text, items = self._from(depth)
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
                having = choices.pick((f"count(*) > {choices.below(3)}", self.condition(items, 1)))
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
            tail += f" ORDER BY {', '.join(order)}"
        if may_cut and choices.once_in(6):
            tail += f" LIMIT {choices.below(4)}" + choices.pick(("", "", " OFFSET 1"))
        return f"SELECT {head}{', '.join(columns)} FROM {text}{where}{tail}"

    def _where_of_outer_join(self, items: Items) -> str:
        """About one side; it may keep, or want, the rows that have NULLs there."""
        column, pool = self.column([self.choices.pick((items[-1], items[0]))])
        what = self.choices.pick(("IS NULL", "IS NOT NULL", f"IS {self.constant(pool)}", f"= {self.constant(pool)}"))
        return f" WHERE {column} {what}" + self.choices.pick(("", "", f" OR {self._atom(items, 1)}"))

    def _window(self, items: Items) -> str:
        function = self.choices.pick(_WINDOWS).format(self.name(items))
        if self.choices.once_in(5):
            return f"{function} OVER w"
        partition = f"PARTITION BY {self.name(items)} " if self.choices.once_in(2) else ""
        frame = self.choices.pick(_FRAMES)
        return f"{function} OVER ({partition}ORDER BY {self.name(items)}{frame})"

    # -- FROM

    def _from(self, depth: int) -> tuple[str, Items]:
        choices = self.choices
        taken: list[str] = []
        text, item = self._item(depth, taken)
        items = [item]
        for _ in range(choices.pick((0, 0, 0, 1, 1, 1, 2))):
            more, item = self._item(depth, taken)
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

    def _item(self, depth: int, taken: list[str]) -> tuple[str, Item]:
        choices = self.choices
        alias = f"x{len(taken)}"
        taken.append(alias)
        kind = choices.below(14)
        if kind == 13 and depth > 1:
            return f"(SELECT {self._derived(depth)}) AS {alias}", Item(
                alias, {"m0": (1, "a", None), "m1": (1, "a", None)}
            )
        if kind == 12 and self.schema.views:
            name, _, columns = choices.pick(self.schema.views)
            return f"{name} AS {alias}", Item(alias, columns)
        table = choices.pick(self.schema.tables)
        if not taken[1:] and choices.once_in(3):
            return table.name, Item(table.name, table.columns, table)
        return f"{table.name} AS {alias}", Item(alias, table.columns, table)

    def _derived(self, depth: int) -> str:
        text, items = self._from(depth - 1)
        columns = f"{self.scalar(items, 1)} AS m0, {self.scalar(items, 1)} AS m1"
        if self.choices.once_in(4):
            columns = f"{self.choices.pick(_AGGREGATES).format(self.name(items))} AS m0, {self.name(items)} AS m1"
        where = f" WHERE {self.condition(items, 1)}" if self.choices.once_in(2) else ""
        tail = self.choices.pick(("", "", "", " GROUP BY m1", " ORDER BY m0, m1 LIMIT 2", " LIMIT 2"))
        return f"{columns} FROM {text}{where}{tail}"

    # -- WITH

    def _with(self) -> str:
        hint = self.choices.pick(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
        common = Item("c", {"m0": (1, "a", None), "m1": (1, "a", None)})
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
