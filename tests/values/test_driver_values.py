"""What goes in comes out, in value and type, after COMMIT and on another connection: through the driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection
from rome.errors import DataError, NotNullViolation

Connect = Callable[[], Connection]

INTEGERS = (0, 1, -1, 2**31, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
REALS = (0.0, -0.0, 0.1, -1.5, 5e-324, 2.0**53, 9.223372036854775e18, 1.7976931348623157e308, math.inf, -math.inf)
TEXTS = (
    "",
    "a",
    "A",
    "\0",
    "a\0b",
    "a\0c",
    " a ",
    "5",
    "5.0",
    "1e3",
    "e\u0301",
    "\u00e9",
    "\ufffe",
    "\U0001f600\U0010ffff",
)
BLOBS = (b"", b"\0", b"a", b"a\0b", b"5", bytes(range(256)))
VALUES: tuple[SqlValue, ...] = (None, *INTEGERS, *REALS, *TEXTS, *BLOBS)

MEGABYTES = 1 << 20


def exact(value: object) -> tuple[type, str]:
    """Equal for values of the same type and content only: -0.0 is not 0.0, nor is 1.0 True or 1."""
    return type(value), repr(value)


@pytest.mark.parametrize("declared", ["", "INTEGER", "REAL", "TEXT", "NUMERIC", "BLOB", "INT PRIMARY KEY"])
def test_every_value_is_stored_as_sqlite_stores_it(connect: Connect, declared: str) -> None:
    stock: Any = apsw.Connection(":memory:")
    writer = connect()
    create = f"CREATE TABLE t (n INTEGER PRIMARY KEY, v {declared})"
    if "KEY" in declared:
        create = f"CREATE TABLE t (n INTEGER, v {declared})"
    insert = "INSERT OR IGNORE INTO t VALUES (?, ?)"
    for database in (stock, writer):
        database.execute(create)
        database.executemany(insert, list(enumerate(VALUES)))
    writer.commit()

    query = "SELECT n, v, typeof(v), hex(v) FROM t ORDER BY n"
    expected = stock.execute(query).fetchall()
    found = connect().execute(query).fetchall()

    stock.close()
    assert [list(map(exact, row)) for row in found] == [list(map(exact, row)) for row in expected]


def test_every_value_is_found_by_itself_through_an_index(connect: Connect) -> None:
    stock: Any = apsw.Connection(":memory:")
    writer = connect()
    for database in (stock, writer):
        database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
        database.execute("CREATE INDEX t_v ON t (v)")
        database.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(VALUES)))
    writer.commit()
    reader = connect()

    for value in VALUES:
        for comparison in ("=", "<=", ">", "IS"):
            query = f"SELECT n FROM t WHERE v {comparison} ? ORDER BY n"
            expected = stock.execute(query, (value,)).fetchall()
            assert reader.execute(query, (value,)).fetchall() == expected, (comparison, value)
    stock.close()


def test_nan_is_null_as_in_sqlite(connect: Connect) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (v REAL, w REAL NOT NULL DEFAULT 0)")
    writer.execute("INSERT INTO t (v) VALUES (?)", (math.nan,))
    with pytest.raises(NotNullViolation, match=r"^NOT NULL constraint failed: t\.w$"):
        writer.execute("INSERT INTO t VALUES (1, ?)", (math.nan,))
    writer.commit()

    assert connect().execute("SELECT v, v IS NULL FROM t").fetchall() == [(None, 1)]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 10**30])
def test_integer_beyond_64_bits_is_an_error_and_nothing_is_stored(connect: Connect, value: int) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (v)")
    writer.execute("INSERT INTO t VALUES (1)")

    with pytest.raises(DataError, match=rf"^parameter 1: {value} does not fit into SQLite's 64-bit INTEGER$"):
        writer.execute("INSERT INTO t VALUES (?)", (value,))
    with pytest.raises(DataError, match="64-bit"):
        writer.executemany("INSERT INTO t VALUES (:v)", [{"v": 2}, {"v": value}])
    writer.commit()

    assert (value,) not in connect().execute("SELECT v FROM t").fetchall()


def test_arithmetic_beyond_64_bits_is_sqlites(connect: Connect) -> None:
    connection = connect()
    (row,) = connection.execute("SELECT 9223372036854775807 + 1, -9223372036854775808, 9223372036854775808").fetchall()
    assert list(map(exact, row)) == [exact(2.0**63), exact(-(2**63)), exact(2.0**63)]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_lone_surrogate_is_an_error_and_nothing_is_stored(connect: Connect, text: str) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (v)")
    writer.execute("INSERT INTO t VALUES ('before')")

    with pytest.raises(DataError, match="lone surrogate"):
        writer.execute("INSERT INTO t VALUES (?)", (text,))
    with pytest.raises(DataError, match="lone surrogate"):
        writer.execute("SELECT * FROM t WHERE v = :text", {"text": text})
    with pytest.raises(DataError, match="lone surrogate"):
        writer.execute(f"INSERT INTO t VALUES ('{text}')")
    writer.execute("INSERT INTO t VALUES ('after')")
    writer.commit()

    assert connect().execute("SELECT v FROM t").fetchall() == [("before",), ("after",)]


@pytest.mark.parametrize("made", ["CAST(x'ff41' AS TEXT)", "char(55296)", "json_extract('\"\\udc80\"', '$')"])
def test_text_made_by_sql_that_is_not_utf8_is_an_error_and_nothing_is_stored(connect: Connect, made: str) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (v)")
    writer.execute("INSERT INTO t VALUES ('before')")

    for statement in (
        f"SELECT {made}",
        f"INSERT INTO t VALUES ('whole'), ({made})",
        f"UPDATE t SET v = {made}",
        f"INSERT INTO t VALUES ('whole') RETURNING {made}",
    ):
        with pytest.raises(DataError, match=r"^a text is not UTF-8"):
            writer.execute(statement)
    writer.execute("INSERT INTO t VALUES ('after')")
    writer.commit()

    assert connect().execute("SELECT v FROM t").fetchall() == [("before",), ("after",)]


@pytest.mark.parametrize(
    "value", [bytes(range(256)) * 40 * 1024, "\U0001f600" * (5 * MEGABYTES // 2)], ids=["blob", "text"]
)
def test_value_of_10_megabytes(connect: Connect, value: bytes | str) -> None:
    writer = connect()
    writer.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
    writer.execute("INSERT INTO t VALUES (1, ?)", (value,))
    writer.commit()

    (found,) = connect().execute("SELECT v FROM t WHERE n = 1").fetchall()[0]

    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize("value", [bytearray(b"a\0b"), memoryview(b"a\0b")], ids=["bytearray", "memoryview"])
def test_whatever_has_bytes_is_a_blob(connect: Connect, value: object) -> None:
    (row,) = connect().execute("SELECT ?, typeof(?)", (value, value)).fetchall()
    assert row == (b"a\0b", "blob")


def test_subclasses_are_stored_as_what_they_are(connect: Connect) -> None:
    class Number(int):
        pass

    class Word(str):
        pass

    (row,) = connect().execute("SELECT ?, ?, ?", (Number(5), Word("w"), True)).fetchall()
    assert list(map(exact, row)) == [exact(5), exact("w"), exact(1)]
