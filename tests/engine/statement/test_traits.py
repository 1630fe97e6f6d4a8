"""A statement's traits, and words that only look like one: in a string, in quotes, in a comment."""

from __future__ import annotations

import pytest

from rome.engine.statement.prepared import prepare
from rome.engine.statement.traits import Traits
from rome.planner.parse.statement import classify
from tests.planner.schema_from_sqlite import make_catalog
from tests.support.databases import Connect

TABLES = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a, b)",
    "CREATE TABLE r (a, b)",
    "CREATE TABLE named (rowid /* ON CONFLICT REPLACE, ON CONFLICT ROLLBACK, changes() */, a)",
    "CREATE TABLE [replace] (id INTEGER PRIMARY KEY, [replace] DEFAULT 'ON CONFLICT REPLACE', "
    "a CHECK (a <> 'ON CONFLICT IGNORE'))",
    "CREATE TABLE replacing (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE)",
    "CREATE TABLE ignoring (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT IGNORE)",
    "CREATE TABLE ending (id INTEGER PRIMARY KEY, u UNIQUE on /* so */ conflict rollback)",
    "CREATE TABLE counting (id INTEGER PRIMARY KEY, n DEFAULT (last_insert_rowid()))",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, k TEXT UNIQUE, v)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, k TEXT REFERENCES parent (k), v)",
    "CREATE TABLE late (id INTEGER PRIMARY KEY, k TEXT REFERENCES parent (k) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE self (id INTEGER PRIMARY KEY, up INTEGER REFERENCES self, v)",
    "CREATE TABLE both (id INTEGER PRIMARY KEY, k INTEGER UNIQUE REFERENCES self, v)",
    "CREATE TABLE top (id INTEGER PRIMARY KEY)",
    "CREATE TABLE odd (id INTEGER PRIMARY KEY REFERENCES top ON DELETE CASCADE, v REFERENCES r (a))",
    "CREATE TABLE gen (id INTEGER PRIMARY KEY, a, g AS (a + 1) UNIQUE)",
    "CREATE TABLE without (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "CREATE TABLE partial (id INTEGER PRIMARY KEY, a, b)",
    "CREATE UNIQUE INDEX partial_a ON partial (a) WHERE b",
    "CREATE TABLE fires (id INTEGER PRIMARY KEY, a)",
    "CREATE VIEW counts AS SELECT changes() AS n",
    "CREATE VIEW other AS SELECT n FROM counts",
)


def traits(sql: str) -> Traits:
    mirror, catalog = make_catalog(TABLES)
    return prepare(classify(sql), catalog, mirror, frozenset(["fires"])).traits


