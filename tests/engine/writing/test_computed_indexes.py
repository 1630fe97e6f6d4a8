"""Partial and expression indexes, and those over generated columns: their entries have keys that SQLite computes."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, UniqueViolation
from tests.support.databases import Connect
from tests.support.differential import Pair
from tests.support.stored_entries import check_entries

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT, g AS (b * 10))",
    "CREATE UNIQUE INDEX lowered ON t (lower(a))",
    "CREATE UNIQUE INDEX there ON t (b) WHERE a IS NOT NULL",
    "CREATE INDEX made ON t (g, a COLLATE NOCASE) WHERE b > 1",
]


@pytest.fixture
def filled(connection: Connection) -> Connection:
    for statement in SCHEMA:
        connection.execute(statement)
    connection.executemany("INSERT INTO t (id, a, b) VALUES (?, ?, ?)", [(i, f"Name-{i}", i) for i in range(1, 201)])
    connection.commit()
    return connection


def test_guards_read_the_row_in_the_way_and_no_others(filled: Connection) -> None:
    before = filled.rome_stats.rows
    with pytest.raises(UniqueViolation, match="index 'lowered'"):
        filled.execute("INSERT INTO t (id, a, b) VALUES (1000, 'NAME-7', 1000)")
    with pytest.raises(UniqueViolation, match=r"t\.b"):
        filled.execute("UPDATE t SET b = 8 WHERE id = 9")
    filled.execute("INSERT INTO t (id, a, b) VALUES (1001, NULL, 8)")
    assert filled.rome_stats.rows - before < 10


def test_entries_follow_the_rows(filled: Connection) -> None:
    filled.execute("UPDATE t SET a = NULL WHERE id BETWEEN 10 AND 20")
    filled.execute("UPDATE t SET b = -b WHERE id > 190")
    filled.execute("DELETE FROM t WHERE id % 3 = 0")
    filled.execute("REPLACE INTO t (id, a, b) VALUES (500, 'name-1', 500)")
    filled.commit()
    filled.execute("SELECT 1 FROM t")
    check_entries(filled)


def test_index_made_on_a_filled_table_has_its_entries(filled: Connection) -> None:
    filled.execute("INSERT INTO t (id, a, b) VALUES (300, 'late', 300)")
    filled.execute("CREATE INDEX late ON t (b % 7, substr(a, 6)) WHERE g > 100")
    filled.commit()
    filled.execute("SELECT 1 FROM t")
    check_entries(filled)


def test_renamed_column_keeps_the_index_right(filled: Connection) -> None:
    filled.execute("ALTER TABLE t RENAME COLUMN a TO renamed")
    filled.execute("INSERT INTO t (id, renamed, b) VALUES (300, 'late', 300)")
    filled.commit()
    with pytest.raises(UniqueViolation):
        filled.execute("INSERT INTO t (id, renamed) VALUES (301, 'LATE')")
    check_entries(filled)


def test_dropped_index_leaves_nothing(filled: Connection) -> None:
    for name in ("lowered", "there", "made"):
        filled.execute(f"DROP INDEX {name}")
    filled.commit()
    filled.execute("INSERT INTO t (id, a, b) VALUES (300, 'NAME-1', 1)")
    filled.commit()


def test_a_key_that_comes_meanwhile_is_a_conflict(filled: Connection, connect: Connect) -> None:
    other = connect(replay="off")
    other.execute("INSERT INTO t (id, a, b) VALUES (300, 'Mine', 300)")
    filled.execute("INSERT INTO t (id, a, b) VALUES (301, 'MINE', 301)")
    filled.commit()
    with pytest.raises(ConflictError):
        other.commit()


def test_a_row_from_before_a_check_is_found_in_the_index() -> None:
    schema = ["CREATE TABLE t (id INTEGER PRIMARY KEY, a INT CHECK (a <> 5))", "CREATE UNIQUE INDEX i ON t (-a)"]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
        pair.execute("COMMIT")
        pair.execute("UPDATE t SET a = a + 1")
        pair.execute("UPDATE t SET a = 5")
        pair.execute("INSERT INTO t VALUES (3, 3) ON CONFLICT DO NOTHING")
        pair.check_tables()
