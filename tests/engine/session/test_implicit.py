"""Transactions that Rome has begun by itself do not prevent BEGIN, PRAGMA foreign_keys or another isolation level."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import (
    ConflictError,
    Error,
    ForeignKeyViolation,
    IgnoredPragmaWarning,
    OperationalError,
    ProgrammingError,
)
from tests.support.databases import Connect, database, on

SCHEMA = [
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, v TEXT)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent ON DELETE CASCADE)",
    "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO child VALUES (1, 1), (2, 1), (3, 2)",
]
REBUILD = [
    "CREATE TABLE new (id INTEGER PRIMARY KEY, v TEXT NOT NULL)",
    "INSERT INTO new SELECT * FROM parent",
    "DROP TABLE parent",
    "ALTER TABLE new RENAME TO parent",
]
BEGINS = ["BEGIN", "BEGIN DEFERRED", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE TRANSACTION"]
READS = [
    "SELECT * FROM parent",
    "PRAGMA table_info(parent)",
    "PRAGMA foreign_keys",
    "EXPLAIN SELECT 1",
    "SELECT count(*) FROM parent",
    "CREATE TABLE IF NOT EXISTS parent (a)",
]


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def filled(connection: Connection) -> Connection:
    for sql in SCHEMA:
        connection.execute(sql)
    connection.commit()
    return connection


def children(connection: Connection) -> list[tuple[object, ...]]:
    connection.rollback()
    return connection.execute("SELECT id, p FROM child ORDER BY id").fetchall()


class TestForeignKeys:
    @pytest.mark.parametrize("at", range(len(REBUILD) + 1))
    @pytest.mark.parametrize(
        "before", ["SELECT * FROM parent", "UPDATE parent SET v = 'c' WHERE id = 1", "PRAGMA foreign_keys"]
    )
    def test_a_table_rebuilt_by_hand_keeps_its_children(self, filled: Connection, before: str, at: int) -> None:
        """Wherever the PRAGMA comes before DROP TABLE; as Alembic's revisions do it, whatever ran before them."""
        statements = [before, *REBUILD]
        if at < 3:
            statements.insert(at + 1, "PRAGMA foreign_keys=OFF")
        else:
            statements.insert(3, "PRAGMA foreign_keys=OFF")
            statements.insert(at + 1, "PRAGMA foreign_keys=ON") if at == 4 else None
        for sql in statements:
            filled.execute(sql)
        filled.commit()
        assert children(filled) == [(1, 1), (2, 1), (3, 2)]
        filled.execute("PRAGMA foreign_keys=ON")
        assert filled.execute("PRAGMA foreign_keys").fetchone() == (1,)
        with pytest.raises(ForeignKeyViolation):
            filled.execute("INSERT INTO child VALUES (9, 99)")
        assert filled.execute("DELETE FROM parent WHERE id = 1").rowcount == 1
        filled.commit()
        assert children(filled) == [(3, 2)]

    def test_on_counts_after_a_select(self, connect: Connect, filled: Connection) -> None:
        """As Cinder's purge does it."""
        connection = connect(foreign_keys="off")
        connection.execute("SELECT * FROM parent")
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(ForeignKeyViolation):
            connection.execute("INSERT INTO child VALUES (9, 99)")

    @pytest.mark.parametrize("begin", ["BEGIN", "SAVEPOINT s"])
    def test_inside_of_begin_it_does_nothing_and_says_so(self, filled: Connection, begin: str) -> None:
        filled.execute(begin)
        with pytest.warns(IgnoredPragmaWarning, match="does nothing inside BEGIN or SAVEPOINT"):
            filled.execute("PRAGMA foreign_keys = OFF")
        assert filled.execute("PRAGMA foreign_keys").fetchone() == (1,)
        filled.execute("PRAGMA foreign_keys = ON")
        filled.rollback()
        filled.execute("PRAGMA foreign_keys = OFF")
        assert filled.execute("PRAGMA foreign_keys").fetchone() == (0,)

    def test_what_was_deferred_before_it_went_off_is_checked(self, filled: Connection) -> None:
        filled.execute("PRAGMA defer_foreign_keys = ON")
        filled.execute("INSERT INTO child VALUES (9, 99)")
        filled.execute("PRAGMA foreign_keys = OFF")
        with pytest.raises(ForeignKeyViolation):
            filled.commit()
        filled.execute("INSERT INTO parent VALUES (99, 'late')")
        filled.commit()
        assert children(filled)[-1] == (9, 99)

    def test_a_transaction_under_both_is_not_replayed(self, filled: Connection, connect: Connect) -> None:
        filled.execute("UPDATE parent SET v = v || '!' WHERE id = 1")
        filled.execute("PRAGMA foreign_keys = OFF")
        other = connect()
        other.execute("UPDATE parent SET v = 'other' WHERE id = 1")
        other.commit()
        with pytest.raises(ConflictError):
            filled.commit()

    def test_one_that_only_read_before_is(self, filled: Connection, connect: Connect) -> None:
        filled.execute("SELECT v FROM parent WHERE id = 2").fetchall()
        filled.execute("PRAGMA foreign_keys = OFF")
        filled.execute("UPDATE parent SET v = v || '!' WHERE id = 1")
        other = connect()
        other.execute("UPDATE parent SET v = 'other' WHERE id = 1")
        other.commit()
        filled.commit()
        assert filled.execute("SELECT v FROM parent WHERE id = 1").fetchone() == ("other!",)

    @pytest.mark.parametrize("begin", [None, "BEGIN", "BEGIN IMMEDIATE"])
    @pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT"])
    def test_deferring_holds_for_the_next_transaction(self, filled: Connection, level: str, begin: str | None) -> None:
        filled.isolation_level = level
        for sql in ["PRAGMA defer_foreign_keys = ON", *([begin] if begin else [])]:
            filled.execute(sql)
        assert filled.execute("PRAGMA defer_foreign_keys").fetchone() == (1,)
        if begin is None and level == "AUTOCOMMIT":
            with pytest.raises(ForeignKeyViolation):
                filled.execute("INSERT INTO child VALUES (9, 99)")
            return
        filled.execute("INSERT INTO child VALUES (9, 99)")
        filled.execute("INSERT INTO parent VALUES (99, 'late')")
        filled.commit()
        assert filled.execute("PRAGMA defer_foreign_keys").fetchone() == (0,)
        with pytest.raises(ForeignKeyViolation):
            filled.execute("INSERT INTO child VALUES (10, 100)")


