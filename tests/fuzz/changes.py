"""Random INSERT, UPDATE and DELETE."""

from __future__ import annotations

from tests.fuzz.expressions import Item
from tests.fuzz.queries import Queries
from tests.fuzz.schemas import Pool, RandomTable
from tests.support.differential import Operation

_OR = ("", "", "", "", " OR IGNORE", " OR REPLACE", " OR FAIL", " OR ABORT", " OR ROLLBACK")
_RARE = tuple(range(10, 26))


class Changes(Queries):
    """Makes one statement that writes."""

    def change(self) -> Operation:
        kind = self.choices.below(15)
        if kind > 12:
            return self.operation(self.change_of_values())
        if kind == 12:
            return self.operation(self.with_commons(self._of_commons))
        if kind < 3:
            return self.operation(self.insert())
        if kind < 5:
            return self.operation(self._insert_select())
        if kind < 8:
            return self.operation(self._update())
        if kind < 10:
            return self.operation(self._delete())
        return self._many()

    def _of_commons(self) -> str:
        return self.choices.pick((self._update, self._delete, self._insert_select, self._insert_query))()

    def insert(self, table: RandomTable | None = None, clause: str | None = None, rows: int = 0) -> str:
        """INSERT .. VALUES of some rows."""
        choices = self.choices
        table = table or choices.pick(self.schema.tables)
        if clause is None and not table.given and choices.once_in(4):
            return f"INSERT INTO {table.name} DEFAULT VALUES{self._returning(table)}"
        columns = self._columns(table)
        made = []
        for _ in range(rows or choices.pick((1, 1, 2, 3))):
            values = [self.constant(table.columns[column]) for column in columns]
            if columns[-1] != "id" and choices.once_in(12):
                values[-1] = f"({choices.pick((self.query(1, 1), self.lookup((), 1)))})"
            made.append(f"({', '.join(values)})")
        verb = self._verb(clause)
        text = f"{verb} INTO {table.name} ({', '.join(columns)}) VALUES {', '.join(made)}"
        return text + ("" if verb != "INSERT" else self._upsert(table)) + self._returning(table)

    def _columns(self, table: RandomTable) -> list[str]:
        columns = table.settable
        return [c for c in columns if c in table.given or not self.choices.once_in(8)] or columns[:1]

    def _verb(self, clause: str | None = None) -> str:
        if clause is None and self.choices.once_in(10):
            return "REPLACE"
        return "INSERT" + (self.choices.pick(_OR) if clause is None else clause)

    def _upsert(self, table: RandomTable) -> str:
        if self.choices.below(5) < 3:
            return ""
        text = ""
        for target in self.choices.some(table.targets, 0, 2):
            text += f" ON CONFLICT ({target}) {self._do(table)}"
        if not text or self.choices.once_in(4):
            text += f" ON CONFLICT {self._do(table)}"
        return text

    def _do(self, table: RandomTable) -> str:
        if self.choices.once_in(3):
            return "DO NOTHING"
        column = self.choices.pick(table.settable)
        item = Item(table.name, table.columns, table)
        value = self.choices.pick((f"excluded.{column}", self.constant(table.columns[column]), self.scalar([item], 2)))
        where = f" WHERE {self.condition([item], 2)}" if self.choices.once_in(3) else ""
        return f"DO UPDATE SET {column} = {value}{where}"

    def _returning(self, table: RandomTable) -> str:
        if not self.choices.once_in(4):
            return ""
        item = Item(table.name, table.columns, table)
        return f" RETURNING {', '.join(table.columns)}" + (
            f", {self.scalar([item], 2)}" if self.choices.once_in(3) else ""
        )

    def _insert_query(self) -> str:
        """INSERT of what any query gives."""
        table = self.choices.pick(self.schema.tables)
        columns = table.settable
        names = [f"m{at}" for at in range(len(columns))]
        values = [f"coalesce({n}, 1)" if c == "id" else n for c, n in zip(columns, names, strict=True)]
        verb, query = self._verb(), self.query(2, len(columns))
        text = f"{verb} INTO {table.name} ({', '.join(columns)}) "
        text += f"WITH s ({', '.join(names)}) AS ({query}) SELECT {', '.join(values)} FROM s WHERE m0 IS NOT NULL"
        return text + ("" if verb != "INSERT" else self._upsert(table)) + self._returning(table)

    def _insert_select(self) -> str:
        choices = self.choices
        if choices.once_in(4):
            return self._insert_query()
        table, source = choices.pick(self.schema.tables), choices.pick(self.schema.tables)
        if choices.once_in(3):
            source = table
        item = Item("s", source.columns, source)
        columns = table.settable
        values = []
        for column in columns:
            value = self.scalar([item], 2)
            if column == "id":  # of NULL Rome and SQLite would make ids of their own
                value = f"coalesce({value}, 1) + {choices.below(4)}"
            values.append(value)
        verb = self._verb()
        query = f"SELECT {', '.join(values)} FROM {source.name} AS s WHERE {self.condition([item], 2)}"
        text = f"{verb} INTO {table.name} ({', '.join(columns)}) {query}"
        return text + ("" if verb != "INSERT" else self._upsert(table)) + self._returning(table)

    def _update(self) -> str:
        choices = self.choices
        table = choices.pick(self.schema.tables)
        alias = choices.pick((table.name, table.name, "u"))
        item = Item(alias, table.columns, table)
        items, joined = [item], ""
        where = f" WHERE {self.condition([item], 3)}" if choices.below(8) else ""
        if choices.once_in(5):
            other = choices.pick(self.schema.tables)
            items.append(Item("f", other.columns, other))
            joined = f" FROM {other.name} AS f"
            if choices.once_in(3):
                text, more = self._from(2)
                items, joined = [item, *more], f" FROM {text}"
            where = f" WHERE {self.equality(items[:1], items[1:])} AND {self.condition(items, 2)}"
        sets = []
        for column in choices.some(table.settable, 1, 2):
            value = self.constant(table.columns[column])
            if choices.once_in(2):
                value = self.scalar(items, 2)
            sets.append(f"{column} = {value}")
        if choices.once_in(8) and len(table.settable) > 1:
            pair = choices.some(table.settable, 2, 2)
            sets = [f"({', '.join(pair)}) = ({self.query(2, 2, items)})"]
        named = table.name if alias == table.name else f"{table.name} AS {alias}"
        returning = self._returning(table) if alias == table.name and not joined else ""
        return f"UPDATE{choices.pick(_OR)} {named} SET {', '.join(sets)}{joined}{where}{returning}"

    def change_that_waits(self) -> Operation:
        """INSERT of few rows, UPDATE or DELETE of those with a value: SQLite may run it when somebody looks."""
        choices = self.choices
        table = choices.pick(self.schema.tables)
        kind = choices.below(6)
        if kind < 3:
            columns = self._columns(table)
            rows = [
                [self.constant(self._pool(table, name)) for name in columns] for _ in range(choices.pick((1, 1, 2)))
            ]
            values = ", ".join([f"({', '.join(row)})" for row in rows])
            shown = choices.pick(("", "", f" RETURNING {', '.join(choices.some(list(table.columns), 1, 3))}"))
            return self.operation(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {values}{shown}")
        if kind == 3:
            return self.operation(f"DELETE FROM {table.name} WHERE {self._where(table)}")
        sets = []
        for column in choices.some(table.settable, 1, 2):
            value = self.constant(table.columns[column])
            other = choices.pick(table.settable)
            of = choices.pick(("", "", f"{column} + ", f"{other} - ", f"{table.name}.{column} + "))
            sets.append(f"{column} = {f'({of}{value})' if of else value}")
        return self.operation(f"UPDATE {table.name} SET {', '.join(sets)} WHERE {self._where(table)}")

    def _pool(self, table: RandomTable, column: str) -> Pool:
        """A column's values; of the ids also some that only few rows have."""
        return (*table.columns[column], *_RARE) if column == "id" else table.columns[column]

    def look_at_one(self) -> Operation:
        """SELECT of the rows with a value: they may be shown beside rows that SQLite has not been given."""
        table = self.choices.pick(self.schema.tables)
        shown = ", ".join(self.choices.some(list(table.columns), 1, 3))
        return self.operation(f"SELECT {shown} FROM {table.name} WHERE {self._where(table)}")

    def _where(self, table: RandomTable) -> str:
        """What the rows with a value, or two, pass."""
        choices = self.choices
        unique = [target for target in table.targets if target in table.columns]
        key = choices.pick(unique if unique and choices.below(4) else tuple(table.columns))
        where = f"{key} = {self.constant(self._pool(table, key))}"
        if choices.once_in(3):
            other = choices.pick(list(table.columns))
            where += f" AND {table.name}.{other} = {self.constant(table.columns[other])}"
        return where

    def change_of_values(self) -> str:
        """A change of the rows that pass a condition on lookups, and nothing else."""
        table = self.choices.pick(self.schema.tables)
        item = Item("o", table.columns, table)
        condition = self.of_a_value([item], 1)
        column = self.choices.pick(table.settable)
        value = self.choices.pick((self.constant(table.columns[column]), f"({self.lookup([item], 0)})"))
        verb = self.choices.pick((f"UPDATE {table.name} AS o SET {column} = {value}", f"DELETE FROM {table.name} AS o"))
        return f"{verb} WHERE {condition}"

    def _delete(self) -> str:
        table = self.choices.pick(self.schema.tables)
        alias = self.choices.pick((table.name, table.name, "d"))
        item = Item(alias, table.columns, table)
        where = f" WHERE {self.condition([item], 3)}" if self.choices.below(10) else ""
        named = table.name if alias == table.name else f"{table.name} AS {alias}"
        return f"DELETE FROM {named}{where}{self._returning(table) if alias == table.name else ''}"

    def _many(self) -> Operation:
        """executemany."""
        choices = self.choices
        table = choices.pick(self.schema.tables)
        columns = self._columns(table)
        kind = choices.below(4)
        if kind == 0:
            columns = [choices.pick(list(table.columns))]
            sql = f"DELETE FROM {table.name} WHERE {columns[0]} = ?"
        elif kind == 1:
            columns = table.settable
            one, other = choices.pick(columns), choices.pick(list(table.columns))
            columns = [one, other]
            sql = f"UPDATE {table.name} SET {one} = ? WHERE {other} = ?"
        else:
            verb = self._verb()
            marks = f"({', '.join('?' * len(columns))})"
            each = 1 + choices.once_in(3)
            sql = f"{verb} INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([marks] * each)}"
            columns *= each
            if verb == "INSERT" and choices.once_in(2):
                sql += " ON CONFLICT DO NOTHING"
        pools = [table.columns[column] for column in columns]
        rows = [tuple(choices.pick(pool) for pool in pools) for _ in range(1 + choices.below(3))]
        return Operation(sql, batch=tuple(rows))
