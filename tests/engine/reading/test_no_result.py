"""SELECTs that need a row of a table which has none that matters: SQLite is not asked, and would have said the same."""

from __future__ import annotations

from random import Random

import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import ConflictError, Error
from tests.support.databases import Connect
from tests.support.differential import Operation, Pair

TABLES = [
    "CREATE TABLE a (id INTEGER PRIMARY KEY, k INT, t TEXT)",
    "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INT, k INT, t TEXT UNIQUE)",
    "CREATE TABLE c (x INT, y TEXT, PRIMARY KEY (x, y)) WITHOUT ROWID",
]
INDEXES = ["CREATE INDEX a_k ON a (k)", "CREATE INDEX b_a ON b (a_id)", "CREATE INDEX b_k ON b (k)"]
COLUMNS = {"a": ["id", "k", "t"], "b": ["id", "a_id", "k", "t"], "c": ["x", "y"]}
VALUES: list[SqlValue] = [None, 0, 1, 2, 3, 7, 8, 9, "1", "u1", "u9", 1.5]
LIMITS: list[SqlValue] = [0, 1, 5, -1, "1", "x", None, 1.5]


@pytest.fixture
def pair() -> Pair:
    random = Random(1)
    pair = Pair(TABLES, ids=False)
    for index in INDEXES:
        pair.rome.execute(index)
    for n in range(1, 6):
        pair.execute("INSERT INTO a VALUES (?, ?, ?)", (n, random.randrange(4), f"u{n}"))
        pair.execute("INSERT INTO b VALUES (?, ?, ?, ?)", (n, random.randrange(8), random.randrange(4), f"u{n}"))
        pair.execute("INSERT INTO c VALUES (?, ?)", (random.randrange(4), f"u{n}"))
    pair.execute("COMMIT")
    return pair


def condition(random: Random, alias: str, columns: list[str], parameters: list[SqlValue]) -> str:
    column = f"{alias}.{random.choice(columns)}"
    form = random.choice(
        ["{} = ?", "{} = ?", "{} = ?", "{} IN (?, ?)", "{} IS ?", "{} > ?", "NOT {} = ?", "{} IS NOT NULL"]
    )
    parameters += [random.choice(VALUES) for _ in range(form.count("?"))]
    return form.format(column)


def statement(random: Random) -> tuple[str, tuple[SqlValue, ...]]:
    parameters: list[SqlValue] = []
    sources: list[tuple[str, list[str]]] = []
    text = ""
    for number in range(random.choice([1, 2, 2, 3])):
        table, alias = random.choice(list(COLUMNS)), f"s{number}"
        columns, source = COLUMNS[table], f"{table} AS {alias}"
        if random.random() < 0.3:
            inner = f"SELECT {random.choice(['', 'DISTINCT '])}{', '.join(columns)} FROM {table} WHERE "
            inner += condition(random, table, columns, parameters)
            if random.random() < 0.5:
                inner += " ORDER BY 1 LIMIT ?"
                parameters.append(random.choice(LIMITS))
            source = f"({inner}) AS {alias}"
        if not sources:
            text = source
        else:
            other, others = random.choice(sources)
            text += random.choice([" JOIN ", " JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN "]) + source
            text += f" ON {alias}.{random.choice(columns)} = {other}.{random.choice(others)}"
            if random.random() < 0.3:
                text += " AND " + condition(random, alias, columns, parameters)
        sources.append((alias, columns))
    shown = ", ".join(f"{alias}.{random.choice(columns)}" for alias, columns in sources)
    if random.random() < 0.1:
        shown = random.choice(["count(*)", "max(s0." + sources[0][1][0] + ")"])
    sql = f"SELECT {shown} FROM {text}"
    conditions = [condition(random, *random.choice(sources), parameters) for _ in range(random.choice([0, 1, 1, 2]))]
    if conditions:
        sql += " WHERE " + random.choice([" AND ", " AND ", " OR "]).join(conditions)
    if random.random() < 0.1:
        sql += " UNION ALL SELECT " + ", ".join(["1"] * (shown.count(",") + 1))
    elif random.random() < 0.3:
        sql += " ORDER BY " + ", ".join(str(n + 1) for n in range(shown.count(",") + 1)) + " LIMIT ?"
        parameters.append(random.choice(LIMITS))
    return sql, tuple(parameters)


