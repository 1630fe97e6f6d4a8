"""Exceptions from outside, which no part of Rome expects: afterwards the transaction is whole, or gone and says so."""

from __future__ import annotations

import gc
from contextlib import closing

import apsw
import pytest

from rome.dbapi import Connection
from rome.errors import InterruptedTransactionError
from tests.support.databases import Connect
from tests.support.faulty_store import connect_faulty, nothing


class Interruption(BaseException):
    """What a signal handler raises."""


def interrupt() -> int:
    raise Interruption


@pytest.fixture
def one(connection: Connection) -> Connection:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    connection.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    connection.commit()
    connection.create_function("interrupt", 0, interrupt)
    return connection


def test_first_statement_leaves_nothing_and_no_transaction(one: Connection) -> None:
    with pytest.raises(Interruption):
        one.execute("UPDATE t SET n = CASE id WHEN 1 THEN 5 ELSE interrupt() END")
    assert one.execute("SELECT n FROM t").fetchall() == [(0,), (0,)]
    one.execute("UPDATE t SET n = 1")
    one.commit()
    assert one.execute("SELECT n FROM t").fetchall() == [(1,), (1,)]


def test_later_statement_takes_the_transaction_with_it(one: Connection, connect: Connect) -> None:
    one.execute("UPDATE t SET n = 7 WHERE id = 1")
    with pytest.raises(Interruption):
        one.execute("UPDATE t SET n = interrupt() WHERE id = 2")
    assert one.in_transaction
    for _ in range(2):
        with pytest.raises(InterruptedTransactionError, match="must be rolled back") as caught:
            one.execute("SELECT n FROM t")
        assert caught.value.retryable
    one.rollback()
    assert one.execute("SELECT n FROM t").fetchall() == [(0,), (0,)]
    with closing(connect()) as other:
        assert other.execute("SELECT n FROM t").fetchall() == [(0,), (0,)]


def test_commit_says_so_too(one: Connection) -> None:
    one.execute("UPDATE t SET n = 7 WHERE id = 1")
    with pytest.raises(Interruption):
        one.execute("SELECT interrupt()")
    with pytest.raises(InterruptedTransactionError):
        one.commit()
    assert not one.in_transaction
    assert one.execute("SELECT n FROM t").fetchall() == [(0,), (0,)]


def test_rollback_alone_is_enough(one: Connection) -> None:
    one.execute("UPDATE t SET n = 7 WHERE id = 1")
    with pytest.raises(Interruption):
        one.execute("SELECT interrupt()")
    one.rollback()
    assert not one.in_transaction
    one.execute("UPDATE t SET n = 8")
    one.commit()


def test_temporary_tables_are_as_they_were_before_the_transaction(one: Connection) -> None:
    one.execute("CREATE TEMP TABLE kept (n INT)")
    one.execute("INSERT INTO kept VALUES (1)")
    one.commit()
    one.execute("INSERT INTO kept VALUES (2)")
    with pytest.raises(Interruption):
        one.execute("INSERT INTO kept SELECT interrupt()")
    one.rollback()
    assert one.execute("SELECT n FROM kept").fetchall() == [(1,)]


def test_autocommit_goes_on(one: Connection) -> None:
    one.isolation_level = "AUTOCOMMIT"
    with pytest.raises(Interruption):
        one.execute("UPDATE t SET n = interrupt() WHERE id = 2")
    one.execute("UPDATE t SET n = 3")
    assert one.execute("SELECT n FROM t").fetchall() == [(3,), (3,)]


def test_schema_changes_leave_no_database_open(connection: Connection, connect: Connect) -> None:
    """Each has a working set and a mirror of its own; those before it are closed."""
    other = connect()
    counts = []
    for number in range(6):
        connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v)")
        connection.commit()
        other.execute(f"INSERT INTO t{number} (v) VALUES (1)")
        other.commit()
        gc.collect()
        counts.append(len(apsw.connections()))
    assert counts[-1] == counts[1]


@pytest.mark.parametrize("when", ["before the commit is sent", "before its answer is noted"])
def test_release_that_commits_is_asked_after(url: str, when: str) -> None:
    """At AUTOCOMMIT the release of the outermost savepoint is logged, and commits then: it may have been applied."""
    one, store = connect_faulty(url, isolation_level="AUTOCOMMIT")
    one.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    one.execute("INSERT INTO t VALUES (1, 0)")
    one.execute("SAVEPOINT s")
    one.execute("UPDATE t SET n = n + 1")
    if when == "before the commit is sent":
        store.before_commit = interrupt
    else:
        store.after_commit = interrupt
    with pytest.raises(Interruption):
        one.execute("RELEASE s")
    store.before_commit = store.after_commit = nothing
    if when == "before the commit is sent":
        with pytest.raises(InterruptedTransactionError):
            one.execute("UPDATE t SET n = n + 1")
        one.rollback()
    one.execute("UPDATE t SET n = n + 1")
    assert not one.in_transaction
    assert one.execute("SELECT n FROM t").fetchall() == [(1 if when == "before the commit is sent" else 2,)]
