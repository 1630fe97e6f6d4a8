"""VACUUM INTO: the committed database as an SQLite file that any SQLite opens."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, NotSupportedError, OperationalError
from tests.support.databases import Connect, database, on

SCHEMA = [
    "CREATE TABLE plain (a, b TEXT)",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE UNIQUE)",
    "CREATE TABLE child (code TEXT PRIMARY KEY, parent INT REFERENCES parent ON DELETE CASCADE, n REAL CHECK (n > 0))",
    'CREATE TABLE "odd name" ("a b" BLOB, [select] INT DEFAULT 5, PRIMARY KEY ("a b", [select])) WITHOUT ROWID',
    "CREATE TABLE computed (a INT, b INT AS (a * 2) STORED, c TEXT AS ('<' || a || '>'))",
    "CREATE TABLE strictly (a INT, b TEXT) STRICT",
    "CREATE INDEX child_parent ON child (parent, n DESC)",
    "CREATE UNIQUE INDEX half ON plain (b) WHERE a IS NOT NULL",
    "CREATE INDEX expression ON plain (lower(b), a)",
    "CREATE VIEW both AS SELECT p.name, c.code FROM parent p JOIN child c ON c.parent = p.id",
]
ROWS = [
    "INSERT INTO plain (rowid, a, b) VALUES (7, 1, 'x'), (3, NULL, 'x'), (5, 2.5, NULL), (900, x'00ff', 'ä\U0001f600')",
    "INSERT INTO parent (id, name) VALUES (1, 'One'), (40, 'Forty')",
    "INSERT INTO child VALUES ('z', 1, 0.5), ('a', 40, 2), ('m', NULL, 1e300)",
    "INSERT INTO \"odd name\" VALUES (x'01', 2), ('t', 1)",
    "INSERT INTO computed (a) VALUES (1), (21)",
    "INSERT INTO strictly VALUES (1, 'one')",
    "ALTER TABLE plain ADD COLUMN late DEFAULT 'since'",
    "INSERT INTO plain (a, late) VALUES (9, 'now')",
    "DELETE FROM plain WHERE rowid = 5",
]
TABLES = ["plain", "parent", "child", '"odd name"', "computed", "strictly"]


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def filled(connection: Connection) -> Connection:
    for sql in [*SCHEMA, *ROWS]:
        connection.execute(sql)
    connection.commit()
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as stock:
        assert stock.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert stock.execute("PRAGMA foreign_key_check").fetchall() == []
        found = {
            table: stock.execute(f"SELECT {'' if 'odd' in table else 'rowid, '}* FROM {table}").fetchall()
            for table in TABLES
        }
        found["objects"] = sorted(stock.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall())
        found["view"] = stock.execute("SELECT * FROM both ORDER BY 1, 2").fetchall()
        found["next"] = stock.execute("SELECT name FROM sqlite_sequence").fetchall()
    stock.close()
    return found


def test_the_file_is_what_stock_sqlite_would_have_written(filled: Connection, path: Path, tmp_path: Path) -> None:
    stock = sqlite3.connect(tmp_path / "stock.db")
    for sql in [*SCHEMA, *ROWS]:
        stock.execute(sql)
    stock.commit()
    stock.execute("VACUUM INTO ?", (str(tmp_path / "expected.db"),))
    stock.close()
    filled.execute("VACUUM INTO ?", (str(path),))
    assert content(path) == content(tmp_path / "expected.db")
    assert os.listdir(tmp_path).count("backup.db") == 1
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_it_can_be_restored(filled: Connection, path: Path) -> None:
    filled.execute("VACUUM INTO :file", {"file": str(path)})
    stock = sqlite3.connect(path)
    stock.execute("INSERT INTO parent (name) VALUES ('next')")
    assert stock.execute("SELECT max(id) FROM parent").fetchone() == (41,)
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: parent\.name"):
        stock.execute("INSERT INTO parent (name) VALUES ('NEXT')")
    stock.close()


def test_ids_that_were_used_are_not_used_again(filled: Connection, path: Path) -> None:
    filled.execute("INSERT INTO parent (id, name) VALUES (500, 'gone')")
    filled.commit()
    filled.execute("DELETE FROM parent WHERE id = 500")
    filled.execute("CREATE TABLE unused (id INTEGER PRIMARY KEY AUTOINCREMENT)")
    filled.commit()
    filled.execute("VACUUM INTO ?", (str(path),))
    stock = sqlite3.connect(path)
    assert stock.execute("SELECT name, seq >= 500 FROM sqlite_sequence").fetchall() == [("parent", 1)]
    stock.execute("INSERT INTO parent (name) VALUES ('next')")
    assert stock.execute("SELECT max(id) > 500 FROM parent").fetchone() == (1,)
    stock.close()


@pytest.mark.parametrize("expression", ["'{}' || '.db'", "main INTO '{}.db'", "('{}' || '.db');"])
def test_the_name_is_an_expression(filled: Connection, tmp_path: Path, expression: str) -> None:
    text = expression.format(tmp_path / "e")
    filled.execute(f"VACUUM {text}" if "INTO" in text else f"VACUUM INTO {text}")
    assert content(tmp_path / "e.db")["parent"] == [(1, 1, "One"), (40, 40, "Forty")]


@pytest.mark.parametrize(
    ("into", "words"),
    [
        ("NULL", "non-text filename"),
        ("5", "non-text filename"),
        ("nosuch", "no such column: nosuch"),
        ("'/no such directory/x.db'", "unable to open database: /no such directory/x.db"),
        ("''", "would write no file"),
    ],
)
def test_a_name_that_is_none(filled: Connection, into: str, words: str) -> None:
    with pytest.raises(OperationalError, match=words):
        filled.execute(f"VACUUM INTO {into}")


def test_what_names_another_database(filled: Connection, path: Path) -> None:
    with pytest.raises(OperationalError, match="unknown database nosuch"):
        filled.execute("VACUUM nosuch")
    with pytest.raises(NotSupportedError, match="VACUUM temp INTO is not supported"):
        filled.execute("VACUUM temp INTO ?", (str(path),))
    with pytest.raises(NotSupportedError, match="no table is asked for"):
        filled.execute("VACUUM INTO (SELECT name FROM sqlite_master)")
    assert not path.exists()


def test_a_file_that_is_there_is_kept(filled: Connection, path: Path) -> None:
    path.write_bytes(b"")
    filled.execute("VACUUM INTO ?", (str(path),))
    before = path.read_bytes()
    filled.execute("DELETE FROM child")
    filled.commit()
    with pytest.raises(OperationalError, match="output file already exists"):
        filled.execute("VACUUM INTO ?", (str(path),))
    assert path.read_bytes() == before


@pytest.mark.parametrize("before", ["BEGIN", "SAVEPOINT s", "DELETE FROM child", "CREATE TABLE more (a)"])
def test_not_within_a_transaction(filled: Connection, path: Path, before: str) -> None:
    filled.execute(before)
    with pytest.raises(OperationalError, match="cannot VACUUM from within a transaction"):
        filled.execute("VACUUM INTO ?", (str(path),))
    filled.commit()
    filled.execute("VACUUM INTO ?", (str(path),))
    assert path.exists()


def test_it_is_of_what_is_committed_now(filled: Connection, path: Path, connect: Connect) -> None:
    other = connect()
    assert filled.execute("SELECT count(*) FROM child").fetchone() == (3,)
    other.execute("DELETE FROM child WHERE code = 'm'")
    other.commit()
    filled.execute("VACUUM INTO ?", (str(path),))
    assert content(path)["child"] == [(1, "z", 1, 0.5), (2, "a", 40, 2.0)]


def test_a_backup_that_fails_leaves_no_file(filled: Connection, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise ConflictError("the snapshot is gone")

    monkeypatch.setattr("rome.transaction.transaction.Transaction.chunks", lost)
    with pytest.raises(ConflictError):
        filled.execute("VACUUM INTO ?", (str(path),))
    assert not [name for name in os.listdir(path.parent) if name.startswith("backup")]
    monkeypatch.undo()
    filled.execute("VACUUM INTO ?", (str(path),))
    assert path.exists()


def test_an_index_that_calls_a_function_of_romes(connection: Connection, path: Path) -> None:
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.execute("CREATE INDEX t_a ON t (a REGEXP '^x', a)")
    connection.execute("INSERT INTO t VALUES ('xy'), ('yx')")
    connection.commit()
    connection.execute("VACUUM INTO ?", (str(path),))
    stock = sqlite3.connect(path)
    stock.create_function("regexp", 2, lambda pattern, text: int(text.startswith(pattern[1:])), deterministic=True)
    assert stock.execute("SELECT a FROM t WHERE (a REGEXP '^x') = 1").fetchall() == [("xy",)]
    stock.close()


def test_more_rows_than_a_working_set_holds(connect: Connect, path: Path) -> None:
    connection = connect(max_working_set="200000")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    for start in range(0, 4000, 500):
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(i, "x" * 200) for i in range(start, start + 500)])
        connection.commit()
    connection.execute("VACUUM INTO ?", (str(path),))
    stock = sqlite3.connect(path)
    assert stock.execute("SELECT count(*), sum(id) FROM t").fetchone() == (4000, 4000 * 3999 // 2)
    stock.close()
