"""What a Connection has beyond PEP 249: the habits of sqlite3's users, and Rome's own."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest

from rome import dbapi
from rome.dbapi import Connection
from rome.dbapi import connection as connection_module
from rome.store.spi import Store
from tests.support.servers import Server


class TestSqlite3Habits:
    def test_context_manager_commits_and_stays_open(self, connect: Callable[..., Connection]) -> None:
        writer, reader = connect(), connect()
        with writer as entered:
            assert entered is writer
            writer.execute("CREATE TABLE t (a)")
            writer.execute("INSERT INTO t VALUES (1)")
        assert not writer.in_transaction
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]

    def test_context_manager_rolls_back_after_an_exception(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(dbapi.OperationalError, match="no such table: missing"), connection:
            connection.execute("INSERT INTO missing VALUES (1)")
        assert not connection.in_transaction
        assert connection.execute("SELECT a FROM t").fetchall() == []

    def test_shortcuts_return_a_cursor(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a)")
        assert connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)]).rowcount == 2
        assert connection.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]

    def test_executescript_runs_all_statements(self, connection: Connection) -> None:
        cursor = connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES ('x;y'); -- the end;\n")
        assert cursor.description is None
        assert connection.execute("SELECT a FROM t").fetchall() == [("x;y",)]

    def test_iterdump_makes_the_database_again(self, connection: Connection, url: str) -> None:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX i ON t (a);")
        connection.execute("INSERT INTO t VALUES (7, 'it''s')")
        connection.commit()
        script = "\n".join(connection.iterdump())
        with_copy = dbapi.connect("rome+memory://")
        with_copy.executescript(script)
        assert with_copy.execute("SELECT * FROM t").fetchall() == [(7, "it's")]
        assert with_copy.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall() == [("i",)]
        with_copy.close()

    def test_create_function(self, connection: Connection) -> None:
        connection.create_function("twice", 1, lambda text: text * 2, deterministic=True)
        assert connection.execute("SELECT twice('ab')").fetchone() == ("abab",)
        connection.create_function("twice", 1, None)
        with pytest.raises(dbapi.OperationalError, match="no such function: twice"):
            connection.execute("SELECT twice('ab')")

    def test_functions_outlive_a_change_of_the_schema(self, connection: Connection) -> None:
        connection.create_function("twice", 1, lambda text: text * 2)
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        assert connection.execute("SELECT twice('ab') REGEXP '^(ab){2}$'").fetchone() == (1,)

    def test_regexp_works_out_of_the_box(self, connection: Connection) -> None:
        row = connection.execute("SELECT 'nova-17' REGEXP '-[0-9]+$', 'nova' REGEXP '^a', NULL REGEXP 'a'").fetchone()
        assert row == (1, 0, None)

    def test_in_transaction(self, connection: Connection) -> None:
        assert not connection.in_transaction
        connection.execute("CREATE TABLE t (a)")
        assert connection.in_transaction
        connection.rollback()
        assert not connection.in_transaction


class TestIsolationLevel:
    def test_default_and_url(self, connect: Callable[..., Connection]) -> None:
        assert connect().isolation_level == "SERIALIZABLE"
        assert connect(isolation_level="READ_COMMITTED").isolation_level == "READ COMMITTED"

    @pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT"])
    def test_is_read_back_by_the_name_that_was_set(self, connection: Connection, level: str) -> None:
        connection.isolation_level = level.lower()
        assert connection.isolation_level == level

    def test_none_is_autocommit(self, connect: Callable[..., Connection]) -> None:
        writer, reader = connect(), connect()
        writer.isolation_level = None
        writer.execute("CREATE TABLE t (a)")
        writer.execute("INSERT INTO t VALUES (1)")
        assert not writer.in_transaction
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]

    def test_unknown_one_is_refused(self, connection: Connection) -> None:
        with pytest.raises(dbapi.ProgrammingError, match="no isolation level 'CHAOS'; known: SERIALIZABLE"):
            connection.isolation_level = "CHAOS"
        assert connection.isolation_level == "SERIALIZABLE"

    def test_a_transaction_keeps_its_level(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a)")
        with pytest.raises(dbapi.ProgrammingError):
            connection.isolation_level = "SNAPSHOT"
        assert connection.isolation_level == "SERIALIZABLE"


class TestLife:
    def test_an_abandoned_connection_is_closed_when_the_next_one_opens(
        self, connect: Callable[..., Connection], url: str
    ) -> None:
        abandoned = dbapi.connect(url)
        session = abandoned.session
        del abandoned
        gc.collect()
        assert session.is_usable()  # closing may need a lock that the collecting thread holds
        connect()
        assert not session.is_usable()

    def test_a_session_that_cannot_start_leaves_no_store_open(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        stores: list[Store] = []

        def refuse(store: Store, *_: object) -> None:
            stores.append(store)
            raise dbapi.OperationalError("no session today")

        monkeypatch.setattr(connection_module, "Session", refuse)
        with pytest.raises(dbapi.OperationalError, match="no session today"):
            dbapi.connect(url)
        assert [store.is_usable() for store in stores] == [False]

    def test_statistics_count_what_the_connection_did(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        before = connection.rome_stats.statements
        trips = connection.rome_stats.round_trips
        assert trips > 0
        connection.execute("SELECT a FROM t").fetchall()
        connection.commit()
        assert connection.rome_stats.statements == before + 1
        assert connection.rome_stats.round_trips == trips + 1  # the read; neither BEGIN nor the commit costs one

    @pytest.mark.redis
    @pytest.mark.filterwarnings("ignore::rome.errors.PersistenceWarning")
    def test_a_forked_child_must_not_use_its_parents_connection(self, redis_server: Server) -> None:
        connection = dbapi.connect(f"rome+redis://127.0.0.1:{redis_server.port}/fork")
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, pickle.dumps(connection.is_usable()))
            connection.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert pickle.loads(os.read(read, 100)) is False
        os.close(read)
        os.close(write)
        assert connection.is_usable()
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        connection.close()

    def test_nothing_is_reported_when_the_process_ends_with_an_open_connection(self, url: str) -> None:
        program = f"import rome; connection = rome.connect({url!r}); connection.execute('CREATE TABLE t (a)')"
        ended = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, check=True)
        assert ended.stderr == ""
