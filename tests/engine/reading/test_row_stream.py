"""A query whose rows are fetched while they are read shows what it shows at once, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

import rome
from rome.dbapi import Connection, StreamCursor
from tests.engine.reading.test_page import INDEXES, TABLES, Statements, data
from tests.support.databases import Connect, database, on
from tests.support.streamed import is_streamed, same_rows, tiny_chunks

ROWS = 40
SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT COLLATE NOCASE, c INT NOT NULL, u TEXT NOT NULL UNIQUE);
    CREATE INDEX t_a ON t (a);
    CREATE INDEX t_c_a ON t (c, a);
    CREATE INDEX t_b ON t (b);
    CREATE INDEX t_even ON t (a) WHERE c = 0;
    CREATE TABLE child (id INTEGER PRIMARY KEY, t_id INT, note TEXT);
    CREATE INDEX child_t ON child (t_id);
    CREATE TABLE named (name TEXT PRIMARY KEY NOT NULL, n INT);
    CREATE TABLE keyed (one TEXT, two INT, n INT, PRIMARY KEY (one, two)) WITHOUT ROWID;
    CREATE TABLE computed (id INTEGER PRIMARY KEY, n INT, twice INT AS (2 * n));
    CREATE VIEW v AS SELECT id AS i, a AS x FROM t WHERE c < 2;
"""

IN_ORDER = [
    "SELECT * FROM t",
    "SELECT id FROM t WHERE id BETWEEN 10 AND 30 OR id > 35",
    "SELECT * FROM t ORDER BY id",
    "SELECT * FROM t ORDER BY id DESC",
    "SELECT b, id AS a FROM t WHERE id > 7 ORDER BY t.id DESC",
    "SELECT * FROM t ORDER BY u",
    "SELECT * FROM t ORDER BY u DESC, a",
    "SELECT u FROM t WHERE c = 1 ORDER BY c, a, id",
    "SELECT u FROM t WHERE c = 1 ORDER BY a DESC, id DESC",
    "SELECT a, id FROM t ORDER BY a, id",
    "SELECT a, id FROM t WHERE a IS NOT NULL ORDER BY a IS NOT NULL DESC, a DESC, id DESC",
    "SELECT * FROM t LIMIT 20",
    "SELECT * FROM t ORDER BY id LIMIT 11 OFFSET 9",
    "SELECT * FROM t ORDER BY id DESC LIMIT -1 OFFSET 13",
    "SELECT t.id, note FROM t LEFT JOIN child ON child.t_id = t.id ORDER BY t.id, child.id",
    "SELECT t.id, note FROM t LEFT JOIN child ON child.t_id = t.id ORDER BY t.id DESC, note LIMIT 17 OFFSET 4",
    "SELECT child.id, u FROM child JOIN t ON t.id = child.t_id ORDER BY child.id",
    "SELECT child.id, u, named.n FROM child JOIN t ON t.id = t_id LEFT JOIN named ON name = u ORDER BY child.id DESC",
    "SELECT id FROM t WHERE u NOT IN (SELECT name FROM named WHERE n > 3) ORDER BY id",
    "SELECT * FROM named ORDER BY name",
    "SELECT * FROM keyed ORDER BY one, two",
    "SELECT * FROM computed WHERE twice > 8 ORDER BY id",
]
IN_ANY_ORDER = [
    "SELECT id, (SELECT u FROM child WHERE t_id = t.id) FROM t",
    "SELECT id, b FROM t WHERE a > 2",
    "SELECT * FROM t WHERE c = 1",
    "SELECT * FROM t WHERE a = 1 AND c < 3",
    "SELECT a, u FROM t ORDER BY a",
    "SELECT a, u FROM t ORDER BY b DESC",
    "SELECT * FROM named",
    "SELECT * FROM named WHERE name > 'u2'",
    "SELECT * FROM keyed WHERE one = 'x'",
    "SELECT t.id, note FROM t, child WHERE t_id = t.id",
    "SELECT * FROM child NATURAL JOIN computed",
]
WHOLE = [
    "SELECT count(*) FROM t",
    "SELECT c, max(a) FROM t GROUP BY c",
    "SELECT DISTINCT c FROM t",
    "SELECT id FROM t UNION ALL SELECT id FROM child",
    "SELECT id, row_number() OVER (ORDER BY id) FROM t",
    "SELECT id FROM t ORDER BY a + 1, id",
    "SELECT id FROM t ORDER BY a, b, id",
    "SELECT id FROM t ORDER BY a DESC, id LIMIT 20",
    "SELECT name FROM named LIMIT 20",
    "SELECT id FROM t WHERE a > (SELECT avg(a) FROM t)",
    "SELECT t.id, o.id FROM t JOIN t AS o ON o.id = t.a",
    "SELECT child.id FROM t RIGHT JOIN child ON t_id = t.id",
    "SELECT child.id FROM t FULL JOIN child ON t_id = t.id",
    "SELECT id FROM t WHERE a > (SELECT abs(random()) % 9)",
    "SELECT id FROM t WHERE id = 7",
    "SELECT * FROM t ORDER BY id LIMIT 3",
    "SELECT id FROM t FOR UPDATE",
    "SELECT * FROM t WHERE b = 'X' ORDER BY id LIMIT 100",
    "SELECT * FROM t WHERE a IN (1, 2, 3) ORDER BY u LIMIT 7",
    "SELECT i, x FROM v WHERE i > 4 ORDER BY i",
    "WITH few (k) AS (SELECT n FROM named WHERE n < 9) SELECT id FROM t JOIN few ON k = id ORDER BY id",
    "SELECT id, c FROM (SELECT id, c, a FROM t) WHERE a = 1",
    "SELECT id, (SELECT count(*) FROM child WHERE t_id = t.id) FROM t",
    "VALUES (1), (2), (3), (4), (5)",
]
EVERY = [*IN_ORDER, *IN_ANY_ORDER, *WHOLE]
CHANGES = [
    "UPDATE t SET a = a + 1, b = 'new' WHERE id % 3 = 0",
    "DELETE FROM t WHERE id IN (4, 5, 40)",
    "UPDATE t SET id = id + 100 WHERE id IN (6, 33)",
    "INSERT INTO t VALUES (4, 1, 'x', 1, 'again'), (77, 2, 'y', 0, 'u20b'), (-3, NULL, 'z', 1, '')",
    "INSERT INTO child VALUES (900, 77, 'of a new one'), (901, 1, 'another')",
    "UPDATE named SET name = name || '!' WHERE n % 4 = 0",
    "DELETE FROM keyed WHERE two = 3",
    "INSERT INTO keyed VALUES ('x', 3, 1), ('a', 0, 0)",
    "UPDATE computed SET n = 50 - n WHERE id > 20",
]


