"""Random schemas: every kind of key, affinity, collation, index, generated column, foreign key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

from rome.codec.values import SqlValue
from tests.fuzz.choices import Choices

Pool = tuple[SqlValue, ...]
Q = "§"
"""Stands in a template for the qualifier of a column: nothing, or an alias and a dot."""

_INTEGERS: Pool = (1, 2, 3, 1, 2, None, 0, -1, 5)
_TEXTS: Pool = ("a", "b", "A", "a", None, "1", "a ", "B", "ab", "")
_REALS: Pool = (1.0, 2.0, 1.5, 1, None, 0.0, -0.0, 0.1)
_ANY: Pool = (1, "a", None, 2, "1", 1.0, "A", b"a", 1.5, "")
BOUNDARY: Pool = (
    *(2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), float(2**53), float(2**63), 1e308, -1e308, inf, -inf),
    *(
        -0.0,
        "",
        "01",
        " 1",
        "1.0",
        "1e0",
        "0x1",
        str(2**53 + 1),
        "9223372036854775808",
        "0.1",
        0.1,
        1e15,
        123456789012345.6,
    ),
    *(b"", b"a", b"1", "é", "É", "a\x00b", "%", "a_", 10**15),
)
_Types = tuple[tuple[str, Pool], ...]
_TYPES: _Types = (
    *(("INTEGER", _INTEGERS), ("TEXT", _TEXTS), ("TEXT COLLATE NOCASE", _TEXTS), ("", _ANY), ("REAL", _REALS)),
    *(("NUMERIC", _ANY), ("BLOB", _ANY), ("TEXT COLLATE RTRIM", _TEXTS), ("VARCHAR(5)", _TEXTS), ("INT", _INTEGERS)),
    *(("BLOB COLLATE NOCASE", _ANY), ("DATETIME", _ANY), ("DOUBLE", _REALS)),
)
IDS: Pool = (1, 2, 3, 4, 5, 6, 7, -3, 2**53 + 1, 0)
_EXPRESSIONS = (
    *("lower({a})", "coalesce({a}, {b})", "{a} || 'x'", "typeof({a})", "{a} IS NULL", "{a} = {b}", "length({a})"),
    *("substr({a}, 1, 1)", "{a} + 1", "CASE WHEN {a} > 1 THEN {b} END", "{a} COLLATE NOCASE", "-{a}"),
)
_NULL_TESTS = (
    *("{a} IS NOT NULL", "{a} IS NOT NULL", "{a} IS NULL", "{a} IS NOT NULL AND {b} IS NOT NULL"),
    "{a} IS NULL AND {b} IS NOT NULL",
)
"""The conditions of partial indexes that a plan may rest on."""
_PREDICATES = (
    *_NULL_TESTS,
    *("{a} > 1", "{a} = 'a'", "{a} IN (1, 2)", "{b} IS NULL AND {a} < 3", "{a} = 1", "{a} <> {b}", "{a} NOT IN ('a')"),
    *("{a} IS NOT NULL OR {b} = 1", "{a} BETWEEN 1 AND 2", "{a} IS 1", "{a} LIKE 'a%'", "({a}, {b}) > (1, 1)"),
)
_ACTIONS: tuple[str, ...] = (
    "",
    " ON DELETE CASCADE",
    " ON DELETE SET NULL ON UPDATE CASCADE",
    " ON DELETE SET DEFAULT ON UPDATE SET NULL",
)
_ACTIONS += (" ON DELETE RESTRICT", " ON UPDATE CASCADE", " ON DELETE CASCADE ON UPDATE SET DEFAULT")


class Partial(NamedTuple):
    """A partial index: its first column, and its condition with `§` before every column."""

    key: str
    condition: str


@dataclass(frozen=True)
class RandomTable:
    """A table: the values that its columns are given.

    Attributes:
        columns: what may be shown. A rowid that SQLite chooses is not: Rome may choose another.
        has_more: it has such a rowid as a column, so that `*` shows too much.
        generated: those of the columns that cannot be set.
        given: those that every INSERT sets.
        targets: what ON CONFLICT may name.
        partials, expressions: what its indexes are made of; `§` before every column.
        rows: the columns of indexes that have several.
    """

    name: str
    sql: str
    columns: Mapping[str, Pool]
    generated: frozenset[str]
    given: tuple[str, ...]
    has_more: bool
    targets: tuple[str, ...]
    partials: tuple[Partial, ...]
    expressions: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def conditions(self) -> list[str]:
        return [partial.condition for partial in self.partials]

    @property
    def settable(self) -> list[str]:
        return [name for name in self.columns if name not in self.generated]


FAILING = "abs(iif({a} IN (2, 'b', 'B'), -9223372036854775807 - 1, 1))"
"""Fails for some values: in an index or a column, where every row is computed, and not in a query, where a plan decides
of which rows it is."""


@dataclass(frozen=True)
class RandomSchema:
    """Tables, indexes and views.

    Attributes:
        ids: every INSERT sets the rowid, so that lastrowid can be compared.
        waits: all tables are such that SQLite need not make a change of few rows before somebody looks.
    """

    tables: tuple[RandomTable, ...]
    indexes: tuple[str, ...]
    views: tuple[tuple[str, str, Mapping[str, Pool]], ...]
    ids: bool
    waits: bool = False

    @property
    def statements(self) -> list[str]:
        return [*(table.sql for table in self.tables), *self.indexes, *(sql for _, sql, _ in self.views)]


def literal(value: SqlValue) -> str:
    """A value as SQLite reads it."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return f"CAST(x'{value.encode().hex()}' AS TEXT)" if "\x00" in value else "'" + value.replace("'", "''") + "'"
    if isinstance(value, float) and abs(value) == inf:
        return "9e999" if value > 0 else "-9e999"
    return str(value)


