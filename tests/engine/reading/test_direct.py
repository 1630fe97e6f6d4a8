"""Rows that are shown as they are stored, without SQLite: in its order, and only where nothing else can matter."""

from __future__ import annotations

from random import Random

import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import ConflictError, FullScanError
from tests.support.databases import Connect
from tests.support.differential import Operation, Pair

TABLES = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT, c TEXT COLLATE NOCASE, d REAL, e, u TEXT UNIQUE)",
    "CREATE TABLE named (name TEXT PRIMARY KEY, n NUMERIC, s TEXT, UNIQUE (n, s))",
    "CREATE TABLE pair (x INT, y TEXT, z INT, PRIMARY KEY (x, y)) WITHOUT ROWID",
    "CREATE TABLE loose (a INT, b TEXT)",
]
INDEXES = ["CREATE INDEX t_a ON t (a)", "CREATE INDEX t_b_a ON t (b, a)", "CREATE INDEX t_c ON t (c DESC)"]
COLUMNS = {
    "t": ["id", "a", "b", "c", "d", "e", "u"],
    "named": ["name", "n", "s"],
    "pair": ["x", "y", "z"],
    "loose": ["a", "b"],
}
NUMBERS: list[SqlValue] = [0, 1, 2, 3, 1.0, 2.5, -0.0, 2**53 + 1, float(2**53)]
VALUES: list[SqlValue] = [None, *NUMBERS, "1", "2.0", "a", "A", "b", "B", "", " ", b"a", "é"]
COUNTS: list[SqlValue] = [0, 1, 2, 5, -1, "1"]


@pytest.fixture
def pair() -> Pair:
    random = Random(5)
    pair = Pair(TABLES, ids=False)
    for index in INDEXES:
        pair.rome.execute(index)
    for table, columns in COLUMNS.items():
        sql = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(columns))})"
        first = [None] if table == "t" else []
        for _ in range(60):
            pair.execute(sql, (*first, *(random.choice(VALUES) for _ in columns[len(first) :])))
    pair.execute("COMMIT")
    return pair


def statement(random: Random) -> tuple[str, tuple[SqlValue, ...]]:
    table = random.choice(list(COLUMNS))
    columns = COLUMNS[table]
    shown = ", ".join(random.choices(columns, k=random.randrange(1, 4)))
    conditions: list[str] = []
    parameters: list[SqlValue] = []
    for column in random.sample(columns, min(len(columns), random.choice([0, 1, 1, 1, 2, 3]))):
        collation = random.choice(["", "", "", " COLLATE NOCASE", " COLLATE BINARY"])
        operator = random.choice(["=", "=", "=", "IS", "=="])
        conditions.append(f"{table}.{column}{collation} {operator} ?")
        parameters.append(random.choice(VALUES))
    sql = f"SELECT {shown} FROM {table}" + (" WHERE " + " AND ".join(conditions) if conditions else "")
    cut = random.choice(["", "", " LIMIT ?", " LIMIT ? OFFSET ?", " LIMIT 2"])
    parameters += [random.choice(COUNTS) for _ in range(cut.count("?"))]
    return sql + cut, tuple(parameters)


@pytest.mark.parametrize("seed", range(6))
def test_rows_are_those_of_sqlite_and_in_its_order(pair: Pair, seed: int) -> None:
    random = Random(seed)
    with pair:
        for number in range(400):
            pair.run(Operation(*statement(random)))
            if number % 40 == 0:
                pair.execute("COMMIT" if number % 80 else "UPDATE t SET a = 2 WHERE id % 7 = 0")


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(";".join([*TABLES, *INDEXES]))
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, 'b', 'C', 1.5, x'00', ?)", [(n, n % 3, f"u{n}") for n in range(1, 31)]
    )
    connection.commit()
    return connection


