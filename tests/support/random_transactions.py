"""Random transactions over a few schemas, as Hypothesis strategies: so that counter-examples shrink to a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.support.differential import Operation

Text = st.SearchStrategy[str]
SMALL = ("1", "2", "3", "4")
NULLABLE = ("NULL", "1", "2", "3")
LETTERS = ("'a'", "'A'", "'b'", "'B'", "'c'")
MIXED = ("NULL", "1", "'1'", "'a'", "'A'", "2", "2.0", "1.5", "x'61'", "-0.0")


@dataclass(frozen=True)
class TableUnderTest:
    """A table: the literals that each of its columns is given, and the targets that ON CONFLICT may name.

    Columns that are left out have values that differ: ids that SQLite and Rome choose.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    targets: tuple[str, ...] = ()

    def everything(self, name: str | None = None) -> str:
        return ", ".join(f"{name or self.name}.{column}" for column in self.columns)


@dataclass(frozen=True)
class SchemaUnderTest:
    """A schema; `ids`: see Pair."""

    name: str
    statements: tuple[str, ...]
    tables: tuple[TableUnderTest, ...]
    ids: bool = True

    def __repr__(self) -> str:
        return self.name


KEYS = SchemaUnderTest(
    "keys",
    (
        "CREATE TABLE a (id INTEGER PRIMARY KEY, u TEXT UNIQUE COLLATE NOCASE, "
        "n INT NOT NULL DEFAULT 1 CHECK (n < 4), x)",
        "CREATE TABLE b (k TEXT PRIMARY KEY, n INT UNIQUE, v)",
        "CREATE TABLE c (p INT, q TEXT, v, PRIMARY KEY (p, q))",
        "CREATE TABLE d (v, w)",
        "CREATE TABLE e (k TEXT PRIMARY KEY, n INT, v, UNIQUE (n, v)) WITHOUT ROWID",
    ),
    (
        TableUnderTest("a", {"id": SMALL, "u": ("NULL", *LETTERS), "n": ("NULL", *SMALL), "x": MIXED}, ("id", "u")),
        TableUnderTest("b", {"k": ("NULL", *LETTERS), "n": NULLABLE, "v": MIXED}, ("k", "n")),
        TableUnderTest("c", {"p": NULLABLE, "q": ("NULL", *LETTERS), "v": MIXED}, ("p, q",)),
        TableUnderTest("d", {"v": MIXED, "w": NULLABLE}),
        TableUnderTest("e", {"k": LETTERS, "n": NULLABLE, "v": MIXED}, ("k", "n, v")),
    ),
    ids=False,
)
INDEXES = SchemaUnderTest(
    "indexes",
    (
        "CREATE TABLE g (id INTEGER PRIMARY KEY, a INT, b INT UNIQUE, s AS (a + b) STORED, v AS (a * 10))",
        "CREATE UNIQUE INDEX g_v ON g (v)",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, a INT, b TEXT)",
        "CREATE UNIQUE INDEX p_partial ON p (a) WHERE b IS NOT NULL",
        "CREATE UNIQUE INDEX p_lower ON p (lower(b))",
        "CREATE TABLE m (id INTEGER PRIMARY KEY, a INT UNIQUE, b INT UNIQUE ON CONFLICT REPLACE, "
        "c TEXT NOT NULL ON CONFLICT IGNORE, CHECK (a <> b))",
    ),
    (
        TableUnderTest("g", {"id": SMALL, "a": NULLABLE, "b": NULLABLE}, ("id", "b", "v")),
        TableUnderTest("p", {"id": SMALL, "a": NULLABLE, "b": ("NULL", *LETTERS)}, ("id",)),
        TableUnderTest("m", {"id": SMALL, "a": NULLABLE, "b": NULLABLE, "c": ("NULL", *LETTERS)}, ("id", "a")),
    ),
)
ACTIONS = SchemaUnderTest(
    "actions",
    (
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, k TEXT UNIQUE, n INT, UNIQUE (n, k))",
        "CREATE TABLE cascades (id INTEGER PRIMARY KEY, "
        "k TEXT UNIQUE REFERENCES parent (k) ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TABLE nulls (id INTEGER PRIMARY KEY, p INT REFERENCES parent ON DELETE SET NULL ON UPDATE SET NULL)",
        "CREATE TABLE defaults (id INTEGER PRIMARY KEY, "
        "p INT DEFAULT 1 REFERENCES parent ON DELETE SET DEFAULT ON UPDATE SET DEFAULT)",
        "CREATE TABLE restricts (id INTEGER PRIMARY KEY, "
        "p INT REFERENCES parent ON DELETE RESTRICT ON UPDATE RESTRICT)",
        "CREATE TABLE pairs (id INTEGER PRIMARY KEY, n INT, k TEXT, "
        "FOREIGN KEY (n, k) REFERENCES parent (n, k) ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TABLE grand (id INTEGER PRIMARY KEY, "
        "k TEXT REFERENCES cascades (k) ON DELETE SET NULL ON UPDATE CASCADE)",
    ),
    (
        TableUnderTest("parent", {"id": SMALL, "k": ("NULL", *LETTERS), "n": NULLABLE}, ("id", "k")),
        TableUnderTest("cascades", {"id": SMALL, "k": ("NULL", *LETTERS)}, ("id", "k")),
        TableUnderTest("nulls", {"id": SMALL, "p": NULLABLE}, ("id",)),
        TableUnderTest("defaults", {"id": SMALL, "p": NULLABLE}, ("id",)),
        TableUnderTest("restricts", {"id": SMALL, "p": NULLABLE}, ("id",)),
        TableUnderTest("pairs", {"id": SMALL, "n": NULLABLE, "k": ("NULL", *LETTERS)}, ("id",)),
        TableUnderTest("grand", {"id": SMALL, "k": ("NULL", *LETTERS)}, ("id",)),
    ),
)
CYCLES = SchemaUnderTest(
    "cycles",
    (
        "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INT REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TABLE x (id INTEGER PRIMARY KEY, y INT REFERENCES y DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE y (id INTEGER PRIMARY KEY, x INT REFERENCES x ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, "
        "t INT REFERENCES tree ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE z (id INTEGER PRIMARY KEY, y INT DEFAULT 2 REFERENCES y ON DELETE SET DEFAULT, "
        "z INT REFERENCES z DEFERRABLE INITIALLY DEFERRED)",
    ),
    (
        TableUnderTest("tree", {"id": SMALL, "up": NULLABLE}, ("id",)),
        TableUnderTest("x", {"id": SMALL, "y": NULLABLE}, ("id",)),
        TableUnderTest("y", {"id": SMALL, "x": NULLABLE, "t": NULLABLE}, ("id",)),
        TableUnderTest("z", {"id": SMALL, "y": NULLABLE, "z": NULLABLE}, ("id",)),
    ),
)
COMPARISONS = SchemaUnderTest(
    "comparisons",
    (
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, k TEXT COLLATE NOCASE UNIQUE, v UNIQUE)",
        "CREATE TABLE letters (id INTEGER PRIMARY KEY, k TEXT REFERENCES parent (k) ON UPDATE CASCADE, "
        "v TEXT REFERENCES parent (v) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE anything (id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE SET NULL, "
        "k REFERENCES parent (k) ON DELETE CASCADE)",
    ),
    (
        TableUnderTest("parent", {"id": SMALL, "k": ("NULL", *LETTERS), "v": MIXED}, ("id", "k", "v")),
        TableUnderTest("letters", {"id": SMALL, "k": ("NULL", *LETTERS), "v": ("NULL", "'1'", "'a'", "'A'")}, ("id",)),
        TableUnderTest("anything", {"id": SMALL, "p": ("NULL", "1", "'1'", "2.0"), "k": ("NULL", *LETTERS)}, ("id",)),
    ),
)
IDENTIFIERS = SchemaUnderTest(
    "identifiers",
    (
        "CREATE TABLE i (id INTEGER PRIMARY KEY, u TEXT UNIQUE, n INT CHECK (n <> 4))",
        "CREATE TABLE j (n INT NOT NULL, id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT, UNIQUE (u, n))",
        "CREATE TABLE k (u TEXT PRIMARY KEY, n INT REFERENCES l (n))",
        "CREATE TABLE l (id INTEGER PRIMARY KEY, n INT UNIQUE, g AS (n * 2))",
    ),
    (
        TableUnderTest("i", {"u": ("NULL", *LETTERS), "n": ("NULL", *SMALL)}, ("u",)),
        TableUnderTest("j", {"u": ("NULL", *LETTERS), "n": NULLABLE}, ("u, n",)),
        TableUnderTest("k", {"u": ("NULL", *LETTERS), "n": NULLABLE}, ("u",)),
        TableUnderTest("l", {"n": NULLABLE}, ("n",)),
    ),
    ids=False,
)
SCHEMAS = (KEYS, INDEXES, ACTIONS, CYCLES, COMPARISONS, IDENTIFIERS)

