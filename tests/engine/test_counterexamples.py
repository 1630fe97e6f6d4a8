"""Counterexamples that the random histories of test_differential.py have found, each reduced as far as possible."""

from __future__ import annotations

import pytest

from rome.codec.values import SqlValue
from tests.support.differential import Operation, Pair


def test_changes_is_zero_after_a_statement_that_failed() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY)"], ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1)")
        assert pair.execute("INSERT INTO t VALUES (2), (1)").error is not None
        assert pair.execute("SELECT changes(), total_changes()").rows == [(0, 1)]


def test_changes_counts_what_or_fail_has_kept() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY)"], ids=True) as pair:
        pair.execute("INSERT OR FAIL INTO t VALUES (1), (2), (1)")
        assert pair.execute("SELECT changes(), total_changes()").rows == [(2, 2)]


@pytest.mark.parametrize(
    "ddl",
    [
        ["CREATE TABLE copy AS SELECT * FROM t"],
        ["CREATE UNIQUE INDEX i ON t (id)", "DROP INDEX i"],
        ["ALTER TABLE t ADD COLUMN a DEFAULT 3", "ALTER TABLE t DROP COLUMN a"],
        ["ALTER TABLE t RENAME TO u"],
        ["CREATE TEMP TABLE copy AS SELECT * FROM t"],
        ["SAVEPOINT s", "DROP TABLE t", "ROLLBACK TO s"],
    ],
)
def test_changes_are_not_moved_by_schema_changes(ddl: list[str]) -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY)"], ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1), (2), (3)")
        pair.execute("DELETE FROM t WHERE id > 1")
        for statement in ddl:
            pair.execute(statement)
            assert pair.execute("SELECT changes(), total_changes()").rows == [(2, 5)]


def test_total_changes_counts_what_foreign_key_actions_do() -> None:
    schema = [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent ON DELETE CASCADE)",
    ]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO parent VALUES (1)")
        pair.execute("INSERT INTO child VALUES (1, 1), (2, 1)")
        pair.execute("COMMIT")
        pair.execute("DELETE FROM parent")
        assert pair.execute("SELECT changes(), total_changes()").rows == [(1, 6)]


@pytest.mark.parametrize("target", ["", "(id)", "(n)"])
@pytest.mark.parametrize("condition", ["", " WHERE n > 3"])
def test_upsert_meets_an_unknown_row_before_a_known_one(target: str, condition: str) -> None:
    """Of rows from a SELECT nothing is known before; this one has a key of each of two rows."""
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, n INT UNIQUE)"], ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1, 2), (2, 4)")
        pair.execute("COMMIT")
        pair.execute("SELECT * FROM t WHERE id = 1")
        pair.execute(f"INSERT INTO t SELECT 2, 2 WHERE 1 ON CONFLICT {target} DO UPDATE SET n = 6{condition}")
        pair.check_tables()


def test_lastrowid_is_not_moved_by_the_ids_that_rome_hands_out() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY)"], ids=True) as pair:
        assert pair.execute("INSERT INTO t SELECT id FROM t").last_rowid == 0


def test_lastrowid_is_of_the_insert_that_a_foreign_key_refused() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, up INT REFERENCES t)"], ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1, 1)")
        pair.execute("INSERT INTO t VALUES (2, 3), (4, 5)")
        pair.execute("SELECT last_insert_rowid()")


def test_rows_kept_by_or_fail_get_ids_that_no_other_row_has() -> None:
    with Pair(["CREATE TABLE t (k TEXT PRIMARY KEY, n INT UNIQUE)"], ids=False) as pair:
        pair.execute("INSERT INTO t VALUES (NULL, NULL)")
        pair.execute("COMMIT")
        pair.execute("INSERT OR FAIL INTO t VALUES ('a', 1), ('b', 2), ('c', 1)")
        assert len(pair.execute("SELECT * FROM t").rows) == 3
        pair.check_tables()


def test_the_first_key_that_conflicts_is_named_also_if_another_was_read_already() -> None:
    with Pair(
        ["CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)", "CREATE TABLE s (id INTEGER PRIMARY KEY)"], ids=True
    ) as pair:
        pair.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
        pair.execute("INSERT INTO s VALUES (1)")
        pair.execute("COMMIT")
        pair.execute("SELECT * FROM t WHERE id = 2")
        assert pair.execute("INSERT INTO t SELECT id, 'y' FROM s").error == (
            "UniqueViolation: UNIQUE constraint failed: t.id"
        )
        assert pair.execute("INSERT INTO t SELECT id, 'y' FROM s WHERE true ON CONFLICT (id) DO NOTHING").error is None
        pair.execute("UPDATE OR FAIL t SET id = 1, u = 'x' WHERE id = 2")
        pair.check_tables()


