"""Parameters of other types than SQLite's own: bound as sqlite3 binds them, stored and found alike, on every store."""

from __future__ import annotations

import array
import datetime
import enum
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import numpy
import pytest
from markupsafe import Markup
from sqlalchemy import quoted_name

from rome.dbapi import Connection
from rome.errors import ConflictError, DataError, ProgrammingError

Connect = Callable[..., Connection]


class State(str, enum.Enum):  # noqa: UP042  # StrEnum has another __str__
    ACTIVE = "active"


class Word(enum.StrEnum):
    ONE = "one"


class Level(enum.IntEnum):
    HIGH = 7


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Ratio(float, enum.Enum):
    HALF = 0.5


class OddText(str):
    def __str__(self) -> str:
        return "odd"

    def encode(self, *_: object) -> bytes:
        return b"odd"

    def isascii(self) -> bool:
        return True


class OddInteger(int):
    def __int__(self) -> int:
        return 99

    def __index__(self) -> int:
        return 98

    def __le__(self, _other: object) -> bool:
        return True


class OddReal(float):
    def __float__(self) -> float:
        return 0.1


class OddBytes(bytes):
    def __bytes__(self) -> bytes:
        return b"odd"


class OddArray(bytearray):
    def __bytes__(self) -> bytes:
        return b"odd"


DERIVED = (
    State.ACTIVE,
    Word.ONE,
    Level.HIGH,
    Rights.READ | Rights.WRITE,
    Ratio.HALF,
    OddText("té\0xt"),
    OddInteger(7),
    OddInteger(-(2**63)),
    OddReal(2.5),
    OddBytes(b"a\0b"),
    OddArray(b"ab"),
    memoryview(b"abcd")[1:3],
    array.array("h", [1, 2]),
    numpy.array([1, 2], dtype="int16"),
    True,
    False,
    numpy.float64(2.5),
    numpy.str_("text"),
    numpy.bytes_(b"bytes"),
    Markup("<b>"),
    quoted_name("name", quote=True),
    datetime.date(2024, 1, 2),
    datetime.datetime(2024, 1, 2),
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
)