def is_plain(connection: Connection, sql: str, *parameters: object) -> bool:
    """Whether a statement was answered without the working set."""
    connection.execute(sql, parameters).fetchall()
    hydrated = connection.session._context.workspace.working_set.contents.tables
    connection.rollback()
    return not hydrated


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT id, a, u FROM t WHERE id = ?", (7,)),
        ("SELECT id, a, u FROM t WHERE u = ?", ("u7",)),
        ("SELECT t.a AS t_a FROM t WHERE t.u = ? AND t.b = ? LIMIT ? OFFSET ?", ("u7", "b", 1, 0)),
        ("SELECT id FROM t WHERE a = ?", (1,)),
        ("SELECT id, b FROM t WHERE a = ? AND b = 'none'", (1,)),
        ("SELECT id, a, b FROM t", ()),
        ("SELECT u, a FROM t WHERE b IS ?", ("b",)),
        ("SELECT id FROM t WHERE a IN (1, 2)", ()),
        ("SELECT id, b FROM t WHERE id IN (?, ?, ?)", (7, 3, 7)),
        ("SELECT id, b FROM t WHERE u IN ('u1', 'u2') ORDER BY id DESC", ()),
        ("SELECT id FROM t WHERE a = 1 ORDER BY d DESC, id LIMIT 3", ()),
        ("SELECT id FROM t WHERE a = ? AND b = ? ORDER BY id LIMIT ? OFFSET ?", (1, "b", 2, 1)),
        ("SELECT id, a FROM t ORDER BY id DESC LIMIT 2", ()),
    ],
)
def test_plain(filled: Connection, sql: str, parameters: tuple[object, ...]) -> None:
    assert is_plain(filled, sql, *parameters)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, a + 1 FROM t WHERE id = 7",
        "SELECT DISTINCT a FROM t WHERE id = 7",
        "SELECT id FROM t WHERE a = 1 ORDER BY d",
        "SELECT id FROM t WHERE a = 1 AND id > 2",
        "SELECT id, b FROM t WHERE u IN ('u1', 'u2')",  # in the order of the index of u
        "SELECT id FROM t WHERE a = 1 ORDER BY id + 1",
        "SELECT id FROM t WHERE a = 1 ORDER BY b NULLS LAST, id",
        "SELECT id FROM t WHERE (a, b) IN (SELECT 1, 'b')",
        "SELECT rowid FROM loose",
        "SELECT u FROM t",  # SQLite walks through the index of u
        "SELECT id FROM t WHERE a = 1 LIMIT -1",
    ],
)
def test_not_plain(filled: Connection, sql: str) -> None:
    filled.execute("INSERT INTO loose VALUES (1, 'x')")
    filled.commit()
    assert not is_plain(filled, sql)


def test_what_the_transaction_has_written_is_seen(filled: Connection) -> None:
    filled.execute("UPDATE t SET a = 9 WHERE id = 7")
    assert filled.execute("SELECT a FROM t WHERE id = 7").fetchall() == [(9,)]
    filled.rollback()
    assert filled.execute("SELECT a FROM t WHERE id = 7").fetchall() == [(1,)]


def test_what_was_shown_is_validated(filled: Connection, connect: Connect) -> None:
    assert filled.execute("SELECT id FROM t WHERE u = 'new'").fetchall() == []
    with connect() as other:
        other.execute("INSERT INTO t (id, u) VALUES (99, 'new')")
    filled.execute("INSERT INTO loose VALUES (1, 'nobody is new')")
    with pytest.raises(ConflictError):
        filled.commit()


def test_a_table_that_is_shown_whole_is_a_full_scan(connect: Connect, filled: Connection) -> None:
    with pytest.raises(FullScanError):
        connect(full_scan="error").execute("SELECT id, a, b FROM t")


def test_a_row_of_a_range_that_was_read_before(filled: Connection) -> None:
    """The range of the index that was read first has other rows, too."""
    assert len(filled.execute("SELECT id FROM t WHERE a >= 0 AND a <= 1").fetchall()) == 20
    assert filled.execute("SELECT id FROM t WHERE a = 1 AND u = 'u7'").fetchall() == [(7,)]
    assert filled.execute("SELECT id, b FROM t WHERE a = 0").fetchall() == [(n, "b") for n in range(3, 31, 3)]