def test_rows_with_generated_columns_have_guards_also_when_a_later_row_fails() -> None:
    schema = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b INT NOT NULL UNIQUE, v AS (b * 10))",
        "CREATE TABLE s (id INTEGER PRIMARY KEY, b INT)",
    ]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1, 5)")
        pair.execute("INSERT INTO s VALUES (1, 1), (2, 1), (3, NULL)")
        pair.execute("COMMIT")
        pair.execute("INSERT INTO t SELECT id, b FROM s WHERE id <> 2")
        pair.execute("INSERT INTO t SELECT id, b FROM s WHERE id < 3")
        pair.check_tables()


def test_or_rollback_names_the_first_key_that_conflicts() -> None:
    with Pair(
        ["CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)", "CREATE TABLE s (id INTEGER PRIMARY KEY)"], ids=True
    ) as pair:
        pair.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
        pair.execute("INSERT INTO s VALUES (1)")
        pair.execute("COMMIT")
        pair.execute("SELECT * FROM t WHERE id = 2")
        seen = pair.execute("WITH c AS (SELECT id FROM s) INSERT OR ROLLBACK INTO t SELECT id, 'y' FROM c")
        assert (seen.error, seen.in_transaction) == ("UniqueViolation: UNIQUE constraint failed: t.id", False)
        assert pair.execute("INSERT OR IGNORE INTO t VALUES (1, 'x')").last_rowid == 1
        pair.check_tables()


def test_a_row_that_loses_its_parent_does_not_make_up_for_one_that_never_had_it() -> None:
    schema = [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent)",
    ]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO parent VALUES (1), (2)")
        pair.execute("INSERT INTO child VALUES (1, NULL), (2, 1), (3, 1)")
        pair.execute("COMMIT")
        violation = "ForeignKeyViolation: FOREIGN KEY constraint failed"
        assert pair.execute("UPDATE child SET parent = CASE id WHEN 1 THEN 9 ELSE 2 END").error == violation
        pair.execute("ROLLBACK")
        assert pair.execute("REPLACE INTO child SELECT id, id + 8 FROM child WHERE id = 1 UNION VALUES (2, 2)").error
        pair.execute("ROLLBACK")
        assert pair.execute("UPDATE child SET parent = 2 WHERE id > 1").error is None
        pair.check_tables()


def test_foreign_key_set_to_what_it_was() -> None:
    schema = [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent)",
    ]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO parent VALUES (1)")
        pair.execute("INSERT INTO child VALUES (1, 1)")
        pair.execute("COMMIT")
        assert pair.execute("UPDATE child SET id = 1, parent = 1").error is None
        pair.check_tables()


PARENT = "CREATE TABLE p (id INTEGER PRIMARY KEY, c INTEGER, g INTEGER AS (c + 1) {} UNIQUE)"


@pytest.mark.parametrize("action", ["", "ON DELETE CASCADE", "DEFERRABLE INITIALLY DEFERRED"])
@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
@pytest.mark.parametrize(
    "child", ["k INTEGER REFERENCES p (g) {0}, a AS (k)", "a INTEGER, k INTEGER AS (a + 0) {1} REFERENCES p (g) {0}"]
)
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM p",
        "UPDATE p SET c = c + 5 WHERE id = 1",
        "INSERT OR REPLACE INTO p (id, c) VALUES (1, 50)",
        "INSERT INTO c (id, {0}) VALUES (9, 3)",
        "INSERT INTO c (id, {0}) VALUES (9, 77)",
        "UPDATE c SET {0} = 99 WHERE id = 1",
    ],
)
def test_foreign_keys_of_generated_columns(action: str, kind: str, child: str, sql: str) -> None:
    schema = [PARENT.format(kind), f"CREATE TABLE c (id INTEGER PRIMARY KEY, {child.format(action, kind)})"]
    own = "k" if child.startswith("k") else "a"
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO p (id, c) VALUES (1, 1), (2, 2)")
        pair.execute(f"INSERT INTO c (id, {own}) VALUES (1, 2)")
        pair.execute("COMMIT")
        pair.execute(sql.format(own))
        pair.check_tables()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t (id, c) VALUES (2, 0), (3, 1), (2, 1) ON CONFLICT DO UPDATE SET c = NULL",
        "INSERT INTO t (id, c) VALUES (2, 0), (2, 1) ON CONFLICT (id) DO UPDATE SET c = 1.5",
        "INSERT OR REPLACE INTO t (id, c) VALUES (2, 0), (2, 'x')",
        "INSERT OR REPLACE INTO t (id, c) SELECT 2, 0 UNION ALL SELECT 2, 'x'",
    ],
)
def test_unique_generated_column_of_a_row_that_is_written_twice(sql: str) -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, c, g AS (typeof(c)) VIRTUAL UNIQUE)"], ids=True) as pair:
        pair.execute("INSERT INTO t (id, c) VALUES (1, 1)")
        pair.execute("COMMIT")
        pair.execute(sql)
        pair.check_tables()


