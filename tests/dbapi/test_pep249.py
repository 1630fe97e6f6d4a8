"""PEP 249, chapter by chapter (after the ideas of the public-domain dbapi20 suite, as psycopg runs it)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import rome
from rome import dbapi
from rome.dbapi import Connection

BOOZE = ["Carlton Cold", "Carlton Draft", "Mountain Goat", "Redback", "Victoria Bitter", "XXXX"]

EXCEPTIONS = [
    "Warning",
    "Error",
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
]


@pytest.fixture
def booze(connection: Connection) -> Connection:
    """A connection with a table of six names."""
    connection.execute("CREATE TABLE booze (name TEXT)")
    connection.executemany("INSERT INTO booze VALUES (?)", [(name,) for name in BOOZE])
    connection.commit()
    return connection


class TestModule:
    def test_globals(self) -> None:
        assert dbapi.apilevel == "2.0"
        assert dbapi.threadsafety == 1
        assert dbapi.paramstyle == "qmark"

    def test_exceptions_form_the_tree(self) -> None:
        assert issubclass(dbapi.Warning, Exception)
        assert issubclass(dbapi.Error, Exception)
        assert issubclass(dbapi.InterfaceError, dbapi.Error)
        assert issubclass(dbapi.DatabaseError, dbapi.Error)
        for name in EXCEPTIONS[4:]:
            assert issubclass(getattr(dbapi, name), dbapi.DatabaseError)

    def test_exceptions_are_attributes_of_the_connection(self, connection: Connection) -> None:
        for name in EXCEPTIONS:
            assert getattr(connection, name) is getattr(dbapi, name)

    def test_all_names_the_module_promises_exist(self) -> None:
        assert all(hasattr(dbapi, name) for name in dbapi.__all__)


class TestConnection:
    def test_commit_and_rollback(self, connect: Callable[..., Connection]) -> None:
        writer, reader = connect(), connect()
        writer.execute("CREATE TABLE t (a)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (1)")
        writer.rollback()
        writer.execute("INSERT INTO t VALUES (2)")
        writer.commit()
        assert reader.execute("SELECT a FROM t").fetchall() == [(2,)]

    def test_close_rolls_back(self, connect: Callable[..., Connection]) -> None:
        writer, reader = connect(), connect()
        writer.execute("CREATE TABLE t (a)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (1)")
        writer.close()
        assert reader.execute("SELECT a FROM t").fetchall() == []

    def test_closed_one_refuses_everything_but_close(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze")
        booze.close()
        booze.close()
        assert not booze.is_usable()
        for attempt in (
            booze.commit,
            booze.rollback,
            booze.cursor,
            lambda: booze.execute("SELECT 1"),
            lambda: booze.in_transaction,
            lambda: cursor.execute("SELECT 1"),
            cursor.fetchone,
        ):
            with pytest.raises(dbapi.ProgrammingError, match="closed database"):
                attempt()

    def test_cursors_share_the_transaction(self, booze: Connection) -> None:
        booze.cursor().execute("DELETE FROM booze")
        assert booze.cursor().execute("SELECT count(*) FROM booze").fetchone() == (0,)


class TestCursor:
    def test_description_has_seven_items_per_column(self, booze: Connection) -> None:
        cursor = booze.cursor()
        assert cursor.description is None
        cursor.execute("SELECT name, 1 AS one FROM booze")
        assert cursor.description == (("name", *[None] * 6), ("one", *[None] * 6))
        cursor.execute("DELETE FROM booze")
        assert cursor.description is None

    def test_rowcount(self, booze: Connection) -> None:
        cursor = booze.cursor()
        assert cursor.rowcount == -1
        cursor.execute("UPDATE booze SET name = name || '!' WHERE name LIKE 'C%'")
        assert cursor.rowcount == 2
        cursor.execute("DELETE FROM booze WHERE name = 'water'")
        assert cursor.rowcount == 0
        cursor.execute("SELECT 1")
        assert cursor.rowcount == -1
        cursor.executemany("INSERT INTO booze VALUES (?)", [("a",), ("b",), ("c",)])
        assert cursor.rowcount == 3

    def test_lastrowid_is_the_id_of_the_row_inserted(self, connection: Connection) -> None:
        cursor = connection.cursor()
        assert cursor.lastrowid is None
        cursor.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        cursor.execute("INSERT INTO t (id, a) VALUES (42, 'x')")
        assert cursor.lastrowid == 42
        cursor.execute("INSERT INTO t (a) VALUES ('y')")
        given = cursor.lastrowid
        assert given not in (None, 42)
        assert cursor.execute("SELECT a FROM t WHERE id = ?", (given,)).fetchone() == ("y",)

    def test_fetchone_goes_on_to_none(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze WHERE name = 'Redback'")
        assert cursor.fetchone() == ("Redback",)
        assert cursor.fetchone() is None

    def test_fetchmany_takes_no_negative_size(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze ORDER BY name")
        with pytest.raises(ValueError, match=r"fetchall\(\) gives all that are left"):
            cursor.fetchmany(-1)
        assert len(cursor.fetchall()) == 6

    def test_fetchmany_takes_arraysize_or_size(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze ORDER BY name")
        assert cursor.fetchmany() == [("Carlton Cold",)]
        cursor.arraysize = 2
        assert cursor.fetchmany() == [("Carlton Draft",), ("Mountain Goat",)]
        assert len(cursor.fetchmany(10)) == 3
        assert cursor.fetchmany(10) == []

    def test_fetchall_gives_what_is_left(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze ORDER BY name")
        cursor.fetchmany(4)
        assert cursor.fetchall() == [("Victoria Bitter",), ("XXXX",)]
        assert cursor.fetchall() == []

    def test_is_an_iterator_of_rows(self, booze: Connection) -> None:
        assert [name for (name,) in booze.execute("SELECT name FROM booze ORDER BY name")] == BOOZE

    def test_an_error_leaves_no_rows_of_the_statement_before(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze")
        with pytest.raises(dbapi.Error):
            cursor.execute("SELECT nothing FROM booze")
        assert cursor.fetchone() is None
        assert cursor.description is None

    def test_parameters_by_position_and_name(self, booze: Connection) -> None:
        cursor = booze.cursor()
        assert cursor.execute("SELECT ?, ?2", ("a", 2)).fetchall() == [("a", 2)]
        assert cursor.execute("SELECT :a, :b, :a", {"a": 1, "b": None}).fetchall() == [(1, None, 1)]
        cursor.executemany("INSERT INTO booze VALUES (:name)", [{"name": "x"}, {"name": "y"}])
        assert cursor.execute("SELECT count(*) FROM booze WHERE name IN ('x', 'y')").fetchone() == (2,)

    def test_rows_are_complete_when_execute_returns(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze ORDER BY name")
        booze.execute("DELETE FROM booze")
        booze.rollback()
        assert len(cursor.fetchall()) == len(BOOZE)

    def test_closed_one_refuses_everything_but_close(self, booze: Connection) -> None:
        cursor = booze.execute("SELECT name FROM booze")
        cursor.close()
        cursor.close()
        for attempt in (lambda: cursor.execute("SELECT 1"), cursor.fetchone, cursor.fetchall, lambda: next(cursor)):
            with pytest.raises(dbapi.ProgrammingError, match="closed cursor"):
                attempt()

    def test_sizes_are_ignored(self, booze: Connection) -> None:
        cursor = booze.cursor()
        cursor.setinputsizes((25,))
        cursor.setoutputsize(1000)
        cursor.setoutputsize(2000, 0)
        assert len(cursor.execute("SELECT name FROM booze").fetchall()) == len(BOOZE)

    def test_values_come_back_with_their_type(self, connection: Connection) -> None:
        values = (None, 7, 2**63 - 1, 0.5, "añ\x00b", b"\x00\xff", True)
        row = connection.execute("SELECT ?, ?, ?, ?, ?, ?, ?", values).fetchone()
        assert row == values
        assert list(map(type, row or ())) == [type(None), int, int, float, str, bytes, int]


class TestTypes:
    def test_constructors_make_what_can_be_stored(self, connection: Connection) -> None:
        values = (
            dbapi.Date(2002, 12, 25),
            dbapi.Time(13, 45, 30),
            dbapi.Timestamp(2002, 12, 25, 13, 45, 30),
            dbapi.Binary(memoryview(b"\x00\xff")),
        )
        assert values == ("2002-12-25", "13:45:30", "2002-12-25 13:45:30", b"\x00\xff")
        assert connection.execute("SELECT ?, ?, ?, ?", values).fetchone() == values

    def test_ticks_are_local_time(self) -> None:
        ticks = time.mktime((2002, 12, 25, 13, 45, 30, 0, 0, -1))
        assert dbapi.DateFromTicks(ticks) == dbapi.Date(2002, 12, 25)
        assert dbapi.TimeFromTicks(ticks) == dbapi.Time(13, 45, 30)
        assert dbapi.TimestampFromTicks(ticks) == dbapi.Timestamp(2002, 12, 25, 13, 45, 30)

    def test_binary_takes_only_what_has_bytes(self) -> None:
        with pytest.raises(TypeError):
            dbapi.Binary(5)  # type: ignore[arg-type]

    def test_type_objects_are_five_different_ones(self) -> None:
        objects = [dbapi.STRING, dbapi.BINARY, dbapi.NUMBER, dbapi.DATETIME, dbapi.ROWID]
        assert len(set(objects)) == 5


def test_the_package_itself_opens_connections(url: str) -> None:
    connection = rome.connect(url)
    assert isinstance(connection, dbapi.Connection)
    connection.close()
