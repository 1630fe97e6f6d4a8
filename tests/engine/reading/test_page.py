"""LIMIT reads a page, not the table, and shows what stock SQLite shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import ConflictError, FullScanError, OperationalError
from tests.support.cost import cost
from tests.support.databases import Connect
from tests.support.differential import Operation, Pair

ROWS = 400
TABLES = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT, c TEXT COLLATE NOCASE, d INT NOT NULL, u UNIQUE, r REAL)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, t INT, note TEXT)",
    "CREATE TABLE plain (n INT, s TEXT)",
]
INDEXES = [
    "CREATE INDEX t_a ON t (a)",
    "CREATE INDEX t_d_a ON t (d, a)",
    "CREATE INDEX t_d_b_id ON t (d, b, id)",
    "CREATE INDEX t_c ON t (c)",
    "CREATE INDEX t_r_d ON t (r, d)",
    "CREATE INDEX child_t ON child (t)",
    "CREATE INDEX plain_n ON plain (n)",
]


def t_row(number: int, random: Random) -> tuple[SqlValue, ...]:
    return (
        number * 3,
        random.choice([None, *range(12)]),
        random.choice([None, "", "a", "b", "B", "c"]),
        random.choice([None, "x", "X", "y", "Y", "z"]),
        random.randrange(3),
        random.choice([None, f"u{random.randrange(10**6)}"]),
        random.choice([None, 0.5, 1, 2.25, -3]),
    )


def data() -> list[tuple[str, list[tuple[SqlValue, ...]]]]:
    random = Random(1)
    return [
        ("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", [t_row(number, random) for number in range(ROWS)]),
        ("INSERT INTO child VALUES (?, ?, 'note')", [(n, random.randrange(3 * ROWS)) for n in range(ROWS)]),
        ("INSERT INTO plain VALUES (?, ?)", [(random.randrange(9), "s" * random.randrange(4)) for _ in range(ROWS)]),
    ]


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(";".join([*TABLES, *INDEXES]))
    for sql, rows in data():
        connection.executemany(sql, rows)
    connection.commit()
    return connection


class Statements:
    """Random SELECTs with LIMIT."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def condition(self, t: str) -> str:
        pick = self.random.choice
        return pick(
            [
                f"{t}d = {pick([0, 1, 2, 5])}",
                f"{t}a > {pick([3, 9])}",
                f"{t}a IS NULL",
                f"{t}a IN (1, {pick([2, 5])}, NULL)",
                f"{t}id > {pick([0, 300, 900])}",
                f"{t}c = 'x'",
                f"{t}c >= 'Y'",
                f"{t}b <> 'a'",
                f"{t}r BETWEEN 0 AND 2",
                f"{t}u > 'u5'",
                f"({t}a, {t}id) > (4, 200)",
                f"{t}d + 0 = 1",
                f"({t}a < 5 OR ({t}a = 5 AND {t}id < 600))",
                f"({t}d > 1 OR ({t}d = 1 AND {t}a > 3) OR ({t}d = 1 AND {t}a = 3 AND {t}id > 100))",
                f"({t}b IS NULL OR {t}b > 'B')",
                f"NOT {t}a = 3",
                f"{t}id % 50 = 0",
            ]
        )

    def select(self, t: str = "", columns: str = "*", table: str = "t") -> str:
        random = self.random
        where = " AND ".join(self.condition(t) for _ in range(random.choice([0, 1, 1, 2, 3])))
        keys = random.sample(["a", "b", "c", "d", "id", "r", "u", "c COLLATE BINARY", "rowid"], random.randrange(4))
        usual, others = random.choice(["", " DESC"]), ["", " DESC", " NULLS LAST", " NULLS FIRST"]
        if keys and random.random() < 0.2:
            keys.insert(0, f"{keys[0]} IS {random.choice(['', 'NOT '])}NULL DESC, {t}{keys[0]}")
        order = ", ".join(f"{t}{key}{usual if random.random() < 0.8 else random.choice(others)}" for key in keys)
        limit = random.choice([0, 1, 3, 10, 30, 1000, -1])
        offset = random.choice(["", "", " OFFSET 2", " OFFSET 40", " OFFSET -1"])
        parts = [f"SELECT {columns} FROM {table}"]
        parts += [f"WHERE {where}"] if where else []
        parts += [f"ORDER BY {order}"] if order else []
        return " ".join([*parts, f"LIMIT {limit}{offset}"])

    def statement(self) -> str:
        kind = self.random.randrange(8)
        if kind < 4:
            return self.select()
        if kind == 4:
            return self.select("x.", "x.id, x.u", "t AS x")
        if kind == 5:
            inner = self.select("t.", "t.id AS t_id, t.a AS a", "t")
            return f"SELECT anon.*, child.* FROM ({inner}) AS anon LEFT JOIN child ON child.t = anon.t_id"
        if kind == 6:
            return self.select("t.", "t.id, child.id", "t LEFT OUTER JOIN child ON child.t = t.id")
        return f"SELECT n, s, rowid FROM plain WHERE n > {self.random.randrange(9)} ORDER BY n, rowid LIMIT 7"

    def around(self) -> str:
        """A statement that has a SELECT with LIMIT inside."""
        shown = self.random.choice(["id", "id", "id", "a", "c"])
        inner = self.select("t.", f"t.{shown}", "t")
        if self.random.random() < 0.3:
            inner = self.select("x.", f"x.{shown}", "t AS x")
        more = f"{self.condition('t.')} AND " if self.random.random() < 0.3 else ""
        return self.random.choice(
            [
                f"SELECT t.id, t.a FROM t WHERE {more}t.{shown} IN ({inner}) ORDER BY t.id",
                f"SELECT count(*) FROM t WHERE {more}t.{shown} NOT IN ({inner})",
                f"SELECT child.id FROM child WHERE child.t IN ({inner})",
                f"SELECT child.id, ({inner}) FROM child WHERE child.t > 1100",
                f"SELECT id FROM child WHERE t = ({inner}) OR id < 3",
                f"WITH few AS ({inner}) SELECT child.* FROM few JOIN child ON child.t = few.{shown} ORDER BY child.id",
                f"SELECT id FROM t WHERE d = 2 AND EXISTS ({inner}) UNION SELECT id FROM child",
                f"DELETE FROM t WHERE {more}{shown} IN ({inner})",
                f"DELETE FROM child WHERE t IN ({inner})",
                f"DELETE FROM t WHERE id < 90 OR {shown} IN ({inner})",
                f"UPDATE t SET id = -id, a = -1 WHERE b = 'a' OR {shown} IN ({inner})",
                f"UPDATE t SET a = a + 5, d = id % 2 WHERE {more}{shown} IN ({inner})",
                f"UPDATE t SET d = 1, b = ({inner}) WHERE id < 40",
                f"UPDATE t SET a = (SELECT max(a) FROM t) WHERE id = ({inner})",
                f"INSERT INTO child (t) {inner}",
                f"INSERT INTO t (id, a, d) SELECT t.id + 5000, t.a, 1 FROM t WHERE t.{shown} IN ({inner})",
                f"DELETE FROM t WHERE id < 90 AND d = 1 RETURNING ({inner})",
            ]
        )


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(TABLES, ids=False) as pair:
        for index in INDEXES:
            pair.rome.execute(index)
        for sql, rows in data():
            pair.execute(sql, *rows)
        pair.execute("COMMIT")
        yield pair