@pytest.mark.parametrize("other", [5, 6])
@pytest.mark.parametrize("value", [1, 2, 9, None])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (-3, 1, 0), ({id}, {value}, 0)",
        "INSERT INTO t SELECT * FROM (VALUES (-3, 1, 0), ({id}, {value}, 0))",
        "INSERT INTO t SELECT * FROM (VALUES (-3, 1, 0), (-2, 3, NULL), ({id}, {value}, 0))",
        "INSERT INTO t SELECT * FROM (VALUES (-3, 1, 0), (-2, 3, -1), ({id}, {value}, 0))",
        "INSERT INTO t VALUES ({id}, {value}, 0) ON CONFLICT (id) DO UPDATE SET n = 1",
        "INSERT OR IGNORE INTO t VALUES (-3, 1, 0), ({id}, {value}, 0)",
        "UPDATE t SET id = {id}, n = {value} WHERE id = 7",
        "UPDATE t SET id = id - 1, n = {value} WHERE n IN (8, 9)",
        "UPDATE t SET id = 13 - id, n = {value} WHERE n IN (8, 9)",
        "UPDATE t SET id = id - 2, n = {value} WHERE n IN (7, 8, 9)",
        "UPDATE t SET id = CASE id WHEN 7 THEN 20 ELSE {id} END, n = 17 - n WHERE n IN (8, 9)",
    ],
)
def test_a_row_that_a_constraint_leaves_out_may_break_another(statement: str, value: int | None, other: int) -> None:
    """What is in its way by a key that is looked at first need not be known when it is left out."""
    columns = "n INT UNIQUE ON CONFLICT IGNORE, m NOT NULL ON CONFLICT IGNORE CHECK (m >= 0)"
    with Pair([f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})"], ids=False) as pair:
        pair.execute("INSERT INTO t VALUES (5, 7, 0), (7, 8, 0), (8, 9, 0), (9, 2, 0)")
        pair.execute("COMMIT")
        pair.execute(statement.format(id=other, value="NULL" if value is None else value))
        pair.execute("SELECT * FROM t ORDER BY id")


def test_a_row_that_is_left_out_costs_no_scan() -> None:
    """Of a change of one row whose keys are free, or taken by unknown rows."""
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, n INT UNIQUE ON CONFLICT IGNORE)"], ids=True) as pair:
        pair.execute(f"INSERT INTO t VALUES {', '.join(f'({n}, {n})' for n in range(100))}")
        pair.execute("COMMIT")
        for statement in ("UPDATE t SET n = 1000 WHERE id = 7", "INSERT INTO t VALUES (200, 7)"):
            before = pair.rome.rome_stats.rows
            pair.execute(statement)
            assert pair.rome.rome_stats.rows - before <= 2
            pair.execute("COMMIT")


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM p WHERE n > 1",
        "DELETE FROM p WHERE n > 1 RETURNING k",
        "UPDATE p SET k = k + 10 WHERE n > 1",
        "DELETE FROM p WHERE k IN (2, 3)",
    ],
)
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_a_row_that_goes_does_not_make_up_for_one_that_is_left_without_its_parent(sql: str, action: str) -> None:
    """SQLite takes one off for a row that goes while its parent, here 1, is not known."""
    schema = [
        "CREATE TABLE p (k INT PRIMARY KEY, n INT)",
        "CREATE INDEX p_n ON p (n)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, "
        f"a INT REFERENCES p ON DELETE {action} ON UPDATE {action}, b INT REFERENCES p)",
    ]
    for rows in ("(1, 1, 2), (2, 3, 1)", "(1, 3, 1), (2, 1, 2)", "(1, 3, 1), (2, 1, 1)"):
        with Pair(schema, ids=True) as pair:
            pair.execute("INSERT INTO p VALUES (1, 0), (2, 2), (3, 2)")
            pair.execute(f"INSERT INTO c VALUES {rows}")
            pair.execute("COMMIT")
            pair.execute(sql)
            pair.check_tables()


def test_the_parent_of_one_row_that_goes_is_not_read() -> None:
    schema = [
        "CREATE TABLE p (k INT PRIMARY KEY)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p)",
        "CREATE TABLE d (id INTEGER PRIMARY KEY, c INT REFERENCES c)",
        "CREATE INDEX d_c ON d (c)",
    ]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO p VALUES (1)")
        pair.execute("INSERT INTO c VALUES (1, 1), (2, 1)")
        pair.execute("COMMIT")
        before = pair.rome.rome_stats.rows
        pair.execute("DELETE FROM c WHERE id = 1")
        assert pair.rome.rome_stats.rows - before == 1
        pair.check_tables()


