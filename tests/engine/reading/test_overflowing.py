"""Queries that neither fit in memory nor can be streamed: the result is that of a connection with room for all."""

from __future__ import annotations

from dataclasses import replace

import apsw
import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, OperationalError, WorkingSetFullError
from rome.store.memory import MemoryStore
from tests.support.databases import Connect

ROWS = 600
NARROW = "100kB"
SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, kind INT, name TEXT COLLATE NOCASE, r REAL, any, CHECK (kind >= 0));
    CREATE INDEX t_kind ON t (kind, id);
    CREATE TABLE words (word TEXT PRIMARY KEY, n INT);
    CREATE INDEX words_n ON words (n);
    CREATE TABLE plain (n INT, s TEXT);
    CREATE TABLE computed (id INTEGER PRIMARY KEY, n INT, twice INT AS (2 * n), thrice INT AS (3 * n) STORED);
    CREATE TABLE keyed (word TEXT, n INT, PRIMARY KEY (n DESC, word)) WITHOUT ROWID;
    CREATE VIEW v AS SELECT t.*, words.word FROM t JOIN words ON words.n = t.id;
    CREATE TRIGGER x BEFORE DELETE ON t WHEN OLD.id < 0 BEGIN SELECT RAISE(ABORT, 'no'); END;
"""
QUERIES = [
    "SELECT round(sum(r), 6) FROM main.t",
    "SELECT count(*), round(sum(r), 6), max(word) FROM v WHERE kind > 2",
    "SELECT count(*), sum(a.kind * b.kind) FROM t AS a JOIN t AS b ON b.id = a.id + 1",
    "SELECT t.id, word FROM t JOIN words ON words.n = t.id WHERE any IS NULL ORDER BY t.id LIMIT 7",
    "SELECT t.id, word FROM t LEFT JOIN words ON words.n = t.id AND word < 'word 3' ORDER BY r DESC, 2 LIMIT 9",
    "SELECT count(*) FROM t WHERE NOT EXISTS (SELECT 1 FROM words WHERE words.n = t.id AND word > 'word 5')",
    "SELECT kind, (SELECT count(*) FROM words WHERE words.n = t.id) AS c, count(*) FROM t GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT sum(twice), sum(thrice), max(computed.id) FROM computed",
    "SELECT sum(n), min(word) FROM keyed WHERE n > 0",
    "SELECT count(*) FROM keyed JOIN t ON t.id = keyed.n WHERE t.name = 'n1'",
    "SELECT plain.rowid, t.id FROM plain, t WHERE plain.n = t.id AND s = 'ss' AND plain.rowid % 100 = 0 ORDER BY 1",
    "SELECT count(*) FROM t WHERE id IN (SELECT n FROM words) AND id NOT IN (SELECT n FROM plain WHERE n > 300)",
    "SELECT name, count(*) FROM t GROUP BY name UNION ALL SELECT word, n FROM words WHERE n < 4 ORDER BY 1, 2",
    "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT t.id + 1 FROM r JOIN t ON t.id = r.x) SELECT count(*) FROM r",
    "SELECT count(*) FROM t JOIN words ON words.n = t.id WHERE t.kind = ? AND t.id < ? AND any IS NOT NULL",
    "SELECT sum(x) FROM (SELECT rank() OVER (PARTITION BY t.kind ORDER BY word) AS x FROM t JOIN words ON n = id)",
    "SELECT last_insert_rowid(), changes(), count(*) FROM t JOIN words ON words.n = t.id",
    "SELECT count(*) FROM t JOIN words ON words.n = t.id WHERE t.name REGEXP '[1-3]'",
    "SELECT sum(doubled(t.id)) FROM t JOIN words ON words.n = t.id",
    "SELECT count(*), sum(t.id) FROM t JOIN words ON words.n = t.id WHERE t.id = 5 OR t.id > 10 OR t.id IN (2, 15)",
    "SELECT count(*), min(word) FROM words JOIN t ON t.id = words.n WHERE word IN ('word 19', 'x') OR word > 'word 3'",
    "SELECT count(*), sum(keyed.n) FROM keyed JOIN t ON t.id = keyed.n WHERE keyed.n = 5 OR keyed.n BETWEEN 9 AND 590",
]
REFUSED = [
    "SELECT a.*, b.name || 'x', b.name || 'y' FROM t AS a JOIN t AS b ON b.id = a.id",
    "UPDATE t SET r = (SELECT count(*) FROM words)",
    "DELETE FROM t WHERE id NOT IN (SELECT n FROM words)",
    "INSERT INTO plain (n) SELECT t.id FROM t JOIN words ON words.n = t.id",
]


def parameters_of(sql: str) -> tuple[int, ...]:
    return (3, 500)[: sql.count("?")]


@pytest.fixture
def wide(connect: Connect) -> Connection:
    connection = connect(replay="off")
    connection.executescript(SCHEMA)
    values = [None, 1, 1.0, "x", b"x"]
    numbers = range(1, ROWS + 1)
    rows = [(n, n % 7, f"{'nN'[n % 2]}{n % 10}", n / 7, values[n % 5]) for n in numbers]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO words VALUES (?, ?)", [(f"word {n * 7919 % 1000}", n) for n in numbers])
    connection.executemany("INSERT INTO plain VALUES (?, ?)", [(n, "s" * (n % 3)) for n in numbers])
    connection.executemany("INSERT INTO computed (n) VALUES (?)", [(n,) for n in numbers])
    connection.executemany("INSERT INTO keyed VALUES (?, ?)", [(f"word {n}", n) for n in numbers])
    connection.commit()
    connection.create_function("doubled", 1, lambda value: 2 * value)
    return connection


@pytest.fixture
def narrow(wide: Connection, connect: Connect) -> Connection:
    connection = connect(max_working_set=NARROW, replay="off")
    connection.create_function("doubled", 1, lambda value: 2 * value)
    return connection


@pytest.mark.parametrize("sql", QUERIES)
def test_the_result_is_that_of_the_tables(wide: Connection, narrow: Connection, sql: str) -> None:
    for connection in (wide, narrow):
        connection.execute("INSERT INTO computed (id, n) VALUES (9999, 1)")
        connection.rollback()
        connection.execute("SELECT 1 FROM t WHERE id = 1").fetchall()
    expected = wide.execute(sql, parameters_of(sql)).fetchall()
    before = apsw.connections()
    for _ in range(2):
        assert narrow.execute(sql, parameters_of(sql)).fetchall() == expected
    assert all(connection in before for connection in apsw.connections()), "the temporary database is closed"
    assert not narrow.session._context.workspace.working_set.contents.tables.keys() - {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}


@pytest.mark.parametrize("sql", QUERIES)
def test_rows_that_the_transaction_wrote_are_among_them(wide: Connection, narrow: Connection, sql: str) -> None:
    for connection in (wide, narrow):
        connection.execute("UPDATE t SET kind = 3, name = 'n1', r = -5 WHERE id IN (1, 20)")
        connection.execute("UPDATE t SET id = 6000 WHERE id = 30")
        connection.execute("DELETE FROM words WHERE word IN ('word 19', 'word 919')")
        connection.execute("INSERT INTO t VALUES (5000, 1, 'new', 0.5, 'new')")
        connection.execute("INSERT INTO words VALUES ('word 19', 5000)")
        connection.execute("UPDATE plain SET s = 'ss' WHERE rowid = 100")
        connection.execute("UPDATE keyed SET n = 5000 WHERE n = 7")
        connection.execute("INSERT INTO computed (id, n) VALUES (7000, 1000)")
    expected = wide.execute(sql, parameters_of(sql)).fetchall()
    assert narrow.execute(sql, parameters_of(sql)).fetchall() == expected
    narrow.rollback()


@pytest.mark.parametrize("sql", REFUSED)
def test_what_changes_rows_or_returns_too_many_is_refused(narrow: Connection, sql: str) -> None:
    with pytest.raises(WorkingSetFullError):
        narrow.execute(sql)
    assert narrow.execute("SELECT name FROM t WHERE id = 1").fetchall() == [("N1",)]


def test_temporary_tables_and_a_changed_schema_are_refused(narrow: Connection) -> None:
    narrow.execute("CREATE TEMP TABLE mine (id INT)")
    narrow.commit()
    with pytest.raises(WorkingSetFullError):
        narrow.execute("SELECT count(*) FROM t JOIN words ON n = t.id JOIN mine ON mine.id = n")
    narrow.execute("CREATE TABLE new (id INT)")
    with pytest.raises(WorkingSetFullError):
        narrow.execute(QUERIES[2])


@pytest.mark.parametrize(
    ("change", "index_trips", "conflicts"), [("kind = 4", 1, True), ("kind = 6", 1, False), ("kind = 6", 2, True)]
)
def test_what_was_read_is_validated(
    wide: Connection,
    narrow: Connection,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    index_trips: int,
    conflicts: bool,
) -> None:
    """To a store that wants to know which rows an index led to, it is the whole table that was read."""
    monkeypatch.setattr(MemoryStore, "capabilities", replace(MemoryStore.capabilities, index_trips=index_trips))
    sql = "SELECT count(*) FROM t JOIN words ON word = t.name || t.r WHERE kind BETWEEN 1 AND 5"
    narrow.execute(sql).fetchall()
    narrow.execute("INSERT INTO plain VALUES (0, 'mine')")
    wide.execute(f"UPDATE t SET r = 0 WHERE {change}")
    wide.commit()
    if conflicts:
        with pytest.raises(ConflictError):
            narrow.commit()
    else:
        narrow.commit()


def test_an_error_in_the_middle_leaves_the_transaction_usable(narrow: Connection) -> None:
    narrow.execute("UPDATE t SET name = 'mine' WHERE id = 5")
    with pytest.raises(OperationalError, match="integer overflow"):
        narrow.execute("SELECT sum(9223372036854775807) FROM t JOIN words ON words.n = t.id")
    assert narrow.execute("SELECT count(*) FROM t JOIN words ON words.n = t.id").fetchall() == [(ROWS,)]
    narrow.commit()


def test_an_interruption_ends_it(narrow: Connection) -> None:
    before = apsw.connections()
    narrow.set_progress_handler(lambda: True, 100)
    with pytest.raises(OperationalError, match="interrupted"):
        narrow.execute("SELECT count(*) FROM t AS a, t AS b, t AS c, words WHERE a.r + b.r + c.r + n < 0")
    narrow.set_progress_handler(None, 100)
    assert all(connection in before for connection in apsw.connections()), "the temporary database is closed"