@pytest.mark.parametrize(
    ("trait", "sql", "expected"),
    [
        # a conflict clause of the statement's own
        ("only_adds", "INSERT INTO t VALUES (1, 2, 3, 4)", True),
        ("only_adds", "INSERT OR REPLACE INTO t VALUES (1, 2, 3, 4)", False),
        ("only_adds", "insert or /* no */ replace into t values (1, 2, 3, 4)", False),
        ("only_adds", "REPLACE INTO t VALUES (1, 2, 3, 4)", False),
        ("only_adds", "WITH x AS (SELECT 1) REPLACE INTO t SELECT *, 2, 3, 4 FROM x", False),
        ("only_adds", "INSERT OR ABORT INTO t VALUES (1, 2, 3, 4)", True),
        ("only_adds", "INSERT INTO t VALUES (1, 'INSERT OR REPLACE INTO', 3, 4)", True),
        ("only_adds", "INSERT INTO t VALUES (1, replace('a', 'b', 'c'), 3, 4)", True),
        ("only_adds", "INSERT INTO t VALUES (1, 2, 3, 4) /* OR REPLACE */ -- REPLACE INTO", True),
        ("only_adds", 'INSERT INTO "replace" ("replace") VALUES (1)', True),
        ("only_adds", "INSERT INTO [replace] ([replace]) VALUES (1)", True),
        ("only_adds", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT DO UPDATE SET a = 1", False),
        # a constraint's
        ("only_adds", "INSERT INTO replacing VALUES (1, 2)", False),
        ("only_adds", "INSERT INTO named (a) VALUES (2)", True),
        ("leaves_out", "INSERT INTO ignoring VALUES (1, 2)", True),
        ("leaves_out", "UPDATE ignoring SET u = 1", True),
        ("leaves_out", "DELETE FROM ignoring", False),
        ("leaves_out", "INSERT OR FAIL INTO ignoring VALUES (1, 2)", False),
        ("leaves_out", "REPLACE INTO ignoring VALUES (1, 2)", False),
        ("leaves_out", 'INSERT INTO "replace" (a) VALUES (1)', False),
        ("may_end_transaction", "INSERT INTO ending VALUES (1, 2)", True),
        ("may_end_transaction", "INSERT OR ROLLBACK INTO t VALUES (1, 2, 3, 4)", True),
        ("may_end_transaction", "UPDATE OR ROLLBACK t SET a = 1", True),
        ("may_end_transaction", "INSERT INTO t VALUES (1, 'OR ROLLBACK', 3, 4)", False),
        ("may_end_transaction", "INSERT INTO named (a) VALUES (2)", False),
        ("ignores", "INSERT OR IGNORE INTO t VALUES (1, 2, 3, 4)", True),
        ("ignores", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT DO NOTHING", True),
        ("ignores", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT (id) DO UPDATE SET a = 1", False),
        ("ignores", "INSERT INTO t VALUES (1, 'IGNORE', 'NOTHING', 4)", False),
        ("upserts", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT (id) DO UPDATE SET a = 1", True),
        ("upserts", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT DO NOTHING", False),
        # batches
        ("in_batches", "INSERT INTO t VALUES (?, ?, ?, ?)", True),
        ("in_batches", "INSERT INTO t VALUES (?, ?, 'changes()', \"changes\")", False),  # an expression, as it seems
        ("in_batches", "UPDATE t SET a = replace(a, ?, ?)", True),
        ("in_batches", "UPDATE t SET a = 'changes()' WHERE id = ?", True),
        ("in_batches", "UPDATE t SET a = changes() WHERE id = ?", False),
        ("in_batches", 'UPDATE t SET a = "Changes" () WHERE id = ?', False),
        ("in_batches", "UPDATE t SET a = [total_changes]/**/() WHERE id = ?", False),
        ("in_batches", "UPDATE t SET a = (SELECT n FROM counts) WHERE id = ?", False),
        ("in_batches", 'UPDATE t SET a = (SELECT n FROM "OTHER") WHERE id = ?', False),
        ("in_batches", "UPDATE OR IGNORE t SET a = ?", False),
        ("in_batches", "REPLACE INTO t VALUES (?, ?, ?, ?)", False),
        ("in_batches", "INSERT INTO t VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", False),
        ("in_batches", "INSERT INTO counting (id) VALUES (?)", False),
        ("in_batches", "INSERT INTO replacing VALUES (?, ?)", False),
        ("in_batches", "INSERT INTO ending VALUES (?, ?)", False),
        ("in_batches", "INSERT INTO named (a) VALUES (?)", True),
        ("in_batches", "DELETE FROM t WHERE id = ?", True),
        # the rowid
        ("sets_rowid", "INSERT INTO r (rowid, a) VALUES (1, 2)", True),
        ("sets_rowid", 'INSERT INTO main.r AS x (a, "OID") VALUES (1, 2)', True),
        ("sets_rowid", "INSERT INTO r (a, [_rowid_]) SELECT 1, 2", True),
        ("sets_rowid", "INSERT INTO r (a) VALUES ('rowid')", False),
        ("sets_rowid", "INSERT INTO r SELECT rowid, a FROM named", False),
        ("sets_rowid", "INSERT INTO named (rowid, a) VALUES (1, 2)", False),
        ("sets_rowid", "INSERT INTO named (oid, a) VALUES (1, 2)", True),
        # foreign keys
        ("foreign_keys", "INSERT INTO child VALUES (1, 2, 3)", True),
        ("foreign_keys", "INSERT INTO parent VALUES (1, 2, 3)", True),  # a deferred key refers to it
        ("foreign_keys", "UPDATE parent SET v = 1", False),
        ("foreign_keys", "UPDATE parent SET k = 1", True),
        ("foreign_keys", "UPDATE child SET v = 'k'", False),
        ("foreign_keys", "DELETE FROM parent", True),
        ("foreign_keys", "DELETE FROM child", False),
        ("foreign_keys", "DELETE FROM self", True),
        ("foreign_keys", "DELETE FROM late", True),
        ("foreign_keys", "DELETE FROM odd", True),
        ("foreign_keys", "UPDATE t SET a = 1", False),
        ("rewrites_unseen", "REPLACE INTO gen (a) VALUES (1)", True),
        ("rewrites_unseen", "INSERT INTO gen (a) VALUES ('REPLACE')", False),
        # what nothing else has a say in
        ("unguarded", "UPDATE t SET a = b + 1, b = replace(b, 1, 2) WHERE u = ?", True),
        ("unguarded", "UPDATE t SET a = 1, u = 2 WHERE id = ?", False),
        ("unguarded", "UPDATE t SET id = 1 WHERE a = ?", False),
        ("unguarded", "UPDATE t SET rowid = 1 WHERE a = ?", False),
        ("unguarded", "UPDATE r SET oid = 1 WHERE a = ?", False),
        ("unguarded", "UPDATE OR IGNORE t SET a = 1", False),
        ("unguarded", "UPDATE ignoring SET id = 1", False),
        ("unguarded", "UPDATE gen SET a = 1", False),
        ("unguarded", "UPDATE partial SET b = 1", False),
        ("unguarded", "UPDATE fires SET a = 1", False),
        ("unguarded", "UPDATE parent SET v = 1", True),
        ("unguarded", "UPDATE parent SET k = 1", False),
        ("unguarded", "UPDATE without SET v = 1", True),
        ("unguarded", "UPDATE without SET k = 1", False),
        ("unguarded", "DELETE FROM t WHERE a = ?", True),
        ("unguarded", "DELETE FROM parent", False),
        ("unguarded", "INSERT INTO t VALUES (1, 2, 3, 4)", False),
        ("unguarded", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT DO UPDATE SET a = 1", False),
        # what only parents have a say in
        ("names_parents", "UPDATE child SET k = ? WHERE id = ?", True),
        ("names_parents", "UPDATE child SET v = ?", False),  # unguarded
        ("names_parents", "UPDATE child SET id = 5, k = ?", False),
        ("names_parents", "UPDATE OR IGNORE child SET k = ?", False),
        ("names_parents", "UPDATE late SET k = ?", False),
        ("names_parents", "UPDATE parent SET k = ?", False),
        ("names_parents", "UPDATE self SET up = ?", False),
        ("names_parents", "UPDATE both SET k = ?", False),
        ("names_parents", "UPDATE odd SET v = ?", False),
        ("names_parents", "DELETE FROM child", False),
        # what does nothing without a row
        ("needs_rows", "DELETE FROM child", True),
        ("needs_rows", "DELETE FROM self WHERE up IN (SELECT v FROM t)", True),
        ("needs_rows", "DELETE FROM parent", False),  # a deferred key refers to it
        ("needs_rows", "DELETE FROM top", False),  # a row that SQLite would delete with it refers to what is no key
        ("needs_rows", "DELETE FROM fires", False),
        ("needs_rows", "INSERT INTO t SELECT * FROM t", False),
        ("adds_plainly", "INSERT INTO t VALUES (?, ?, 3, NULL)", True),
        ("adds_plainly", "INSERT INTO child (k) VALUES (?)", True),
        ("adds_plainly", "INSERT INTO child (k) VALUES (lower(?))", False),
        ("adds_plainly", "INSERT INTO late (k) VALUES (?)", False),
        ("adds_plainly", "INSERT INTO t SELECT 1, 2, 3, 4", False),
        ("adds_plainly", "INSERT OR ABORT INTO t VALUES (1, 2, 3, 4)", True),
        ("adds_plainly", "INSERT OR FAIL INTO t VALUES (1, 2, 3, 4)", False),
        ("adds_plainly", "INSERT INTO t VALUES (1, 2, 3, 4) ON CONFLICT DO NOTHING", False),
        ("adds_plainly", "INSERT INTO t (a) VALUES (1) RETURNING id", True),
        ("adds_plainly", "INSERT INTO t (a) VALUES (1) RETURNING id + 1", False),
        ("adds_plainly", "INSERT INTO counting (id) VALUES (1)", False),
        ("adds_plainly", "INSERT INTO ignoring VALUES (1, 2)", False),
        ("adds_plainly", "INSERT INTO gen (a) VALUES (1)", False),
        ("adds_plainly", "INSERT INTO partial (a) VALUES (1)", False),
        ("adds_plainly", "INSERT INTO fires (a) VALUES (1)", False),
        ("adds_plainly", "UPDATE t SET a = 1", False),
    ],
)
def test_trait(trait: str, sql: str, expected: bool) -> None:
    assert getattr(traits(sql), trait) is expected


def test_query_has_none() -> None:
    assert traits("SELECT replace(a, 'ON CONFLICT', changes()) FROM t") == Traits()


def test_rowid_in_quotes_is_set(connect: Connect) -> None:
    """It is the rowid, as without quotes; it was given one from the store in silence."""
    with connect() as connection:
        connection.execute("CREATE TABLE r (a)")
        connection.execute('INSERT INTO r ("rowid", a) VALUES (77, 1)')
        assert connection.execute("SELECT rowid, a FROM r").fetchall() == [(77, 1)]