def fill(connection: Connection) -> None:
    connection.executescript(SCHEMA)
    numbers = range(1, ROWS + 1)
    rows = [(n, None if n % 9 == 0 else n * 7 % 5, "xXyYz"[n % 5], n % 3, f"u{n * 17 % 41}") for n in numbers]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    children = [(n, n * 11 % ROWS + 1 if n % 4 else None, f"note {n % 6}") for n in numbers]
    connection.executemany("INSERT INTO child VALUES (?, ?, ?)", children)
    connection.executemany("INSERT INTO named VALUES (?, ?)", [(f"u{n}", n * 13 % 17) for n in numbers])
    connection.executemany("INSERT INTO keyed VALUES (?, ?, ?)", [("xyz"[n % 3], n, n) for n in numbers])
    connection.executemany("INSERT INTO computed (id, n) VALUES (?, ?)", [(n, n * 3 % 10) for n in numbers])
    connection.commit()


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def filled(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Connection:
    tiny_chunks(monkeypatch)
    connection = connect()
    fill(connection)
    return connection


def stream(connection: Connection, sql: str) -> StreamCursor:
    return connection.cursor(StreamCursor).execute(sql)


def compare(connection: Connection, statements: list[str]) -> None:
    for sql in statements:
        plain = connection.execute(sql).fetchall()
        with closing(stream(connection, sql)) as cursor:
            streamed = cursor.fetchall()
            assert same_rows(streamed, plain, in_order=sql not in IN_ANY_ORDER), sql


def test_streamed_rows_are_those_of_the_plain_cursor(filled: Connection) -> None:
    compare(filled, [sql for sql in EVERY if "random" not in sql])


def test_what_the_transaction_has_written_is_among_them(filled: Connection) -> None:
    for change in CHANGES:
        filled.execute(change)
    compare(filled, [sql for sql in EVERY if "random" not in sql])


def test_random_orders_and_limits_are_those_of_the_plain_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LIMIT, also one beyond the table, the order is the same to the last row; without one, ties are open."""
    tiny_chunks(monkeypatch, 7)
    with closing(rome.connect("rome+memory://")) as connection:
        connection.executescript(";".join([*TABLES, *INDEXES]))
        for sql, rows in data():
            connection.executemany(sql, rows)
        connection.commit()
        statements, cut = Statements(16), 0
        for number in range(100):
            sql = statements.statement()
            before, _, _ = sql.rpartition("LIMIT")
            for text in (sql, f"{before}LIMIT 5000", before) if ")" not in sql.rpartition("LIMIT")[2] else (sql,):
                plain = connection.execute(text).fetchall()
                with closing(stream(connection, text)) as cursor:
                    cut += is_streamed(cursor)
                    assert same_rows(cursor.fetchall(), plain, in_order="LIMIT" in text), text
            if number % 9 == 0:
                connection.execute("UPDATE t SET a = a + 1, c = 'y', id = id + 1 WHERE id % 7 = ?", (number % 7,))
            if number % 30 == 0:
                connection.rollback()
    assert cut > 60
