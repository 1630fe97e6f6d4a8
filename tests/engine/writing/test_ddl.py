"""DDL: transactional, over filled tables, seen by other clients only once it is committed."""

from __future__ import annotations

from contextlib import closing

import alembic.operations
import alembic.runtime.migration
import pytest
import sqlalchemy as sa

import rome
from rome.dbapi import Connection
from rome.errors import (
    ConflictError,
    ForeignKeyViolation,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    UniqueViolation,
)
from rome.store.registry import store_class
from rome.store.spi import BEYOND, ORDER_INDEX, Scan, ScanResult
from tests.support.databases import Connect
from tests.support.differential import Pair


def names(connection: Connection) -> list[object]:
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()]


def columns(connection: Connection, table: str) -> list[object]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]


def rows(connection: Connection, sql: str) -> list[tuple[object, ...]]:
    return list(connection.execute(sql).fetchall())


def records(url: str, table_id: int) -> list[bytes]:
    """What the store holds of a table, byte for byte."""
    location, _ = rome.dbapi.url.parse_url(sa.make_url(url))
    with closing(store_class(location.scheme).open(location)) as store:
        [answer] = store.read(None, [Scan(table_id, ORDER_INDEX, b"", BEYOND)]).answers
        assert isinstance(answer, ScanResult)
        return [row.record for row in answer.rows]


@pytest.fixture
def filled(connect: Connect) -> Connection:
    """A connection to a database with a table t of three committed rows."""
    connection = connect()
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT)")
    connection.execute("INSERT INTO t VALUES (1, 'x', 10), (2, 'y', 20), (3, 'y', NULL)")
    connection.commit()
    return connection


