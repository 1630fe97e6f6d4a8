"""Random schemas' rows and random statements, made to hit every trap of planning."""

from __future__ import annotations

from random import Random

from rome.codec.values import SqlValue

SCHEMA = [
    "create table t (id integer primary key, a text, b integer, c, d real, e text collate nocase)",
    "create index t_a on t (a)",
    "create index t_bc on t (b, c)",
    "create index t_c on t (c)",
    "create index t_d on t (d)",
    "create index t_e on t (e, a)",
    "create index t_e_binary on t (e collate binary)",
    "create table u (uuid text primary key, id integer, e text collate nocase unique, k text, gen text as (lower(k)))",
    "create index u_id on u (id)",
    "create index u_k on u (k, id)",
    "create table w (a integer, y text, z numeric, primary key (a, y))",
    "create index w_z on w (z)",
    "create table n (b blob, p numeric, r text collate rtrim)",
    "create index n_b on n (b)",
    "create index n_p on n (p, b)",
    "create index n_r on n (r)",
    "create index n_partial on n (p) where b = 1",
    "create index n_there on n (r) where p is not null and b is not null",
    "create index t_open on t (a, c) where b is null",
    "create index n_expression on n (abs(p))",
    "create view v as select t.id as i, u.k, t.e from t left join u on u.id = t.id where t.b > 0",
    "create view v2 (x, y) as select a, count(*) from t group by a",
    "create view v3 as select id, a from t union all select id, k from u",
]
COLUMNS = {
    "t": ["id", "a", "b", "c", "d", "e"],
    "u": ["uuid", "id", "e", "k", "gen"],
    "w": ["a", "y", "z"],
    "n": ["b", "p", "r"],
    "v": ["i", "k", "e"],
    "v2": ["x", "y"],
    "v3": ["id", "a"],
}
STORED = {"t": COLUMNS["t"][1:], "u": COLUMNS["u"][:4], "w": COLUMNS["w"], "n": COLUMNS["n"]}

VALUES: list[SqlValue] = [
    *(None, None, 0, 1, 2, 3, 5, 1.0, 2.0, 1.5, -1, "1", "1.0", "01", "2", " 1", "a", "A", "a ", "b", "5", "", b"1"),
    *(b"a", 2**53, 2**53 + 1, float(2**53), -0.0, "1e0", 10**15, 0.1, "0.1"),
]
COMMON: list[SqlValue] = [None, 1, 1, 2, "1", "1", "a", "a", "A", 1.0, "2", "1.0"]
"""Met more often, so that joins find partners."""
LITERALS = [
    *("NULL", "0", "1", "2", "5", "1.0", "1.5", "-1", "'1'", "'1.0'", "'a'", "'A'", "'a '", "''", "x'31'", "x'61'"),
    *("9007199254740993", "9007199254740992.0", "'01'", "+1", "- 2", "0x1", "1e0", "(1)"),
]
COMPARISONS = ["=", "=", "=", "==", "<", "<=", ">", ">=", "<>", "!=", "is", "is not"]
COMPARISONS += ["is not distinct from", "is distinct from"]
JOINS = [",", "join", "join", "left join", "left join", "left join", "cross join", "right join", "full join"]
JOINS += ["natural join", "using"]
OPERATORS = ["=", "<", "is", "is not", "<>", "in", "not in", "||", "+", "-", "&", "between", "is null ="]
OPERATORS += ["collate nocase ="]


