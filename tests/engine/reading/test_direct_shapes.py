"""SELECTs of one table by equality and lists, in some order, are what SQLite says, whoever answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random

import apsw
import pytest

import rome
from rome.dbapi import Connection
from rome.engine.reading import direct, queries

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER, r REAL, x, c TEXT COLLATE NOCASE, u TEXT UNIQUE, "
    "m INTEGER NOT NULL)",
    "CREATE INDEX t_a ON t (a)",
    "CREATE INDEX t_n ON t (n, a)",
    "CREATE INDEX t_c ON t (c)",
    "CREATE UNIQUE INDEX t_m ON t (m, r)",
    "CREATE TABLE k (a TEXT PRIMARY KEY, n INTEGER NOT NULL, c TEXT COLLATE NOCASE NOT NULL, UNIQUE (c))",
    "CREATE TABLE w (a TEXT, n INTEGER, x, PRIMARY KEY (a, n)) WITHOUT ROWID",
    "CREATE INDEX w_x ON w (x)",
)
COLUMNS = {"t": ["id", "a", "n", "r", "x", "c", "u", "m", "rowid"], "k": ["a", "n", "c", "rowid"], "w": ["a", "n", "x"]}
VALUES = [None, 0, 1, 2, 3, -1, 1.0, 2.5, "1", "a", "A", "b", "B ", "", "é", "1.0", b"a", b"", 2**53, float("nan")]
STATEMENTS = 400
ROUNDS = 3


def _text(random: Random) -> str:
    return random.choice(["a", "A", "b", "B", "a ", "", "1", "é", "z"])


def _fill(random: Random, run: Callable[[str, tuple[object, ...]], object]) -> None:
    for number in random.sample(range(-5, 60), 40):
        values = (
            number,
            random.choice([None, _text(random), 1]),
            random.choice([None, 0, 1, 2, "x", 1.5]),
            random.choice([None, 0.0, 1, 2.5, -1.0]),
            random.choice(VALUES[:-1]),
            _text(random),
            random.choice([None, f"u{number}"]),
            number % 7,
        )
        run("INSERT OR IGNORE INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    for number in range(12):
        run("INSERT OR IGNORE INTO k VALUES (?, ?, ?)", (_text(random), number % 3, f"{_text(random)}{number}"))
        run("INSERT OR IGNORE INTO w VALUES (?, ?, ?)", (_text(random), number % 4, random.choice(VALUES[:-1])))


def _select(random: Random) -> tuple[str, tuple[object, ...]]:
    table = random.choice("tttkw")
    columns, parameters = COLUMNS[table], []
    shown = random.sample(columns, random.randint(1, len(columns)))
    sql = f"SELECT {', '.join(shown)} FROM {table}"
    where = []
    for column in random.sample(columns, random.choice([0, 1, 1, 1, 2, 3])):
        values = random.choices(VALUES, k=random.choice([1, 1, 1, 2, 3, 5]))
        if random.random() < 0.3 and column in ("id", "rowid", "n", "m"):
            values = random.choices(range(-5, 60), k=random.randint(1, 12))
        if len(values) == 1 and random.random() < 0.8:
            where.append(f"{column} = ?")
        else:
            where.append(f"{column} IN ({', '.join('?' * len(values))})")
        parameters += values
    if where:
        sql += f" WHERE {' AND '.join(where)}"
    if random.random() < 0.7:
        terms = [
            column + random.choice(["", "", " ASC", " DESC", " DESC", " COLLATE NOCASE", " NULLS LAST"])
            for column in random.sample(columns, random.randint(1, 2))
        ]
        if random.random() < 0.7 and table != "w":
            terms.append(random.choice(["rowid", "rowid DESC"]))
        sql += f" ORDER BY {', '.join(terms)}"
    if random.random() < 0.4:
        sql += " LIMIT ?"
        parameters.append(random.choice([0, 1, 2, 5, 100, -1]))
        if random.random() < 0.4:
            sql += " OFFSET ?"
            parameters.append(random.choice([0, 1, 3]))
    return sql, tuple(parameters)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each of these was answered without SQLite, of those for which that was tried."""
    found: list[bool] = []
    show = direct._show_plan

    def noted(*arguments: object) -> object:
        rows = show(*arguments)  # type: ignore[arg-type]
        found.append(rows is not None)
        return rows

    monkeypatch.setattr(direct, "_show_plan", noted)
    return found


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(rome.connect("rome+memory://")) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_rows_and_their_order_are_those_of_sqlite(
    connection: Connection, answered: list[bool], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Those of the working set, which has fewer indexes than stock SQLite, and so shows some rows in another order."""
    random = Random(seed)
    with closing(apsw.Connection(":memory:")) as sqlite:
        for sql in SCHEMA:
            connection.execute(sql)
            sqlite.execute(sql)
        for run in (connection.execute, sqlite.execute):
            _fill(Random(seed), run)
        connection.commit()
        for _ in range(STATEMENTS):
            sql, parameters = _select(random)
            found = [connection.execute(sql, parameters).fetchall() for _ in range(random.choice([1, 1, 2]))]
            if random.random() < 0.5:
                connection.rollback()
            with monkeypatch.context() as patch:
                patch.setattr(queries, "show", lambda *_: None)
                expected = connection.execute(sql, parameters).fetchall()
            for rows in found:
                assert [*map(repr, rows)] == [*map(repr, expected)], (sql, parameters)
            stock = sqlite.execute(sql, parameters).fetchall()
            if "LIMIT" not in sql:
                assert sorted(map(repr, expected)) == sorted(map(repr, stock)), (sql, parameters)
    assert sum(answered) > STATEMENTS / 4