_CONTROL = st.sampled_from(
    [
        *("SAVEPOINT s1", "SAVEPOINT s2", "SAVEPOINT S1"),
        *("RELEASE s1", "RELEASE SAVEPOINT s2", "ROLLBACK TO s1", "ROLLBACK TO SAVEPOINT s2", "ROLLBACK TO s1"),
        *("COMMIT", "COMMIT", "COMMIT", "ROLLBACK"),
    ]
)
_COUNTS = st.sampled_from(["SELECT changes()", "SELECT total_changes()", "SELECT changes(), last_insert_rowid()"])


def histories(schema: SchemaUnderTest, length: int) -> st.SearchStrategy[list[Operation]]:
    """Up to `length` operations; the first few fill the tables, and are committed."""
    filling = st.lists(_insert(schema, _table(schema), conflict=st.just(" OR IGNORE")), max_size=8)
    counts = _COUNTS if schema.ids else _COUNTS.filter(lambda text: "rowid" not in text)
    statements = st.one_of(
        *(_insert(schema, _table(schema)), _insert_select(schema), _update(schema), _update(schema), _delete(schema)),
        *(_select(schema), _CONTROL, _CONTROL, counts),
    )
    operations = st.one_of(statements.map(Operation), statements.map(Operation), _many(schema))
    return st.builds(
        lambda filled, more: [*map(Operation, filled), Operation("COMMIT"), *more],
        filling,
        st.lists(operations, max_size=length),
    )


