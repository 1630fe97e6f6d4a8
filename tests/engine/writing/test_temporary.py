"""Temporary tables, views and indexes: as stock SQLite's, private to their connection, and never in the store."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rome.dbapi import Connection
from rome.engine.statement import schema
from rome.errors import (
    ConflictError,
    ForeignKeyViolation,
    NotSupportedError,
    OperationalError,
    UniqueViolation,
    WorkingSetFullError,
)
from tests.support.databases import Connect
from tests.support.differential import MiscountedError, Pair

STORED = [
    "CREATE TABLE s (id INTEGER PRIMARY KEY, k TEXT UNIQUE, n INT)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, s_id INT REFERENCES s)",
    "CREATE VIEW main_view AS SELECT id, k FROM s",
]

STATEMENTS = [
    "CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE)",
    "CREATE TEMPORARY TABLE IF NOT EXISTS t (a)",
    "CREATE TABLE temp.s (id INTEGER PRIMARY KEY, k TEXT)",
    "CREATE TEMP TABLE u AS SELECT k, n FROM main.s WHERE id > 1",
    "CREATE TABLE m AS SELECT id, k FROM t",
    "CREATE TEMP TABLE child (id INTEGER PRIMARY KEY, t_id INT REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TEMP VIEW v AS SELECT s.id, t.k FROM s JOIN t ON s.id = t.id",
    "CREATE UNIQUE INDEX ix ON t (k)",
    "CREATE UNIQUE INDEX temp.iy ON s (k)",
    "CREATE UNIQUE INDEX main.iz ON s (n)",
    "DROP TABLE t",
    "DROP TABLE temp.s",
    "DROP TABLE u",
    "DROP TABLE m",
    "DROP VIEW v",
    "DROP INDEX ix",
    "ALTER TABLE t ADD COLUMN x INT DEFAULT 5",
    "ALTER TABLE t RENAME TO t2",
    "ALTER TABLE t2 RENAME TO t",
    "ALTER TABLE main.c RENAME TO c2",
    "INSERT INTO t (id, k) VALUES (1, 'a'), (2, 'b')",
    "INSERT OR REPLACE INTO t (id, k) VALUES (3, 'b')",
    "INSERT OR FAIL INTO t (id, k) VALUES (7, 'q'), (8, 'a')",
    "INSERT OR ROLLBACK INTO t (id, k) VALUES (4, 'a')",
    "INSERT INTO t (id, k) VALUES (5, 'a') ON CONFLICT DO UPDATE SET k = excluded.k || id RETURNING *",
    "INSERT INTO t (id, k) SELECT id + 10, k FROM main.s WHERE id < 3",
    "INSERT INTO s (id, k) VALUES (1, 'own'), (9, 'nine')",
    "INSERT INTO main.s SELECT id + 20, k || '+', id + 20 FROM t",
    "INSERT INTO child VALUES (1, 1), (2, 99)",
    "DELETE FROM child WHERE t_id = 99",
    "INSERT INTO c VALUES (1, 1)",
    "UPDATE t SET k = (SELECT n FROM main.s WHERE main.s.id = t.id) WHERE id < 10",
    "UPDATE t SET k = main.s.k || '!' FROM main.s WHERE main.s.id = t.id",
    "UPDATE main.s SET n = n + 100 WHERE id IN (SELECT id FROM t)",
    "DELETE FROM t",
    "DELETE FROM t WHERE id IN (SELECT id FROM main.s WHERE k = 'a')",
    "DELETE FROM s WHERE id = 1",
    "SELECT * FROM t ORDER BY id",
    "SELECT * FROM s ORDER BY id",
    "SELECT * FROM s ORDER BY id DESC LIMIT 1",
    "SELECT * FROM main.s LEFT JOIN t USING (id) ORDER BY id LIMIT 2",
    "SELECT count(*), max(id) FROM s",
    "SELECT count(*), max(id) FROM main.s",
    "SELECT * FROM u",
    "SELECT * FROM m",
    "SELECT * FROM v ORDER BY 1, 2",
    "SELECT * FROM main_view ORDER BY 1",
    "SELECT * FROM main.s LEFT JOIN t USING (id) ORDER BY id",
    "SELECT * FROM main.s JOIN temp.s AS o ON o.id = main.s.id WHERE o.k = 'own'",
    "SELECT id FROM main.s WHERE id IN t ORDER BY id",
    "SELECT id FROM main.s WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.k = main.s.k) ORDER BY id",
    "SELECT type, name, tbl_name, sql FROM sqlite_temp_master ORDER BY name",
    "PRAGMA temp.table_info(t)",
    "SAVEPOINT p",
    "ROLLBACK TO p",
    "RELEASE p",
    "COMMIT",
    "ROLLBACK",
]


@settings(max_examples=400, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(STATEMENTS), min_size=5, max_size=30))
def test_temporary_tables_do_what_sqlites_do(statements: list[str]) -> None:
    with Pair(STORED, ids=True, tables={"main.s": "*"}) as pair, suppress(MiscountedError):
        pair.execute("INSERT INTO s VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
        pair.execute("COMMIT")
        pair.execute("CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE)")
        for statement in statements:
            pair.execute(statement)
        pair.check_tables()


ADD_ONE = "UPDATE s SET n = n + 1 WHERE id = 1"


@pytest.fixture
def one(connect: Connect) -> Connection:
    """A connection with a temporary table of one committed row, beside a stored one of two."""
    connection = connect()
    connection.executescript(";".join(STORED) + "; INSERT INTO s VALUES (1, 'a', 1), (2, 'b', 2)")
    connection.execute("CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, k TEXT)")
    connection.execute("INSERT INTO t VALUES (1, 'kept')")
    connection.commit()
    return connection


def rows(connection: Connection, sql: str) -> list[tuple[object, ...]]:
    return list(connection.execute(sql).fetchall())


class TestPrivacy:
    def test_another_connection_does_not_see_it(self, one: Connection, two: Connection) -> None:
        with pytest.raises(OperationalError, match="no such table: t"):
            two.execute("SELECT * FROM t")
        assert rows(two, "SELECT name FROM sqlite_temp_master") == []

    def test_nothing_of_it_goes_to_the_store(self, one: Connection) -> None:
        before = one.rome_stats
        one.execute("INSERT INTO t VALUES (2, 'more')")
        one.execute("UPDATE t SET k = upper(k)")
        assert rows(one, "SELECT k FROM t") == [("KEPT",), ("MORE",)]
        one.commit()
        after = one.rome_stats
        assert (after.commits, after.round_trips) == (before.commits, before.round_trips)

    def test_statement_on_a_hidden_table_is_not_another_connections(self, one: Connection, two: Connection) -> None:
        """Prepared statements are shared by all connections of one schema; this text means another table here."""
        assert rows(two, "SELECT k FROM s") == [("a",), ("b",)]
        one.execute("CREATE TEMP TABLE s (k)")
        assert rows(one, "SELECT k FROM s") == []
        assert rows(two, "SELECT k FROM s") == [("a",), ("b",)]


class TestEnds:
    def test_rollback_undoes_rows_and_schema(self, one: Connection) -> None:
        one.execute("DELETE FROM t")
        one.execute("CREATE TEMP TABLE gone (a)")
        one.rollback()
        assert rows(one, "SELECT * FROM t") == [(1, "kept")]
        assert rows(one, "SELECT name FROM sqlite_temp_master") == [("t",)]
        with pytest.raises(OperationalError, match="no such table: gone"):
            one.execute("INSERT INTO gone VALUES (1)")

    def test_commit_keeps_no_stored_row(self, one: Connection, two: Connection) -> None:
        """What the transaction read, and wrote, is read anew by the next one."""
        assert rows(one, "SELECT n FROM s") == [(1,), (2,)]
        one.execute("INSERT INTO t SELECT id + 10, k FROM s")
        one.execute(ADD_ONE)
        one.commit()
        two.execute(ADD_ONE)
        two.execute("DELETE FROM s WHERE id = 2")
        two.commit()
        assert rows(one, "SELECT n FROM s") == [(3,)]
        assert rows(one, "SELECT id FROM t") == [(1,), (11,), (12,)]

    def test_commit_together_with_a_change_of_the_stored_schema(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO t SELECT id + 10, k FROM s")
        one.execute("ALTER TABLE s ADD COLUMN x DEFAULT 5")
        one.execute("CREATE TABLE copy AS SELECT * FROM t")
        one.commit()
        assert rows(one, "SELECT id FROM t") == [(1,), (11,), (12,)]
        assert rows(two, "SELECT id, x FROM s") == [(1, 5), (2, 5)]
        assert rows(two, "SELECT id FROM copy") == [(1,), (11,), (12,)]

    def test_change_of_the_stored_schema_alone_leaves_it(self, one: Connection) -> None:
        one.execute("CREATE INDEX by_n ON s (n)")
        one.commit()
        assert rows(one, "SELECT * FROM t") == [(1, "kept")]

    def test_deferred_keys_of_stored_tables(self, connect: Connect) -> None:
        """SQLite's count of violations is wrong in a working set, here since it did not look when the parent came."""
        connection = connect()
        connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE child (up INT REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("INSERT INTO child VALUES (7)")
        connection.execute("CREATE TEMP TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ForeignKeyViolation):
            connection.commit()
        with connection.session.foreign_keys_off():
            connection.execute("INSERT INTO parent VALUES (7)")
        connection.commit()
        assert rows(connection, "SELECT * FROM t") == [(1,)]
        assert rows(connection, "SELECT * FROM child JOIN parent") == [(7, 7)]

    def test_autocommit_keeps_each_statement(self, one: Connection) -> None:
        one.isolation_level = "AUTOCOMMIT"
        one.execute("INSERT INTO t VALUES (2, 'b')")
        one.execute("BEGIN")
        one.execute("INSERT INTO t VALUES (3, 'c')")
        one.execute("ROLLBACK")
        with pytest.raises(UniqueViolation):
            one.execute("INSERT OR FAIL INTO t VALUES (4, 'd'), (1, 'e')")
        assert rows(one, "SELECT id FROM t") == [(1,), (2,), (4,)]


class TestConflicts:
    def test_replay_begins_with_the_content_from_before(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO t (k) VALUES ('once')")
        one.execute("CREATE TEMP TABLE more AS SELECT k FROM t")
        one.execute(ADD_ONE)
        two.execute(ADD_ONE)
        two.commit()
        one.commit()
        assert one.rome_stats.replays == 1
        assert rows(one, "SELECT k FROM more") == [("kept",), ("once",)]
        assert rows(one, "SELECT id, k FROM t") == [(1, "kept"), (2, "once")]

    def test_failed_transaction_leaves_the_content_from_before(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO t SELECT 10 + n, 'seen' FROM s WHERE id = 1 RETURNING id")
        one.execute("CREATE TEMP TABLE more (a)")
        one.execute(ADD_ONE)
        two.execute(ADD_ONE)
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()
        assert rows(one, "SELECT * FROM t") == [(1, "kept")]
        assert rows(one, "SELECT name FROM sqlite_temp_master") == [("t",)]

    def test_autocommit_that_runs_again(
        self, one: Connection, two: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The schema that it began with was old."""
        monkeypatch.setattr(schema, "newest", lambda incarnation: None)
        two.execute("DROP TABLE c")
        two.commit()
        one.isolation_level = "AUTOCOMMIT"
        one.execute("INSERT INTO t SELECT id + 10, k FROM s")
        assert rows(one, "SELECT id FROM t") == [(1,), (11,), (12,)]


class TestSchemaOfOthers:
    def test_known_when_the_transaction_begins(self, one: Connection, two: Connection) -> None:
        two.execute("CREATE TABLE fresh (a)")
        two.commit()
        assert rows(one, "SELECT * FROM t LEFT JOIN fresh") == [(1, "kept", None)]

    @pytest.mark.parametrize("first", ["INSERT INTO t VALUES (2, 'new')", "SAVEPOINT p", "SELECT * FROM t"])
    def test_met_in_the_middle_of_a_transaction(
        self, one: Connection, two: Connection, first: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if another process had made it: the error, or the first read, tells that the schema is old."""
        monkeypatch.setattr(schema, "newest", lambda incarnation: None)
        two.execute("CREATE TABLE fresh (a)")
        two.commit()
        one.execute(first)
        kept = [(1, "kept"), (2, "new")] if first.startswith("INSERT") else [(1, "kept")]
        assert rows(one, "SELECT t.* FROM t LEFT JOIN fresh ORDER BY id") == kept
        assert rows(one, "SELECT count(*) FROM s") == [(2,)]
        one.rollback()
        assert rows(one, "SELECT * FROM t") == [(1, "kept")]


class TestPlans:
    @pytest.mark.parametrize(
        ("sql", "plan"),
        [
            ("INSERT INTO t SELECT id, k FROM s WHERE id = 2", [("s", "key")]),
            ("INSERT INTO t VALUES (3, (SELECT k FROM s WHERE id = 2))", [("s", "key")]),
            ("UPDATE t SET k = s.k FROM s WHERE s.id = 2", [("s", "key")]),
            ("DELETE FROM t WHERE k IN (SELECT k FROM s WHERE id = 2)", [("s", "key")]),
            ("SELECT * FROM t JOIN s USING (id) WHERE s.id = 2", [("s", "whole table")]),
            ("SELECT * FROM t, s WHERE s.id = 2", [("s", "key")]),
            ("SELECT * FROM t, s WHERE s.id = t.id AND t.k = 'a'", [("s", "whole table")]),
            ("SELECT * FROM t", []),
        ],
    )
    def test_stored_table_beside_a_temporary_one(
        self, one: Connection, sql: str, plan: list[tuple[object, ...]]
    ) -> None:
        assert [row[1:3] for row in rows(one, f"EXPLAIN ROME {sql}") if row[1]] == plan

    def test_query_of_create_table_as_is_planned(self, one: Connection) -> None:
        before = one.rome_stats.rows
        one.execute("CREATE TEMP TABLE two AS SELECT * FROM s WHERE id = :id", {"id": 2})
        assert rows(one, "SELECT id, k FROM two") == [(2, "b")]
        assert one.rome_stats.rows == before + 1


def test_foreign_keys_of_temporary_tables(one: Connection) -> None:
    one.execute("CREATE TEMP TABLE child (t_id INT REFERENCES t ON DELETE CASCADE)")
    one.execute("INSERT INTO child VALUES (1)")
    with pytest.raises(ForeignKeyViolation):
        one.execute("INSERT INTO child VALUES (2)")
    one.execute("DELETE FROM t")
    assert rows(one, "SELECT * FROM child") == []


def test_deferred_key_of_a_temporary_table_is_checked_by_commit(one: Connection) -> None:
    one.execute("CREATE TEMP TABLE child (t_id INT REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    one.execute("INSERT INTO child VALUES (2)")
    with pytest.raises(ForeignKeyViolation, match="FOREIGN KEY constraint failed"):
        one.commit()
    one.execute("INSERT INTO t VALUES (2, 'parent')")
    one.commit()
    assert rows(one, "SELECT * FROM child") == [(2,)]


def test_unique_index_of_a_stored_table_that_is_hidden(one: Connection) -> None:
    one.execute("CREATE TEMP TABLE s (k)")
    one.execute("CREATE UNIQUE INDEX main.u ON s (n)")
    one.execute("INSERT INTO s VALUES (1), (1)")
    with pytest.raises(UniqueViolation, match=r"s\.n"):
        one.execute("INSERT INTO main.s VALUES (3, 'c', 2)")


@pytest.mark.parametrize("temporary", ["TEMP", ""])
def test_rows_of_create_table_as_constrain_no_later_ddl(one: Connection, temporary: str) -> None:
    """The mirror, on which DDL runs first, kept them, even after the application had deleted them."""
    one.execute(f"CREATE {temporary} TABLE x AS SELECT 1 AS a UNION ALL SELECT 1")
    one.execute("DELETE FROM x")
    one.execute("CREATE UNIQUE INDEX only ON x (a)")
    one.execute("ALTER TABLE x ADD COLUMN b NOT NULL")
    one.execute("INSERT INTO x VALUES (1, 2)")
    assert rows(one, "SELECT * FROM x") == [(1, 2)]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMP TABLE x AS SELECT name FROM sqlite_master",
        "INSERT INTO s (k) SELECT name FROM sqlite_master",
        "INSERT INTO t (k) SELECT name FROM sqlite_temp_master",
        "SELECT * FROM t, sqlite_master",
    ],
)
def test_schema_and_rows_in_one_statement_are_refused(one: Connection, sql: str) -> None:
    """INSERT was run on the mirror, and so lost."""
    with pytest.raises(NotSupportedError, match="schema"):
        one.execute(sql)
    assert rows(one, "SELECT k FROM s UNION ALL SELECT k FROM t") == [("a",), ("b",), ("kept",)]


def test_rewritten_stored_table_that_is_hidden(one: Connection) -> None:
    """Its indexes are made anew without naming their schema, and so went to the temporary table."""
    one.execute("CREATE TEMP TABLE s (k, n)")
    one.execute("CREATE UNIQUE INDEX main.u ON s (n)")
    one.execute("ALTER TABLE main.s ALTER COLUMN n SET NOT NULL")
    one.execute("INSERT INTO s VALUES (1, 1), (1, 1)")
    with pytest.raises(UniqueViolation, match=r"s\.n"):
        one.execute("INSERT INTO main.s VALUES (3, 'c', 2)")
    one.execute("ALTER TABLE s ADD COLUMN z")
    assert rows(one, "SELECT * FROM s") == [(1, 1, None), (1, 1, None)]


def test_large_stored_table_that_is_hidden_is_not_streamed(one: Connection, connect: Connect) -> None:
    """A stream takes the table's name in the temporary schema."""
    one.executemany("INSERT INTO s (n) VALUES (?)", [(n,) for n in range(3, 2_000)])
    one.commit()
    small = connect(max_working_set="100000")
    query = "SELECT count(DISTINCT n) FROM main.s WHERE n + 0 > 0"
    small.execute("CREATE TEMP TABLE s (n)")
    assert small.execute(query).fetchall() == one.execute(query).fetchall()
    with pytest.raises(WorkingSetFullError):
        small.execute("SELECT count(*) FROM main.s AS stored LEFT JOIN s ON s.n = stored.n")
    small.execute("CREATE TEMP TABLE beside (n)")
    small.execute("INSERT INTO beside VALUES (1), (2)")
    small.execute("DROP TABLE s")
    small.commit()
    assert rows(small, "SELECT count(*), sum(s.n) FROM s, beside WHERE s.n + 0 > beside.n") == [(3995, 3997996)]