class TestBegin:
    @pytest.mark.parametrize("begin", BEGINS)
    @pytest.mark.parametrize("before", READS)
    def test_after_what_has_written_nothing(self, filled: Connection, before: str, begin: str) -> None:
        filled.execute(before).fetchall()
        filled.execute(begin)
        filled.execute("DELETE FROM child WHERE id = 3")
        with pytest.raises(OperationalError, match=r"^cannot start a transaction within a transaction$"):
            filled.execute(begin)
        filled.execute("COMMIT")
        assert children(filled) == [(1, 1), (2, 1)]

    def test_what_was_read_before_is_another_transaction(self, filled: Connection, connect: Connect) -> None:
        assert filled.execute("SELECT v FROM parent WHERE id = 1").fetchone() == ("a",)
        other = connect()
        other.execute("UPDATE parent SET v = 'other' WHERE id = 1")
        other.commit()
        assert filled.execute("SELECT v FROM parent WHERE id = 1").fetchone() == ("a",)  # polled: one snapshot
        filled.execute("BEGIN IMMEDIATE")
        assert filled.execute("SELECT v FROM parent WHERE id = 1").fetchone() == ("other",)
        filled.execute("UPDATE parent SET v = v || '!' WHERE id = 1")
        filled.execute("COMMIT")
        assert filled.execute("SELECT v FROM parent WHERE id = 1").fetchone() == ("other!",)

    @pytest.mark.parametrize("begin", BEGINS)
    def test_ddl_before_it_is_committed_as_in_sqlite3(self, filled: Connection, connect: Connect, begin: str) -> None:
        stock = sqlite3.connect(":memory:")
        for connection in (filled, stock):
            connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY)")
            connection.execute(begin)
            connection.execute("INSERT INTO jobs VALUES (1)")
            connection.execute("ROLLBACK")
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        stock.close()
        assert connect().execute("SELECT count(*) FROM jobs").fetchone() == (0,)

    def test_ddl_without_commit_or_begin_is_lost(self, filled: Connection) -> None:
        filled.execute("CREATE TABLE jobs (a)")
        filled.rollback()
        with pytest.raises(OperationalError, match="no such table: jobs"):
            filled.execute("SELECT * FROM jobs")

    @pytest.mark.parametrize(
        "before",
        [
            ["INSERT INTO parent VALUES (5, 'e')"],
            ["CREATE TABLE u (a)", "INSERT INTO u VALUES (1)"],
            ["SELECT * FROM parent WHERE id = 1 FOR UPDATE"],
        ],
    )
    def test_after_what_holds_something(self, filled: Connection, before: list[str]) -> None:
        for sql in before:
            filled.execute(sql)
        with pytest.raises(
            OperationalError, match="within a transaction: the statements before have begun one, COMMIT"
        ):
            filled.execute("BEGIN")
        filled.commit()
        filled.execute("BEGIN")

    def test_in_a_script_what_comes_before_is_committed(self, filled: Connection) -> None:
        filled.executescript(
            "CREATE TABLE a (x); INSERT INTO a VALUES (1); BEGIN; INSERT INTO a VALUES (2); ROLLBACK; SELECT 1;"
        )
        assert filled.execute("SELECT x FROM a").fetchall() == [(1,)]

    @pytest.mark.parametrize("end", ["COMMIT", "END TRANSACTION", "ROLLBACK"])
    @pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT"])
    def test_the_end_of_none(self, filled: Connection, end: str, level: str) -> None:
        filled.isolation_level = level
        word = "rollback" if end == "ROLLBACK" else "commit"
        with pytest.raises(OperationalError, match=f"^cannot {word} - no transaction is active$"):
            filled.execute(end)
        filled.commit()
        filled.rollback()
        filled.execute("BEGIN")
        filled.execute(end)


