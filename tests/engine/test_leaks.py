"""Nothing of a schema that has changed, of a statement that failed or of a connection that was closed stays open."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import apsw
import pytest
from sqlalchemy import create_engine

import rome
from rome.dbapi import Connection
from rome.errors import Error
from rome.workingset import idle
from tests.support.databases import database, on


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    gc.collect()  # what other tests have abandoned is closed by the first connection here
    with database(request.param, request) as url, closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        connection.execute("CREATE INDEX t_a ON t (lower(a))")
        connection.commit()
        yield url


def opened() -> int:
    """SQLite's connections that are open in this process; Rome holds a mirror and a working set for each of its own.

    A few working sets of closed connections stay for the next ones (tests/engine/statement/test_idle.py); not here.
    """
    idle.discard()
    gc.collect()
    return len(apsw.connections())


def change_schema(connection: Connection, number: int) -> None:
    connection.execute(f"ALTER TABLE t ADD COLUMN c{number} INT")
    connection.execute("INSERT INTO t (a) VALUES ('x')")
    connection.commit()


def undo_change(connection: Connection, number: int) -> None:
    connection.execute(f"CREATE TABLE undone{number} (a)")
    connection.rollback()


def undo_to_savepoint(connection: Connection, number: int) -> None:
    connection.execute("SAVEPOINT s")
    connection.execute(f"CREATE UNIQUE INDEX undone{number} ON t (a)")
    connection.execute("ROLLBACK TO s")
    connection.rollback()


def fail(connection: Connection, number: int) -> None:
    with suppress(Error):
        connection.execute("CREATE TABLE t (a)")
    with suppress(Error):
        connection.execute(f"CREATE INDEX failed{number} ON t (nothing)")
    connection.rollback()


def change_temporary(connection: Connection, number: int) -> None:
    connection.execute(f"CREATE TEMP TABLE passing{number} (a)")
    connection.execute(f"INSERT INTO passing{number} VALUES (NULL)")
    connection.commit()
    connection.execute(f"DROP TABLE passing{number}")
    connection.commit()


def define_function(connection: Connection, number: int) -> None:
    connection.create_function("mine", 1, lambda value: (connection, value)[1])
    change_schema(connection, number)


@pytest.mark.parametrize(
    "act", [change_schema, undo_change, undo_to_savepoint, fail, change_temporary, define_function]
)
def test_a_hundred_times(url: str, act: Callable[[Connection, int], None]) -> None:
    connection = rome.connect(url)
    act(connection, 1000)
    before = opened()
    for number in range(100):
        act(connection, number)
    assert opened() == before
    connection.close()
    assert opened() == before - 2


def test_another_clients_changes(url: str) -> None:
    with closing(rome.connect(url)) as one, closing(rome.connect(url)) as other:
        before = opened()
        for number in range(30):
            change_schema(one, number)
            other.execute("SELECT count(*) FROM t WHERE a > ''").fetchall()
            other.execute("SELECT * FROM t").fetchall()
            other.rollback()
        assert opened() == before


def test_connections_and_engines_that_are_closed(url: str) -> None:
    before = opened()
    for number in range(20):
        with closing(rome.connect(url)) as connection:
            change_schema(connection, number)
        engine = create_engine(url)
        with engine.begin() as used:
            used.exec_driver_sql("INSERT INTO t (a) VALUES ('y')")
        engine.dispose()
        with suppress(Error):
            rome.connect(url, full_scan="perhaps")
    assert opened() == before


def test_connections_that_are_abandoned(url: str) -> None:
    """Their last one is closed when the next is made."""
    before = opened()
    for number in range(20):
        change_schema(rome.connect(url), number)
    assert opened() <= before + 4
    rome.connect(url).close()
    assert opened() == before


def test_child_process(url: str) -> None:
    connection = rome.connect(url)
    before = opened()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if not url.startswith("rome+memory"):
                with closing(rome.connect(url)) as own:
                    for number in range(20):
                        change_schema(own, number)
            status = int(opened() != before)
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    connection.close()
