"""A connection runs one statement at a time; other callers get an error meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import apsw
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from rome.dbapi import Connection
from rome.errors import OperationalError, ProgrammingError

USES: dict[str, Callable[[Connection], object]] = {
    "execute": lambda connection: connection.execute("SELECT 1"),
    "executemany": lambda connection: connection.executemany("INSERT INTO t VALUES (?)", [(5,)]),
    "executescript": lambda connection: connection.executescript("SELECT 1"),
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "close": lambda connection: connection.close(),
    "iterdump": lambda connection: list(connection.iterdump()),
    "getlimit": lambda connection: connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH),
    "getconfig": lambda connection: connection.getconfig(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA),
    "isolation_level": lambda connection: setattr(connection, "isolation_level", "READ COMMITTED"),
    "set_progress_handler": lambda connection: connection.set_progress_handler(None, 100),
    "total_changes": lambda connection: connection.total_changes,
    "create_collation": lambda connection: connection.create_collation("other", lambda a, b: 0),
    "create_function": lambda connection: connection.create_function("other", 0, lambda: 1),
}


@pytest.mark.parametrize("use", list(USES))
def test_from_inside_of_a_statement(connection: Connection, use: str) -> None:
    """A function that the statement calls stands for another thread: it comes at a moment that is known."""
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    seen: list[str] = []

    def again() -> int:
        try:
            USES[use](connection)
        except ProgrammingError as error:
            seen.append(str(error))
        return 7

    connection.create_function("again", 0, again)
    connection.execute("INSERT INTO t VALUES (2)")
    assert connection.execute("SELECT again() FROM t WHERE id = 1").fetchall() == [(7,)]
    assert seen
    assert all("is in use" in each for each in seen)
    assert connection.execute("SELECT id FROM t").fetchall() == [(1,), (2,)]
    connection.commit()


def test_statement_that_fails_leaves_the_connection_free(connection: Connection) -> None:
    with pytest.raises(OperationalError):
        connection.execute("SELECT * FROM nowhere")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_threads_with_one_connection(make_engine: Callable[..., Engine]) -> None:
    """StaticPool gives one connection to all: each statement gets its own rows, or a ProgrammingError."""
    engine = make_engine(poolclass=StaticPool)
    engine.hide_parameters = True
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO t VALUES (0), (1), (2), (3), (4)")
    shared = engine.raw_connection().dbapi_connection
    assert isinstance(shared, Connection)

    def read(number: int) -> str:
        try:
            rows = shared.execute("SELECT id FROM t WHERE id = ?", (number % 5,)).fetchall()
        except ProgrammingError:
            return "busy"
        return "right" if rows == [(number % 5,)] else f"{rows} for {number % 5}"

    with ThreadPoolExecutor(8) as pool:
        outcomes = set(pool.map(read, range(2_000)))
    assert "right" in outcomes
    assert outcomes <= {"right", "busy"}
    shared.rollback()


def test_static_pool_in_threads_that_take_turns(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(poolclass=StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 0)")

    def add() -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE t SET n = n + 1"))

    for _ in range(10):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(add).result()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM t")).scalar() == 10


def test_error_reaches_sqlalchemy_as_its_own(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(poolclass=StaticPool)
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, Connection)

        def again() -> int:
            with pytest.raises(DBAPIError, match="is in use") as caught:
                connection.exec_driver_sql("SELECT 2")
            assert not caught.value.connection_invalidated
            return 1

        driver.create_function("again", 0, again)
        assert connection.exec_driver_sql("SELECT again()").scalar() == 1