@pytest.mark.parametrize("seed", range(8))
def test_pages_are_those_of_sqlite(pair: Pair, seed: int) -> None:
    statements = Statements(seed)
    for number in range(60):
        pair.execute(statements.statement())
        if number % 20 == 19:
            pair.execute("UPDATE t SET a = 4 WHERE id = 300")
        if number % 3 == 2:
            pair.execute("ROLLBACK" if number % 20 else "COMMIT")


ROWS_OF_VALUES = [
    ("a", "id"),
    ("d", "a"),
    ("d", "a", "id"),
    ("d", "b", "id"),
    ("c", "id"),
    ("r", "d", "id"),
    ("b", "d"),
]
VALUES_OF: dict[str, Sequence[SqlValue]] = {
    "id": (0, 300, 600.5, "900", None, "x"),
    "a": (1, 5, 5.5, "7", None, b"x"),
    "b": ("", "a", "B", None, 1),
    "c": ("X", "y", "Z", None, 2.0),
    "d": (0, 1, 2, None, "1"),
    "r": (0.5, 1, -3, None, "2.25"),
}


@pytest.mark.parametrize("columns", ROWS_OF_VALUES, ids="-".join)
def test_rows_of_values_are_compared_as_by_sqlite(pair: Pair, columns: Sequence[str]) -> None:
    random = Random("-".join(columns))
    for _ in range(25):
        values = tuple([random.choice(VALUES_OF[column]) for column in columns])
        operator, way = random.choice(["<", "<=", ">", ">="]), random.choice(["", " DESC"])
        shown = [random.choice([column] * 9 + [f"{column} COLLATE NOCASE"]) for column in columns]
        row, marks = ", ".join(shown), ", ".join("?" * len(columns))
        where = random.choice([f"({row}) {operator} ({marks})"] * 3 + [f"({marks}) {operator} ({row})"])
        more = random.choice(["", "", " AND d = 1", " AND a IS NOT NULL", " OR id < 9"])
        pair.run(Operation(f"SELECT id FROM t WHERE {where}{more} ORDER BY id", values))
        order = ", ".join(f"{column}{way}" for column in dict.fromkeys([*columns, "id"]))
        pair.run(Operation(f"SELECT id, a, b, c, d, r FROM t WHERE {where}{more} ORDER BY {order} LIMIT 7", values))
        pair.execute("ROLLBACK")


