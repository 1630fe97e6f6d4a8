"""SELECTs of joined rows, which Rome joins itself, are what SQLite says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random

import apsw
import pytest

import rome
from rome.dbapi import Connection
from rome.engine.reading import joined, queries
from rome.errors import ConflictError
from tests.support.databases import Connect

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER, c TEXT COLLATE NOCASE, u TEXT UNIQUE)",
    "CREATE INDEX t_a ON t (a)",
    "CREATE INDEX t_n ON t (n)",
    "CREATE TABLE s (id INTEGER PRIMARY KEY, t_id INTEGER, a TEXT, r REAL, x, c TEXT COLLATE RTRIM)",
    "CREATE INDEX s_t ON s (t_id, a)",
    "CREATE INDEX s_a ON s (a)",
    "CREATE INDEX s_x ON s (x)",
    "CREATE TABLE k (a TEXT PRIMARY KEY, n NUMERIC, c TEXT COLLATE NOCASE NOT NULL, UNIQUE (c))",
    "CREATE INDEX k_n ON k (n)",
    "CREATE TABLE w (a TEXT, n INTEGER, x, PRIMARY KEY (a, n)) WITHOUT ROWID",
    "CREATE INDEX w_x ON w (x)",
    "CREATE INDEX w_n ON w (n)",
    "CREATE TABLE d (n INTEGER, a TEXT)",
    "CREATE INDEX d_n ON d (n)",
)
COLUMNS = {
    "t": ["id", "a", "n", "c", "u"],
    "s": ["id", "t_id", "a", "r", "x", "c"],
    "k": ["a", "n", "c"],
    "w": ["a", "n", "x"],
    "d": ["n", "a"],
}
NUMBERS = ["id", "n", "t_id", "r", "x"]
TEXTS = ["a", "c", "u", "x"]
VALUES = [
    None,
    0,
    1,
    2,
    3,
    1.0,
    2.5,
    "1",
    "2",
    "a",
    "A",
    "b",
    "a ",
    "",
    "é",
    b"a",
    b"",
    "u1",
    "u3",
    2**53,
    float("nan"),
]
LIMITS = [0, 1, 1, 1, 2, 5, -1, "1"]  # an error may or may not be met, by what else is in the working set
STATEMENTS = 250
ROUNDS = 3


def _fill(random: Random, run: Callable[[str, tuple[object, ...]], object]) -> None:
    def text() -> object:
        return random.choice([None, "a", "A", "b", "a ", "", "1", "é", 2])

    def number() -> object:
        return random.choice([None, 0, 1, 2, 3, "x", "2", 1.5])

    for at in range(8):
        run("INSERT INTO t VALUES (?, ?, ?, ?, ?)", (at, text(), number(), text(), random.choice([None, f"u{at}"])))
        run("INSERT INTO s VALUES (?, ?, ?, ?, ?, ?)", (at, at // 2, text(), number(), text(), text()))
        run("INSERT OR IGNORE INTO k VALUES (?, ?, ?)", (text(), number(), text()))
        run("INSERT OR IGNORE INTO w VALUES (?, ?, ?)", (text(), random.randrange(4), text()))
        run("INSERT INTO d VALUES (?, ?)", (random.choice([1, 1, 2, None]), random.choice(["a", "a", "b"])))


class Statement:
    """A random SELECT of joins."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._aliases = 0
        self.parameters: list[object] = []
        self.sql = self._select(depth=1)

    def _select(self, depth: int) -> str:
        random = self._random
        items: list[tuple[str, list[str]]] = []
        text = self._operand(items, depth)
        for _ in range(random.choice([1, 1, 1, 1, 2, 3])):
            before = [*items]
            kind = random.choice([" JOIN "] * 5 + [" LEFT JOIN "] * 9 + [", ", " RIGHT JOIN "])
            text += kind + self._operand(items, depth)
            if kind != ", " and random.random() < 0.95:
                text += " ON " + self._on(before, items[len(before) :])
        shown = [f"{alias}.{column}" for alias, columns in items for column in columns if random.random() < 0.7]
        sql = f"SELECT {random.choice(['', '', '', 'DISTINCT '])}{', '.join(shown or ['1'])} FROM {text}"
        where = [self._condition(*random.choice(items)) for _ in range(random.choice([0, 0, 0, 0, 1, 2]))]
        if random.random() < 0.7:
            where.append(self._condition(*items[0]))
        if random.random() < 0.2:
            where.append(self._equal(items, items))
        if where:
            sql += f" WHERE {random.choice([' AND '] * 9 + [' OR ']).join(where)}"
        if random.random() < 0.3 and shown:
            sql += f" ORDER BY {random.choice(shown)}{random.choice(['', ' DESC'])}"
        if random.random() < 0.3:
            sql += " LIMIT ?"
            self.parameters.append(random.choice(LIMITS))
            if random.random() < 0.5:
                sql += " OFFSET ?"
                self.parameters.append(random.choice([0, 0, 0, 1, -1, "0"]))
        return sql

    def _operand(self, items: list[tuple[str, list[str]]], depth: int) -> str:
        random = self._random
        table, alias = random.choice("ttsskwd"), f"i{self._aliases}"
        self._aliases += 1
        form = random.random()
        if form < 0.15 and depth:
            inner: list[tuple[str, list[str]]] = []
            text = self._operand(inner, 0) + random.choice([" JOIN ", " LEFT JOIN "])
            before = [*inner]
            text += self._operand(inner, 0)
            text += " ON " + self._on(before, inner[len(before) :])
            items += inner
            return f"({text})"
        columns = COLUMNS[table]
        items.append((alias, columns))
        if form < 0.4 and depth:
            inside = f"SELECT {random.choice(['', 'DISTINCT '])}{', '.join(columns)} FROM {table}"
            if random.random() < 0.8:
                inside += f" WHERE {self._condition(table, columns)}"
            if random.random() < 0.3:
                inside += f" AND {self._condition(table, columns)}" if "WHERE" in inside else ""
            if random.random() < 0.5:
                inside += f" ORDER BY {columns[0]} LIMIT ?"
                self.parameters.append(random.choice(LIMITS))
            return f"({inside}) AS {alias}"
        return f"{table} AS {alias}"

    def _on(self, before: list[tuple[str, list[str]]], new: list[tuple[str, list[str]]]) -> str:
        found = [self._equal(new, before)]
        while self._random.random() < 0.3:
            found.append(self._condition(*self._random.choice([*before, *new])))
        return " AND ".join(found)

    def _equal(self, some: list[tuple[str, list[str]]], others: list[tuple[str, list[str]]]) -> str:
        random = self._random
        (alias, columns), (other, more) = random.choice(some), random.choice(others)
        kind = random.choice([NUMBERS, NUMBERS, TEXTS, TEXTS, [*NUMBERS, *TEXTS]])
        one = random.choice([each for each in columns if each in kind] or columns)
        two = random.choice([each for each in more if each in kind] or more)
        if "t_id" in columns and "u" in more and random.random() < 0.8:
            one, two = "t_id", "id"
        return f"{alias}.{one} = {other}.{two}{random.choice(['', '', '', '', ' COLLATE NOCASE'])}"

    def _condition(self, alias: str, columns: list[str]) -> str:
        random = self._random
        column = random.choice(columns)
        if random.random() < 0.6 and ("id" in columns or "u" in columns):
            column = random.choice([each for each in columns if each in ("id", "u")])
            self.parameters.append(random.randrange(8) if column == "id" else f"u{random.randrange(8)}")
            return f"{alias}.{column} = ?"
        form = random.choice(
            ["{} = ?"] * 20 + ["{} IS ?", "{} > ?", "{} IN (?)", "{} IN (?, ?)", "{} = ? COLLATE RTRIM"]
        )
        likely = range(4) if column in NUMBERS else ["a", "A", "b", "1"]
        values = likely if random.random() < 0.8 else VALUES
        self.parameters += random.choices(values, k=form.count("?"))
        return form.format(f"{alias}.{column}")