def random_schema(choices: Choices) -> RandomSchema:
    """Two to four tables, their indexes, and views."""
    waits = choices.once_in(4)
    ids = waits or choices.once_in(2)
    tables: list[RandomTable] = []
    indexes: list[str] = []
    types = tuple(choices.some(_TYPES, 1, 3)) if choices.below(3) else _TYPES  # columns of a kind find partners
    for number in range(choices.pick((2, 3, 3, 4))):
        table, more = _table(choices, f"t{number}", tables, types, ids=ids, waits=waits)
        tables.append(table)
        indexes += more
    views = tuple(_view(choices, name, tables) for name in ("v", "vv")[: choices.pick((0, 1, 2))])
    return RandomSchema(tuple(tables), tuple(indexes), views, ids, waits)


def _table(
    choices: Choices, name: str, others: Sequence[RandomTable], types: _Types, *, ids: bool, waits: bool
) -> tuple[RandomTable, list[str]]:
    plain = waits or choices.once_in(3)  # most applications' tables are: what they store can be told without SQLite
    made = _TableMaker(choices, name, others, types, plain=plain)
    made.key("id" if waits else choices.pick(_KINDS_WITH_IDS if ids else _KINDS))
    indexes, partials, expressions, rows = [], [], [], []
    for number in range(1 + choices.below(4)):
        index, partial, expression = random_index(choices, f"i{name}{number}", name, made.names, plain=plain)
        indexes.append(index)
        partials += [partial] if partial else []
        expressions += [expression] if expression else []
        names = re.findall(r"[(,] ?(\w+)", index[: index.find(")")])
        rows += [tuple(names)] if len(names) > 1 and not expression and "abs(" not in index else []
    if not plain and choices.once_in(2):
        index, partial = _null_index(choices, f"n{name}", name, made.names)
        indexes.append(index)
        partials.append(partial)
    return replace(made.table(tuple(partials), tuple(expressions)), rows=tuple(rows)), indexes


_KINDS_WITH_IDS = ("id", "id", "without rowid", "without rowid pair")
_KINDS = ("id", "none", "text", "pair", "hidden id", "without rowid", "without rowid pair", "descending id")