class Generator:
    """Makes statements that SQLite accepts, mostly.

    Attributes:
        parameters: values for the `?` of the last statement.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.parameters: list[SqlValue] = []
        self._aliases = 0
        self._ctes: dict[str, list[str]] = {}

    def rows(self) -> dict[str, list[tuple[str, list[SqlValue]]]]:
        """For each table, inserts of a few rows; some of them break a constraint, and are ignored."""
        made: dict[str, list[tuple[str, list[SqlValue]]]] = {}
        for table, columns in STORED.items():
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            insert = f"insert or ignore into {table} ({names}) values ({marks})"
            count = self.random.randrange(9)
            made[table] = [(insert, [self._value() for _ in columns]) for _ in range(count)]
        return made

    def statement(self) -> str:
        """A statement; its parameters are in `parameters`."""
        self.parameters = []
        self._ctes = {}
        self._aliases = 0
        kind = self.random.randrange(10)
        if kind == 0:
            return self._update()
        if kind == 1:
            return self._delete()
        if kind == 2:
            return f"insert or ignore into n (b, p) {self._query(2, 2)}"
        return self._with() + self._query(3)

    # -- statements

    def _update(self) -> str:
        table = self.random.choice(list(STORED))
        column = self.random.choice(STORED[table])
        scope = [(table, COLUMNS[table])]
        joined = ""
        if self._chance(0.2):
            joined, more = self._from(1)
            joined = f" from {joined}"
            scope += more
        value = self._scalar(scope, 1)
        where = f" where {self._condition(scope, 2)}" if self._chance(0.9) else ""
        return f"update {table} set {column} = {value}{joined}{where}"

    def _delete(self) -> str:
        table = self.random.choice(list(STORED))
        alias = " as q" if self._chance(0.3) else ""
        scope = [("q" if alias else table, COLUMNS[table])]
        where = f" where {self._condition(scope, 2)}" if self._chance(0.9) else ""
        return f"delete from {table}{alias}{where}"

    def _with(self) -> str:
        if not self._chance(0.2):
            return ""
        name = self.random.choice(["c1", "t", "u"])
        text = f"with {name} (m1, m2) as ({self._query(2, 2)}) "
        self._ctes[name] = ["m1", "m2"]
        return text

    def _query(self, depth: int, width: int | None = None, outer: list[tuple[str, list[str]]] | None = None) -> str:
        """A SELECT of so many columns (None: any), perhaps a compound."""
        if self._chance(0.1) and depth > 1:
            width = width or 2
            operator = self.random.choice(["union", "union all", "intersect", "except"])
            return f"{self._select(depth - 1, width, outer)} {operator} {self._select(depth - 1, width, outer)}"
        return self._select(depth, width, outer)

    def _select(self, depth: int, width: int | None, outer: list[tuple[str, list[str]]] | None) -> str:
        text, scope = self._from(depth)
        seen = scope + (outer or [])
        if width is None and self._chance(0.3):
            columns = "*"
        else:
            columns = ", ".join(self._result(scope, seen, depth) for _ in range(width or self.random.randint(1, 3)))
        where = f" where {self._condition(seen, depth)}" if self._chance(0.85) else ""
        tail = ""
        if self._chance(0.1):
            tail = f" group by {self._column(scope)}"
        if self._chance(0.15):
            tail += f" order by {self.random.choice(['1', self._column(scope)])}"
        if self._chance(0.1):
            tail += f" limit {self.random.randint(0, 3)}"
        distinct = "distinct " if self._chance(0.1) else ""
        return f"select {distinct}{columns} from {text}{where}{tail}"

    def _result(self, scope: list[tuple[str, list[str]]], seen: list[tuple[str, list[str]]], depth: int) -> str:
        kind = self.random.randrange(12)
        if kind == 0:
            return self.random.choice(["count(*)", f"max({self._column(scope)})", f"count({self._column(scope)})"])
        if kind == 1:
            return f"row_number() over (order by {self._column(scope)})"
        if kind == 2 and depth > 1:
            return f"({self._query(depth - 1, 1, seen)})"
        if kind == 3:
            return f"coalesce({self._column(scope)}, {self._constant()})"
        return self._column(scope)

    # -- FROM

    def _from(self, depth: int) -> tuple[str, list[tuple[str, list[str]]]]:
        text, columns = self._item(depth)
        scope = columns
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            item, more = self._item(depth)
            kind = self.random.choice(JOINS)
            both = scope + more
            if kind in (",", "cross join"):
                text += f" {kind} {item}"
            elif kind == "natural join":
                text += f" natural {self.random.choice(['', 'left '])}join {item}"
            elif kind == "using":
                common = sorted({c for _, cs in scope for c in cs} & {c for _, cs in more for c in cs})
                if common:
                    text += f" {self.random.choice(['', 'left '])}join {item} using ({self.random.choice(common)})"
                else:
                    text += f" join {item}"
            else:
                condition = self._equality(scope, more) if self._chance(0.7) else self._condition(both, 1)
                if self._chance(0.3):
                    condition += f" and {self._condition(both, 1)}"
                text += f" {kind} {item} on {condition}"
            scope = both
        return text, scope

    def _item(self, depth: int) -> tuple[str, list[tuple[str, list[str]]]]:
        self._aliases += 1
        alias = f"x{self._aliases}"
        kind = self.random.randrange(12)
        if kind == 0 and depth > 1:
            width = self.random.randint(1, 2)
            names = [f"m{number + 1}" for number in range(width)]
            inner, scope = self._from(depth - 1)
            columns = ", ".join(f"{self._result(scope, scope, 1)} as {name}" for name in names)
            where = f" where {self._condition(scope, 1)}" if self._chance(0.8) else ""
            tail = self.random.choice(["", "", "", " limit 2", " group by 1", " order by 1 limit 2"])
            return f"(select {columns} from {inner}{where}{tail}) as {alias}", [(alias, names)]
        if kind == 1 and depth > 1:
            inner, scope = self._from(depth - 1)
            if "using" not in inner and "natural" not in inner:
                return f"({inner})", scope
        if kind == 2 and self._ctes:
            name = self.random.choice(list(self._ctes))
            return f"{name} as {alias}", [(alias, self._ctes[name])]
        table = self.random.choice(["t", "t", "u", "u", "w", "n", "v", "v2", "v3"])
        if table in self._ctes:
            return f"main.{table} as {alias}", [(alias, COLUMNS[table])]
        return f"{table} {self.random.choice(['', 'as '])}{alias}", [(alias, COLUMNS[table])]

    # -- expressions

    def _condition(self, scope: list[tuple[str, list[str]]], depth: int) -> str:
        parts = [self._atom(scope, depth) for _ in range(self.random.choice([1, 1, 1, 2, 2, 3]))]
        text = parts[0]
        for part in parts[1:]:
            text = f"{text} {self.random.choice(['and', 'and', 'or'])} {part}"
            if self._chance(0.3):
                text = f"({text})"
        return text

    def _atom(self, scope: list[tuple[str, list[str]]], depth: int) -> str:
        kind = self.random.randrange(32)
        column = self._column(scope)
        if kind > 20:
            left, right = column, self._constant() if self._chance(0.7) else self._column(scope)
            return f"{left} = {right}" if self._chance(0.8) else f"{right} = {left}"
        if kind == 0:
            return f"{column} {self.random.choice(['is null', 'is not null', 'isnull', 'notnull', 'not null'])}"
        if kind == 1:
            return f"{column} {self._not()}between {self._constant()} and {self._constant()}"
        if kind in (2, 3):
            members = ", ".join(self._constant() for _ in range(self.random.choice([0, 1, 2, 3])))
            return f"{column} {self._not()}in ({members})"
        if kind in (4, 5) and depth > 1:
            return f"{column} {self._not()}in ({self._query(depth - 1, 1, scope)})"
        if kind in (6, 7) and depth > 1:
            return f"{self._not()}exists ({self._query(depth - 1, None, scope)})"
        if kind == 8:
            return f"not {self._atom(scope, depth)}"
        if kind == 9:
            return f"coalesce({column}, {self._constant()}) = {self._constant()}"
        if kind == 10:
            other = self._column(scope)
            left, right = self._constant(), self._constant()
            operator = self.random.choice(["=", "<", ">=", "in"])
            if operator == "in":
                return f"({column}, {other}) in (values ({left}, {right}), ({self._constant()}, {self._constant()}))"
            return f"({column}, {other}) {operator} ({left}, {right})"
        if kind == 11:
            return self._ambiguous(scope)
        if kind == 12 and depth > 1:
            return f"{column} = ({self._query(depth - 1, 1, scope)})"
        if kind == 13:
            return f"{column} in {self.random.choice(['single', 'main.single'])}"
        collate = f" collate {self.random.choice(['nocase', 'binary', 'rtrim'])}" if self._chance(0.15) else ""
        other = self._column(scope) if self._chance(0.3) else self._constant()
        if self._chance(0.1):
            other = f"{self.random.choice(['+', '- ', 'cast(', ''])}{other}"
            other += " as text)" if other.startswith("cast") else ""
        left, right = (column, other) if self._chance(0.8) else (other, column)
        return f"{left}{collate} {self.random.choice(COMPARISONS)} {right}"

    def _ambiguous(self, scope: list[tuple[str, list[str]]]) -> str:
        """Comparisons in a row, which two parsers may group differently."""
        operand = [self._column(scope), self._constant(), self._column(scope), self._constant()]
        self.random.shuffle(operand)
        text = operand[0]
        for part in operand[1 : self.random.randint(3, 4)]:
            operator = self.random.choice(OPERATORS)
            if operator in ("in", "not in"):
                text += f" {operator} ({part})" if self._chance(0.8) else f" {operator} ()"
            elif operator == "between":
                text += f" between {part} and {self._constant()}"
            else:
                text += f" {operator} {part}"
        return text

    def _equality(self, left: list[tuple[str, list[str]]], right: list[tuple[str, list[str]]]) -> str:
        one, other = self._column(left), self._column(right)
        return f"{one} = {other}" if self._chance(0.5) else f"{other} = {one}"

    def _scalar(self, scope: list[tuple[str, list[str]]], depth: int) -> str:
        if self._chance(0.3):
            return f"({self._query(depth, 1, scope)})"
        return self._column(scope) if self._chance(0.3) else self._constant()

    def _column(self, scope: list[tuple[str, list[str]]]) -> str:
        alias, columns = self.random.choice(scope)
        column = self.random.choice(columns)
        if self._chance(0.1):
            return column
        if self._chance(0.1):
            return f'"{alias.upper()}".[{column}]'
        return f"{alias}.{column}"

    def _constant(self) -> str:
        if self._chance(0.5):
            self.parameters.append(self._value())
            return f"?{len(self.parameters)}"
        return self.random.choice(LITERALS if self._chance(0.4) else ["1", "'1'", "'a'", "2"])

    def _value(self) -> SqlValue:
        return self.random.choice(COMMON if self._chance(0.6) else VALUES)

    def _not(self) -> str:
        return "not " if self._chance(0.25) else ""

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability
