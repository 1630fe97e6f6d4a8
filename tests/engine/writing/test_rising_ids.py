"""Ids rise across processes: each statement's ids are above all earlier ones, whichever process took them."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection as Pipe
from random import Random
from typing import Any

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import CommitUnknownError, ConflictError, StoreUnavailableError, UniqueViolation
from rome.transaction import transaction
from tests.support.databases import Connect, database, on
from tests.support.faulty_store import connect_faulty
from tests.support.servers import Flavour, StartServer

TABLES = {
    "key": "CREATE TABLE key (id INTEGER PRIMARY KEY, v)",
    "counted": "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v UNIQUE)",
    "hidden": "CREATE TABLE hidden (v)",
    "text": "CREATE TABLE text (v TEXT PRIMARY KEY)",
}


def serve(url: str, options: dict[str, Any], pipe: Pipe) -> None:
    """Run what is sent, and answer what cannot be read from the table."""
    connection = rome.connect(url, **options)
    while (sent := pipe.recv()) is not None:
        sql, batch, committed = sent
        cursor = connection.executemany(sql, batch) if len(batch) > 1 else connection.execute(sql, *batch)
        if committed:
            connection.commit()
        else:
            connection.rollback()
        pipe.send(cursor.lastrowid)
    connection.close()


class Other:
    """Another process with a connection of its own."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(url, options, theirs), daemon=True)
        self._process.start()

    def run(self, sql: str, *batch: tuple[object, ...], committed: bool = True) -> int:
        self._pipe.send((sql, batch, committed))
        assert self._pipe.poll(60)
        rowid: int = self._pipe.recv()
        return rowid

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join(60)


@contextmanager
def processes(url: str, **options: Any) -> Iterator[list[Other]]:
    found = [Other(url, options) for _ in range(2)]
    try:
        yield found
    finally:
        for each in found:
            each.end()


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    for table in TABLES.values():
        connection.execute(table)
    connection.commit()
    return connection


def order(connection: Connection, table: str, since: int = 0) -> list[object]:
    rows = connection.execute(f"SELECT v FROM {table} WHERE rowid > ? ORDER BY rowid", (since,)).fetchall()
    connection.rollback()
    return [row[0] for row in rows]


class TestProcesses:
    @pytest.fixture(params=on("lmdb", "redis", "etcd"))
    def url(self, request: pytest.FixtureRequest) -> Iterator[str]:
        with database(request.param, request) as url:
            yield url

    def test_rows_of_processes_in_turns(self, one: Connection, url: str) -> None:
        with processes(url) as both:
            for number in range(6):
                for table in TABLES:
                    both[number % 2].run(f"INSERT INTO {table} (v) VALUES (?)", (f"v{number}",))
            for table in TABLES:
                assert order(one, table) == [f"v{number}" for number in range(6)]

    def test_poller_sees_each_row_once(self, one: Connection, url: str) -> None:
        seen: list[object] = []
        last = 0
        with processes(url) as both:
            for number in range(8):
                both[number % 2].run("INSERT INTO counted (v) VALUES (?)", (number,))
                for rowid, value in one.execute("SELECT id, v FROM counted WHERE id > ? ORDER BY id", (last,)):
                    seen.append(value)
                    last = int(str(rowid))
                one.rollback()
        assert seen == [*range(8)]

    def test_what_was_left_is_not_used_later(self, one: Connection, url: str) -> None:
        """A rollback, a row that was there already, a batch: none of them leaves an id for a later statement."""
        with processes(url) as (left, right):
            left.run("INSERT INTO counted (v) VALUES (?)", ("gone",), committed=False)
            right.run("INSERT INTO counted (v) VALUES (?)", ("a",))
            left.run("INSERT INTO counted (v) VALUES (?) ON CONFLICT DO NOTHING", ("a",), ("b",), ("c",))
            right.run("INSERT INTO counted (v) VALUES (?)", ("d",))
            left.run("INSERT INTO counted (v) SELECT value || 'e' FROM (SELECT 1 AS value UNION SELECT 2)", ())
            right.run("INSERT INTO counted (v) VALUES (?)", ("f",))
            left.run("REPLACE INTO counted (v) VALUES (?)", ("a",))
        assert order(one, "counted") == ["b", "c", "d", "1e", "2e", "f", "a"]

    def test_ids_of_a_statement_are_above_explicit_ones(self, one: Connection, url: str) -> None:
        with processes(url) as (left, right):
            left.run("INSERT INTO key (v) VALUES (?)", ("a",))
            right.run("INSERT INTO key (id, v) VALUES (1000, ?)", ("b",))
            assert left.run("INSERT INTO key (v) VALUES (?)", ("c",)) == 1001
            right.run("UPDATE key SET id = 2000 WHERE v = ?", ("b",))
            assert left.run("INSERT INTO key (v) VALUES (?)", ("d",)) == 2001

    def test_deleted_ids_are_not_used_again(self, one: Connection, url: str) -> None:
        """Also where SQLite would, without AUTOINCREMENT."""
        with processes(url) as (left, right):
            first = left.run("INSERT INTO key (v) VALUES (?)", ("a",))
            left.run("DELETE FROM key WHERE v = ?", ("a",))
            assert right.run("INSERT INTO key (v) VALUES (?)", ("b",)) > first

    def test_blocks_are_each_process_own(self, one: Connection, url: str) -> None:
        """What `ids=blocks` gives up for its trips."""
        with processes(url, ids="blocks") as (left, right):
            left.run("INSERT INTO key (v) VALUES (?)", ("a",))
            right.run("INSERT INTO key (v) VALUES (?)", ("b",))
            left.run("INSERT INTO key (v) VALUES (?)", ("c",))
        assert order(one, "key") == ["a", "c", "b"]


def trips(connection: Connection, *statement: Any, many: bool = False) -> int:
    """How often a statement waits for the store."""
    before = connection.rome_stats.round_trips
    (connection.executemany if many else connection.execute)(*statement)
    spent = connection.rome_stats.round_trips - before
    connection.commit()
    return spent


def test_ids_share_the_trip_of_the_statement(one: Connection) -> None:
    one.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES key)")
    one.execute("INSERT INTO key VALUES (1, 'parent')")
    one.commit()
    assert trips(one, "INSERT INTO counted (v) VALUES ('a')") == 1
    assert trips(one, "INSERT INTO counted (v) VALUES ('b'), ('c'), ('d')") == 1
    assert trips(one, "INSERT INTO child (p) VALUES (1)") == 1
    assert trips(one, "INSERT INTO text VALUES ('a')") == 1
    assert trips(one, "INSERT INTO key (v) VALUES ('a')") == 1
    assert trips(one, "INSERT INTO key VALUES (77, 'explicit')") == 1  # its own key is a guard


def test_a_batch_reserves_all_that_it_needs_at_once(one: Connection) -> None:
    """So many that one transaction of etcd looks for all of their keys, too."""
    rows = [(f"v{number}",) for number in range(90)]
    for table in TABLES:
        assert trips(one, f"INSERT INTO {table} (v) VALUES (?)", rows, many=True) == 1
        assert trips(one, f"INSERT OR IGNORE INTO {table} (v) VALUES (?)", [("x",), ("y",), ("z",)], many=True) == 1
    assert one.execute("SELECT max(id) FROM counted").fetchall() == [(93,)]


def test_a_replay_uses_its_ids_again(one: Connection, two: Connection) -> None:
    """It shows the application what it has shown before; so they are smaller than what others took meanwhile."""
    one.execute("INSERT INTO key (id, v) VALUES (1, 0)")
    one.commit()
    one.execute("UPDATE key SET v = v + 1 WHERE id = 1")
    mine = one.execute("INSERT INTO counted (v) VALUES ('mine') RETURNING id").fetchall()
    two.execute("UPDATE key SET v = v + 1 WHERE id = 1")
    two.execute("INSERT INTO counted (v) VALUES ('theirs')")
    two.commit()
    one.commit()
    assert one.rome_stats.replays == 1
    assert one.execute("SELECT id FROM counted WHERE v = 'mine'").fetchall() == mine
    assert order(one, "counted") == ["mine", "theirs"]


class TestTakenAgain:
    """What nobody uses leaves no gap, unless somebody has gone on."""

    def test_failure_and_rollback(self, one: Connection) -> None:
        one.execute("INSERT INTO counted (v) VALUES ('a')")
        one.commit()
        for _ in range(3):
            with pytest.raises(UniqueViolation):
                one.execute("INSERT INTO counted (v) VALUES ('b'), ('a')")
            one.execute("INSERT INTO counted (v) VALUES ('c')")
            one.execute("INSERT INTO counted (v) VALUES ('d'), ('e')")
            one.rollback()
            one.execute("INSERT OR IGNORE INTO counted (v) VALUES ('a')")
            one.commit()
        assert one.execute("INSERT INTO counted (v) SELECT 'f' RETURNING id").fetchall() == [(2,)]
        assert one.execute("INSERT INTO counted (v) VALUES ('g') RETURNING id").fetchall() == [(3,)]

    def test_somebody_has_gone_on(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO key (v) VALUES ('gone'), ('gone')")
        assert two.execute("INSERT INTO key (v) VALUES ('theirs')").lastrowid == 3
        one.rollback()
        assert one.execute("INSERT INTO key (v) VALUES ('mine')").lastrowid == 4
        two.rollback()
        assert two.execute("INSERT INTO key (v) VALUES ('theirs')").lastrowid == 5
        one.commit()
        two.commit()

    def test_it_is_taken_again_by_who_had_it(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO key (v) VALUES ('gone'), ('gone'), ('gone')")
        one.rollback()
        got = [one.execute("INSERT INTO key (v) VALUES ('a')").lastrowid]
        got += [two.execute("INSERT INTO key (v) VALUES ('b'), ('c')").lastrowid]
        two.commit()
        one.commit()
        got += [one.execute("INSERT INTO key (v) VALUES ('d')").lastrowid]
        one.commit()
        assert got == [1, 5, 6]

    def test_somebody_has_named_one_of_them(self, one: Connection, two: Connection) -> None:
        for table in ("key", "hidden"):
            one.execute(f"INSERT INTO {table} (v) VALUES ('gone'), ('gone'), ('gone')")
            one.rollback()
            two.execute(f"INSERT INTO {table} (rowid, v) VALUES (2, 'theirs')")
            two.commit()
            one.execute(f"INSERT INTO {table} (v) VALUES ('a')")
            one.execute(f"INSERT INTO {table} (v) VALUES ('b')")
            one.commit()
            assert len(order(one, table)) == 3
        assert one.rome_stats.conflicts == 0

    @pytest.mark.memory
    def test_what_may_have_been_committed_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transaction, "RESOLVE_PAUSES_S", [])
        connection, store = connect_faulty("rome+memory:///unknown_ids")
        connection.execute("CREATE TABLE key (id INTEGER PRIMARY KEY, v)")
        connection.commit()
        connection.execute("INSERT INTO key (v) VALUES ('perhaps')")
        store.answers_lost = store.resolves_lost = 100
        with pytest.raises(CommitUnknownError):
            connection.commit()
        assert connection.execute("INSERT INTO key (v) VALUES ('next')").lastrowid == 2
        connection.close()


class TestSavepoints:
    """ROLLBACK TO gives ids back, as SQLite's greatest rowid and sqlite_sequence are rolled back, too."""

    @pytest.mark.parametrize("table", ["key", "counted", "hidden", "text"])
    def test_ids_are_those_of_sqlite(self, one: Connection, table: str) -> None:
        for seed in range(6):
            random = Random(f"{table}/{seed}")
            plain = sqlite3.connect(":memory:", isolation_level=None)
            plain.execute(TABLES[table])
            one.execute(f"DROP TABLE {table}")
            one.execute(TABLES[table])
            one.commit()
            one.execute("BEGIN")
            plain.execute("BEGIN")
            history: list[str] = []
            depth = 0
            for number in range(14):
                kind = random.choice(["INSERT", "INSERT", "INSERT", "SAVEPOINT", "ROLLBACK TO", "RELEASE"])
                if kind == "INSERT":
                    values = ", ".join(f"('v{number}.{row}')" for row in range(random.randint(1, 3)))
                    statement = f"INSERT INTO {table} (v) VALUES {values}"
                elif kind == "SAVEPOINT":
                    depth += 1
                    statement = f"SAVEPOINT s{depth}"
                elif depth:
                    to = random.randint(1, depth)
                    depth = to if kind == "ROLLBACK TO" else to - 1
                    statement = f"{kind} s{to}"
                else:
                    continue
                history.append(statement)
                one.execute(statement)
                plain.execute(statement)
                select = f"SELECT rowid, v FROM {table} ORDER BY rowid"
                assert one.execute(select).fetchall() == plain.execute(select).fetchall(), history
            one.commit()
            plain.close()

    def test_somebody_has_gone_on(self, one: Connection, two: Connection) -> None:
        one.execute("SAVEPOINT s")
        assert one.execute("INSERT INTO key (v) VALUES ('gone')").lastrowid == 1
        assert two.execute("INSERT INTO key (v) VALUES ('theirs')").lastrowid == 2
        two.commit()
        one.execute("ROLLBACK TO s")
        assert one.execute("INSERT INTO key (v) VALUES ('mine')").lastrowid == 3
        one.commit()
        assert order(one, "key") == ["theirs", "mine"]

    def test_a_replay_takes_them_twice(self, one: Connection, two: Connection) -> None:
        one.execute("INSERT INTO text VALUES ('a')")
        one.commit()
        one.execute("SELECT count(*) FROM text WHERE v = 'b'").fetchall()
        one.execute("SAVEPOINT s")
        ids = [one.execute("INSERT INTO counted (v) VALUES ('gone')").lastrowid]
        one.execute("ROLLBACK TO s")
        ids += [one.execute("INSERT INTO counted (v) VALUES ('mine')").lastrowid]
        two.execute("INSERT INTO counted (v) VALUES ('theirs')")
        two.execute("UPDATE text SET v = 'c' WHERE v = 'a'")
        two.commit()
        one.execute("UPDATE text SET v = 'd' WHERE v = 'a'")
        two.execute("INSERT INTO text VALUES ('e')")
        two.commit()
        one.commit()
        assert ids == [1, 1]
        assert one.execute("SELECT id, v FROM counted ORDER BY id").fetchall() == [(1, "mine"), (2, "theirs")]


def finish(connection: Connection, statements: list[str]) -> None:
    for sql in statements:
        connection.execute(sql)
    connection.commit()


@pytest.mark.redis
@pytest.mark.parametrize("flavour", ["redis", "valkey"])
@pytest.mark.parametrize("rest", [[], ["SELECT count(*) FROM counted"]], ids=["COMMIT", "a statement"])
def test_ids_from_before_a_restart_are_not_committed_after_it(
    start_server: StartServer, flavour: Flavour, rest: list[str]
) -> None:
    """The server has forgotten that they were taken, and another client's row may have had them meanwhile."""
    server = start_server(flavour, {"appendonly": "yes", "appendfsync": "always"})
    url = f"rome+redis://{server.host}:{server.port}/nova"
    with closing(rome.connect(url)) as one:
        one.execute(TABLES["counted"])
        one.execute("INSERT INTO counted (v) VALUES ('first')")
        one.commit()
        assert one.execute("INSERT INTO counted (v) VALUES ('mine')").lastrowid == 2
        server.kill()
        server.start()
        with closing(rome.connect(url)) as two:
            assert two.execute("INSERT INTO counted (v) VALUES ('theirs')").lastrowid == 2
            two.commit()
            two.execute("DELETE FROM counted WHERE v = 'theirs'")
            two.commit()
            with pytest.raises((ConflictError, StoreUnavailableError)):
                finish(one, rest)
            one.rollback()
            assert one.execute("INSERT INTO counted (v) VALUES ('again')").lastrowid == 3
            one.commit()
            assert two.execute("SELECT id, v FROM counted ORDER BY id").fetchall() == [(1, "first"), (3, "again")]