def _outcome(
    database: Connection | apsw.Connection, sql: str, parameters: tuple[object, ...], *, in_order: bool
) -> list[str]:
    rows = map(repr, database.execute(sql, parameters).fetchall())
    return list(rows) if in_order else sorted(rows)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was answered without SQLite, of the statements for which that was tried."""
    found: list[object] = []
    original = joined.join

    def noted(*arguments: object) -> object:
        rows = original(*arguments)  # type: ignore[arg-type]
        found.append(rows)
        return rows

    monkeypatch.setattr(queries, "join", noted)
    return found


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(rome.connect("rome+memory://")) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_results_and_errors_are_those_of_sqlite(
    connection: Connection, answered: list[object], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Those of the working set, in their order if there is ORDER BY; without LIMIT those of stock SQLite, too."""
    random = Random(seed)
    with closing(apsw.Connection(":memory:")) as sqlite:
        for sql in SCHEMA:
            connection.execute(sql)
            sqlite.execute(sql)
        for run in (connection.execute, sqlite.execute):
            _fill(Random(seed), run)
        connection.commit()
        for _ in range(STATEMENTS):
            statement = Statement(random)
            sql, parameters = statement.sql, tuple(statement.parameters)
            in_order = "ORDER BY" in sql and "LIMIT" in sql
            found = [_outcome(connection, sql, parameters, in_order=in_order) for _ in range(random.choice([1, 1, 2]))]
            if random.random() < 0.5:
                connection.rollback()
            with monkeypatch.context() as patch:
                patch.setattr(queries, "join", lambda *_: None)
                expected = _outcome(connection, sql, parameters, in_order=in_order)
            for rows in found:
                assert rows == expected, (sql, parameters)
            if "LIMIT" not in sql:
                assert sorted(expected) == _outcome(sqlite, sql, parameters, in_order=False), (sql, parameters)
    assert sum(rows is not None for rows in answered) > STATEMENTS / 8
    assert sum(bool(rows) for rows in answered) > STATEMENTS / 80


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE server (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, host TEXT, deleted INTEGER);
        CREATE TABLE tag (id INTEGER PRIMARY KEY, server TEXT, name TEXT, deleted INTEGER);
        CREATE INDEX tag_server ON tag (server);
        CREATE TABLE rack (id INTEGER PRIMARY KEY, label TEXT);
        CREATE TABLE host (name TEXT PRIMARY KEY, rack INTEGER);
        INSERT INTO server VALUES (1, 'u1', 'h1', 0), (2, 'u2', 'h2', 0), (3, 'u3', NULL, 3);
        INSERT INTO tag VALUES (5, 'u1', 'z', 0), (6, 'u2', 'b', 0), (7, 'u1', 'a', 0), (8, 'u1', 'gone', 8);
        INSERT INTO host VALUES ('h1', 1), ('h2', NULL);
        INSERT INTO rack VALUES (1, 'first');
        """
    )
    connection.commit()
    return connection


PAGE = "(SELECT * FROM server WHERE deleted = ? AND uuid = ? ORDER BY id LIMIT ? OFFSET ?) AS s"


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("SELECT s.id, r.label FROM server s JOIN host h ON s.host = h.name JOIN rack r ON h.rack = r.id "
         "WHERE s.uuid = ?", ("u1",), [(1, "first")]),
        ("SELECT s.id, r.label FROM server s LEFT JOIN (host h JOIN rack r ON h.rack = r.id) ON s.host = h.name "
         "WHERE s.uuid = ?", ("u2",), [(2, None)]),
        (f"SELECT t.name FROM {PAGE} JOIN tag t ON t.server = s.uuid AND t.deleted = ?", (0, "u1", 1, 0, 0),
         [("z",), ("a",)]),
        (f"SELECT s.id, t.id FROM {PAGE} LEFT JOIN tag t ON t.server = s.uuid AND t.name = ?", (0, "u2", 1, 0, "-"),
         [(2, None)]),
        (f"SELECT s.id FROM {PAGE} LEFT JOIN tag t ON t.server = s.uuid", (0, "u2", 1, 1), []),
        (f"SELECT s.id FROM {PAGE} LEFT JOIN tag t ON t.server = s.uuid AND s.deleted = ?", (0, "u1", -1, 0, 1),
         [(1,)]),
        ("SELECT s.id, h.name FROM server s LEFT JOIN host h ON s.host = h.name WHERE s.uuid = ? LIMIT ?", ("u3", 1),
         [(3, None)]),
    ],
)  # fmt: skip
def test_sqlite_is_not_asked(
    filled: Connection, sql: str, parameters: tuple[object, ...], expected: list[tuple[object, ...]]
) -> None:
    assert filled.execute(sql, parameters).fetchall() == expected
    assert not filled.session._context.workspace.working_set.begun


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT t.name FROM server s JOIN tag t ON t.server = s.uuid WHERE s.uuid = 'u1' AND t.deleted = 0 "
         "ORDER BY t.name", [("a",), ("z",)]),
        ("SELECT t.name FROM server s JOIN tag t ON t.server = s.uuid WHERE s.uuid = 'u1' ORDER BY t.id DESC "
         "LIMIT 1",
         [("gone",)]),
        ("SELECT DISTINCT t.deleted FROM server s JOIN tag t ON t.server = s.uuid WHERE s.uuid = 'u1' "
         "AND t.deleted = 0",
         [(0,)]),
        ("SELECT o.id, t.id FROM tag t JOIN tag o ON t.server = o.server WHERE t.server = 'u1' AND t.deleted = 0 "
         "AND o.deleted = 0 ORDER BY 1, 2", [(5, 5), (5, 7), (7, 5), (7, 7)]),
    ],
)  # fmt: skip
def test_sqlite_puts_several_rows_in_order(filled: Connection, sql: str, expected: list[tuple[object, ...]]) -> None:
    assert filled.execute(sql).fetchall() == expected
    assert filled.session._context.workspace.working_set.begun


@pytest.mark.parametrize("source", ["p", "w", "x"])
def test_sqlite_shows_rows_of_a_table_with_a_unique_index_in_its_order(connect: Connect, source: str) -> None:
    connection, sqlite = connect(), apsw.Connection(":memory:")
    for sql in (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, a INT, b INT, UNIQUE (a, b))",
        "CREATE TABLE w (a INT, b INT, PRIMARY KEY (a DESC, b DESC)) WITHOUT ROWID",
        "CREATE TABLE x (b INT PRIMARY KEY, a INT)",
        "CREATE TABLE q (id INTEGER PRIMARY KEY, v INT UNIQUE, a INT)",
        "INSERT INTO p VALUES (1, 7, 30), (2, 7, 20), (3, 7, 10)",
        "INSERT INTO w VALUES (7, 10), (7, 30), (7, 20)",
        "INSERT INTO x VALUES (30, 7), (10, 7), (20, 7)",
        "INSERT INTO q VALUES (1, 5, 7)",
    ):
        connection.execute(sql)
        sqlite.execute(sql)
    connection.commit()
    sql = f"SELECT s.b, q.id FROM q JOIN {source} AS s ON s.a = q.a WHERE q.v = ?"
    assert connection.execute(sql, (5,)).fetchall() == [*sqlite.execute(sql, (5,))]


JOIN = "SELECT r.label FROM server s JOIN host h ON s.host = h.name JOIN rack r ON h.rack = r.id WHERE s.uuid = 'u1'"


def test_changes_of_the_transaction_count(filled: Connection) -> None:
    filled.execute("UPDATE rack SET label = 'other' WHERE id = 1")
    assert filled.execute(JOIN).fetchall() == [("other",)]
    filled.execute("DELETE FROM host WHERE name = 'h1'")
    assert filled.execute(JOIN).fetchall() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE server SET host = 'h2' WHERE id = 1",
        "UPDATE host SET rack = 7 WHERE name = 'h1'",
        "UPDATE rack SET label = 'other' WHERE id = 1",
    ],
)
def test_rows_of_each_table_are_validated(filled: Connection, connect: Connect, change: str) -> None:
    assert filled.execute(JOIN).fetchall() == [("first",)]
    filled.execute("INSERT INTO tag VALUES (9, 'u3', 'c', 0)")
    other = connect()
    other.execute(change)
    other.commit()
    with pytest.raises(ConflictError):
        filled.commit()


def test_each_wave_takes_a_trip_whoever_joins(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.execute(JOIN)
    filled.rollback()
    before = filled.rome_stats.round_trips
    assert filled.execute(JOIN).fetchall() == [("first",)]
    filled.rollback()
    trips = filled.rome_stats.round_trips - before
    monkeypatch.setattr(queries, "join", lambda *_: None)
    assert filled.execute(JOIN).fetchall() == [("first",)]
    assert filled.rome_stats.round_trips - before == 2 * trips
