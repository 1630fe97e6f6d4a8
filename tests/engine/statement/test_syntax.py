"""Text that is not SQL gets sqlite3's error, whatever its first word is and however it is run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from rome.dbapi import Connection, DataError, OperationalError, ProgrammingError

WRONG = """
SELCT 1
GRANT ALL
SHOW TABLES
Sélect 1
1
(SELECT 1)
WITH
WITH x AS (SELECT 1
WITH x AS (SELECT 1)
WITH x AS (SELECT 1) FOO
'
#
[x
x'1
x'zz'
SELECT
SELECT (
SELECT 'abc
SELECT #
SELECT 1e
EXPLAIN
EXPLAIN SELCT 1
EXPLAIN QUERY PLAN SELCT
BEGIN FOO
BEGIN IMMEDIATE TRANSACTION x y
COMMIT FOO
END FOO
ROLLBACK FOO
SAVEPOINT
SAVEPOINT a b
RELEASE
ROLLBACK TO
PRAGMA
PRAGMA 1
PRAGMA foreign_keys=
PRAGMA foreign_keys = ON OFF
PRAGMA nosuch.foreign_keys
ATTACH
ATTACH 'x'
DETACH
VACUUM a b
VACUUM nosuch
CREATE
CREATE FOO
CREATE TABLE
CREATE TABLE t (
DROP
ALTER
ALTER TABLE
INSERT
INSERT INTO
REPLACE
UPDATE
DELETE
VALUES
SELCT 1; SELECT 1
SELECT load_extension('x')
SELECT load_extension('x', 'y')
""".strip().splitlines()

HARMLESS = ["", ";", "-- only a comment", "/* only another", " ; ; "]


def outcome(run: Callable[[Any], object], connection: object) -> str:
    """What an application sees of a run, whichever driver it is."""
    try:
        run(connection)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        return f"{type(error).__name__}: {error}"
    return "nothing is wrong"


def both(run: Callable[[Any], object], connection: Connection) -> tuple[str, str]:
    """Of the driver, and of sqlite3's in autocommit mode."""
    stock = sqlite3.connect(":memory:", isolation_level=None)
    try:
        return outcome(run, connection), outcome(run, stock)
    finally:
        stock.close()


@pytest.mark.parametrize("sql", WRONG + HARMLESS)
def test_a_statement(connection: Connection, sql: str) -> None:
    ours, stock = both(lambda driver: driver.execute(sql), connection)
    assert ours == stock
    assert (stock == "nothing is wrong") is (sql in HARMLESS)


@pytest.mark.parametrize("sql", WRONG + HARMLESS)
def test_a_script(connection: Connection, sql: str) -> None:
    ours, stock = both(lambda driver: driver.executescript(f"CREATE TABLE t (a);{sql}"), connection)
    assert ours == stock


@pytest.mark.parametrize("sql", ["SELCT 1", "WITH", "'", "BEGIN FOO", "PRAGMA", "", "INSERT", "SELECT 1", "COMMIT"])
def test_many(connection: Connection, sql: str) -> None:
    ours, stock = both(lambda driver: driver.executemany(sql, [()]), connection)
    assert ours == stock


def test_core(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match='near "SELCT": syntax error'):
        connection.execute(sa.text("SELCT 1"))


@pytest.mark.parametrize("explain", ["EXPLAIN ROME", "EXPLAIN ROME ANALYZE"])
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELCT 1", 'near "SELCT": syntax error'),
        ("", "incomplete input"),
        ("-- nothing", "incomplete input"),
        ("COMMIT FOO", 'near "FOO": syntax error'),
        ("WITH", "incomplete input"),
        ("CREATE", "incomplete input"),
    ],
)
def test_explain_rome(connection: Connection, explain: str, sql: str, message: str) -> None:
    with pytest.raises(OperationalError, match=message):
        connection.execute(f"{explain} {sql}")


def test_a_mistake_leaves_the_transaction_as_it_was(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.execute("INSERT INTO t VALUES (1)")
    for sql in ("SELCT 1", "COMMIT FOO", "ROLLBACK FOO", "PRAGMA"):
        with pytest.raises(OperationalError):
            connection.execute(sql)
    connection.commit()
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_a_pragma_is_not_done_before_its_syntax_is_known(connection: Connection) -> None:
    with pytest.raises(OperationalError, match="syntax error"):
        connection.execute("PRAGMA foreign_keys = OFF ON")
    assert connection.execute("PRAGMA foreign_keys").fetchall() == [(1,)]


@pytest.mark.parametrize("sql", [b"SELECT 1", bytearray(b"SELECT 1"), None, 5, sa.text("SELECT 1")])
@pytest.mark.parametrize("method", ["execute", "executemany", "executescript"])
def test_what_is_no_text(connection: Connection, method: str, sql: object) -> None:
    arguments = [sql, [()]] if method == "executemany" else [sql]
    ours, stock = both(lambda driver: getattr(driver, method)(*arguments), connection)
    assert ours == stock
    assert ours.startswith("TypeError")


@pytest.mark.parametrize("sql", ["SELECT 1\0", "\0", "SELECT '\0'", "SELECT 1 -- \0"])
@pytest.mark.parametrize("method", ["execute", "executemany", "executescript"])
def test_a_null_character(connection: Connection, method: str, sql: str) -> None:
    """As sqlite3; its executescript() raises ValueError, which is none of PEP 249's errors."""
    with pytest.raises(ProgrammingError, match="the query contains a null character"):
        getattr(connection, method)(*([sql, [()]] if method == "executemany" else [sql]))


@pytest.mark.parametrize("method", ["execute", "executemany", "executescript"])
def test_a_lone_surrogate(connection: Connection, method: str) -> None:
    sql = "INSERT INTO t VALUES ('\ud800')"
    with pytest.raises(DataError, match="lone surrogate"):
        getattr(connection, method)(*([sql, [()]] if method == "executemany" else [sql]))


def test_a_subclass_of_str_is_text(connection: Connection) -> None:
    text = type("Text", (str,), {})
    assert connection.execute(text("SELECT 1")).fetchall() == [(1,)]