@pytest.mark.parametrize("seed", range(6))
def test_pages_inside_other_statements_are_those_of_sqlite(pair: Pair, seed: int) -> None:
    statements = Statements(seed)
    for _ in range(60):
        pair.execute(statements.around())
        pair.execute("SELECT id, a, b, c, d FROM t ORDER BY id")
        pair.execute("SELECT t FROM child ORDER BY t")
        pair.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("sql", "most"),
    [
        ("DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 5)", 20),
        ("DELETE FROM t WHERE id IN (SELECT t.id FROM t WHERE t.d = 1 ORDER BY t.a, t.id LIMIT 5)", 20),
        ("UPDATE t SET b = 'new' WHERE id IN (SELECT id FROM t WHERE a > 3 ORDER BY a, id LIMIT 5)", 20),
        ("INSERT INTO plain SELECT id, b FROM t ORDER BY id LIMIT 5", 20),
        ("SELECT * FROM t WHERE id = (SELECT id FROM t ORDER BY id DESC LIMIT 1)", 20),
        ("SELECT * FROM child WHERE t IN (SELECT id FROM t ORDER BY id LIMIT 5)", 40),
        ("WITH few AS (SELECT id FROM t ORDER BY id LIMIT 5) SELECT t.* FROM few JOIN t ON t.id = few.id", 20),
    ],
)
def test_a_page_inside_a_statement_is_no_more(filled: Connection, sql: str, most: int) -> None:
    trips, rows = cost(filled, sql)
    assert trips <= 2
    assert rows <= most


