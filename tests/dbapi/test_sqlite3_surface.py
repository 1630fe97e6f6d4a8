"""Features that users of sqlite3's Connection and Cursor rely on behave the same, or are refused by name."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

import rome
from rome import dbapi
from rome.dbapi import Connection
from rome.errors import Error, NotSupportedError, OperationalError, ProgrammingError, URLError
from tests.support.databases import database, on

Connect = Callable[..., Connection]


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def stock() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@pytest.fixture
def filled(connection: Connection) -> Connection:
    connection.executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB); CREATE INDEX t_name ON t (name);"
        "CREATE VIEW v AS SELECT name FROM t; CREATE TABLE child (id INTEGER REFERENCES t ON DELETE CASCADE);"
    )
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(1, "é", b"\0"), (2, None, None), (5, "x", b"y")])
    connection.execute("INSERT INTO child VALUES (5)")
    connection.commit()
    return connection


class TestFetch:
    @pytest.mark.parametrize(
        "sql", [None, "CREATE TABLE x (a)", "INSERT INTO y VALUES (1)", "SELECT 1 WHERE 0", "BEGIN"]
    )
    def test_without_rows_it_gives_none_or_nothing(
        self, connection: Connection, stock: sqlite3.Connection, sql: str | None
    ) -> None:
        for each in (connection, stock):
            each.execute("CREATE TABLE y (a)")
            each.commit()
            cursor: Any = each.cursor()
            if sql is not None:
                cursor.execute(sql)
            found = (cursor.fetchone(), cursor.fetchall(), cursor.fetchmany(2), list(cursor), next(cursor, "end"))
            assert found == (None, [], [], [], "end")

    def test_after_an_error_nothing_of_the_statement_before_is_left(
        self, connection: Connection, stock: sqlite3.Connection
    ) -> None:
        for each, error in ((connection, OperationalError), (stock, sqlite3.OperationalError)):
            cursor: Any = each.execute("SELECT 1")
            with pytest.raises(error):
                cursor.execute("SELECT nothing")
            assert cursor.fetchone() is None
            assert cursor.description is None

    def test_an_iterator_of_parameters(self, connection: Connection) -> None:
        connection.execute("CREATE TABLE t (a)")
        assert connection.executemany("INSERT INTO t VALUES (?)", ((n,) for n in range(3))).rowcount == 3
        assert connection.execute("SELECT sum(a) FROM t").fetchone() == (3,)


class TestRowFactory:
    def test_sqlite3s_row(self, filled: Connection) -> None:
        filled.row_factory = sqlite3.Row
        row = filled.execute('SELECT id, name AS "a ""b", 1 AS id FROM t WHERE id = 1').fetchone()
        assert isinstance(row, sqlite3.Row)
        assert (row["ID"], row['a "b'], row[1], row[-1], len(row)) == (1, "é", "é", 1, 3)
        assert (row.keys(), tuple(row)) == (["id", 'a "b', "id"], (1, "é", 1))
        rows = filled.execute("SELECT name FROM t ORDER BY id").fetchall()
        assert [each["name"] for each in rows] == ["é", None, "x"]
        assert rows[0] == filled.execute("SELECT name FROM t WHERE id = 1").fetchone()
        assert [dict(each) for each in filled.execute("SELECT id FROM t ORDER BY id").fetchmany(2)] == [
            {"id": 1},
            {"id": 2},
        ]

    def test_a_class_derived_from_sqlite3s_row(self, filled: Connection) -> None:
        class Named(sqlite3.Row):
            def __getattr__(self, name: str) -> object:
                return self[name]

        filled.row_factory = Named
        assert next(filled.execute("SELECT id, name FROM t WHERE name = 'x'")).id == 5

    def test_a_function_of_cursor_and_values(self, filled: Connection, stock: sqlite3.Connection) -> None:
        def named(cursor: Any, values: tuple[object, ...]) -> dict[str, object]:
            return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}

        for each in (filled, stock):
            before = each.cursor()
            each.row_factory = named
            assert each.execute("SELECT 1 AS a, 2 AS b").fetchall() == [{"a": 1, "b": 2}]
            assert before.execute("SELECT 1").fetchone() == (1,)  # it was made before
            cursor: Any = each.execute("SELECT 1 AS a UNION SELECT 2 UNION SELECT 3")
            assert cursor.fetchone() == {"a": 1}
            cursor.row_factory = None
            assert next(cursor) == (2,)
            cursor.row_factory = lambda _, values: list(values)
            assert cursor.fetchall() == [[3]]
            assert cursor.execute("SELECT 4").fetchone() == [4]

    def test_what_a_factory_raises_comes_out_of_the_fetch(self, filled: Connection) -> None:
        filled.row_factory = lambda cursor, row: 1 // 0
        cursor = filled.execute("SELECT id FROM t")
        with pytest.raises(ZeroDivisionError):
            cursor.fetchone()
        assert filled.execute("UPDATE t SET name = 'y'").rowcount == 3


class TestTextFactory:
    @pytest.mark.parametrize("factory", [bytes, bytearray, str, lambda text: text.decode().upper()])
    def test_it_makes_the_texts_and_nothing_else(
        self, filled: Connection, stock: sqlite3.Connection, factory: Any
    ) -> None:
        query = "SELECT 'é', 1, x'00', NULL, 0.5"
        for each in (filled, stock):
            each.text_factory = factory
        assert filled.execute(query).fetchall() == stock.execute(query).fetchall()
        filled.row_factory = sqlite3.Row
        row = filled.execute("SELECT name FROM t WHERE id = 1").fetchone()
        assert row["name"] == factory("é".encode()) if factory is not str else "é"


class TestConnectArguments:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("check_same_thread", False),
            ("timeout", 15),
            ("timeout", 0.5),
            ("cached_statements", 100),
            ("detect_types", 0),
            ("uri", False),
        ],
    )
    def test_taken(self, url: str, name: str, value: object) -> None:
        engine = create_engine(url, connect_args={name: value})
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
        engine.dispose()
        if name != "timeout" or "redis" not in url:  # there it would be one of Redis's that is meant
            engine = create_engine(f"{url}?{name}={value}")
            with engine.connect() as connection:
                assert connection.exec_driver_sql("SELECT 1").scalar() == 1
            engine.dispose()

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            (
                "detect_types",
                sqlite3.PARSE_DECLTYPES,
                r"detect_types is not supported: .*SQLAlchemy's types \(DateTime",
            ),
            ("uri", True, r"uri is not supported: .*SQLAlchemy's URL"),
            ("factory", sqlite3.Connection, r"factory is not supported: .*wrap it"),
        ],
    )
    def test_refused_with_a_reason(self, url: str, name: str, value: object, reason: str) -> None:
        with pytest.raises(NotSupportedError, match=f"^sqlite3's argument {reason}"):
            rome.connect(url, **{name: value})

    @pytest.mark.parametrize(
        ("name", "value"), [("timeout", -1), ("timeout", "soon"), ("check_same_thread", "maybe"), ("uri", "file")]
    )
    def test_what_cannot_be_read(self, url: str, name: str, value: object) -> None:
        with pytest.raises(URLError, match=f"^option {name}='{value}': expected "):
            rome.connect(url, **{name: value})

    def test_a_thread_is_checked_when_that_is_asked_for(self, connect: Connect) -> None:
        checked, unchecked = connect(check_same_thread=True), connect()
        raised: list[BaseException] = []

        def use() -> None:
            assert unchecked.execute("SELECT 1").fetchone() == (1,)
            try:
                checked.execute("SELECT 1")
            except ProgrammingError as error:
                raised.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        assert checked.execute("SELECT 1").fetchone() == (1,)
        assert str(raised[0]).startswith("SQLite objects created in a thread can only be used in that same thread.")


class TestErrorCodes:
    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO t VALUES (1, 1, 1, 1)",
            "INSERT INTO t VALUES (2, 1, 1, 1)",
            "INSERT INTO t VALUES (3, NULL, 1, 1)",
            "INSERT INTO t VALUES (3, 2, -1, 1)",
            "INSERT INTO t VALUES (3, 2, 1, 77)",
            "INSERT INTO t VALUES ('x', 2, 1, 77)",
            "SELECT * FROM missing",
            "SELECT nothing FROM t",
            "SELECT abs(-9223372036854775808)",
            "SELECT zeroblob(3000000000)",
        ],
    )
    def test_as_in_sqlite3(self, connection: Connection, stock: sqlite3.Connection, sql: str) -> None:
        codes = []
        for each, errors in ((connection, Error), (stock, sqlite3.Error)):
            each.executescript(
                "PRAGMA foreign_keys=ON;"
                "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE NOT NULL, b CHECK (b > 0), r REFERENCES t);"
                "INSERT INTO t VALUES (1, 1, 1, 1);"
            )
            with pytest.raises(errors) as caught:
                each.execute(sql)
            found: Any = caught.value
            codes.append((type(found).__mro__[-5].__name__, found.sqlite_errorcode, found.sqlite_errorname))
        assert codes[0][1:] == codes[1][1:]

    def test_of_what_only_rome_raises(self, connect: Connect) -> None:
        """An application that retries SQLITE_BUSY retries a conflict."""
        one, other = connect(), connect()
        one.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0)")
        one.execute("SELECT * FROM t")
        one.execute("UPDATE t SET n = 1")
        other.execute("UPDATE t SET n = 2")
        other.commit()
        with pytest.raises(OperationalError) as caught:
            one.commit()
        assert caught.value.sqlite_errorcode is not None
        assert caught.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
        assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
        with pytest.raises(NotSupportedError) as refused:
            one.execute("ATTACH 'x' AS y")
        assert refused.value.sqlite_errorcode is None


class TestTrace:
    def test_each_statement_is_told_before_it_runs(self, connection: Connection) -> None:
        told: list[str] = []
        connection.set_trace_callback(told.append)
        connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        connection.execute("SELECT * FROM t WHERE a = ?", (1,))
        connection.commit()
        connection.commit()
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
        connection.rollback()
        with pytest.raises(OperationalError):
            connection.execute("SELEC")
        connection.set_trace_callback(None)
        connection.execute("SELECT 1")
        assert told == [
            "CREATE TABLE t (a)",
            "INSERT INTO t VALUES (1)",
            "SELECT * FROM t WHERE a = ?",
            "COMMIT",
            "INSERT INTO t VALUES (?)",
            "ROLLBACK",
            "SELEC",
        ]

    def test_what_it_raises_keeps_the_statement_from_running(self, filled: Connection) -> None:
        def refuse(sql: str) -> None:
            raise PermissionError(sql)

        filled.set_trace_callback(refuse)
        with pytest.raises(PermissionError, match="DELETE FROM t"):
            filled.execute("DELETE FROM t")
        filled.set_trace_callback(None)
        assert filled.execute("SELECT count(*) FROM t").fetchone() == (3,)


class TestCounts:
    def test_total_changes(self, filled: Connection, stock: sqlite3.Connection) -> None:
        stock.executescript("\n".join(filled.iterdump()))
        stock.execute("PRAGMA foreign_keys=ON")
        for sql in (
            "DELETE FROM t WHERE id = 5",
            "UPDATE t SET name = 'z'",
            "SELECT 1",
            "INSERT INTO t (id) VALUES (9)",
        ):
            before = filled.total_changes, stock.total_changes
            for each in (filled, stock):
                each.execute(sql)
            assert filled.total_changes - before[0] == stock.total_changes - before[1]
        filled.rollback()
        assert filled.total_changes >= 4


class TestAutocommit:
    def test_true_commits_what_is_open_and_each_statement_after(self, filled: Connection, connect: Connect) -> None:
        other = connect()
        filled.isolation_level = "READ COMMITTED"
        assert filled.autocommit is False
        filled.execute("INSERT INTO t (id) VALUES (10)")
        filled.autocommit = True
        filled.execute("INSERT INTO t (id) VALUES (11)")
        assert other.execute("SELECT count(*) FROM t WHERE id > 9").fetchone() == (2,)
        other.commit()
        filled.autocommit = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL, from Python 3.12 on
        assert (filled.autocommit, filled.isolation_level) == (False, "READ COMMITTED")
        filled.execute("INSERT INTO t (id) VALUES (12)")
        filled.rollback()
        assert other.execute("SELECT count(*) FROM t WHERE id > 9").fetchone() == (2,)

    def test_anything_else_is_an_error(self, connection: Connection) -> None:
        with pytest.raises(ValueError, match=r"^autocommit must be True, False, or sqlite3"):
            connection.autocommit = "yes"  # type: ignore[assignment]


class TestCopies:
    def test_backup_into_sqlite3(self, filled: Connection, tmp_path: Path) -> None:
        told: list[tuple[int, ...]] = []
        path = tmp_path / "copy.db"
        target = sqlite3.connect(path)
        target.execute("CREATE TABLE old (a)")
        filled.backup(target, pages=1, progress=lambda *counts: told.append(counts), sleep=0)
        target.close()
        again = sqlite3.connect(path)
        assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert again.execute("SELECT name FROM sqlite_master ORDER BY 1").fetchall() == [
            ("child",),
            ("t",),
            ("t_name",),
            ("v",),
        ]
        assert again.execute("SELECT * FROM t").fetchall() == filled.execute("SELECT * FROM t").fetchall()
        again.close()
        assert len(told) > 1

    def test_backup_into_rome(self, filled: Connection) -> None:
        target = rome.connect("rome+memory://")
        filled.backup(target)
        assert not target.in_transaction
        assert list(target.iterdump()) == list(filled.iterdump())
        target.rollback()
        with pytest.raises(OperationalError, match=r"the target of backup.* is not empty"):
            filled.backup(target)
        target.close()

    def test_serialize(self, filled: Connection, stock: sqlite3.Connection) -> None:
        stock.deserialize(filled.serialize())
        assert list(stock.iterdump()) != []
        assert stock.execute("SELECT * FROM t").fetchall() == filled.execute("SELECT * FROM t").fetchall()

    def test_serialize_of_an_empty_database(self, connection: Connection, stock: sqlite3.Connection) -> None:
        stock.deserialize(connection.serialize())
        assert stock.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)

    def test_what_is_not_committed_is_refused(self, filled: Connection, stock: sqlite3.Connection) -> None:
        filled.execute("DELETE FROM t")
        for copy in (lambda: filled.backup(stock), filled.serialize):
            with pytest.raises(OperationalError, match=r"cannot backup.* from within a transaction"):
                copy()

    def test_wrong_arguments(self, filled: Connection, stock: sqlite3.Connection) -> None:
        with pytest.raises(ValueError, match=r"^target cannot be the same connection instance$"):
            filled.backup(filled)
        with pytest.raises(TypeError, match=r"^backup\(\) argument 1 must be"):
            filled.backup("copy.db")  # type: ignore[arg-type]
        with pytest.raises(OperationalError, match=r"^unknown database other$"):
            filled.backup(stock, name="other")
        with pytest.raises(NotSupportedError, match="temporary"):
            filled.serialize(name="temp")


class TestRefused:
    @pytest.mark.parametrize(
        ("call", "reason"),
        [
            (lambda c: c.blobopen("t", "data", 1), r"^blobopen\(\) is not supported: .*SELECT it"),
            (lambda c: c.deserialize(b""), r"^deserialize\(\) is not supported: .*iterdump\(\)"),
            (lambda c: c.enable_load_extension(True), r"^load_extension\(\) is not supported: .*create_function"),
            (lambda c: c.load_extension("x"), r"^load_extension\(\) is not supported"),
            (
                lambda c: c.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 5),
                r"^setlimit\(\) is not supported: .*max_commit_rows",
            ),
            (lambda c: c.setconfig(1002, True), r"^setconfig\(\) is not supported: .*PRAGMA foreign_keys"),
            (lambda c: c.set_authorizer(lambda *_: 0), r"^set_authorizer\(\) is not supported: .*query_only"),
        ],
    )
    def test_by_name_and_with_the_way_out(
        self, connection: Connection, call: Callable[[Connection], object], reason: str
    ) -> None:
        with pytest.raises(NotSupportedError, match=reason):
            call(connection)

    def test_what_is_so_already(self, connection: Connection) -> None:
        connection.enable_load_extension(False)
        connection.set_authorizer(None)


class TestSettings:
    def test_limits_are_sqlites(self, connection: Connection, stock: sqlite3.Connection) -> None:
        for category in range(11):
            assert connection.getlimit(category) > 0
        for each, error in ((connection, ProgrammingError), (stock, sqlite3.ProgrammingError)):
            with pytest.raises(error, match=r"^'category' is out of bounds$"):
                each.getlimit(99)

    def test_settings(self, connect: Connect) -> None:
        enable_fkey, defensive = 1002, 1010
        assert connect().getconfig(enable_fkey) is True
        assert connect(foreign_keys="off").getconfig(enable_fkey) is False
        assert connect().getconfig(defensive) is False
        with pytest.raises(ProgrammingError, match=r"^unknown config 'op': 5$"):
            connect().getconfig(5)


class TestModule:
    def test_what_modules_for_sqlite3_look_for(self) -> None:
        for name in ("Row", "PrepareProtocol", "adapters", "converters", "register_adapter", "register_converter"):
            assert getattr(dbapi, name) is getattr(sqlite3, name)
        assert (dbapi.PARSE_DECLTYPES, dbapi.PARSE_COLNAMES) == (sqlite3.PARSE_DECLTYPES, sqlite3.PARSE_COLNAMES)
        assert dbapi.complete_statement("SELECT 1;")
        assert dbapi.SQLITE_CONSTRAINT_UNIQUE == sqlite3.SQLITE_CONSTRAINT_UNIQUE
        with pytest.raises(AttributeError, match="has no attribute 'SQLITE_NONSENSE'"):
            dbapi.SQLITE_NONSENSE  # noqa: B018


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


class TestInterrupt:
    """One thread runs a statement that never ends, and another one goes on calling interrupt()."""

    @pytest.mark.parametrize("sql", [ENDLESS, f"INSERT INTO t (name) {ENDLESS}", f"UPDATE t SET name = ({ENDLESS})"])
    def test_it_ends_the_statement_as_sqlite_does(
        self, filled: Connection, stock: sqlite3.Connection, sql: str
    ) -> None:
        stock.executescript("\n".join(filled.iterdump()))
        filled.rollback()
        for each in (filled, stock):
            each.execute("UPDATE t SET name = 'changed' WHERE id = 1")
        with interrupting(filled), pytest.raises(OperationalError, match=r"^interrupted$"):
            filled.execute(sql)
        # Not by interrupt(): what that leaves of the transaction depends on whether the statement has begun to write.
        stock.set_progress_handler(lambda: True, 20_000)
        with pytest.raises(sqlite3.OperationalError, match=r"^interrupted$"):
            stock.execute(sql).fetchall()
        stock.set_progress_handler(None, 0)
        assert filled.in_transaction == stock.in_transaction
        for each in (filled, stock):
            each.execute("INSERT INTO t VALUES (9, 'after', NULL)")
            each.commit()
        query = "SELECT * FROM t ORDER BY id"
        assert filled.execute(query).fetchall() == stock.execute(query).fetchall()

    def test_of_many_sets_of_parameters(self, filled: Connection) -> None:
        with interrupting(filled), pytest.raises(OperationalError, match=r"^interrupted$"):
            filled.executemany(f"INSERT INTO t (name) SELECT ? FROM ({ENDLESS})", [("a",), ("b",)])
        assert filled.execute("SELECT count(*) FROM t").fetchone() == (3,)

    def test_when_nothing_runs_it_does_nothing(self, filled: Connection) -> None:
        filled.interrupt()
        assert filled.execute("SELECT count(*) FROM t").fetchone() == (3,)
        with interrupting(filled):
            for n in range(200):
                filled.execute("INSERT INTO t (name) VALUES (?)", (n,))
                filled.execute("DELETE FROM t WHERE name = ?", (n,))
            filled.commit()
        assert filled.execute("SELECT count(*) FROM t").fetchone() == (3,)
        filled.close()
        with pytest.raises(ProgrammingError, match="closed database"):
            filled.interrupt()


class interrupting:
    """A context manager: another thread calls interrupt() all the time inside the block."""

    def __init__(self, connection: Any) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, args=(connection,))

    def _go_on(self, connection: Any) -> None:
        while not self._over.wait(0.001):
            connection.interrupt()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class TestProgressHandler:
    @pytest.mark.parametrize("says", [lambda: True, lambda: 1 // 0])
    def test_it_may_end_a_statement(
        self, filled: Connection, stock: sqlite3.Connection, says: Callable[[], int]
    ) -> None:
        for each, errors in ((filled, OperationalError), (stock, sqlite3.OperationalError)):
            each.set_progress_handler(says, 100)
            with pytest.raises(errors, match=r"^interrupted$"):
                each.execute(ENDLESS).fetchall()
            each.set_progress_handler(None, 100)
            assert each.execute("SELECT 1").fetchone() == (1,)

    def test_it_is_asked_while_a_statement_of_the_applications_runs(self, filled: Connection) -> None:
        asked: list[int] = []
        filled.set_progress_handler(lambda: asked.append(1), 1)
        filled.execute("CREATE TABLE more (a)")
        filled.commit()
        before = len(asked)
        filled.execute("SELECT upper(name), count(*) FROM t GROUP BY 1")
        assert len(asked) > before
        filled.set_progress_handler(lambda: asked.append(1), 0)
        before = len(asked)
        filled.execute("SELECT upper(name), count(*) FROM t GROUP BY 1")
        assert len(asked) == before