class TestTransactions:
    def test_rollback_undoes_create(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.rollback()
        assert names(connection) == []
        with pytest.raises(OperationalError, match="no such table: t"):
            connection.execute("SELECT * FROM t")

    def test_rollback_undoes_drop(self, filled: Connection) -> None:
        filled.execute("DROP TABLE t")
        with pytest.raises(OperationalError, match="no such table: t"):
            filled.execute("SELECT * FROM t")
        filled.rollback()
        assert rows(filled, "SELECT id FROM t") == [(1,), (2,), (3,)]

    def test_drop_takes_the_indexes_along(self, filled: Connection) -> None:
        for number in range(8):
            filled.execute(f"CREATE INDEX t_{number} ON t (a, b, {'ab'[number % 2]})")
        filled.commit()
        filled.execute("DROP TABLE t")
        filled.execute("CREATE TABLE t (other)")
        assert columns(filled, "t") == ["other"]
        assert rows(filled, "SELECT * FROM t") == []
        filled.commit()
        assert names(filled) == ["t"]

    def test_rollback_undoes_alter(self, filled: Connection) -> None:
        filled.execute("UPDATE t SET b = 0")
        filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
        filled.execute("ALTER TABLE t RENAME COLUMN a TO z")
        filled.execute("ALTER TABLE t RENAME TO u")
        assert rows(filled, "SELECT * FROM u WHERE id = 1") == [(1, "x", 0, 7)]
        filled.rollback()
        assert columns(filled, "t") == ["id", "a", "b"]
        assert rows(filled, "SELECT * FROM t WHERE id = 1") == [(1, "x", 10)]

    def test_rollback_to_undoes_ddl_after_the_savepoint_only(self, filled: Connection) -> None:
        filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
        filled.execute("SAVEPOINT s")
        filled.execute("ALTER TABLE t ADD COLUMN d DEFAULT 8")
        filled.execute("CREATE TABLE u (a)")
        filled.execute("INSERT INTO t (id, d) VALUES (4, 9)")
        filled.execute("ROLLBACK TO s")
        assert columns(filled, "t") == ["id", "a", "b", "c"]
        assert rows(filled, "SELECT * FROM t") == [(1, "x", 10, 7), (2, "y", 20, 7), (3, "y", None, 7)]
        filled.execute("INSERT INTO t VALUES (4, 'z', 40, 0)")
        filled.commit()
        assert names(filled) == ["t"]
        assert rows(filled, "SELECT c FROM t WHERE id > 2") == [(7,), (0,)]

    def test_table_dropped_and_made_again_is_empty(self, filled: Connection, connect: Connect) -> None:
        filled.execute("DROP TABLE t")
        filled.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, new)")
        filled.execute("INSERT INTO t VALUES (1, 'new')")
        filled.commit()
        assert rows(connect(), "SELECT * FROM t") == [(1, "new")]

    def test_data_and_schema_are_committed_together(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        filled.execute("CREATE TABLE u (id INTEGER PRIMARY KEY)")
        filled.execute("INSERT INTO u VALUES (1)")
        filled.execute("DELETE FROM t WHERE id = 1")
        assert names(other) == ["t"]
        assert rows(other, "SELECT count(*) FROM t") == [(3,)]
        other.rollback()
        filled.commit()
        assert names(other) == ["t", "u"]
        assert rows(other, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)") == [(2, 1)]

    def test_statement_that_fails_leaves_rows_and_schema(self, filled: Connection) -> None:
        with pytest.raises(UniqueViolation, match=r"UNIQUE constraint failed: t\.a"):
            filled.execute("CREATE UNIQUE INDEX t_a ON t (a)")
        assert rows(filled, "SELECT id FROM t") == [(1,), (2,), (3,)]
        filled.execute("UPDATE t SET a = 'z' WHERE id = 3")
        filled.execute("CREATE UNIQUE INDEX t_a ON t (a)")
        filled.commit()
        with pytest.raises(UniqueViolation, match=r"UNIQUE constraint failed: t\.a"):
            filled.execute("INSERT INTO t VALUES (4, 'z', 0)")

    def test_if_exists_and_if_not_exists_change_nothing(self, filled: Connection) -> None:
        filled.execute("CREATE TABLE IF NOT EXISTS t (other)")
        filled.execute("CREATE TABLE IF NOT EXISTS t AS SELECT x FROM nowhere")
        filled.execute("DROP TABLE IF EXISTS u")
        filled.execute("DROP VIEW IF EXISTS v")
        filled.execute("CREATE INDEX t_b ON t (b)")
        filled.execute("CREATE INDEX IF NOT EXISTS t_b ON t (a)")
        filled.commit()
        assert columns(filled, "t") == ["id", "a", "b"]

    def test_read_only_transaction_after_ddl_of_its_own_costs_what_it_reads(self, filled: Connection) -> None:
        before = filled.rome_stats.round_trips
        filled.execute("SELECT * FROM t WHERE id = 1")
        filled.commit()
        assert filled.rome_stats.round_trips == before + 1


class TestColumns:
    def test_added_column_has_its_default_in_old_rows_whose_bytes_stay(self, filled: Connection, url: str) -> None:
        before = records(url, 1)
        assert len(before) == 3
        filled.execute("ALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT '7'")
        filled.execute("ALTER TABLE t ADD COLUMN d")
        filled.commit()
        assert records(url, 1) == before
        assert rows(filled, "SELECT id, c, typeof(c), d FROM t WHERE id < 3") == [
            (1, 7, "integer", None),
            (2, 7, "integer", None),
        ]
        filled.execute("UPDATE t SET d = c + 1 WHERE id = 2")
        filled.commit()
        assert rows(filled, "SELECT c, d FROM t") == [(7, None), (7, 8), (7, None)]
        assert [record for record in records(url, 1) if record in before] == [before[0], before[2]]

    def test_dropped_column_does_not_come_back_under_its_name(self, filled: Connection, connect: Connect) -> None:
        filled.execute("ALTER TABLE t DROP COLUMN a")
        filled.execute("ALTER TABLE t ADD COLUMN a TEXT DEFAULT 'new'")
        filled.execute("INSERT INTO t (id) VALUES (4)")
        filled.commit()
        assert rows(connect(), "SELECT * FROM t WHERE id > 1") == [
            (2, 20, "new"),
            (3, None, "new"),
            (4, None, "new"),
        ]

    def test_renamed_column_keeps_its_values(self, filled: Connection, connect: Connect) -> None:
        filled.execute("CREATE INDEX t_b ON t (b)")
        filled.execute("CREATE VIEW v AS SELECT b FROM t")
        filled.execute("ALTER TABLE t RENAME COLUMN b TO c")
        filled.commit()
        other = connect()
        assert rows(other, "SELECT c FROM t WHERE c = 20") == [(20,)]
        assert rows(other, "SELECT count(*) FROM v") == [(3,)]

    def test_added_column_with_a_check_is_tested_on_old_rows(self, filled: Connection) -> None:
        with pytest.raises(OperationalError, match="CHECK constraint failed"):  # the class that sqlite3 raises
            filled.execute("ALTER TABLE t ADD COLUMN c INT DEFAULT 0 CHECK (c > 0)")
        assert rows(filled, "SELECT count(*) FROM t") == [(3,)]

    def test_added_generated_column_is_computed_for_old_rows(self, filled: Connection, connect: Connect) -> None:
        filled.execute("ALTER TABLE t ADD COLUMN c AS (b * 2)")
        filled.commit()
        assert rows(connect(), "SELECT c FROM t WHERE c IS NOT NULL") == [(20,), (40,)]

    def test_renamed_table_keeps_rows_indexes_and_references(self, filled: Connection, connect: Connect) -> None:
        filled.execute("CREATE UNIQUE INDEX t_b ON t (b)")
        filled.execute("CREATE TABLE child (t INT REFERENCES t (id) ON DELETE CASCADE)")
        filled.execute("INSERT INTO child VALUES (1), (2)")
        filled.execute("ALTER TABLE t RENAME TO u")
        filled.commit()
        other = connect()
        with pytest.raises(UniqueViolation, match=r"u\.b"):
            other.execute("INSERT INTO u VALUES (9, '', 10)")
        other.execute("DELETE FROM u WHERE id = 1")
        assert rows(other, "SELECT t FROM child") == [(2,)]
        other.commit()
        assert rows(filled, "SELECT t FROM child") == [(2,)]


class TestIndexes:
    @pytest.mark.parametrize(
        "index",
        [
            "INDEX i ON t (b)",
            "INDEX i ON t (a, b DESC)",
            "INDEX i ON t (a COLLATE NOCASE)",
            "INDEX i ON t (b) WHERE a = 'y'",
            "INDEX i ON t (lower(a))",
            "UNIQUE INDEX i ON t (b)",
            "UNIQUE INDEX i ON t (a, id)",
            "UNIQUE INDEX i ON t (a) WHERE b > 10",
            "UNIQUE INDEX i ON t (a || id)",
        ],
    )
    def test_index_on_a_filled_table_answers_as_before(self, filled: Connection, connect: Connect, index: str) -> None:
        questions = [
            "SELECT id FROM t WHERE b = 20",
            "SELECT id FROM t WHERE b > 5 ORDER BY id",
            "SELECT id FROM t WHERE a = 'y' AND b IS NULL",
            "SELECT id FROM t WHERE a COLLATE NOCASE = 'Y' ORDER BY id",
            "SELECT id FROM t WHERE lower(a) = 'x'",
        ]
        before = [rows(filled, question) for question in questions]
        filled.execute(f"CREATE {index}")
        assert [rows(filled, question) for question in questions] == before
        filled.commit()
        assert [rows(connect(), question) for question in questions] == before
        filled.execute("DROP INDEX i")
        filled.commit()
        assert [rows(connect(), question) for question in questions] == before

    def test_rows_changed_before_the_index_is_made_are_in_it(self, filled: Connection, connect: Connect) -> None:
        filled.execute("UPDATE t SET b = 5 WHERE id = 1")
        filled.execute("DELETE FROM t WHERE id = 2")
        filled.execute("INSERT INTO t VALUES (4, 'z', 40)")
        filled.execute("CREATE INDEX t_b ON t (b)")
        filled.execute("UPDATE t SET b = 6 WHERE id = 4")
        filled.commit()
        other = connect()
        found = {b: rows(other, f"SELECT id FROM t WHERE b = {b}") for b in (5, 6, 10, 20, 40)}
        assert found == {5: [(1,)], 6: [(4,)], 10: [], 20: [], 40: []}

    @pytest.mark.parametrize(
        ("index", "error"),
        [
            ("UNIQUE INDEX i ON t (a) WHERE id > 1", r"UNIQUE constraint failed: t\.a"),
            ("UNIQUE INDEX i ON t (upper(a))", "UNIQUE constraint failed: index 'i'"),
        ],
    )
    def test_unique_index_that_the_rows_violate(self, filled: Connection, index: str, error: str) -> None:
        with pytest.raises(UniqueViolation, match=error):
            filled.execute(f"CREATE {index}")
        assert rows(filled, "SELECT count(*) FROM t") == [(3,)]

    @pytest.mark.parametrize(
        "index", ["UNIQUE INDEX i ON t (a) WHERE b = 10", "UNIQUE INDEX i ON t (upper(a)) WHERE b = 10"]
    )
    def test_partial_unique_index_is_enforced_later(self, filled: Connection, connect: Connect, index: str) -> None:
        filled.execute(f"CREATE {index}")
        filled.commit()
        other = connect()
        with pytest.raises(UniqueViolation):
            other.execute("UPDATE t SET a = 'x', b = 10 WHERE id = 3")
        other.execute("UPDATE t SET a = 'x' WHERE id = 3")
        other.commit()

    def test_unique_index_and_a_violating_row_of_another_client(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        other.execute("INSERT INTO t VALUES (4, 'q', 10)")
        filled.execute("CREATE UNIQUE INDEX t_b ON t (b)")
        filled.commit()
        with pytest.raises(UniqueViolation):
            other.commit()
        with pytest.raises(UniqueViolation):
            other.execute("INSERT INTO t VALUES (4, 'q', 10)")

    def test_unique_index_conflicts_with_a_row_committed_meanwhile(self, filled: Connection, connect: Connect) -> None:
        filled.execute("CREATE UNIQUE INDEX t_b ON t (b)")
        other = connect()
        other.execute("INSERT INTO t VALUES (4, 'q', 10)")
        other.commit()
        with pytest.raises(ConflictError):
            filled.commit()

    def test_plain_index_has_the_row_committed_meanwhile_or_is_not_made(
        self, filled: Connection, connect: Connect
    ) -> None:
        filled.execute("CREATE INDEX t_b ON t (b)")
        other = connect()
        other.execute("INSERT INTO t VALUES (4, 'q', 77)")
        other.commit()
        with pytest.raises(ConflictError):
            filled.commit()
        assert rows(filled, "SELECT id FROM t WHERE b = 77") == [(4,)]


class TestTwoClients:
    def test_stale_reader_sees_the_new_schema(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        assert rows(other, "SELECT * FROM t WHERE id = 1") == [(1, "x", 10)]
        other.commit()
        filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
        filled.commit()
        assert rows(other, "SELECT * FROM t WHERE id = 1") == [(1, "x", 10, 7)]

    def test_table_made_by_another_client_is_found(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        assert rows(other, "SELECT count(*) FROM t") == [(3,)]
        other.commit()
        filled.execute("CREATE TABLE u (a)")
        filled.commit()
        assert rows(other, "SELECT * FROM u") == []
        filled.execute("DROP TABLE t")
        filled.commit()
        other.rollback()
        with pytest.raises(OperationalError, match="no such table: t"):
            other.execute("INSERT INTO t VALUES (5, '', 0)")

    def test_reader_in_the_middle_of_a_transaction_never_mixes_schemas(
        self, filled: Connection, connect: Connect
    ) -> None:
        other = connect(max_replays=0)
        assert rows(other, "SELECT a FROM t WHERE id = 1") == [("x",)]
        filled.execute("ALTER TABLE t DROP COLUMN a")
        filled.commit()
        with pytest.raises(ConflictError):
            other.execute("SELECT a FROM t WHERE id = 2")
        other.rollback()
        with pytest.raises(OperationalError, match="no such column: a"):
            other.execute("SELECT a FROM t WHERE id = 2")

    def test_writer_with_the_old_schema_is_refused(self, filled: Connection, connect: Connect) -> None:
        other = connect(max_replays=0)
        other.execute("INSERT INTO t VALUES (4, 'z', 40)")
        filled.execute("CREATE INDEX t_b ON t (b)")
        filled.commit()
        with pytest.raises(ConflictError):
            other.commit()
        other.execute("INSERT INTO t VALUES (4, 'z', 40)")
        other.commit()
        assert rows(filled, "SELECT id FROM t WHERE b = 40") == [(4,)]

    def test_writer_with_the_old_schema_is_replayed_on_the_new_one(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        other.execute("INSERT INTO t VALUES (4, 'z', 40)")
        filled.execute("CREATE INDEX t_b ON t (b)")
        filled.commit()
        other.commit()
        assert rows(filled, "SELECT id FROM t WHERE b = 40") == [(4,)]
        assert other.rome_stats.replays == 1

    def test_blind_writer_with_the_old_schema(self, connect: Connect) -> None:
        one, other = connect(), connect(max_replays=0)
        one.execute("CREATE TABLE log (line)")
        one.commit()
        other.execute("INSERT INTO log VALUES ('a')")  # brings a block of ids, so that the next needs no read
        other.commit()
        one.execute("CREATE INDEX log_line ON log (line)")
        one.commit()
        try:
            other.execute("INSERT INTO log VALUES ('b')")
            other.commit()
        except ConflictError:
            other.rollback()
            other.execute("INSERT INTO log VALUES ('b')")
            other.commit()
        assert rows(one, "SELECT line FROM log WHERE line = 'b'") == [("b",)]

    def test_blind_writer_that_heard_of_a_newer_version_by_a_conflict(self, connect: Connect) -> None:
        one, other = connect(), connect(max_replays=0)
        one.execute("CREATE TABLE log (line)")
        one.execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, n)")
        one.execute("INSERT INTO counter VALUES (1, 0)")
        one.commit()
        other.execute("INSERT INTO log VALUES ('a')")
        other.commit()
        other.execute("UPDATE counter SET n = n + 1")
        one.execute("CREATE INDEX log_line ON log (line)")
        one.execute("UPDATE counter SET n = 10")
        one.commit()
        with pytest.raises(ConflictError):
            other.commit()
        try:
            other.execute("INSERT INTO log VALUES ('b')")
            other.commit()
        except ConflictError:
            other.execute("INSERT INTO log VALUES ('b')")
            other.commit()
        assert rows(one, "SELECT line FROM log WHERE line = 'b'") == [("b",)]

    @pytest.mark.parametrize("max_replays", [0, 5])
    def test_savepoint_before_the_first_read_after_ddl(
        self, filled: Connection, connect: Connect, max_replays: int
    ) -> None:
        other = connect(max_replays=max_replays)
        other.execute("SELECT 1 FROM t")
        other.commit()
        filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
        filled.commit()
        other.execute("SAVEPOINT s")
        assert rows(other, "SELECT c FROM t WHERE id = 1") == [(7,)]
        other.execute("INSERT INTO t (id) VALUES (9)")
        other.execute("ROLLBACK TO s")
        assert rows(other, "SELECT count(*) FROM t") == [(3,)]
        other.execute("RELEASE s")

    def test_both_clients_change_the_schema(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        filled.execute("CREATE TABLE one (a)")
        other.execute("CREATE TABLE two (a)")
        filled.commit()
        with pytest.raises(ConflictError):
            other.commit()
        other.execute("CREATE TABLE two (a)")
        other.commit()
        assert names(filled) == ["one", "t", "two"]

    def test_drop_conflicts_with_a_row_written_meanwhile(self, filled: Connection, connect: Connect) -> None:
        other = connect(max_replays=0)
        other.execute("UPDATE t SET b = 0 WHERE id = 1")
        filled.execute("DROP TABLE t")
        filled.commit()
        with pytest.raises(ConflictError):
            other.commit()


class TestForeignKeys:
    SCHEMA = (
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE restricts (id INTEGER PRIMARY KEY, p INT REFERENCES parent)",
        "CREATE TABLE cascades (id INTEGER PRIMARY KEY, p INT REFERENCES parent ON DELETE CASCADE)",
    )

    def fill(self, connection: Connection, *more: str) -> None:
        for statement in (*self.SCHEMA, "INSERT INTO parent VALUES (1), (2)", *more):
            connection.execute(statement)
        connection.commit()

    def test_drop_of_a_referenced_table_is_refused(self, connection: Connection) -> None:
        self.fill(connection, "INSERT INTO restricts VALUES (1, 1)")
        with pytest.raises(ForeignKeyViolation, match="FOREIGN KEY constraint failed"):
            connection.execute("DROP TABLE parent")
        assert rows(connection, "SELECT * FROM parent") == [(1,), (2,)]
        connection.execute("DROP TABLE restricts")
        connection.execute("DROP TABLE parent")
        connection.commit()
        assert names(connection) == ["cascades"]

    def test_drop_cascades(self, connection: Connection, connect: Connect) -> None:
        self.fill(connection, "INSERT INTO cascades VALUES (1, 1), (2, NULL)")
        connection.execute("DROP TABLE parent")
        connection.commit()
        assert rows(connect(), "SELECT * FROM cascades") == [(2, None)]

    def test_drop_of_a_child_frees_the_parent(self, connection: Connection) -> None:
        self.fill(connection, "INSERT INTO restricts VALUES (1, 1)")
        connection.execute("DROP TABLE restricts")
        connection.execute("DELETE FROM parent")
        connection.commit()
        assert rows(connection, "SELECT * FROM parent") == []


class TestViewsAndCopies:
    def test_view_over_a_view(self, filled: Connection, connect: Connect) -> None:
        filled.execute("CREATE VIEW v AS SELECT id, b FROM t WHERE b IS NOT NULL")
        filled.execute("CREATE VIEW w (n) AS SELECT id FROM v WHERE b > 10")
        filled.commit()
        other = connect()
        assert rows(other, "SELECT n FROM w") == [(2,)]
        other.execute("DROP VIEW w")
        other.execute("DROP VIEW v")
        other.commit()
        assert names(filled) == ["t"]

    def test_create_table_as_select(self, filled: Connection, connect: Connect) -> None:
        filled.execute("CREATE TABLE copy AS SELECT id, upper(a) AS a FROM t WHERE b > 0")
        assert rows(filled, "SELECT * FROM copy") == [(1, "X"), (2, "Y")]
        filled.commit()
        connect().execute("SELECT 1")
        assert rows(filled, "SELECT * FROM copy") == [(1, "X"), (2, "Y")]
        filled.commit()
        other = connect()
        other.execute("DELETE FROM copy WHERE id = 1")
        other.commit()
        assert rows(filled, "SELECT * FROM copy") == [(2, "Y")]
        filled.execute("INSERT INTO copy VALUES (3, 'Z')")
        filled.commit()
        assert rows(other, "SELECT * FROM copy") == [(2, "Y"), (3, "Z")]

    def test_create_table_as_select_of_constants(self, connection: Connection, connect: Connect) -> None:
        connection.execute("CREATE TABLE copy AS SELECT 1 AS a UNION ALL SELECT 2")
        connection.commit()
        assert rows(connection, "SELECT a FROM copy") == [(1,), (2,)]
        assert rows(connect(), "SELECT a FROM copy") == [(1,), (2,)]

    def test_alembic_batch_copy(self, filled: Connection, url: str, connect: Connect) -> None:
        filled.execute("CREATE INDEX t_b ON t (b)")
        filled.commit()
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            context = alembic.runtime.migration.MigrationContext.configure(connection)
            operations = alembic.operations.Operations(context)
            with operations.batch_alter_table("t") as batch:
                batch.alter_column("a", existing_type=sa.Text(), type_=sa.String(10), nullable=False)
                batch.add_column(sa.Column("c", sa.Integer(), server_default="5"))
                batch.create_unique_constraint("t_id_a", ["id", "a"])
        engine.dispose()
        other = connect()
        assert rows(other, "SELECT id, a, b, c FROM t") == [(1, "x", 10, 5), (2, "y", 20, 5), (3, "y", None, 5)]
        assert rows(other, "SELECT id FROM t WHERE b = 20") == [(2,)]
        with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: t\.a"):
            other.execute("INSERT INTO t (id) VALUES (9)")


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", "application"),
        ("CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END", "application"),
        ("CREATE VIRTUAL TABLE g USING fts5(a)", "would not be in the store"),
        ("ATTACH DATABASE 'x' AS x", "second connection"),
        ("DETACH DATABASE x", "ATTACH"),
    ],
)
def test_refused_statement_says_what_to_do(filled: Connection, sql: str, advice: str) -> None:
    with pytest.raises(NotSupportedError, match=advice):
        filled.execute(sql)
    assert rows(filled, "SELECT count(*) FROM t") == [(3,)]
    filled.commit()
    assert names(filled) == ["t"]


def test_same_ddl_and_data_as_stock_sqlite() -> None:
    with Pair(["CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT)"], ids=True) as pair:
        for sql in [
            "INSERT INTO t VALUES (1, 'x', 10), (2, 'y', 20)",
            "COMMIT",
            "ALTER TABLE t ADD COLUMN c REAL DEFAULT 1",
            "UPDATE t SET c = c + b WHERE id = 2",
            "ALTER TABLE t RENAME COLUMN b TO d",
            "SELECT * FROM t",
            "SAVEPOINT s",
            "ALTER TABLE t DROP COLUMN a",
            "SELECT * FROM t",
            "ROLLBACK TO s",
            "SELECT * FROM t WHERE a = 'y'",
            "CREATE UNIQUE INDEX t_d ON t (d)",
            "INSERT INTO t VALUES (3, 'z', 20, 0)",
            "INSERT OR REPLACE INTO t VALUES (3, 'z', 20, 0)",
            "ALTER TABLE t ADD COLUMN e NOT NULL",
            "SELECT * FROM t",
        ]:
            pair.execute(sql)
        pair.check_tables()


class TestConstraintsOnFilledTables:
    @pytest.mark.parametrize(
        "change", ["ALTER COLUMN b SET NOT NULL", "ADD CONSTRAINT big CHECK (b > 15)", "ADD CHECK (a < 'y')"]
    )
    def test_constraint_that_a_stored_row_violates_is_refused(self, filled: Connection, change: str) -> None:
        with pytest.raises(IntegrityError, match="constraint failed"):
            filled.execute(f"ALTER TABLE t {change}")
        filled.execute("INSERT INTO t VALUES (4, 'z', NULL)")
        filled.commit()
        assert rows(filled, "SELECT id, b FROM t ORDER BY id") == [(1, 10), (2, 20), (3, None), (4, None)]

    def test_constraint_that_holds_is_enforced_until_it_is_dropped(self, filled: Connection) -> None:
        filled.execute("ALTER TABLE t ADD CONSTRAINT positive CHECK (b > 0)")
        filled.execute("ALTER TABLE t ALTER COLUMN a SET NOT NULL")
        filled.commit()
        for wrong in ("(4, 'z', 0)", "(4, NULL, 1)"):
            with pytest.raises(IntegrityError):
                filled.execute(f"INSERT INTO t VALUES {wrong}")
        filled.execute("ALTER TABLE t DROP CONSTRAINT positive")
        filled.execute("ALTER TABLE t ALTER COLUMN a DROP NOT NULL")
        filled.execute("INSERT INTO t VALUES (4, NULL, 0)")
        filled.commit()
        assert rows(filled, "SELECT * FROM t WHERE id > 2") == [(3, "y", None), (4, None, 0)]