@pytest.mark.parametrize(
    ("sql", "most"),
    [
        ("SELECT * FROM t ORDER BY id LIMIT 10", 20),
        ("SELECT * FROM t ORDER BY id DESC LIMIT 10 OFFSET 10", 30),
        ("SELECT * FROM t LIMIT 10", 20),
        ("SELECT * FROM t WHERE a = 1 LIMIT 10", 20),
        ("SELECT * FROM t WHERE d = 1 ORDER BY a, id LIMIT 10", 20),
        ("SELECT * FROM t WHERE d = 1 ORDER BY d DESC, a DESC, id DESC LIMIT 10", 20),
        ("SELECT * FROM t WHERE d = 1 AND b >= 'a' ORDER BY b, id LIMIT 10", 20),
        ("SELECT * FROM t WHERE d = 1 AND r > 0 ORDER BY a DESC, id DESC LIMIT 10", 120),
        ("SELECT * FROM t WHERE d < 1 OR (d = 1 AND a < 6) OR (d = 1 AND a = 6 AND id < 900) "
         "ORDER BY d DESC, a DESC, id DESC LIMIT 10", 60),
        ("SELECT * FROM t WHERE (a, id) > (5, 300) ORDER BY a, id LIMIT 10", 20),
        ("SELECT * FROM t WHERE (a, id) <= (5, 600) ORDER BY a DESC, id DESC LIMIT 10", 20),
        ("SELECT * FROM t WHERE d = 1 AND (b, id) > ('a', 300) ORDER BY b, id LIMIT 10", 20),
        ("SELECT * FROM t WHERE (d, b, id) > (1, 'a', 300) ORDER BY d, b, id LIMIT 10", 20),
        ("SELECT * FROM t WHERE id > 30 LIMIT 0", 10),
        ("SELECT x.id FROM t AS x WHERE x.id > 600 ORDER BY x.id LIMIT 5", 15),
    ],
)  # fmt: skip
def test_a_page_reads_little(filled: Connection, sql: str, most: int) -> None:
    trips, rows = cost(filled, sql)
    assert trips == 1
    assert rows <= most


@pytest.mark.parametrize(("after", "most"), [("(a > ?1 OR (a = ?1 AND id > ?2))", 40), ("(a, id) > (?1, ?2)", 20)])
def test_every_page_costs_the_same(filled: Connection, after: str, most: int) -> None:
    marker, costs, seen = (-1, -1), set(), 0
    sql = f"SELECT a, id FROM t WHERE d = 1 AND {after} ORDER BY a, id LIMIT ?3"
    while True:
        page = filled.execute(sql, (*marker, 10)).fetchall()
        filled.rollback()
        seen += len(page)
        if len(page) < 10:
            break
        costs.add(cost(filled, sql, *marker, 10))
        marker = page[-1]
    assert (seen,) == filled.execute("SELECT count(*) FROM t WHERE d = 1 AND a >= 0").fetchone()
    assert all(trips == 1 and rows <= most for trips, rows in costs)


def test_a_joined_collection_takes_a_second_trip(filled: Connection) -> None:
    sql = (
        "SELECT anon_1.t_id, child_1.note FROM (SELECT t.id AS t_id, t.a AS t_a FROM t WHERE t.d = ? "
        "ORDER BY t.a DESC, t.id DESC LIMIT ? OFFSET ?) AS anon_1 LEFT OUTER JOIN child AS child_1 ON "
        "child_1.t = anon_1.t_id ORDER BY anon_1.t_a DESC, anon_1.t_id DESC"
    )
    trips, rows = cost(filled, sql, 1, 10, 0)
    assert trips == 2
    assert rows <= 60


def test_ties_of_the_last_row_are_read(filled: Connection) -> None:
    trips, rows = cost(filled, "SELECT id FROM t WHERE d >= 0 ORDER BY d LIMIT 3")
    assert trips > 1
    assert rows > 100


def test_few_that_pass_take_more_trips(filled: Connection) -> None:
    trips, rows = cost(filled, "SELECT id FROM t WHERE id % 600 = 3 ORDER BY id LIMIT 2")
    assert trips == 3
    assert rows <= ROWS


