"""ALTER TABLE beyond SQLite's, on filled tables: checked, transactional, and written no more than it must be."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from rome.errors import (
    ConflictError,
    ForeignKeyViolation,
    IntegrityError,
    NotNullViolation,
    NotSupportedError,
    OperationalError,
    UniqueViolation,
)
from tests.engine.writing.test_ddl import names, records, rows
from tests.support.databases import Connect

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE t (
    id INTEGER PRIMARY KEY,
    a TEXT CONSTRAINT a_given NOT NULL,  -- with a comment
    b INT DEFAULT 5,
    parent INT,
    CONSTRAINT t_a UNIQUE (a),
    CONSTRAINT t_ab UNIQUE (a, b),
    CHECK (b <> 99)
);
CREATE TABLE child (id INTEGER PRIMARY KEY, t INT REFERENCES t ON DELETE CASCADE);
CREATE INDEX t_b ON t (b);
CREATE VIEW v AS SELECT a, b FROM t;
INSERT INTO parent VALUES (1, 'p');
INSERT INTO t VALUES (1, 'x', 10, 1), (2, 'y', 20, NULL), (3, 'z', NULL, 7);
INSERT INTO child VALUES (1, 1), (2, 3)
"""
ROWS = [(1, "x", 10, 1), (2, "y", 20, None), (3, "z", None, 7)]


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(SCHEMA)
    return connection


def text(connection: Connection, name: str = "t") -> str:
    [found] = rows(connection, f"SELECT sql FROM sqlite_master WHERE name = '{name}'")
    return str(found[0])


def alter(connection: Connection, change: str) -> None:
    connection.execute(f"ALTER TABLE t {change}")
    connection.commit()