@pytest.fixture
def stock() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@pytest.fixture(autouse=True)
def quiet_adapters() -> Iterator[None]:
    """From Python 3.12 on sqlite3 itself warns of its default adapters; Rome does not (tested below)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default date", DeprecationWarning)
        yield


@pytest.mark.parametrize("declared", ["", "INTEGER", "TEXT", "REAL", "BLOB"])
def test_a_derived_value_is_stored_and_found_as_sqlite3_does(
    connect: Connect, stock: sqlite3.Connection, declared: str
) -> None:
    rome = connect()
    for database in (rome, stock):
        database.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
        database.execute("CREATE INDEX t_v ON t (v)")
        for number, value in enumerate(DERIVED):
            database.execute("INSERT INTO t VALUES (?, ?)", (number, value))
            database.executemany("INSERT INTO t VALUES (:id, :v)", [{"id": number + 100, "v": value}])
            database.execute("INSERT INTO t VALUES (:id, NULL)", {"id": number + 200})
            database.execute("UPDATE t SET v = ? WHERE id = ?", (value, number + 200))
        database.commit()
    reader = connect()  # nothing of it is in this one's working set

    everything = "SELECT id, v, typeof(v) FROM t ORDER BY id"
    assert reader.execute(everything).fetchall() == stock.execute(everything).fetchall()
    reader.commit()
    for value in DERIVED:
        for condition in ("v = ?", "v IN (?)", "v IN (?, NULL)", "v IS ?", "v BETWEEN ? AND 'zz'", "v || '' = ? || ''"):
            query = f"SELECT id FROM t WHERE {condition} ORDER BY id"
            found = reader.execute(query, (value,)).fetchall()
            assert found == stock.execute(query, (value,)).fetchall(), (condition, value)
            reader.commit()


def test_a_derived_value_is_a_key(connect: Connect) -> None:
    writer, reader = connect(), connect()
    writer.execute("CREATE TABLE t (name TEXT PRIMARY KEY, level INTEGER, UNIQUE (level))")
    writer.execute("INSERT INTO t VALUES (?, ?)", (State.ACTIVE, Level.HIGH))
    writer.commit()
    for condition, value in (("name = ?", "active"), ("name = ?", State.ACTIVE), ("level = ?", OddInteger(7))):
        assert reader.execute(f"SELECT * FROM t WHERE {condition}", (value,)).fetchall() == [("active", 7)]
    assert reader.execute("DELETE FROM t WHERE level IN (?, ?)", (OddInteger(7), OddInteger(8))).rowcount == 1


def test_functions_give_derived_values_by_what_they_are_worth(connection: Connection) -> None:
    values = (State.ACTIVE, OddText("text"), OddInteger(7), OddReal(2.5), OddBytes(b"ab"), True)
    for value, plain in zip(values, ("active", "text", 7, 2.5, b"ab", 1), strict=True):
        connection.create_function("given", 0, lambda value=value: value)
        found = connection.execute("SELECT given(), typeof(given())").fetchone()
        assert found is not None
        assert (found[0], type(found[0])) == (plain, type(plain))


def test_the_value_at_the_time_of_the_statement_is_replayed(connect: Connect) -> None:
    """Also of buffers; and an adapter is not asked again."""
    asked = []

    class Point:
        def __conform__(self, _protocol: object) -> str:
            asked.append(self)
            return f"point {len(asked)}"

    one, other = connect(), connect()
    one.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
    one.execute("INSERT INTO t (id, a) VALUES (1, 0)")
    one.commit()
    buffer = bytearray(b"before")
    one.execute("INSERT INTO t VALUES (2, ?, ?, ?)", (buffer, Point(), OddText("text")))
    assert one.execute("SELECT count(*) FROM t WHERE id = 1").fetchone() == (1,)
    buffer[:] = b"after!"
    other.execute("UPDATE t SET a = 1 WHERE id = 1")
    other.commit()

    one.commit()

    assert one.rome_stats.replays == 1
    assert one.execute("SELECT a, b, c FROM t WHERE id = 2").fetchone() == (b"before", "point 1", "text")
    assert len(asked) == 1


def test_a_replay_that_shows_other_rows_is_still_a_conflict(connect: Connect) -> None:
    one, other = connect(), connect()
    one.execute("CREATE TABLE t (state TEXT PRIMARY KEY, n)")
    one.execute("INSERT INTO t VALUES (?, 0)", (State.ACTIVE,))
    one.commit()
    [(n,)] = one.execute("SELECT n FROM t WHERE state = ?", (State.ACTIVE,)).fetchall()
    one.execute("UPDATE t SET n = ? WHERE state = ?", (n + 1, State.ACTIVE))
    other.execute("UPDATE t SET n = 5 WHERE state = 'active'")
    other.commit()
    with pytest.raises(ConflictError):
        one.commit()


class TestRefused:
    @pytest.mark.parametrize("value", [Decimal(1), object(), 1j, datetime.time(1), (1,)])
    def test_what_sqlite3_does_not_know_is_refused_in_its_words(
        self, connection: Connection, stock: sqlite3.Connection, value: object
    ) -> None:
        with pytest.raises(sqlite3.ProgrammingError) as theirs:
            stock.execute("SELECT 1, ?", (1, value)[1:])
        with pytest.raises(ProgrammingError) as ours:
            connection.execute("SELECT 1, ?", (1, value)[1:])
        if not isinstance(value, Decimal):  # written in C, as Python's version pleases
            assert str(ours.value) == str(theirs.value)
        assert "is not supported" in str(ours.value)

    @pytest.mark.parametrize("value", [numpy.int64(5), numpy.bool_(True), numpy.float32(1)])
    def test_a_number_of_numpy_is_not_stored_as_its_memory(self, connection: Connection, value: object) -> None:
        """As sqlite3 does, silently: 5 becomes x'0500000000000000'."""
        with pytest.raises(ProgrammingError, match=r"^Error binding parameter 1: type 'numpy.* is not supported$"):
            connection.execute("SELECT ?", (value,))

    def test_an_object_that_pretends_to_be_an_int(self, connection: Connection) -> None:
        class Pretender:
            __class__ = int  # type: ignore[assignment]

        with pytest.raises(ProgrammingError, match=r"^Error binding parameter 1: type 'Pretender' is not supported$"):
            connection.execute("SELECT ?", (Pretender(),))

    def test_a_derived_value_beyond_sqlites_range(self, connection: Connection) -> None:
        with pytest.raises(DataError, match="64-bit"):
            connection.execute("SELECT ?", (OddInteger(2**63),))
        with pytest.raises(DataError, match="lone surrogate"):
            connection.execute("SELECT ?", (OddText("\ud800"),))

    @pytest.mark.parametrize("parameters", [None, {1, 2}, iter([1]), 5])
    def test_parameters_that_are_neither_a_sequence_nor_a_mapping(
        self, connection: Connection, stock: sqlite3.Connection, parameters: object
    ) -> None:
        for database, error in ((stock, sqlite3.ProgrammingError), (connection, ProgrammingError)):
            with pytest.raises(error, match=r"^parameters are of unsupported type$"):
                database.execute("SELECT ?", parameters)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "sql",
        [
            "BEGIN",
            "COMMIT",
            "SAVEPOINT s",
            "CREATE TABLE t (a)",
            "DROP TABLE IF EXISTS t",
            "PRAGMA foreign_keys",
            "ANALYZE",
        ],
    )
    def test_parameters_of_a_statement_that_has_none(
        self, connection: Connection, stock: sqlite3.Connection, sql: str
    ) -> None:
        message = "Incorrect number of bindings supplied. The current statement uses 0, and there are 1 supplied."
        for database, error in ((stock, sqlite3.ProgrammingError), (connection, ProgrammingError)):
            with pytest.raises(error, match=f"^{re.escape(message)}$"):
                database.execute(sql, (1,))
            database.execute(sql if sql != "COMMIT" else "SELECT 1", {})

    def test_parameters_of_explain_and_of_create_table_as(
        self, connection: Connection, stock: sqlite3.Connection
    ) -> None:
        for database, error in ((stock, sqlite3.ProgrammingError), (connection, ProgrammingError)):
            with pytest.raises(error, match=r"uses 2, and there are 1 supplied\.$"):
                database.execute("EXPLAIN QUERY PLAN SELECT ?, ?", (1,))
            database.execute("CREATE TABLE made AS SELECT ? AS a, :b AS b", (State.ACTIVE, Level.HIGH))
            assert database.execute("SELECT a, b FROM made").fetchall() == [("active", 7)]


class TestNamed:
    def test_a_dict_with_missing_is_asked_for_each_name_once(
        self, connection: Connection, stock: sqlite3.Connection
    ) -> None:
        class Asked(dict[str, str]):
            def __missing__(self, name: str) -> str:
                return f"<{name}>"

        query = "SELECT :a, @b, $c, :a, ?4, :é"
        for database in (connection, stock):
            assert database.execute(query, Asked(a="given")).fetchone() == (
                ("given", "<b>", "<c>", "given", "<4>", "<é>")
            )

    def test_what_the_statement_does_not_name_is_not_looked_at(self, connection: Connection) -> None:
        class Shown(Mapping[str, object]):
            def __getitem__(self, name: str) -> object:
                return {"a": State.ACTIVE}[name]

            def __iter__(self) -> Iterator[str]:
                raise AssertionError

            def __len__(self) -> int:
                raise AssertionError

        assert connection.execute("SELECT :a", {"a": 1, "b": object()}).fetchone() == (1,)
        assert connection.execute('SELECT \':b\', "x:c", :a FROM (SELECT 1 AS "x:c") -- :d', Shown()).fetchone() == (
            (":b", 1, "active")
        )

    def test_a_name_without_a_value(self, connection: Connection, stock: sqlite3.Connection) -> None:
        for database, error in ((stock, sqlite3.ProgrammingError), (connection, ProgrammingError)):
            with pytest.raises(error, match=r"^You did not supply a value for binding parameter :b\.$"):
                database.execute("SELECT :a, :b", {"a": 1})


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Conforming:
    def __init__(self, text: str) -> None:
        self.text = text

    def __conform__(self, protocol: object) -> str | None:
        return self.text if protocol is sqlite3.PrepareProtocol else None


@pytest.fixture
def register() -> Iterator[Callable[[type, Callable[..., object]], None]]:
    """sqlite3.register_adapter, undone after the test."""
    before = dict(sqlite3.adapters)
    yield sqlite3.register_adapter  # type: ignore[misc]
    sqlite3.adapters.clear()
    sqlite3.adapters.update(before)


class TestAdapters:
    def test_sqlite3s_adapters_are_used(
        self, connection: Connection, stock: sqlite3.Connection, register: Callable[..., None]
    ) -> None:
        register(Money, lambda money: money.cents)
        register(Decimal, str)
        register(numpy.int64, int)
        register(State, lambda state: state.name)  # a type that could be bound without
        register(bool, lambda value: "yes" if value else "no")
        values = (Money(5), Decimal("1.10"), numpy.int64(5), State.ACTIVE, True, Conforming("conforms"))
        query = "SELECT ?, ?, ?, ?, ?, ?"
        expected = (5, "1.10", 5, "ACTIVE", "yes", "conforms")
        for database in (stock, connection):
            assert database.execute(query, values).fetchone() == expected

    @pytest.mark.parametrize(("kind", "value"), [(int, 5), (str, "a"), (float, 0.5), (bytes, b"a"), (type(None), None)])
    def test_an_adapter_of_one_of_sqlites_own_types(
        self,
        connection: Connection,
        stock: sqlite3.Connection,
        register: Callable[..., None],
        kind: type,
        value: object,
    ) -> None:
        connection.execute("SELECT ?", (value,))
        register(kind, lambda value: f"adapted {value!r}")
        for database in (stock, connection):
            assert database.execute("SELECT ?", (value,)).fetchone() == (f"adapted {value!r}",)

    def test_what_an_adapter_raises_is_what_the_application_sees(
        self, connection: Connection, register: Callable[..., None]
    ) -> None:
        def refuse(_money: Money) -> None:
            raise LookupError("no rate")

        register(Money, refuse)
        connection.execute("CREATE TABLE t (v)")
        with pytest.raises(LookupError, match="no rate"):
            connection.executemany("INSERT INTO t VALUES (?)", [(1,), (Money(1),)])
        assert connection.execute("SELECT * FROM t").fetchall() == []

    def test_what_conforms_to_nothing_is_refused(self, connection: Connection, stock: sqlite3.Connection) -> None:
        class Silent:
            def __conform__(self, protocol: object) -> object:
                raise TypeError(protocol)

        for database, error in ((stock, sqlite3.ProgrammingError), (connection, ProgrammingError)):
            with pytest.raises(error, match=r"^Error binding parameter 1: type 'Silent' is not supported$"):
                database.execute("SELECT ?", (Silent(),))

    def test_dates_are_adapted_without_a_warning(self, connection: Connection) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = connection.execute(
                "SELECT ?, ?", (datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2))
            ).fetchone()
        assert found == ("2024-01-02", "2024-01-02 00:00:00")