def _table(schema: SchemaUnderTest) -> st.SearchStrategy[TableUnderTest]:
    return st.sampled_from(schema.tables)


_OR = st.sampled_from(["", "", "", " OR IGNORE", " OR REPLACE", " OR FAIL", " OR ABORT", " OR ROLLBACK"])


@st.composite
def _insert(
    draw: st.DrawFn,
    schema: SchemaUnderTest,
    tables: st.SearchStrategy[TableUnderTest],
    conflict: Text = _OR,
) -> str:
    table = draw(tables)
    columns = list(table.columns)
    if not schema.ids or len(columns) > 1:
        columns = columns[: draw(st.integers(1, len(columns)))] if draw(st.integers(0, 3)) == 0 else columns
    rows = [
        "(" + ", ".join(draw(st.sampled_from(table.columns[column])) for column in columns) + ")"
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3])))
    ]
    clause = draw(conflict)
    text = f"INSERT{clause} INTO {table.name} ({', '.join(columns)}) VALUES {', '.join(rows)}"
    return text + ("" if clause else draw(_upsert(table))) + draw(_returning(table))


@st.composite
def _upsert(draw: st.DrawFn, table: TableUnderTest) -> str:
    if draw(st.integers(0, 2)):
        return ""
    target = ""
    if bool(table.targets) and draw(st.booleans()):
        target = f" ({draw(st.sampled_from(table.targets))})"
    if not target or draw(st.booleans()):
        return f" ON CONFLICT{target} DO NOTHING"
    where = f" WHERE {draw(_condition(table))}" if draw(st.integers(0, 2)) == 0 else ""
    column = draw(st.sampled_from(list(table.columns)))
    value = draw(st.sampled_from([f"excluded.{column}", *table.columns[column]]))
    return f" ON CONFLICT{target} DO UPDATE SET {column} = {value}{where}"


def _returning(table: TableUnderTest) -> Text:
    return st.sampled_from(["", "", f" RETURNING {', '.join(table.columns)}"])


@st.composite
def _insert_select(draw: st.DrawFn, schema: SchemaUnderTest) -> str:
    table, source = draw(_table(schema)), draw(_table(schema))
    values = [
        draw(st.sampled_from([*(f"{source.name}.{name}" for name in source.columns), *domain]))
        for domain in table.columns.values()
    ]
    if schema.ids:
        values[0] = draw(st.sampled_from([*(f"{source.name}.id + {n}" for n in range(3)), f"{source.name}.id"]))
    clause = draw(_OR)
    query = f"SELECT {', '.join(values)} FROM {source.name} WHERE {draw(_condition(source))}"
    text = f"INSERT{clause} INTO {table.name} ({', '.join(table.columns)}) {query}"
    return text + ("" if clause else draw(_upsert(table))) + draw(_returning(table))