class _TableMaker:
    """Writes one CREATE TABLE."""

    def __init__(
        self, choices: Choices, name: str, others: Sequence[RandomTable], types: _Types, *, plain: bool
    ) -> None:
        self._choices = choices
        self._plain = plain
        self._name = name
        self._others = others
        self._types = types
        self._columns: dict[str, Pool] = {}
        self._parts: list[str] = []
        self._targets: list[str] = []
        self._generated: set[str] = set()
        self._tail = ""
        self._has_more = False

    @property
    def names(self) -> list[str]:
        """The columns that indexes may hold."""
        return [column for column in self._columns if column != "id"]

    def key(self, kind: str) -> None:
        """The columns, with a primary key of some kind."""
        choices = self._choices
        if kind in ("id", "descending id"):
            self._columns["id"] = IDS
            self._parts.append("id INTEGER PRIMARY KEY" + (" DESC" if kind == "descending id" else ""))
            self._targets.append("id")
        elif kind == "hidden id":
            self._has_more = True
            # With a name that no other table has: NATURAL JOIN would show the gaps that Rome may leave.
            self._parts.append(f"{self._name}id INTEGER PRIMARY KEY" + choices.pick(("", " AUTOINCREMENT")))
        shared = choices.pick((1, 1, 9))  # which column has a name that other tables have, too: for USING and NATURAL
        own = choices.pick(("c", f"{self._name}c"))
        for number in range(2 + choices.below(3)):
            column = "k" if number == shared else f"{own}{number}"
            self._column(column, is_key=number == 0 and kind in ("text", "without rowid"))
        names = self.names
        if not self._plain and choices.once_in(4):
            self._add_generated()
        if kind in ("pair", "without rowid pair"):
            self._targets.insert(0, f"{names[0]}, {names[1]}")
            self._parts.append(f"PRIMARY KEY ({names[0]}, {names[1]}{choices.pick(('', ' DESC'))})")
        if kind.startswith("without rowid"):
            self._tail = " WITHOUT ROWID"

    def _column(self, name: str, *, is_key: bool) -> None:
        choices = self._choices
        declared, pool = choices.pick(self._types)
        if is_key and declared == "INTEGER":  # it would be the rowid, and be shown with the gaps that Rome may leave
            declared = "INT"
        definition = f"{name} {declared}".rstrip()
        self._columns[name] = pool
        if is_key:
            definition += " PRIMARY KEY"
            self._targets.append(name)
        elif self._plain:
            definition += choices.pick(("", "", "", " UNIQUE", " NOT NULL", self._reference(name)))
            if definition.endswith("UNIQUE"):
                self._targets.append(name)
        elif choices.once_in(6):
            definition += " UNIQUE" + choices.pick(("", "", "", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE"))
            self._targets.append(name)
        elif choices.once_in(8):
            definition += f" NOT NULL DEFAULT {literal(pool[0])}"
        elif choices.once_in(12):
            definition += f" CHECK ({name} <> {literal(pool[1])})"
        elif choices.once_in(2):
            definition += self._reference(name)
        self._parts.append(definition)

    def _reference(self, name: str) -> str:
        """A foreign key to one column of another table, or nothing."""
        targets = [(o, target) for o in self._others for target in o.targets if "," not in target]
        if not targets:
            return ""
        other, target = self._choices.pick(targets)
        self._columns[name] = other.columns[target]
        deferred = "" if self._plain else self._choices.pick(("", "", " DEFERRABLE INITIALLY DEFERRED"))
        return f" REFERENCES {other.name} ({target}){self._choices.pick(_ACTIONS)}{deferred}"

    def _add_generated(self) -> None:
        choices = self._choices
        expression = _filled(choices.pick(_EXPRESSIONS), choices, self.names).replace(Q, "")
        declared = choices.pick(("", "TEXT ", "INTEGER "))
        unique = choices.pick(("", "", " UNIQUE"))
        self._parts.append(f"g {declared}AS ({expression}) {choices.pick(('VIRTUAL', 'STORED'))}{unique}")
        self._generated.add("g")
        self._columns["g"] = _ANY
        if unique:
            self._targets.append("g")

    def table(self, partials: tuple[Partial, ...], expressions: tuple[str, ...]) -> RandomTable:
        """The table, once its columns are there."""
        nulls: Pool = (None,) * 12
        tested = [column for column in self._columns for each in partials if Q + column in each.condition]
        return RandomTable(
            name=self._name,
            sql=f"CREATE TABLE {self._name} ({', '.join(self._parts)}){self._tail}",
            columns={
                column: pool if pool is IDS else pool * 3 + BOUNDARY[at % 5 :: 5] + nulls * tested.count(column)
                for at, (column, pool) in enumerate(self._columns.items())
            },
            generated=frozenset(self._generated),
            given=("id",) if "id" in self._columns else (),
            has_more=self._has_more,
            targets=tuple(self._targets),
            partials=partials,
            expressions=expressions,
        )


def random_index(
    choices: Choices, name: str, table: str, columns: Sequence[str], exists: str = "", *, plain: bool = False
) -> tuple[str, Partial | None, str]:
    """CREATE INDEX, what is partial about it, and the expression in it, as a template, or ''.

    Args:
        plain: neither, nor anything else that SQLite must compute.
    """
    keys = [
        column + choices.pick(("", "", "", " DESC", " COLLATE NOCASE", " COLLATE BINARY"))
        for column in choices.some(columns, 1, 3)
    ]
    condition = expression = ""
    first = keys[0].split()[0]
    if not plain and choices.once_in(3):
        expression = _filled(choices.pick(_EXPRESSIONS), choices, columns)
        keys[choices.below(len(keys))] = expression.replace(Q, "")
    if not plain and choices.once_in(3):
        condition = _filled(choices.pick(_PREDICATES), choices, columns)
    where = f" WHERE {condition.replace(Q, '')}" if condition else ""
    unique = choices.pick(("", "", "", "UNIQUE "))
    if not plain and choices.once_in(16):  # unique, for stock SQLite has no other indexes
        unique = "UNIQUE "
        keys.insert(0, FAILING.format(a=choices.pick(columns)))
    text = f"CREATE {unique}INDEX {exists}{name} ON {table} ({', '.join(keys)}){where}"
    return text, Partial(first, condition) if condition else None, expression


def _null_index(choices: Choices, name: str, table: str, columns: Sequence[str]) -> tuple[str, Partial]:
    """An index over one column, of the rows in which others are NULL, or are not."""
    key = choices.pick(columns)
    others = [column for column in columns if column != key] or columns
    condition = _filled(choices.pick(_NULL_TESTS), choices, others)
    return f"CREATE INDEX {name} ON {table} ({key}) WHERE {condition.replace(Q, '')}", Partial(key, condition)


def _filled(template: str, choices: Choices, columns: Sequence[str]) -> str:
    return template.format(a=Q + choices.pick(columns), b=Q + choices.pick(columns))


def _view(choices: Choices, name: str, tables: Sequence[RandomTable]) -> tuple[str, str, Mapping[str, Pool]]:
    one, other = choices.pick(tables), choices.pick(tables)
    mine, theirs = choices.pick(list(one.columns)), choices.pick(list(other.columns))
    shown = choices.pick(list(other.columns))
    query = choices.pick(
        (
            f"SELECT a.{mine} AS v0, b.{shown} AS v1 FROM {one.name} a LEFT JOIN {other.name} b "
            f"ON b.{theirs} = a.{mine}",
            f"SELECT {mine} AS v0, count(*) AS v1 FROM {one.name} GROUP BY {mine}",
            f"SELECT {mine} AS v0, {mine} AS v1 FROM {one.name} UNION ALL SELECT {theirs}, {shown} FROM {other.name}",
            f"SELECT DISTINCT {mine} AS v0, typeof({mine}) AS v1 FROM {one.name} WHERE {mine} IS NOT NULL",
            f"SELECT DISTINCT {mine} AS v0, {mine} AS v1 FROM {one.name}",
            f"SELECT {theirs} AS v0, {shown} AS v1 FROM {other.name} ORDER BY {theirs}, {shown} LIMIT 3",
            f"SELECT {theirs} AS v0, max({shown}) AS v1 FROM {other.name} GROUP BY {theirs}",
            f"SELECT {theirs} AS v0, lag({shown}) OVER (ORDER BY {theirs}, {shown}) AS v1 FROM {other.name}",
            f"SELECT a.{mine} AS v0, (SELECT b.{shown} FROM {other.name} b WHERE b.{theirs} = a.{mine} "
            f"ORDER BY b.{shown} DESC LIMIT 1) AS v1 FROM {one.name} a",
            f"SELECT a.{mine} AS v0, a.{mine} AS v1 FROM {one.name} a WHERE EXISTS "
            f"(SELECT 1 FROM {other.name} b WHERE b.{theirs} = a.{mine})",
            f"WITH c AS (SELECT {mine} AS m FROM {one.name}) SELECT m AS v0, m AS v1 FROM c",
        )
    )
    return name, f"CREATE VIEW {name} AS {query}", {"v0": one.columns[mine], "v1": other.columns[shown]}