def test_no_key_is_computed_of_a_row_that_a_partial_index_leaves_out() -> None:
    schema = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, k INT, e TEXT)",
        "CREATE UNIQUE INDEX i ON t (abs(n), k COLLATE NOCASE) WHERE k = 1 AND n > -5",
        "CREATE INDEX j ON t (json_extract(e, '$.a')) WHERE json_valid(e)",
    ]
    with Pair(schema, ids=True) as pair:
        for sql in (
            "INSERT INTO t VALUES (1, -9223372036854775808, 1, 'x'), (2, 2, 1, '{\"a\": 1}')",
            "INSERT INTO t VALUES (3, -2, 1, NULL)",
            "UPDATE t SET k = 1, n = -9223372036854775808",
            "UPDATE t SET n = abs(n) WHERE n > -5",
            "INSERT OR REPLACE INTO t VALUES (4, -2, 1, 'y')",
            "SELECT * FROM t",
        ):
            assert pair.execute(sql).error is None or "(3, -2" in sql
        pair.check_tables()


def test_changes_is_zero_after_a_change_that_query_only_refused() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY)"], ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1), (2)")
        pair.execute("COMMIT")
        pair.execute("PRAGMA query_only=ON")
        assert pair.execute("DELETE FROM t").error is not None
        pair.execute("PRAGMA query_only=OFF")
        assert pair.execute("SELECT changes(), total_changes()").rows == [(0, 2)]


@pytest.mark.parametrize(("column", "key"), [("NOCASE", "BINARY"), ("RTRIM", "BINARY"), ("BINARY", "NOCASE")])
def test_a_key_with_another_collation_than_its_column_finds_each_row_at_commit(column: str, key: str) -> None:
    schema = [f"CREATE TABLE t (k TEXT COLLATE {column}, n INT, PRIMARY KEY (k COLLATE {key})) WITHOUT ROWID"]
    with Pair(schema, ids=True) as pair:
        pair.execute("INSERT INTO t VALUES ('B', 1)")
        pair.execute("INSERT OR IGNORE INTO t VALUES ('b', 2)")
        pair.execute("INSERT OR IGNORE INTO t VALUES ('B ', 5)")
        pair.execute("INSERT INTO t VALUES ('c', 3)")
        pair.execute("COMMIT")
        pair.execute("UPDATE t SET k = 'C' WHERE k = 'c'")
        pair.execute("INSERT OR IGNORE INTO t VALUES ('b ', 4)")
        pair.execute("COMMIT")
        pair.execute("DELETE FROM t WHERE n = 1")
        pair.execute("COMMIT")
        pair.execute("SELECT * FROM t ORDER BY n")


@pytest.mark.parametrize("column", ["TEXT", "NUMERIC", "REAL"])
@pytest.mark.parametrize("value", ["4\0", "4.5\0x", "x\0", 77.2969202912201, 0.0009848551712, 0.1, 2.5])
def test_a_value_that_versions_of_sqlite_convert_differently_is_found_and_stored(column: str, value: SqlValue) -> None:
    """Version 3.54 reads numbers up to a NUL, and prints most numbers of 15 digits with 17."""
    statements = (
        "INSERT OR IGNORE INTO t VALUES (1, ?)",
        "INSERT OR IGNORE INTO t VALUES (2, 4)",
        "INSERT OR IGNORE INTO t VALUES (3, 4.5)",
        "COMMIT",
        "SELECT * FROM t WHERE v = ?",
        "COMMIT",
        "INSERT INTO t VALUES (9, ?)",
        "DELETE FROM t",
        "COMMIT",
        "INSERT INTO t VALUES (9, ?)",  # SQLite need not make it
        "SELECT * FROM t WHERE id = 9",
        "COMMIT",
        "SELECT * FROM t WHERE v = ?",
        "SELECT * FROM t WHERE id = 9",
        "COMMIT",
        "SELECT id FROM t WHERE +v = ?",
    )
    with Pair([f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {column} UNIQUE)"], ids=True) as pair:
        for sql in statements:
            pair.run(Operation(sql, (value,) if "?" in sql else ()))
        pair.check_tables()


def test_a_strict_table_looks_for_a_unique_key_before_it_looks_at_types() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL) STRICT"], ids=True) as pair:
        pair.execute("INSERT INTO t VALUES (1, 1.5)")
        pair.execute("COMMIT")
        assert pair.execute("INSERT INTO t VALUES (1, 'a'), (2, 2.5)").error == (
            "UniqueViolation: UNIQUE constraint failed: t.id"
        )