@st.composite
def _update(draw: st.DrawFn, schema: SchemaUnderTest) -> str:
    table = draw(_table(schema))
    sets = []
    for column in draw(st.lists(st.sampled_from(list(table.columns)), min_size=1, max_size=2, unique=True)):
        choices = [*table.columns[column], f"{table.name}.{column}"]
        if "1" in table.columns[column]:
            choices += [f"{table.name}.{column} + 1"] * 2
        sets.append(f"{column} = {draw(st.sampled_from(choices))}")
    joined = ""
    condition = draw(_condition(table))
    if draw(st.integers(0, 5)) == 0:
        other = draw(_table(schema))
        if other.name != table.name:
            joined = f" FROM {other.name}"
            mine, theirs = draw(st.sampled_from(list(table.columns))), draw(st.sampled_from(list(other.columns)))
            sets[0] = f"{sets[0].partition(' ')[0]} = {other.name}.{draw(st.sampled_from(list(other.columns)))}"
            condition += f" AND {table.name}.{mine} = {other.name}.{theirs}"
    where = f" WHERE {condition}" if joined or draw(st.integers(0, 4)) else ""
    return f"UPDATE{draw(_OR)} {table.name} SET {', '.join(sets)}{joined}{where}" + (
        "" if joined else draw(_returning(table))
    )


@st.composite
def _delete(draw: st.DrawFn, schema: SchemaUnderTest) -> str:
    table = draw(_table(schema))
    where = f" WHERE {draw(_condition(table))}" if draw(st.integers(0, 7)) else ""
    return f"DELETE FROM {table.name}{where}{draw(_returning(table))}"


@st.composite
def _condition(draw: st.DrawFn, table: TableUnderTest) -> str:
    column = draw(st.sampled_from(list(table.columns)))
    value = draw(st.sampled_from(table.columns[column]))
    name = f"{table.name}.{column}"
    text = draw(
        st.sampled_from(
            [
                *(f"{name} = {value}", f"{name} = {value}", f"{name} IS {value}", f"{name} <> {value}"),
                *(f"{name} > {value}", f"{name} <= {value}", f"{name} IN ({value}, 1, 'a')", f"{name} IS NOT NULL"),
            ]
        )
    )
    if draw(st.integers(0, 4)) == 0:
        text += f" {draw(st.sampled_from(['AND', 'OR']))} {draw(_condition(table))}"
    return text


@st.composite
def _select(draw: st.DrawFn, schema: SchemaUnderTest) -> str:
    table, other = draw(_table(schema)), draw(_table(schema))
    one, two = draw(st.sampled_from(list(table.columns))), draw(st.sampled_from(list(other.columns)))
    condition = draw(_condition(table))
    mine, partners = table.everything(), f"{other.name} AS o WHERE o.{two} = {table.name}.{one}"
    texts = [
        f"SELECT {mine} FROM {table.name} WHERE {condition}",
        f"SELECT count(*), max({one}), total(typeof({one}) = 'text') FROM {table.name} WHERE {condition}",
        f"SELECT {mine} FROM {table.name} WHERE EXISTS (SELECT 1 FROM {partners})",
        f"SELECT {mine} FROM {table.name} WHERE {one} NOT IN (SELECT {two} FROM {other.name})",
        f"SELECT {mine}, {other.everything('o')} FROM {table.name} "
        f"LEFT JOIN {other.name} AS o ON o.{two} = {table.name}.{one} WHERE {condition}",
        f"SELECT {one}, count(*) FROM {table.name} GROUP BY {one} HAVING count(*) > 1",
        f"SELECT {one} FROM {table.name} UNION SELECT {two} FROM {other.name} ORDER BY 1",
        f"SELECT {mine}, (SELECT count(*) FROM {partners}) FROM {table.name}",
    ]
    return draw(st.sampled_from(texts))


@st.composite
def _many(draw: st.DrawFn, schema: SchemaUnderTest) -> Operation:
    table = draw(_table(schema))
    columns = list(table.columns)
    marks = ", ".join("?" * len(columns))
    domains = [st.sampled_from([_value(literal) for literal in table.columns[column]]) for column in columns]
    if draw(st.booleans()):
        clause = draw(_OR)
        sql = f"INSERT{clause} INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"
        sql += "" if clause else draw(_upsert(table))
        rows = st.tuples(*domains)
    else:
        sql = f"UPDATE {table.name} SET {columns[-1]} = ? WHERE {columns[0]} = ?"
        rows = st.tuples(domains[-1], domains[0])
    return Operation(sql, batch=tuple(draw(st.lists(rows, min_size=1, max_size=4))))


def _value(literal: str) -> int | float | str | bytes | None:
    if literal == "NULL":
        return None
    if literal.startswith("'"):
        return literal.strip("'")
    if literal.startswith("x'"):
        return bytes.fromhex(literal[2:-1])
    return float(literal) if "." in literal else int(literal)
