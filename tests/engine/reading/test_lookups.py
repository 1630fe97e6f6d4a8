"""A statement that looks up rows again and again takes about as many of SQLite's steps as on SQLite itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import IntegrityError
from tests.support.databases import database

ROWS = 500
SCHEMA = """
    CREATE TABLE us (id INTEGER PRIMARY KEY, name TEXT, low INT);
    CREATE TABLE od (id INTEGER PRIMARY KEY, us_id INT, amount INT, note TEXT COLLATE NOCASE, label TEXT);
    CREATE INDEX od_us ON od (us_id);
    CREATE INDEX od_amount ON od (amount DESC);
    CREATE INDEX od_note ON od (note);
    CREATE INDEX od_label ON od (lower(label));
    CREATE TABLE few (id INTEGER PRIMARY KEY, us_id INT, gone INT);
    CREATE INDEX few_us ON few (us_id) WHERE gone IS NULL;
    CREATE TABLE keyed (word TEXT PRIMARY KEY, us_id INT) WITHOUT ROWID;
    CREATE INDEX "keyed by us" ON keyed (us_id);
    CREATE TABLE cascades (id INTEGER PRIMARY KEY, us_id INT REFERENCES us ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE INDEX cascades_us ON cascades (us_id);
    CREATE TABLE deeper (id INTEGER PRIMARY KEY, c_id INT REFERENCES cascades ON DELETE SET NULL);
    CREATE INDEX deeper_c ON deeper (c_id);
    CREATE VIEW counted AS SELECT us.id, (SELECT count(*) FROM od WHERE od.us_id = us.id) AS n FROM us;
"""
ROWS_OF: dict[str, list[tuple[int | str | None, ...]]] = {
    "us": [(n, f"Note {n}", n) for n in range(1, ROWS + 1)],
    "od": [(n, n * 2, n % 50, f"note {n}", f"NOTE {n}") for n in range(1, ROWS + 1)],
    "few": [(n, n * 2, None) for n in range(1, ROWS + 1)],
    "keyed": [(f"word {n:05}", n * 2) for n in range(1, ROWS + 1)],
    "cascades": [(n, n) for n in range(1, ROWS + 1)],
    "deeper": [(n, n) for n in range(1, ROWS + 1)],
}
QUERIES = [
    "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT * FROM od WHERE od.us_id = us.id)",
    "SELECT count(*) FROM us WHERE EXISTS (SELECT 1 FROM od WHERE od.us_id = us.id AND od.amount > 3)",
    "SELECT id, (SELECT count(*) FROM od AS o WHERE o.us_id = us.id) FROM us ORDER BY id",
    "SELECT id, (SELECT max(amount) FROM od WHERE us_id = us.id ORDER BY id LIMIT 1) FROM us ORDER BY id",
    "SELECT id FROM us WHERE id IN (SELECT us_id FROM od WHERE us_id BETWEEN us.low AND us.low + 1) ORDER BY id",
    "SELECT us.id, od.id FROM us LEFT JOIN od ON od.us_id BETWEEN us.id AND us.id + 1 ORDER BY 1, 2",
    "SELECT us.id, od.id FROM us JOIN od ON od.us_id = us.id OR od.id = us.low ORDER BY 1, 2",
    "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT 1 FROM od WHERE od.note = us.name)",
    "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT 1 FROM od WHERE lower(od.label) = lower(us.name))",
    "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT 1 FROM few WHERE few.us_id = us.id AND gone IS NULL)",
    "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT 1 FROM keyed WHERE keyed.us_id = us.id)",
    "SELECT count(*) FROM od AS a WHERE NOT EXISTS (SELECT 1 FROM od AS b WHERE b.us_id = a.id)",
    "SELECT count(*) FROM us WHERE (SELECT count(*) FROM od JOIN keyed USING (us_id) WHERE od.us_id = us.id) = 1",
    "SELECT sum(n) FROM counted",
    "SELECT 1 FROM us WHERE id < 0 UNION SELECT count(*) FROM us WHERE (SELECT id FROM od WHERE us_id = us.id) IS NULL",
    "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT od.us_id FROM r JOIN od ON od.id = r.x) SELECT count(*) FROM r",
    "SELECT id FROM us WHERE id > ? AND NOT EXISTS (SELECT * FROM od WHERE us_id = us.id AND amount <> ?) ORDER BY 1",
]
CHANGES = [
    "UPDATE us SET low = (SELECT count(*) FROM od WHERE od.us_id = us.id)",
    "UPDATE od SET amount = 0 WHERE NOT EXISTS (SELECT 1 FROM od AS other WHERE other.us_id = od.id)",
    "DELETE FROM us WHERE NOT EXISTS (SELECT 1 FROM od WHERE od.us_id = us.id)",
    "INSERT INTO few (id, us_id) SELECT id + 10000, (SELECT max(amount) FROM od WHERE us_id = us.id) FROM us",
    "DELETE FROM us WHERE id > 0",
    "UPDATE us SET id = id + 10000",
    "DELETE FROM cascades WHERE id > 0",
]
Steps = Callable[[str], int]


def parameters_of(sql: str) -> tuple[int, ...]:
    return (20, 7)[: sql.count("?")]


class Both:
    """Rome and stock SQLite, with the same rows and the same indexes."""

    def __init__(self, url: str) -> None:
        self.rome = rome.connect(url)
        self.stock = sqlite3.connect(":memory:")
        self.stock.execute("PRAGMA foreign_keys=ON")
        for connection in (self.rome, self.stock):
            connection.executescript(SCHEMA)
        self.rome.commit()

    def fill(self) -> None:
        for name, rows in ROWS_OF.items():
            for connection in (self.rome, self.stock):
                connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def commit(self) -> None:
        self.rome.commit()
        self.stock.commit()

    def close(self) -> None:
        self.rome.close()
        self.stock.close()

    def check(self, sql: str) -> None:
        """Run a statement on both: the same rows, and not many more steps."""
        (ours, steps), (theirs, wanted) = (run(connection, sql) for connection in (self.rome, self.stock))
        assert ours == theirs
        assert steps < 2 * wanted + 20 * ROWS, f"{steps:,} steps, on SQLite {wanted:,}"

    def check_tables(self) -> None:
        for name in ROWS_OF:
            query = f"SELECT * FROM {name} ORDER BY 1"
            assert self.rome.execute(query).fetchall() == self.stock.execute(query).fetchall()


def run(connection: Connection | sqlite3.Connection, sql: str) -> tuple[list[tuple[object, ...]], int]:
    """The rows of a statement, and how many steps its program took, to the hundred."""
    counted = iter(range(10**9))
    connection.set_progress_handler(lambda: next(counted) < 0, 100)
    try:
        rows = connection.execute(sql, parameters_of(sql)).fetchall()
    finally:
        connection.set_progress_handler(None, 100)
    return rows, 100 * next(counted)


@pytest.fixture
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    with database("memory", request) as url, closing(Both(url)) as both:
        yield both


@pytest.fixture
def stored(both: Both) -> Both:
    both.fill()
    both.commit()
    return both


@pytest.mark.parametrize("sql", QUERIES)
def test_queries_take_as_many_steps_as_on_sqlite(stored: Both, sql: str) -> None:
    stored.check(sql)
    stored.check(sql)  # in the same transaction
    stored.commit()
    stored.check(sql)


@pytest.mark.parametrize("sql", CHANGES)
def test_changes_take_as_many_steps_as_on_sqlite(stored: Both, sql: str) -> None:
    stored.check(sql)
    stored.check_tables()
    stored.commit()
    stored.check_tables()


def test_deferred_keys_are_looked_up_too(stored: Both) -> None:
    stored.rome.executescript(
        "CREATE TABLE waits (id INTEGER PRIMARY KEY, od_id INT REFERENCES od DEFERRABLE INITIALLY DEFERRED);"
        "CREATE INDEX waits_od ON waits (od_id)"
    )
    stored.rome.executemany("INSERT INTO waits VALUES (?, ?)", [(n, n) for n in range(1, ROWS + 1)])
    stored.rome.commit()
    stored.rome.execute("DELETE FROM od")
    with pytest.raises(IntegrityError):
        stored.rome.commit()
    assert "waits_od" in stored.rome.session._context.workspace.working_set.contents.lookups
    stored.rome.execute("DELETE FROM waits")
    stored.rome.commit()
    assert stored.rome.execute("SELECT count(*) FROM od").fetchall() == [(0,)]


def test_rows_that_the_transaction_has_inserted_are_looked_up_too(both: Both) -> None:
    both.fill()
    for sql in QUERIES:
        both.check(sql)


def test_rows_that_were_inserted_one_by_one_are_looked_up_too(both: Both) -> None:
    for connection in (both.rome, both.stock):
        for row in ROWS_OF["us"]:
            connection.execute("INSERT INTO us VALUES (?, ?, ?)", row)
        for row in ROWS_OF["od"]:
            connection.execute("INSERT INTO od VALUES (?, ?, ?, ?, ?)", row)
    both.check(QUERIES[0])


def test_the_index_follows_changes_and_goes_back_with_a_savepoint(stored: Both) -> None:
    steps = [
        "SAVEPOINT s",
        QUERIES[0],
        "UPDATE od SET us_id = us_id + 1",
        QUERIES[0],
        "DELETE FROM od WHERE id % 3 = 0",
        QUERIES[0],
        "ROLLBACK TO s",
        QUERIES[0],
        "UPDATE od SET us_id = NULL WHERE id % 7 = 0",
        QUERIES[0],
    ]
    for sql in steps:
        stored.check(sql)
    stored.commit()
    stored.check_tables()


@pytest.mark.parametrize(
    "ddl",
    [
        ["DROP INDEX od_us", "CREATE UNIQUE INDEX od_us ON od (us_id)"],
        [
            "DROP VIEW counted",
            "DROP INDEX od_us",
            "ALTER TABLE od DROP COLUMN us_id",
            "ALTER TABLE od ADD COLUMN us_id INT",
        ],
        ["ALTER TABLE od RENAME COLUMN us_id TO x", "ALTER TABLE od RENAME COLUMN x TO us_id"],
        ["ALTER TABLE od RENAME TO od2", "CREATE VIEW od AS SELECT * FROM od2"],
        ["DROP TABLE od", "CREATE TABLE od (us_id INT)", "CREATE INDEX od_us ON od (us_id)"],
    ],
)
def test_the_schema_may_change_afterwards(stored: Both, ddl: list[str]) -> None:
    for sql in chain([QUERIES[0]], ddl, [QUERIES[0]]):
        rows = [connection.execute(sql).fetchall() for connection in (stored.rome, stored.stock)]
        assert rows[0] == rows[1]
    stored.commit()
    assert run(stored.rome, QUERIES[0])[0] == run(stored.stock, QUERIES[0])[0]


def test_nothing_is_left_where_temporary_tables_outlive_the_transaction(stored: Both) -> None:
    for connection in (stored.rome, stored.stock):
        connection.execute("CREATE TEMP TABLE mine (id INT)")
    for _ in range(2):
        stored.check(QUERIES[0])
        stored.check("INSERT INTO mine SELECT id FROM us WHERE NOT EXISTS (SELECT 1 FROM od WHERE us_id = us.id)")
        stored.commit()
    stored.check("SELECT count(*), sum(id) FROM mine")


def test_small_tables_get_no_index(both: Both) -> None:
    both.rome.execute("INSERT INTO us VALUES (1, 'a', 1)")
    both.rome.execute("INSERT INTO od VALUES (1, 1, 1, 'a', 'a')")
    both.rome.commit()
    both.rome.execute(QUERIES[0]).fetchall()
    assert both.rome.session._context.workspace.working_set.contents.lookups == set()