class TestRowsThatViolate:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ("ADD CONSTRAINT u UNIQUE (id, parent), ADD CHECK (1)", OperationalError, 'near ",": syntax error'),
            ("ADD CONSTRAINT big CHECK (b > 10)", IntegrityError, "CHECK constraint failed: big"),
            ("ADD CHECK (b > 10)", IntegrityError, "CHECK constraint failed: b > 10"),
            ("ADD CONSTRAINT f FOREIGN KEY (parent) REFERENCES parent", ForeignKeyViolation, "FOREIGN KEY constraint"),
            ("ADD FOREIGN KEY (parent) REFERENCES t (id)", ForeignKeyViolation, "FOREIGN KEY constraint failed"),
            ("ADD FOREIGN KEY (parent) REFERENCES nowhere (id)", ForeignKeyViolation, "FOREIGN KEY constraint failed"),
            ("ADD FOREIGN KEY (b) REFERENCES parent (name)", OperationalError, "foreign key mismatch"),
            ("ADD FOREIGN KEY (missing) REFERENCES parent", OperationalError, "unknown column"),
            ("ALTER COLUMN b SET NOT NULL", NotNullViolation, r"NOT NULL constraint failed: t\.b"),
            ("ADD PRIMARY KEY (a)", OperationalError, 'table "t" has more than one primary key'),
            ("ADD CHECK (missing > 1)", OperationalError, "no such column: missing"),
            ("ADD CONSTRAINT T_A CHECK (1)", OperationalError, "constraint T_A already exists"),
        ],
    )
    def test_change_is_refused_and_leaves_everything(
        self, filled: Connection, change: str, error: type[Exception], message: str
    ) -> None:
        before = text(filled)
        with pytest.raises(error, match=message):
            filled.execute(f"ALTER TABLE t {change}")
        assert text(filled) == before
        assert rows(filled, "SELECT * FROM t") == ROWS
        filled.execute("INSERT INTO t VALUES (4, 'w', NULL, 8)")
        filled.commit()
        assert rows(filled, "SELECT b FROM v WHERE a >= 'y'") == [(20,), (None,)]

    def test_unique_key_that_rows_share_is_refused(self, filled: Connection) -> None:
        filled.execute("UPDATE t SET parent = 1")
        with pytest.raises(UniqueViolation, match=r"UNIQUE constraint failed: t\.parent"):
            filled.execute("ALTER TABLE t ADD UNIQUE (parent)")
        filled.execute("UPDATE t SET parent = id")
        alter(filled, "ADD UNIQUE (parent)")
        with pytest.raises(UniqueViolation, match=r"UNIQUE constraint failed: t\.parent"):
            filled.execute("INSERT INTO t VALUES (4, 'w', 1, 3)")

    def test_foreign_key_is_not_checked_where_none_is(self, connect: Connect, filled: Connection) -> None:
        unchecked = connect(foreign_keys="off")
        unchecked.execute("ALTER TABLE t ADD FOREIGN KEY (parent) REFERENCES parent")
        unchecked.commit()
        assert rows(filled, "PRAGMA foreign_key_check") == [("t", 3, "parent", 0)]

    def test_row_that_another_client_writes_meanwhile_is_a_conflict(self, filled: Connection, connect: Connect) -> None:
        other = connect(max_replays=0)
        filled.execute("ALTER TABLE t ADD CHECK (b < 50)")
        other.execute("INSERT INTO t VALUES (4, 'w', 60, NULL)")
        other.commit()
        with pytest.raises(ConflictError):
            filled.commit()

    def test_row_that_comes_after_it_is_checked(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        other.execute("SELECT * FROM child").fetchall()
        other.commit()
        alter(filled, "ADD CONSTRAINT small CHECK (b < 50)")
        with pytest.raises(IntegrityError, match="CHECK constraint failed: small"):
            other.execute("INSERT INTO t VALUES (4, 'w', 60, NULL)")


class TestConstraints:
    def test_foreign_key_works_both_ways(self, filled: Connection, connect: Connect) -> None:
        filled.execute("UPDATE t SET parent = NULL WHERE id = 3")
        alter(filled, "ADD CONSTRAINT f FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE SET NULL")
        other = connect()
        with pytest.raises(ForeignKeyViolation):
            other.execute("UPDATE t SET parent = 9 WHERE id = 2")
        other.execute("DELETE FROM parent")
        other.commit()
        assert rows(filled, "SELECT parent FROM t") == [(None,)] * 3

    def test_foreign_key_to_the_table_itself(self, filled: Connection) -> None:
        filled.execute("UPDATE t SET parent = id")
        alter(filled, "ADD CONSTRAINT f FOREIGN KEY (parent) REFERENCES t ON DELETE CASCADE")
        filled.execute("DELETE FROM t WHERE id = 1")
        assert rows(filled, "SELECT id FROM child") == [(2,)]

    def test_other_unique_key_finds_its_rows_after_the_first_is_dropped(
        self, filled: Connection, connect: Connect
    ) -> None:
        alter(filled, "DROP CONSTRAINT t_a")
        other = connect()
        assert rows(other, "SELECT id FROM t WHERE a = 'y' AND b = 20") == [(2,)]
        other.execute("INSERT INTO t VALUES (4, 'x', 11, NULL)")
        with pytest.raises(UniqueViolation, match=r"t\.a, t\.b"):
            other.execute("INSERT INTO t VALUES (5, 'y', 20, NULL)")
        other.commit()
        assert rows(filled, "SELECT id FROM t WHERE a = 'x'") == [(1,), (4,)]

    def test_constraint_of_a_column_is_dropped_by_its_name(self, filled: Connection) -> None:
        alter(filled, "DROP CONSTRAINT A_GIVEN")
        filled.execute("INSERT INTO t (id) VALUES (4)")
        assert rows(filled, "SELECT * FROM t WHERE id = 4") == [(4, None, 5, None)]
        assert "-- with a comment" in text(filled)

    def test_constraint_without_a_name_cannot_be_dropped(self, filled: Connection) -> None:
        with pytest.raises(OperationalError, match=r"no such constraint: t_check .*only a constraint with a name"):
            filled.execute("ALTER TABLE t DROP CONSTRAINT t_check")
        filled.execute("ALTER TABLE t DROP CONSTRAINT IF EXISTS t_check")
        with pytest.raises(IntegrityError, match="CHECK"):
            filled.execute("UPDATE t SET b = 99")

    def test_unique_key_becomes_the_primary_key(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.executescript("CREATE TABLE k (a TEXT, b INT, UNIQUE (b)); INSERT INTO k VALUES ('x', 1), ('y', 2)")
        connection.execute("ALTER TABLE k ADD CONSTRAINT k_pk PRIMARY KEY (a)")
        assert rows(connection, "SELECT b FROM k WHERE a = 'y'") == [(2,)]
        connection.commit()
        other = connect()
        assert ("k", "key") in [row[1:3] for row in rows(other, "EXPLAIN ROME SELECT b FROM k WHERE a = 'y'")]
        assert rows(other, "SELECT b FROM k WHERE a = 'y'") == [(2,)]
        with pytest.raises(NotNullViolation):
            other.execute("INSERT INTO k VALUES (NULL, 3)")
        other.execute("ALTER TABLE k DROP CONSTRAINT k_pk")
        other.execute("INSERT INTO k VALUES ('x', 3)")
        other.commit()
        assert rows(connection, "SELECT * FROM k") == [("x", 1), ("y", 2), ("x", 3)]

    def test_integer_primary_key_gives_ids(self, connect: Connect) -> None:
        connection = connect()
        connection.executescript("CREATE TABLE k (a, id INTEGER); INSERT INTO k VALUES ('x', 5), ('y', 2)")
        connection.execute("ALTER TABLE k ADD PRIMARY KEY (id)")
        connection.commit()
        other = connect()
        other.execute("INSERT INTO k (a) VALUES ('z')")
        other.commit()
        assert rows(connection, "SELECT id, a FROM k WHERE id > 2") == [(5, "x"), (6, "z")]


class TestColumns:
    def test_changes_of_the_catalog_alone_read_and_write_no_row(self, filled: Connection, url: str) -> None:
        before, stats = records(url, 2), filled.rome_stats
        for change in (
            "ALTER COLUMN b SET DEFAULT 6",
            "ALTER b DROP DEFAULT",
            "ALTER a TYPE VARCHAR(10)",
            "ALTER COLUMN a SET DATA TYPE CLOB",
            "ALTER COLUMN a DROP NOT NULL",
            "DROP CONSTRAINT t_ab CASCADE",
        ):
            filled.execute(f"ALTER TABLE t {change}")
        filled.commit()
        assert filled.rome_stats.rows == stats.rows
        assert records(url, 2) == before
        assert "a CLOB,  -- with a comment" in text(filled)

    def test_constraint_that_holds_writes_no_row(self, filled: Connection, url: str) -> None:
        before = records(url, 2)
        alter(filled, "ADD CHECK (b < 50)")
        alter(filled, "ADD UNIQUE (b)")
        assert records(url, 2) == before

    def test_more_rows_than_a_commit_may_write(self, connect: Connect) -> None:
        connection = connect()
        connection.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, a INT)")
        for start in (1, 9001):
            connection.executemany("INSERT INTO big VALUES (?, 1)", [(start + i,) for i in range(9000)])
            connection.commit()
        connection.execute("ALTER TABLE big ADD CONSTRAINT positive CHECK (a > 0)")
        connection.execute("ALTER TABLE big ALTER a SET NOT NULL")
        connection.execute("ALTER TABLE big ADD FOREIGN KEY (a) REFERENCES big")
        connection.commit()
        assert rows(connect(), "SELECT count(*) FROM big") == [(18000,)]

    def test_new_default_leaves_rows_that_were_there_before_the_column(
        self, filled: Connection, connect: Connect
    ) -> None:
        filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
        alter(filled, "ALTER COLUMN c SET DEFAULT 8")
        filled.execute("INSERT INTO t (id, a) VALUES (4, 'w')")
        filled.commit()
        assert rows(connect(), "SELECT c FROM t") == [(7,), (7,), (7,), (8,)]
        alter(filled, "ALTER COLUMN c DROP DEFAULT")
        alter(filled, "ALTER COLUMN c TYPE TEXT")
        assert rows(connect(), "SELECT c FROM t WHERE c = '7'") == [("7",)] * 3

    def test_default_may_be_an_expression(self, filled: Connection) -> None:
        alter(filled, "ALTER COLUMN b SET DEFAULT 2 * (3 + 4)")
        filled.execute("ALTER TABLE t ALTER a SET DEFAULT upper('n')")
        filled.execute("INSERT INTO t (id) VALUES (4)")
        assert rows(filled, "SELECT a, b FROM t WHERE id = 4") == [("N", 14)]

    def test_clock_as_default_of_a_new_column_needs_an_empty_table(self, filled: Connection) -> None:
        with pytest.raises(OperationalError, match="non-constant default"):
            filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT CURRENT_TIMESTAMP")
        with pytest.raises(OperationalError, match="non-constant default"):
            filled.execute("ALTER TABLE t ADD COLUMN c DEFAULT (random())")

    def test_type_converts_values_as_storing_them_does(self, filled: Connection, connect: Connect, url: str) -> None:
        before = records(url, 2)
        filled.execute("UPDATE t SET a = '12' WHERE id = 1")
        filled.commit()
        alter(filled, "ALTER COLUMN a TYPE INTEGER")
        other = connect()
        assert rows(other, "SELECT a FROM t") == [(12,), ("y",), ("z",)]
        assert rows(other, "SELECT id FROM t WHERE a = 12") == [(1,)]
        assert records(url, 2)[1:] == before[1:]
        alter(filled, "ALTER COLUMN b TYPE TEXT")
        assert rows(filled, "SELECT id FROM t WHERE b = '20'") == [(2,)]
        assert rows(other, "SELECT id FROM t WHERE b = '20' AND a = 'y'") == [(2,)]

    def test_type_of_a_primary_key(self, filled: Connection, connect: Connect) -> None:
        alter(filled, "ALTER COLUMN id TYPE BIGINT")
        other = connect()
        assert rows(other, "SELECT * FROM t WHERE id = 2") == [(2, "y", 20, None)]
        with pytest.raises(UniqueViolation, match=r"t\.id"):
            other.execute("INSERT INTO t VALUES (2, 'w', 0, NULL)")
        other.execute("DELETE FROM t WHERE id = 1")
        assert rows(other, "SELECT id FROM child") == [(2,)]
        other.commit()
        alter(filled, "ALTER COLUMN id TYPE INTEGER")
        filled.execute("INSERT INTO t (a) VALUES ('w')")
        assert rows(filled, "SELECT id FROM t ORDER BY id") == [(2,), (3,), (4,)]

    def test_collation(self, filled: Connection, connect: Connect) -> None:
        alter(filled, "ALTER COLUMN a TYPE TEXT COLLATE NOCASE")
        assert rows(connect(), "SELECT id FROM t WHERE a = 'Y'") == [(2,)]
        with pytest.raises(UniqueViolation, match=r"t\.a"):
            filled.execute("INSERT INTO t VALUES (4, 'Z', 1, NULL)")
        filled.execute("DELETE FROM t WHERE id > 2")
        alter(filled, "ALTER COLUMN a TYPE TEXT COLLATE BINARY")
        filled.execute("INSERT INTO t VALUES (4, 'X', 1, NULL)")
        assert rows(filled, "SELECT id FROM t WHERE a = 'Y'") == []

    def test_conversion_by_an_expression_is_refused(self, filled: Connection) -> None:
        with pytest.raises(NotSupportedError, match=r"USING is not supported: .*UPDATE"):
            filled.execute("ALTER TABLE t ALTER b TYPE TEXT USING b + 1")


class TestDropColumn:
    def test_cascade_takes_along_what_needs_the_column(self, filled: Connection, connect: Connect) -> None:
        filled.execute("DROP VIEW v")
        filled.execute("CREATE INDEX t_half ON t (a) WHERE b > 0")
        filled.execute("CREATE INDEX t_sum ON t (parent, b + 1)")
        filled.execute("CREATE INDEX t_parent ON t (parent)")
        with pytest.raises(OperationalError, match="error in"):
            filled.execute("ALTER TABLE t DROP COLUMN b")
        alter(filled, "DROP COLUMN b CASCADE")
        assert names(filled) == ["child", "parent", "sqlite_autoindex_t_1", "t", "t_parent"]
        other = connect()
        assert rows(other, "SELECT * FROM t WHERE a = 'y'") == [(2, "y", None)]
        with pytest.raises(UniqueViolation):
            other.execute("INSERT INTO t VALUES (4, 'y', NULL)")

    def test_column_that_a_view_shows_stays(self, filled: Connection) -> None:
        with pytest.raises(OperationalError, match="error in view v"):
            filled.execute("ALTER TABLE t DROP COLUMN b CASCADE")
        assert "t_b" in names(filled)
        assert rows(filled, "SELECT * FROM t") == ROWS

    def test_primary_key(self, filled: Connection, connect: Connect) -> None:
        filled.execute("DROP TABLE child")
        alter(filled, "DROP COLUMN id CASCADE")
        assert rows(connect(), "SELECT * FROM t WHERE a > 'x'") == [("y", 20, None), ("z", None, 7)]

    def test_if_exists(self, filled: Connection) -> None:
        filled.execute("ALTER TABLE t DROP COLUMN IF EXISTS nothing")
        with pytest.raises(OperationalError, match="no such column: nothing"):
            filled.execute("ALTER TABLE t DROP COLUMN nothing CASCADE")
        filled.execute("ALTER TABLE t DROP COLUMN IF EXISTS parent RESTRICT")
        assert rows(filled, "SELECT * FROM t WHERE id = 1") == [(1, "x", 10)]


class TestTransactions:
    CHANGES = (
        "ALTER COLUMN a TYPE INTEGER",
        "ADD CONSTRAINT small CHECK (b < 50)",
        "ALTER COLUMN id TYPE BIGINT",
        "DROP CONSTRAINT t_ab",
    )

    def test_rollback_undoes_them(self, filled: Connection) -> None:
        before = text(filled)
        filled.commit()
        for change in self.CHANGES:
            filled.execute(f"ALTER TABLE t {change}")
        filled.execute("UPDATE t SET a = 5 WHERE id = 1")
        filled.rollback()
        assert text(filled) == before
        assert rows(filled, "SELECT * FROM t") == ROWS

    @pytest.mark.parametrize("change", CHANGES)
    def test_rollback_to_undoes_what_came_after_the_savepoint(
        self, filled: Connection, connect: Connect, change: str
    ) -> None:
        filled.execute("UPDATE t SET b = 11 WHERE id = 1")
        filled.execute("SAVEPOINT s")
        filled.execute(f"ALTER TABLE t {change}")
        filled.execute("DELETE FROM t WHERE id = 2")
        filled.execute("ROLLBACK TO s")
        filled.execute("INSERT INTO t VALUES (4, 'w', 70, NULL)")
        filled.commit()
        expected = [(1, "x", 11, 1), *ROWS[1:], (4, "w", 70, None)]
        assert rows(connect(), "SELECT * FROM t") == expected
        assert rows(connect(), "SELECT id FROM t WHERE a = 'x' AND b = 11") == [(1,)]

    def test_they_work_on_what_the_transaction_has_written(self, filled: Connection, connect: Connect) -> None:
        filled.execute("INSERT INTO t VALUES (4, '44', 70, NULL)")
        filled.execute("DELETE FROM t WHERE id = 3")
        filled.execute("UPDATE t SET id = 8 WHERE id = 2")
        for change in self.CHANGES:
            with_error = change.startswith("ADD")
            if with_error:
                with pytest.raises(IntegrityError, match="small"):
                    filled.execute(f"ALTER TABLE t {change}")
            else:
                filled.execute(f"ALTER TABLE t {change}")
        filled.execute("INSERT INTO t VALUES (5, 'last', 71, NULL)")
        filled.commit()
        expected = [(1, "x", 10, 1), (4, 44, 70, None), (8, "y", 20, None), (5, "last", 71, None)]
        other = connect()
        assert sorted(rows(other, "SELECT * FROM t")) == sorted(expected)
        assert rows(other, "SELECT id FROM t WHERE a = 44") == [(4,)]
        assert rows(other, "SELECT id FROM t WHERE id >= 8") == [(8,)]

    def test_new_table_is_altered_in_the_transaction_that_makes_it(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE n (a TEXT)")
        connection.execute("INSERT INTO n VALUES ('1')")
        connection.execute("ALTER TABLE n ALTER a TYPE INT")
        connection.execute("ALTER TABLE n ADD PRIMARY KEY (a)")
        connection.commit()
        assert rows(connection, "SELECT a FROM n WHERE a = 1") == [(1,)]

    def test_client_at_an_older_catalog_takes_the_new_one(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        assert rows(other, "SELECT count(*) FROM t") == [(3,)]
        other.commit()
        alter(filled, "ALTER COLUMN id TYPE BIGINT")
        other.execute("UPDATE t SET b = 21 WHERE id = 2")
        other.commit()
        assert rows(filled, "SELECT b FROM t WHERE id = 2") == [(21,)]


class TestOddTables:
    def test_names_that_need_quotes(self, connect: Connect) -> None:
        connection = connect()
        connection.executescript(
            'CREATE TABLE "a ""b"" (c)" ("x, y" TEXT, [check] INT, `ü` INT); '
            """INSERT INTO "a ""b"" (c)" VALUES ('1', 2, 3)"""
        )
        for change in (
            'ADD CONSTRAINT "odd, (name)" UNIQUE ("x, y", "check")',
            'ALTER COLUMN "CHECK" SET NOT NULL',
            "ALTER ü TYPE TEXT",
            "ALTER \"x, y\" SET DEFAULT ',)'",
            "ADD CHECK ([check] <> 7)",
        ):
            connection.execute(f'ALTER TABLE main."a ""b"" (c)" {change}')
        connection.commit()
        other = connect()
        assert rows(other, 'SELECT * FROM "a ""b"" (c)"') == [("1", 2, "3")]
        other.execute('ALTER TABLE "a ""b"" (c)" DROP CONSTRAINT "ODD, (NAME)"')
        other.execute('ALTER TABLE "a ""b"" (c)" DROP COLUMN "check" CASCADE')
        assert rows(other, 'SELECT * FROM "a ""b"" (c)"') == [("1", "3")]

    def test_without_rowid_and_generated_columns(self, connect: Connect) -> None:
        connection = connect()
        connection.executescript(
            "CREATE TABLE w (k TEXT, v TEXT, g AS (v || '!'), s AS (k) STORED, "
            "CONSTRAINT w_pk PRIMARY KEY (k)) WITHOUT ROWID; INSERT INTO w VALUES ('1', '2'), ('x', 'y')"
        )
        connection.execute("ALTER TABLE w ALTER v TYPE INT")
        connection.execute("ALTER TABLE w ALTER k TYPE INT")
        connection.execute("ALTER TABLE w ADD CHECK (g <> 'z!')")
        with pytest.raises(OperationalError, match="PRIMARY KEY missing"):
            connection.execute("ALTER TABLE w DROP CONSTRAINT w_pk")
        connection.commit()
        other = connect()
        assert rows(other, "SELECT * FROM w") == [(1, 2, "2!", 1), ("x", "y", "y!", "x")]
        assert rows(other, "SELECT v FROM w WHERE k = 1") == [(2,)]
        with pytest.raises(IntegrityError, match="CHECK"):
            other.execute("UPDATE w SET v = 'z'")

    def test_foreign_key_of_a_generated_column(self, connect: Connect) -> None:
        connection = connect()
        connection.executescript(
            "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (a INT, g INT AS (a + 1)); "
            "INSERT INTO p VALUES (2); INSERT INTO c VALUES (1), (NULL)"
        )
        connection.execute("ALTER TABLE c ADD FOREIGN KEY (g) REFERENCES p")
        connection.commit()
        with pytest.raises(ForeignKeyViolation):
            connection.execute("INSERT INTO c VALUES (2)")

    def test_autoincrement(self, connect: Connect) -> None:
        connection = connect()
        connection.executescript(
            "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO n (a) VALUES (1)"
        )
        connection.execute("INSERT INTO n (a) VALUES (2)")
        connection.commit()
        connection.execute("DELETE FROM n WHERE id = 2")
        connection.execute("ALTER TABLE n ADD CHECK (a > 0)")
        connection.commit()
        connection.execute("INSERT INTO n (a) VALUES (3)")
        [(last,)] = rows(connection, "SELECT max(id) FROM n")
        assert isinstance(last, int)
        assert last > 2

    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            ("ALTER TABLE nothing ADD CHECK (1)", "no such table: nothing"),
            ("ALTER TABLE v ADD CHECK (1)", 'cannot alter view "v"'),
            ("ALTER TABLE sqlite_master ADD CHECK (1)", "no such table: sqlite_master"),
            ("ALTER TABLE t ALTER nothing SET DEFAULT 1", "no such column: nothing"),
            ("ALTER TABLE t ALTER b", "incomplete input"),
            ("ALTER TABLE t ALTER b SET", 'near "SET": syntax error'),
            ("ALTER TABLE t ALTER b SET DEFAULT", "incomplete input"),
            ("ALTER TABLE t ALTER b SET DEFAULT 1) , (c INT", r'near "\)": syntax error'),
            ("ALTER TABLE t ALTER b SET NOT NULL UNIQUE", 'near "UNIQUE": syntax error'),
            ("ALTER TABLE t ALTER b TYPE", "incomplete input"),
            ("ALTER TABLE t ALTER b TYPE INT, c INT", 'near ",": syntax error'),
            ("ALTER TABLE t ALTER b TYPE INT UNIQUE", 'near "UNIQUE": syntax error'),
            ("ALTER TABLE t ALTER b TYPE VARCHAR(3", "incomplete input|syntax error"),
            ("ALTER TABLE t ADD CONSTRAINT n", "incomplete input"),
            ("ALTER TABLE t ADD CONSTRAINT n NOT NULL", "syntax error"),
            ("ALTER TABLE t ADD CHECK (1) DEFAULT 2", 'near "DEFAULT": syntax error'),
            ("ALTER TABLE t ADD UNIQUE", "incomplete input|syntax error"),
            ("ALTER TABLE t DROP CONSTRAINT t_a, b", 'near ",": syntax error'),
            ("ALTER TABLE t DROP CONSTRAINT", "incomplete input"),
            ("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "Unknown collation: 'utf8mb4_bin'"),
            ("ALTER TABLE t CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "Unknown collation: 'utf8mb4_bin'"),
            ("ALTER TABLE other.t ADD CHECK (1)", "no such table: other.t"),
        ],
    )
    def test_wrong_statement_is_refused(self, filled: Connection, sql: str, message: str) -> None:
        with pytest.raises(OperationalError, match=message):
            filled.execute(sql)
        assert rows(filled, "SELECT * FROM t") == ROWS
