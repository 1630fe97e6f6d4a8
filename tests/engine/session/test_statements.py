"""Statements that are not plain SQL on rows: full_scan, PRAGMAs, functions, dumps, what is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import (
    DataError,
    ForeignKeyViolation,
    FullScanError,
    FullScanWarning,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    TransactionTooLargeError,
    UniqueViolation,
)
from tests.support.databases import Connect
from tests.support.family import SCHEMA


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(SCHEMA)
    return connection


def rows(connection: Connection, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    return list(connection.execute(sql, parameters).fetchall())


class TestFullScan:
    def test_allow(self, filled: Connection) -> None:
        assert len(rows(filled, "SELECT * FROM log")) == 2

    def test_warn(self, filled: Connection, connect: Connect) -> None:
        connection = connect(full_scan="warn")
        with pytest.warns(FullScanWarning, match=r"reads the whole of log.*EXPLAIN ROME.*SELECT \* FROM log") as caught:
            assert len(rows(connection, "SELECT * FROM log")) == 2
        assert caught[0].filename == __file__
        rows(connection, "SELECT * FROM parent WHERE id = 1")

    def test_error(self, filled: Connection, connect: Connect) -> None:
        connection = connect(full_scan="error")
        with pytest.raises(FullScanError, match="reads the whole of child, log; bound it by an indexed column"):
            rows(connection, "SELECT * FROM child, log")
        with pytest.raises(FullScanError):
            connection.execute("UPDATE child SET note = 'n' WHERE note = 'x'")
        assert rows(connection, "SELECT note FROM child WHERE uuid = 'u1'") == [("x",)]
        assert rows(connection, "SELECT 1") == [(1,)]


class TestStats:
    def test_counts_what_a_transaction_costs(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.execute("SELECT 1 FROM parent WHERE id = 0")
        connection.rollback()
        before = connection.rome_stats
        rows(connection, "SELECT * FROM child WHERE parent = 1")
        open_one = connection.rome_stats
        connection.execute("UPDATE child SET note = 'n' WHERE uuid = 'u1'")
        connection.commit()
        after = connection.rome_stats
        assert (open_one.statements, open_one.rows) == (before.statements + 1, before.rows + 2)
        assert open_one.bytes > before.bytes
        assert (after.statements, after.commits, after.round_trips) == (
            before.statements + 2,
            before.commits + 1,
            before.round_trips + 2,
        )
        assert (after.conflicts, after.replays) == (0, 0)

    def test_is_a_copy(self, filled: Connection) -> None:
        stats = filled.rome_stats
        stats.statements = 10**6
        assert filled.rome_stats.statements < 10**6


class TestPragmas:
    @pytest.mark.parametrize(
        "pragma",
        [
            *("table_info(child)", "table_xinfo('parent')", "index_list(child)", "index_info(child_parent)"),
            *("foreign_key_list(child)", "database_list", "encoding", "index_xinfo(parent_name)"),
        ],
    )
    def test_reflection_is_sqlites(self, filled: Connection, pragma: str) -> None:
        stock = sqlite3.connect(":memory:")
        stock.executescript(SCHEMA)
        expected = stock.execute(f"PRAGMA {pragma}").fetchall()
        stock.close()
        assert rows(filled, f"PRAGMA {pragma}") == expected
        assert expected

    def test_reflection_sees_the_transactions_own_ddl(self, filled: Connection) -> None:
        filled.execute("CREATE TABLE new (a, b)")
        assert [row[1] for row in rows(filled, "PRAGMA table_info(new)")] == ["a", "b"]
        filled.rollback()
        assert rows(filled, "PRAGMA table_info(new)") == []

    def test_integrity_check(self, filled: Connection) -> None:
        assert rows(filled, "PRAGMA integrity_check") == [("ok",)]

    def test_foreign_keys_off_and_on(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        assert rows(connection, "PRAGMA foreign_keys") == [(1,)]
        connection.rollback()
        connection.execute("PRAGMA foreign_keys = OFF")
        assert rows(connection, "PRAGMA foreign_keys") == [(0,)]
        connection.execute("INSERT INTO child VALUES ('orphan', 99, NULL)")
        connection.commit()
        assert rows(filled, "PRAGMA foreign_key_check") == [("child", 4, "parent", 0)]
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(ForeignKeyViolation):
            connection.execute("INSERT INTO child VALUES ('another', 99, NULL)")

    def test_option_foreign_keys_off(self, filled: Connection, connect: Connect) -> None:
        connection = connect(foreign_keys="off")
        connection.execute("DELETE FROM parent WHERE id = 1")
        connection.commit()
        assert rows(filled, "SELECT count(*) FROM child WHERE parent = 1") == [(2,)]

    def test_defer_foreign_keys(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO child VALUES ('u9', 9, NULL)")
        with pytest.raises(ForeignKeyViolation):
            connection.commit()
        connection.execute("INSERT INTO parent VALUES (9, 'new')")
        connection.commit()
        with pytest.raises(ForeignKeyViolation):
            connection.execute("INSERT INTO child VALUES ('u10', 10, NULL)")
        connection.rollback()
        assert rows(filled, "SELECT uuid FROM child WHERE parent = 9") == [("u9",)]


class TestDeferredKeys:
    """Orphans that were there before are nobody's fault, and comparisons are the parent's."""

    SCHEMA = """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, k TEXT COLLATE NOCASE UNIQUE);
        CREATE TABLE child (id INTEGER PRIMARY KEY, p INT REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
            k TEXT REFERENCES parent (k) DEFERRABLE INITIALLY DEFERRED, note);
        INSERT INTO parent VALUES (1, 'a');
    """

    @pytest.fixture
    def deferred(self, connect: Connect) -> Connection:
        connection = connect()
        connection.executescript(self.SCHEMA)
        return connection

    def test_update_of_an_orphans_other_column(self, deferred: Connection, connect: Connect) -> None:
        lax = connect(foreign_keys="off")
        lax.execute("INSERT INTO child VALUES (1, 99, NULL, 'orphan')")
        lax.commit()
        deferred.execute("UPDATE child SET note = 'changed' WHERE id = 1")
        deferred.commit()
        deferred.execute("UPDATE child SET p = 98 WHERE id = 1")
        with pytest.raises(ForeignKeyViolation):
            deferred.commit()
        deferred.rollback()
        deferred.execute("DELETE FROM child WHERE id = 1")
        deferred.commit()

    def test_child_in_another_case(self, deferred: Connection) -> None:
        deferred.execute("INSERT INTO child VALUES (1, NULL, 'A', NULL)")
        deferred.commit()
        deferred.execute("DELETE FROM parent WHERE id = 1")
        with pytest.raises(ForeignKeyViolation):
            deferred.commit()
        deferred.execute("INSERT INTO parent VALUES (2, 'A')")
        deferred.commit()

    def test_parent_replaced_by_an_equal_one(self, deferred: Connection) -> None:
        deferred.execute("INSERT INTO child VALUES (1, 1, 'a', NULL)")
        deferred.commit()
        deferred.execute("DELETE FROM parent")
        deferred.execute("INSERT INTO parent VALUES (1, 'A')")
        deferred.commit()


class TestFunctions:
    def test_regexp(self, filled: Connection) -> None:
        assert rows(filled, "SELECT name FROM parent WHERE name REGEXP '^a.*n$'") == [("ann",)]
        assert rows(filled, "SELECT NULL REGEXP 'a', 'b' REGEXP 'a', 12 REGEXP '2$'") == [(None, 0, 1)]

    def test_changes_and_last_insert_rowid_do_not_see_what_rome_does(
        self, filled: Connection, connect: Connect
    ) -> None:
        connection = connect()
        connection.execute("INSERT INTO parent VALUES (7, 'new')")
        connection.execute("UPDATE child SET note = 'n' WHERE parent = 1")
        rows(connection, "SELECT * FROM log")  # hydrates
        assert rows(connection, "SELECT changes(), total_changes(), last_insert_rowid()") == [(2, 3, 7)]
        connection.commit()
        rows(connection, "SELECT * FROM child")
        assert rows(connection, "SELECT changes(), total_changes(), last_insert_rowid()") == [(2, 3, 7)]

    def test_counters_outlive_a_change_of_the_schema(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.execute("INSERT INTO parent VALUES (7, 'new')")
        connection.commit()
        filled.execute("CREATE TABLE other (a)")
        filled.commit()
        assert rows(connection, "SELECT name FROM parent WHERE id = last_insert_rowid()") == [("new",)]
        assert rows(connection, "SELECT changes(), total_changes()") == [(1, 1)]

    def test_create_function(self, filled: Connection) -> None:
        filled.create_function("twice", 1, lambda value: None if value is None else str(value) * 2)
        assert rows(filled, "SELECT twice(name) FROM parent WHERE twice(name) = 'annann'") == [("annann",)]
        filled.rollback()
        filled.execute("CREATE TABLE other (a)")
        filled.commit()
        assert rows(filled, "SELECT twice('a')") == [("aa",)]
        filled.create_function("twice", 1, None)
        with pytest.raises(OperationalError, match="no such function: twice"):
            rows(filled, "SELECT twice('b')")

    def test_error_of_a_function(self, filled: Connection) -> None:
        def fail() -> None:
            raise ValueError("from the application")

        filled.create_function("fail", 0, fail)
        with pytest.raises(OperationalError):
            rows(filled, "SELECT fail() FROM parent")
        assert len(rows(filled, "SELECT * FROM parent")) == 2


class TestRowids:
    """Tables without INTEGER PRIMARY KEY have rowids from the store's sequence."""

    def test_rowid_of_a_new_row(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        cursor = connection.execute("INSERT INTO log VALUES ('third')")
        assert rows(connection, "SELECT rowid FROM log WHERE line = 'third'") == [(cursor.lastrowid,)]
        connection.commit()
        assert rows(filled, "SELECT rowid FROM log WHERE line = 'third'") == [(cursor.lastrowid,)]

    @pytest.mark.parametrize("name", ["rowid", "oid", "_ROWID_", '"rowid"', "log.rowid", "rowid + 0"])
    def test_returning_the_rowid_of_a_new_row_is_refused(self, filled: Connection, name: str) -> None:
        """SQLite returns it before Rome can put the id from the store in its place."""
        with pytest.raises(NotSupportedError, match=r"RETURNING the rowid of table log .* INTEGER PRIMARY KEY"):
            filled.execute(f"INSERT INTO log VALUES ('third') RETURNING {name}")

    def test_returning_the_rowid_of_rows_that_are_there(self, filled: Connection) -> None:
        assert rows(filled, "UPDATE log SET line = 'x' RETURNING rowid") == [(1,), (2,)]
        [(new,)] = rows(filled, "INSERT INTO parent (name) VALUES ('x') RETURNING rowid")
        assert rows(filled, "SELECT id FROM parent WHERE name = 'x'") == [(new,)]

    def test_column_named_rowid_is_returned(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE odd (rowid TEXT)")
        assert rows(connection, "INSERT INTO odd VALUES ('x') RETURNING rowid") == [("x",)]

    def test_unordered_rows_come_in_the_order_of_insertion(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.executemany("INSERT INTO child VALUES (?, NULL, NULL)", [("z",), ("a",), ("m",)])
        connection.commit()
        assert [row[0] for row in rows(filled, "SELECT uuid, note FROM child")] == ["u1", "u2", "u3", "z", "a", "m"]

    def test_explicit_rowid(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.execute("INSERT INTO log (rowid, line) VALUES (100, 'hundred')")
        connection.execute("INSERT INTO log VALUES ('next')")
        connection.commit()
        found = rows(filled, "SELECT line FROM log WHERE rowid >= 100 ORDER BY rowid")
        assert found == [("hundred",), ("next",)]

    def test_explicit_id_raises_the_sequence_for_every_client(self, filled: Connection, connect: Connect) -> None:
        connection = connect()
        connection.execute("INSERT INTO parent (name) VALUES ('block')")
        filled.execute("INSERT INTO parent VALUES (5000, 'explicit')")
        filled.commit()
        connection.commit()
        third = connect()
        for client, name in ((third, "x"), (connection, "y"), (filled, "z")):
            client.execute("INSERT INTO parent (name) VALUES (?)", (name,))
            client.commit()
        assert rows(filled, "SELECT count(*), count(DISTINCT id) FROM parent") == [(7, 7)]


class TestDump:
    def test_is_what_sqlite3_writes_and_reads(self, filled: Connection) -> None:
        stock = sqlite3.connect(":memory:")
        stock.executescript("\n".join(filled.iterdump()))
        assert stock.execute("SELECT * FROM child").fetchall() == rows(filled, "SELECT * FROM child")
        assert stock.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index'").fetchone() == (3,)
        stock.close()

    def test_round_trip(self, filled: Connection, url: str) -> None:
        filled.execute('CREATE TABLE "odd \'name\'" ("a b" BLOB, g AS (length("a b")))')
        filled.execute("INSERT INTO \"odd 'name'\" VALUES (x'00ff'), ('it''s'), (NULL), (1.5), (-0.0)")
        filled.execute("CREATE VIEW v AS SELECT uuid FROM child WHERE note IS NOT NULL")
        filled.commit()
        script = "\n".join(filled.iterdump())
        copy_url = f"{url}-copy"
        try:
            with closing(rome.connect(copy_url)) as copy:
                copy.executescript(script)
                assert "\n".join(copy.iterdump()) == script
                assert rows(copy, "SELECT * FROM v") == [("u1",), ("u3",)]
        finally:
            rome.drop_database(copy_url)

    def test_rows_that_refer_to_later_ones(self, connection: Connection, url: str) -> None:
        connection.executescript(
            """
            CREATE TABLE a (id INTEGER PRIMARY KEY, b INT REFERENCES b);
            CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a, up INT REFERENCES b);
            INSERT INTO b VALUES (1, NULL, NULL), (2, NULL, 1);
            INSERT INTO a VALUES (1, 2);
            UPDATE b SET a = 1, up = 2 WHERE id = 1;
            """
        )
        script = "\n".join(connection.iterdump())
        copy_url = f"{url}-copy"
        try:
            with closing(rome.connect(copy_url)) as copy:
                copy.executescript(script)
                assert rows(copy, "SELECT * FROM b") == [(1, 1, 2), (2, None, 1)]
                with pytest.raises(ForeignKeyViolation):
                    copy.execute("INSERT INTO a VALUES (2, 9)")
        finally:
            rome.drop_database(copy_url)

    def test_sees_the_open_transaction(self, filled: Connection) -> None:
        filled.execute("INSERT INTO log VALUES ('uncommitted')")
        assert "INSERT INTO \"log\" VALUES('uncommitted');" in list(filled.iterdump())

    def test_script_of_several_statements_commits_first(self, filled: Connection, connect: Connect) -> None:
        filled.execute("INSERT INTO log VALUES ('before')")
        with pytest.raises(OperationalError, match="no such table: nowhere"):
            filled.executescript("INSERT INTO log VALUES (1); INSERT INTO nowhere VALUES (1)")
        assert ("before",) in rows(connect(), "SELECT line FROM log")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "parameters", "error", "message"),
        [
            ("SELECT 1; SELECT 2", (), ProgrammingError, "one statement at a time"),
            ("SELEC 1", (), OperationalError, 'near "SELEC": syntax error'),
            ("SELECT * FROM parent WHERE", (), OperationalError, "incomplete input|syntax error"),
            ("SELECT ?", (), ProgrammingError, "uses 1, and there are 0 supplied"),
            ("SELECT ?", (1, 2), ProgrammingError, "uses 1, and there are 2 supplied"),
            ("SELECT :a", {"b": 1}, ProgrammingError, "You did not supply a value for binding parameter :a"),
            ("SELECT ?", (1 << 63,), DataError, "does not fit"),
            ("SELECT ?", (object(),), ProgrammingError, "type 'object' is not supported"),
            ("SELECT * FROM parent FOR UPDATE SKIP LOCKED", (), NotSupportedError, "SKIP LOCKED.*UPDATE .. WHERE id ="),
            ("SELECT sqlite_master.name FROM sqlite_master JOIN parent", (), NotSupportedError, "ask twice"),
            ("BEGIN", (), None, ""),
        ],
    )
    def test_error_leaves_the_transaction_usable(
        self, filled: Connection, sql: str, parameters: object, error: type[Exception] | None, message: str
    ) -> None:
        if error is None:
            filled.execute(sql)
        else:
            with pytest.raises(error, match=message):
                filled.execute(sql, parameters)  # type: ignore[arg-type]
        filled.execute("INSERT INTO log VALUES ('after')")
        filled.commit()
        assert rows(filled, "SELECT count(*) FROM log") == [(3,)]

    @pytest.mark.parametrize("before", ["BEGIN", "INSERT INTO log VALUES ('x')", "SAVEPOINT s"])
    def test_begin_inside_a_transaction(self, filled: Connection, before: str) -> None:
        filled.execute(before)
        with pytest.raises(OperationalError, match="cannot start a transaction within a transaction"):
            filled.execute("BEGIN")

    def test_executemany_of_a_query(self, filled: Connection) -> None:
        with pytest.raises(ProgrammingError, match="DML"):
            filled.executemany("SELECT ?", [(1,)])

    def test_executemany_of_nothing(self, filled: Connection) -> None:
        assert filled.executemany("INSERT INTO log VALUES (?)", []).rowcount == 0

    def test_too_large_a_transaction_writes_nothing(self, filled: Connection) -> None:
        filled.execute(
            "INSERT INTO log WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) "
            "SELECT i FROM n"
        )
        with pytest.raises(TransactionTooLargeError, match=r"10,001 rows.*Commit in smaller parts"):
            filled.commit()
        assert not filled.in_transaction
        assert rows(filled, "SELECT count(*) FROM log") == [(2,)]


def test_refused_rowid_leaves_no_row(connection: Connection) -> None:
    connection.execute("CREATE TABLE keyed (k TEXT PRIMARY KEY)")
    with pytest.raises(NotSupportedError, match="setting the rowid"):
        connection.execute("INSERT INTO keyed (rowid, k) VALUES (5, 'a')")
    assert connection.execute("SELECT * FROM keyed").fetchall() == []


@pytest.mark.parametrize("batch", [[(2, 1)], [(2, 2), (3, 1)]])
def test_constraint_that_rolls_back(connection: Connection, batch: list[tuple[int, int]]) -> None:
    connection.execute("CREATE TABLE strict (a, b UNIQUE ON CONFLICT ROLLBACK)")
    connection.execute("INSERT INTO strict VALUES (1, 1)")
    connection.commit()
    connection.execute("INSERT INTO strict VALUES (0, 0)")
    with pytest.raises(UniqueViolation, match=r"UNIQUE constraint failed: strict\.b"):
        connection.executemany("INSERT INTO strict VALUES (?, ?)", batch)
    assert not connection.in_transaction
    assert connection.execute("SELECT * FROM strict").fetchall() == [(1, 1)]