@pytest.mark.parametrize(("name", "where"), [("lower", "LOWER(c) = 'x'"), ("like", "c LIKE 'x'")])
def test_a_function_that_may_change_its_mind_is_asked_once(filled: Connection, name: str, where: str) -> None:
    sql = f"SELECT id FROM t WHERE {where} ORDER BY id LIMIT 3"
    mind = Random(1)
    assert cost(filled, sql)[1] < ROWS
    filled.create_function("other", 1, lambda value: mind.random())
    assert cost(filled, sql)[1] < ROWS
    filled.create_function(name, 2 if name == "like" else 1, lambda *values: mind.choice(["x", "0", "1"]))
    assert cost(filled, sql)[1] == ROWS


def test_a_changed_table_is_read_as_before(filled: Connection) -> None:
    filled.execute("UPDATE t SET a = 100 WHERE id = 3")
    assert filled.execute("SELECT id FROM t WHERE a > 0 ORDER BY a DESC LIMIT 1").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("change", "conflicts"),
    [
        ("UPDATE t SET r = 9 WHERE id = 6", True),
        ("INSERT INTO t (id, d) VALUES (7, 0)", True),
        ("UPDATE t SET r = 9 WHERE id = 1100", False),
        ("INSERT INTO t (id, d) VALUES (1100, 0)", False),
    ],
)
def test_only_what_was_walked_through_is_validated(
    filled: Connection, connect: Connect, change: str, conflicts: bool
) -> None:
    connection = connect(replay="off")
    connection.execute("SELECT * FROM t ORDER BY id LIMIT 5").fetchall()
    connection.execute("INSERT INTO plain VALUES (1, 'mine')")
    filled.execute(change)
    filled.commit()
    if conflicts:
        with pytest.raises(ConflictError):
            connection.commit()
    else:
        connection.commit()


def test_an_error_in_the_middle_of_a_page_is_validated(filled: Connection, connect: Connect) -> None:
    connection = connect(replay="off")
    with pytest.raises(OperationalError, match="integer overflow"):
        connection.execute("SELECT id FROM t WHERE abs(a - a + -9223372036854775807 - 1) > 0 ORDER BY id LIMIT 2")
    connection.execute("INSERT INTO plain VALUES (1, 'mine')")
    filled.execute("UPDATE t SET a = NULL WHERE id < 30")
    filled.commit()
    with pytest.raises(ConflictError):
        connection.commit()


def test_explain_shows_the_order(filled: Connection) -> None:
    shown = filled.execute("EXPLAIN ROME SELECT * FROM t WHERE d = 1 ORDER BY a DESC LIMIT 5").fetchall()
    assert shown[1][:5] == (1, "t", "index t_d_a", "d = 1", "backwards until LIMIT is reached")


def test_a_page_is_no_full_scan(filled: Connection, connect: Connect) -> None:
    connection = connect(full_scan="error")
    assert len(connection.execute("SELECT * FROM t ORDER BY id LIMIT 5").fetchall()) == 5
    with pytest.raises(FullScanError):
        connection.execute("SELECT * FROM t WHERE r = 1 + 1 ORDER BY id LIMIT 5")


def test_where_that_may_say_otherwise_when_it_is_asked_again_is_no_page(filled: Connection) -> None:
    """The probe would find enough rows, and the statement then too few of those that were read."""
    filled.create_function("coin", 0, lambda: 1)
    for condition in ("coin() = 1", "abs(random()) % 9 = 0", "b < datetime('now')", "b < CURRENT_TIMESTAMP"):
        sql = f"SELECT id FROM t WHERE {condition} ORDER BY d LIMIT 3"
        assert "until LIMIT" not in str(filled.execute(f"EXPLAIN ROME {sql}").fetchall())
    sql = "SELECT id FROM t WHERE length(b) = 1 ORDER BY d LIMIT 3"
    assert "until LIMIT" in str(filled.execute(f"EXPLAIN ROME {sql}").fetchall())