@pytest.mark.parametrize("seed", range(8))
def test_results_and_errors_are_those_of_sqlite(pair: Pair, seed: int) -> None:
    random = Random(seed)
    with pair:
        for number in range(150):
            sql, parameters = statement(random)
            pair.run(Operation(sql, parameters))
            if number % 25 == 0:
                key = random.randrange(6, 10)
                pair.execute("INSERT OR IGNORE INTO b VALUES (?, ?, ?, ?)", (key, key, 9, f"u{key}"))
            elif number % 25 == 12:
                pair.execute("COMMIT")


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(";".join([*TABLES, *INDEXES]))
    connection.execute("INSERT INTO a VALUES (1, 2, 'u1')")
    connection.execute("INSERT INTO b VALUES (2, 3, 4, 'u2')")
    connection.commit()
    return connection


JOIN = "SELECT b.t FROM (SELECT DISTINCT id, k FROM a WHERE k = ? LIMIT ?) AS s JOIN b ON b.a_id = s.id"


def asks_sqlite(connection: Connection, sql: str, *parameters: object) -> bool:
    """Whether the working set has begun a transaction for a statement; its result is empty."""
    assert connection.execute(sql, parameters).fetchall() == []
    begun: bool = connection.session._context.workspace.working_set.begun
    return begun


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        (JOIN, (7, 1)),
        ("SELECT * FROM c JOIN b ON b.t = c.y", ()),  # an empty table
        ("SELECT * FROM a JOIN b ON b.id = a.id WHERE a.id = 1 AND b.k = 5", ()),
        ("SELECT * FROM a LEFT JOIN b ON b.a_id = a.id AND b.k IS NOT NULL WHERE a.id = 5", ()),
        ("SELECT a.t FROM a, b WHERE a.t = b.t AND b.t = ? AND NOT a.k > 5 ORDER BY a.t", ("u9",)),
    ],
)
def test_sqlite_is_not_asked(filled: Connection, sql: str, parameters: tuple[object, ...]) -> None:
    assert not asks_sqlite(filled, sql, *parameters)


def test_tables_that_the_first_empty_one_would_have_keyed_are_not_read(filled: Connection) -> None:
    before = filled.rome_stats.round_trips
    filled.execute("SELECT * FROM a JOIN b ON b.a_id = a.k WHERE a.id = 5").fetchall()
    assert filled.rome_stats.round_trips == before + 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT abs(b.k) FROM a JOIN b ON b.id = a.id WHERE b.t = 'none'",  # what is called may fail
        "SELECT b.t FROM a LEFT JOIN b ON b.a_id = a.id AND b.t = 'none' WHERE a.k = 2 AND NOT a.t = 'u1'",
        "SELECT b.t FROM b JOIN a ON a.t = b.t WHERE b.t = 'none' OR b.k = 8",
    ],
)
def test_sqlite_is_asked_where_it_may_say_something_else(filled: Connection, sql: str) -> None:
    assert asks_sqlite(filled, sql)


def test_what_fails_without_rows_fails(filled: Connection) -> None:
    with pytest.raises(Error, match="datatype mismatch"):
        filled.execute("SELECT a.id FROM a JOIN b ON b.a_id = a.id WHERE a.k = 7 LIMIT ?", ("x",))
    with pytest.raises(Error, match="integer overflow"):
        filled.execute(
            "SELECT a.id FROM a JOIN b ON b.a_id = a.id WHERE a.t = 'none' AND abs(-9223372036854775807 - 1)"
        )


def test_rows_of_the_transaction_count(filled: Connection) -> None:
    filled.execute("INSERT INTO a VALUES (3, 9, 'new')")
    assert filled.execute(JOIN, (9, 1)).fetchall() == [("u2",)]


def test_that_there_is_none_is_validated(filled: Connection, connect: Connect) -> None:
    assert filled.execute(JOIN, (9, 1)).fetchall() == []
    filled.execute("UPDATE b SET k = 5 WHERE id = 2")
    other = connect()
    other.execute("INSERT INTO a VALUES (3, 9, 'u9')")
    other.commit()
    with pytest.raises(ConflictError):
        filled.commit()
