"""VIRTUAL columns that fail for a stored row: whatever does not use the column goes on as in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import rome
from rome.workingset.blank import left_blank
from tests.support.databases import database, on
from tests.support.differential import Pair

SCHEMA = [
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, j TEXT, n INT, p INT REFERENCES p ON DELETE SET NULL,"
    " up TEXT AS (upper(j)), twice INT AS (n * 2) NOT NULL CHECK (twice < 1000), kept AS (twice + 1) STORED)",
    "CREATE UNIQUE INDEX t_n ON t (n)",
    "CREATE UNIQUE INDEX t_up ON t (up) WHERE n > 100",
    "CREATE INDEX t_low ON t (lower(j))",
    "CREATE TABLE w (k TEXT PRIMARY KEY, n INT) WITHOUT ROWID",
]
TABLES = {"p": "*", "t": "id, j, n, p, up, twice, kept", "w": "k, n"}
ROWS = [
    "INSERT INTO p VALUES (1, 'one'), (2, 'two')",
    """INSERT INTO t (id, j, n, p) VALUES (1, '{"a": 1}', 1, 1), (2, 'bad', 2, 2), (3, '{}', 3, NULL)""",
    f"INSERT INTO t (id, j, n, p) VALUES (4, '[]', 4, 1), (5, '{{}}', {-(2**63)} / 9223372036854775807, 1)",
    f"INSERT INTO w VALUES ('good', 1), ('least', {-(2**63)})",
    "COMMIT",
]
COLUMNS = [
    "ALTER TABLE t ADD COLUMN g AS (json_extract(j, '$.a'))",
    "ALTER TABLE t ADD COLUMN after_g TEXT DEFAULT 'later'",
    "ALTER TABLE t ADD COLUMN g_and_more AS (coalesce(g, 0) + n)",
    "ALTER TABLE w ADD COLUMN g AS (abs(n))",
    "COMMIT",
]
STATEMENTS = [
    "SELECT id, n, up, twice, kept, after_g FROM t ORDER BY id",
    "SELECT count(*), max(n) FROM t",
    "SELECT t.id, p.name FROM p LEFT JOIN t ON t.p = p.id ORDER BY p.id, t.id",
    "SELECT * FROM t WHERE id <> 2 ORDER BY id",
    "SELECT * FROM t ORDER BY id",
    "SELECT g FROM t WHERE id = 2",
    "SELECT g_and_more FROM t WHERE id = 2",
    "SELECT id FROM t WHERE g = 1",
    "SELECT k FROM w ORDER BY k",
    "SELECT g FROM w ORDER BY k",
    "UPDATE t SET n = 7 WHERE id = 2",
    "UPDATE t SET n = n + 10 WHERE id <> 2",
    "UPDATE t SET n = n + 10",
    "INSERT INTO t (id, j, n) VALUES (9, 'also bad', 9)",
    "INSERT INTO t (id, j, n) VALUES (9, '{}', 2)",
    "INSERT INTO t (id, j, n) VALUES (9, '{}', 2) ON CONFLICT (n) DO UPDATE SET j = excluded.j",
    "INSERT INTO t (id, j, n) VALUES (2, '[9]', 20) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
    "REPLACE INTO t (id, j, n) VALUES (2, '{}', 2)",
    "UPDATE t SET j = '{\"a\": 5}' WHERE id = 2",
    "UPDATE OR REPLACE t SET n = 2 WHERE id = 1",
    "DELETE FROM t WHERE id = 2",
    "DELETE FROM t WHERE id = 2 RETURNING id, n",
    "DELETE FROM t WHERE id = 2 RETURNING g",
    "DELETE FROM t",
    "DELETE FROM p WHERE id = 2",
    "DELETE FROM p WHERE id = 1",
    "UPDATE w SET n = 5 WHERE k = 'least'",
    "UPDATE w SET k = 'moved' WHERE k = 'least'",
    "UPDATE w SET k = 'moved' WHERE k = 'good'",
    "DELETE FROM w WHERE k = 'least'",
    "REPLACE INTO w (k, n) VALUES ('least', 3)",
]


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def pair(url: str) -> Iterator[Pair]:
    with Pair(SCHEMA, ids=False, tables=TABLES, url=url) as pair:
        for statement in (*ROWS, *COLUMNS):
            pair.execute(statement)
        yield pair


def test_each_statement_is_as_in_sqlite(pair: Pair) -> None:
    for statement in STATEMENTS:
        pair.execute(statement)
        pair.execute("SELECT id, j, n, p, up, twice, kept, after_g FROM t")
        pair.execute("ROLLBACK")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM t WHERE id = 2",
        "UPDATE t SET j = '{\"a\": 5}' WHERE id = 2",
        "DELETE FROM p WHERE id = 1",
        "DELETE FROM w WHERE k = 'least'",
    ],
)
def test_change_of_such_a_row_is_committed(pair: Pair, change: str) -> None:
    pair.execute("SELECT id FROM t")
    pair.execute(change)
    pair.check_tables()


def test_undone_savepoint_leaves_the_row_readable(pair: Pair) -> None:
    pair.execute("SELECT id FROM p")
    pair.execute("SAVEPOINT a")
    pair.execute("SELECT n FROM t WHERE id = 2")
    pair.execute("UPDATE t SET n = 70 WHERE id = 1")
    pair.execute("ROLLBACK TO a")
    pair.execute("SELECT n, g_and_more FROM t WHERE id = 1")
    pair.execute("SELECT g FROM t WHERE id = 2")
    pair.execute("ALTER TABLE t ADD COLUMN more AS (n + 1) CHECK (more > 0)")
    pair.execute("SELECT more, g FROM t WHERE id < 2")
    pair.check_tables()


def test_schema_changes_beside_such_a_row(pair: Pair) -> None:
    pair.execute("ALTER TABLE t RENAME COLUMN n TO m")
    pair.execute("ALTER TABLE w RENAME TO v")
    pair.execute("SELECT id, m, kept FROM t")
    pair.execute("SELECT k FROM v")
    pair.execute("ALTER TABLE t DROP COLUMN g_and_more")
    pair.execute("ALTER TABLE t DROP COLUMN g")
    pair.execute("COMMIT")
    pair.execute("SELECT * FROM t")


def test_row_is_counted_dumped_and_seen_at_every_level(pair: Pair, url: str) -> None:
    for level in ("READ COMMITTED", "SNAPSHOT", "AUTOCOMMIT"):
        other = rome.connect(url, isolation_level=level)
        assert other.execute("SELECT count(n) FROM t").fetchall() == [(5,)]
        assert other.execute("SELECT count(n) FROM t WHERE twice > 0 AND id > 0").fetchall() == [(4,)]
        assert 'INSERT INTO "t"("id","j","n","p","after_g") VALUES(2,\'bad\',2,2,\'later\');' in list(other.iterdump())
        other.close()


def test_backup_has_such_a_row(pair: Pair, url: str, tmp_path: Path) -> None:
    """With its columns, which are computed in the file as they are here; and a trigger fires there, too."""
    pair.execute("CREATE TRIGGER once BEFORE UPDATE ON t WHEN OLD.n = 1 BEGIN SELECT RAISE(ABORT, 'once'); END")
    pair.execute("COMMIT")
    with closing(rome.connect(url)) as other:
        other.execute(f"VACUUM INTO '{tmp_path}/backup.db'")
    with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        for query in (
            "SELECT id, j, n, p, up, twice, kept, after_g FROM t",
            "SELECT k, n FROM w",
            "SELECT g FROM t WHERE id = 1",
        ):
            assert backup.execute(query).fetchall() == pair.stock.execute(query).fetchall()
        texts = "SELECT type, name, sql FROM sqlite_master WHERE type <> 'index' ORDER BY name"
        assert backup.execute(texts).fetchall() == pair.stock.execute(texts).fetchall()
        assert backup.execute("PRAGMA quick_check").fetchall() == pair.stock.execute("PRAGMA quick_check").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="malformed JSON"):
            backup.execute("SELECT g FROM t WHERE id = 2").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="once"):
            backup.execute("UPDATE t SET n = n + 50")
        assert backup.execute("DELETE FROM t WHERE id = 2").rowcount == 1


def test_text_that_is_not_utf_8_fails_where_it_is_used(url: str) -> None:
    connection = rome.connect(url)
    connection.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, b BLOB)")
    connection.execute("INSERT INTO b VALUES (1, x'ff'), (2, x'61')")
    connection.execute("ALTER TABLE b ADD COLUMN t AS (CAST(b AS TEXT))")
    connection.commit()
    assert connection.execute("SELECT id, b FROM b").fetchall() == [(1, b"\xff"), (2, b"a")]
    with pytest.raises(rome.dbapi.DataError, match="UTF-8"):
        connection.execute("SELECT t FROM b").fetchall()
    assert connection.execute("UPDATE b SET b = x'62' WHERE id = 1").rowcount == 1
    connection.commit()
    assert connection.execute("SELECT t FROM b").fetchall() == [("b",), ("a",)]
    connection.close()


@pytest.mark.parametrize("undone_by", ["its savepoint", "a rollback"])
def test_interrupted_hydration_leaves_no_blank_column(undone_by: str) -> None:
    """The table's text is that of the schema again, whatever was raised while it said NULL."""
    connection = rome.connect("rome+memory://")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, j TEXT, g AS (json_extract(j, '$.a')))")
    connection.commit()
    [table] = connection.session._context.workspace.schema.catalog.tables.values()
    working_set = connection.session._context.workspace.working_set
    database = working_set.connection
    database.execute("BEGIN; SAVEPOINT around")
    with pytest.raises(KeyboardInterrupt), left_blank(database, table, frozenset({"g"})):  # noqa: PT012
        database.execute("INSERT INTO t (id, j) VALUES (1, 'bad')")
        assert database.execute("SELECT g FROM t").fetchall() == [(None,)]
        raise KeyboardInterrupt
    database.execute("ROLLBACK" if undone_by == "a rollback" else "ROLLBACK TO around")
    with pytest.raises(apsw.SQLError, match="malformed JSON"):
        database.execute("INSERT INTO t (id, j) VALUES (1, 'bad')")
    assert database.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    assert database.execute("PRAGMA ignore_check_constraints").fetchall() == [(0,)]
    connection.close()