class TestImmediate:
    @pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE TRANSACTION"])
    def test_those_that_begin_so_do_not_meet(self, filled: Connection, connect: Connect, begin: str) -> None:
        """A conflict would be raised: what they read changes each time, and nothing is replayed."""

        def work() -> None:
            with closing(connect(max_replays=0)) as connection:
                for _ in range(15):
                    connection.execute("SELECT count(*) FROM child").fetchall()
                    connection.execute(begin)
                    ((found,),) = connection.execute("SELECT v FROM parent WHERE id = 1").fetchall()
                    connection.execute("UPDATE parent SET v = ? WHERE id = 1", (str(int(found) + 1),))
                    connection.execute("COMMIT")

        filled.execute("UPDATE parent SET v = '0' WHERE id = 1")
        filled.commit()
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(work) for _ in range(3)]:
                done.result()
        assert filled.execute("SELECT v FROM parent WHERE id = 1").fetchone() == ("45",)

    def test_one_that_writes_nothing_lets_the_next_one_in(self, filled: Connection, connect: Connect) -> None:
        for end in ("COMMIT", "ROLLBACK"):
            filled.execute("BEGIN IMMEDIATE")
            filled.execute(end)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(lambda: connect(check_same_thread=False).execute("BEGIN IMMEDIATE").close()).result()

    def test_others_are_not_kept_off(self, filled: Connection, connect: Connect) -> None:
        filled.execute("BEGIN IMMEDIATE")
        other = connect()
        other.execute("INSERT INTO parent VALUES (7, 'g')")
        before = other.rome_stats.turns
        other.commit()
        assert other.rome_stats.turns == before
        filled.execute("INSERT INTO parent VALUES (8, 'h')")
        filled.execute("COMMIT")


class TestLevels:
    @pytest.mark.parametrize("level", ["SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT", "READ UNCOMMITTED"])
    def test_another_level_after_a_select(self, filled: Connection, level: str) -> None:
        filled.execute("SELECT * FROM parent").fetchall()
        filled.isolation_level = level
        assert (filled.isolation_level, filled.in_transaction) == (level, False)
        filled.execute("DELETE FROM child WHERE id = 1")
        if level != "AUTOCOMMIT":
            with pytest.raises(ProgrammingError, match="COMMIT or ROLLBACK first"):
                filled.isolation_level = "SERIALIZABLE"

    @pytest.mark.parametrize("level", ["", "DEFERRED", "immediate", "EXCLUSIVE"])
    def test_sqlite3s_names_are_serializable(self, filled: Connection, connect: Connect, level: str) -> None:
        for connection in (filled, connect(isolation_level=level)):
            connection.isolation_level = "READ COMMITTED"
            connection.isolation_level = level
            assert connection.isolation_level == level.upper()
            connection.execute("SELECT v FROM parent WHERE id = 1").fetchall()
            connection.execute("UPDATE parent SET v = 'mine' WHERE id = 2")
            other = connect()
            other.execute("UPDATE parent SET v = v || '+' WHERE id = 1")
            other.commit()
            with pytest.raises(ConflictError):
                connection.commit()

    def test_none_commits_as_in_sqlite3(self, filled: Connection) -> None:
        stock = sqlite3.connect(":memory:")
        stock.execute("CREATE TABLE child (id)")
        for connection in (filled, stock):
            connection.execute("DELETE FROM child")
            connection.isolation_level = None
            assert not connection.in_transaction
        stock.close()
        assert children(filled) == []

    def test_autocommit(self, filled: Connection, connect: Connect) -> None:
        assert filled.autocommit is False
        filled.isolation_level = "SNAPSHOT"
        filled.execute("DELETE FROM child WHERE id = 1")
        filled.autocommit = True
        assert (filled.autocommit, filled.isolation_level) == (True, "AUTOCOMMIT")
        filled.execute("DELETE FROM child WHERE id = 2")
        assert children(connect()) == [(3, 2)]
        filled.autocommit = False
        assert (filled.autocommit, filled.isolation_level) == (False, "SNAPSHOT")
        filled.execute("DELETE FROM child")
        assert children(filled) == [(3, 2)]
        filled.autocommit = -1
        assert filled.autocommit is False
        with pytest.raises(ValueError, match="autocommit must be True, False, or"):
            filled.autocommit = 5

    @pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), (-1, False)])
    def test_autocommit_as_an_argument(self, connect: Connect, value: bool | int, expected: bool) -> None:
        connection = connect(autocommit=value)
        assert connection.autocommit is expected
        connection.autocommit = False
        assert connection.isolation_level == "SERIALIZABLE"

    def test_an_unknown_level(self, url: str) -> None:
        with pytest.raises(Error, match="READ UNCOMMITTED"):
            rome.connect(url, isolation_level="SOMETIMES")
