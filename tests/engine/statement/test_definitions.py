"""An application's own definitions on a connection: results match sqlite3, and nothing stored depends on them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, NotSupportedError, OperationalError
from tests.support.databases import database, on

Connect = Callable[..., Connection]
Databases = tuple[Connection, sqlite3.Connection]

WORDS = ["ab", "AB", "Ba", "ba", "b", "a", "", "abc", "B", "zz"]


def by_length(one: str, other: str) -> int:
    """Texts of one length are equal, and the longest come first."""
    return len(other) - len(one)


class Longest:
    def __init__(self) -> None:
        self.best: str | None = None

    def step(self, value: Any) -> None:
        if value is not None:
            self.best = value if self.best is None else max(self.best, value, key=lambda text: (len(text), text))

    def finalize(self) -> Any:
        return self.best


class Sum:
    def __init__(self) -> None:
        self.total = 0

    def step(self, value: int) -> None:
        self.total += value

    def inverse(self, value: int) -> None:
        self.total -= value

    def value(self) -> int:
        return self.total

    finalize = value


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def databases(connect: Connect) -> Iterator[Databases]:
    """Rome and stock SQLite with the same rows and definitions."""
    rome, stock = connect(), sqlite3.connect(":memory:")
    chosen = random.Random(7)
    rows = [(n, chosen.choice(WORDS), chosen.choice([None, *WORDS]), chosen.randrange(9)) for n in range(1, 60)]
    for each in (rome, stock):
        each.executescript(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT COLLATE NOCASE, n INTEGER);"
            "CREATE INDEX t_a ON t (a); CREATE INDEX t_b ON t (b, n); CREATE UNIQUE INDEX t_n ON t (n, id);"
            "CREATE TABLE u (a TEXT PRIMARY KEY, m INTEGER);"
        )
        each.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        each.executemany("INSERT INTO u VALUES (?, ?)", list(zip(WORDS, range(10), strict=True)))
        each.commit()
        each.create_collation("length", by_length)
        each.create_aggregate("longest", 1, Longest)
        each.create_window_function("running", 1, Sum)
    yield rome, stock
    stock.close()


def both(
    databases: Databases, stocks: type[sqlite3.Error] = sqlite3.OperationalError
) -> list[tuple[Connection | sqlite3.Connection, type[Exception]]]:
    """The two, each with the class of its errors."""
    rome, stock = databases
    return [(rome, OperationalError), (stock, stocks)]


COLLATED = """
    SELECT id FROM t WHERE a = 'xx' COLLATE length ORDER BY id
    SELECT id FROM t WHERE a COLLATE length = 'xx' ORDER BY id
    SELECT id FROM t WHERE a COLLATE length IN ('xx', 'y') ORDER BY id
    SELECT id FROM t WHERE b COLLATE length > 'xx' ORDER BY id
    SELECT id FROM t WHERE b COLLATE length BETWEEN 'xxx' AND 'x' ORDER BY id
    SELECT id FROM t WHERE a BETWEEN 'a' AND 'xxxxx' COLLATE length ORDER BY id
    SELECT id FROM t WHERE (a COLLATE length, n) = ('xx', 3) ORDER BY id
    SELECT id FROM t WHERE a COLLATE NOCASE COLLATE length = 'xx' ORDER BY id
    SELECT id FROM t WHERE n = 3 AND a = 'ab' COLLATE length ORDER BY id
    SELECT id FROM t WHERE a LIKE 'a%' COLLATE length ORDER BY id
    SELECT a, id FROM t ORDER BY a COLLATE length, id LIMIT 5
    SELECT a, id FROM t WHERE n > 2 ORDER BY a COLLATE length DESC, id LIMIT 5 OFFSET 2
    SELECT a COLLATE length AS c, id FROM t ORDER BY c, id LIMIT 3
    SELECT a COLLATE length, id FROM t ORDER BY 1, 2 LIMIT 3
    SELECT x FROM (SELECT a COLLATE length AS x FROM t) WHERE x = 'qq' ORDER BY x COLLATE BINARY
    SELECT x FROM (SELECT a COLLATE length AS x, id FROM t ORDER BY x, id LIMIT 4) WHERE x = 'qqq'
    SELECT count(DISTINCT a COLLATE length), min(a COLLATE length) IS NOT NULL FROM t
    SELECT DISTINCT length(x) FROM (SELECT DISTINCT a COLLATE length AS x FROM t) ORDER BY 1
    SELECT length(a), count(*) FROM t GROUP BY a COLLATE length ORDER BY 1
    SELECT length(x) FROM (SELECT a COLLATE length AS x FROM t UNION SELECT a FROM u) ORDER BY 1
    SELECT length(x) FROM (SELECT a COLLATE length AS x FROM t EXCEPT SELECT 'zz') WHERE x = 'q' ORDER BY 1
    SELECT t.id, u.m FROM t JOIN u ON t.a = u.a COLLATE length WHERE t.id < 5 ORDER BY 1, 2
    SELECT t.id, u.m FROM t LEFT JOIN u ON u.a COLLATE length = t.a AND u.m = 4 ORDER BY 1, 2
    SELECT id FROM t WHERE a COLLATE length IN (SELECT a FROM u WHERE m = 3) ORDER BY id
    SELECT m FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.a COLLATE length = u.a AND t.n = 3) ORDER BY m
    SELECT CASE a COLLATE length WHEN 'xx' THEN 1 ELSE 0 END FROM t WHERE id = 3
    SELECT max(a COLLATE length) >= '' FROM t
    SELECT (SELECT a FROM t ORDER BY a COLLATE length, id LIMIT 1)
    SELECT id, rank() OVER (ORDER BY a COLLATE length) FROM t ORDER BY 2, 1 LIMIT 7
    WITH w AS (SELECT id, a COLLATE length AS x FROM t WHERE n > 1) SELECT id FROM w WHERE x < 'qq' ORDER BY id
"""
AGGREGATED = """
    SELECT longest(a) FROM t
    SELECT longest(a) FROM t LIMIT 1
    SELECT longest(a) FROM t ORDER BY id LIMIT 1
    SELECT longest(a), count(*) FROM t WHERE n = 3
    SELECT n, longest(b) FROM t GROUP BY n ORDER BY n
    SELECT n, longest(b) FROM t GROUP BY n HAVING longest(a) = 'abc' ORDER BY n
    SELECT x FROM (SELECT longest(a) AS x, n FROM t) WHERE n = 3 OR n <> 3
    SELECT x FROM (SELECT longest(a) AS x FROM t GROUP BY n ORDER BY n LIMIT 1)
    SELECT (SELECT longest(u.a) FROM u WHERE u.m < t.n) FROM t WHERE id = 9
    SELECT u.m FROM u WHERE (SELECT longest(t.a) FROM t WHERE t.n = u.m) = 'abc' ORDER BY 1
    SELECT longest(DISTINCT a) FILTER (WHERE n < 4) FROM t
    SELECT running(n) FROM t
    SELECT id, running(n) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM t ORDER BY id
    SELECT id, running(n) OVER (PARTITION BY a ORDER BY id) FROM t ORDER BY id LIMIT 5
    SELECT id, running(n) OVER w FROM t WHERE n > 3 WINDOW w AS (ORDER BY id) ORDER BY id LIMIT 2
    SELECT x FROM (SELECT id, running(n) OVER (ORDER BY id) AS x FROM t) WHERE id = 30
    SELECT longest(x) FROM (SELECT a AS x FROM t ORDER BY id LIMIT 3)
"""


def statements(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("sql", statements(COLLATED) + statements(AGGREGATED))
def test_a_query_gives_what_it_gives_on_sqlite(databases: Databases, sql: str) -> None:
    rome, stock = databases
    assert rome.execute(sql).fetchall() == stock.execute(sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET n = n + 100 WHERE a = 'xx' COLLATE length",
        "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY a COLLATE length, id LIMIT 7)",
        "INSERT INTO u SELECT longest(a) || 'new', 50 FROM t LIMIT 1",
        "INSERT INTO u SELECT min(x) || 'new', sum(n) FROM (SELECT a COLLATE length AS x, n FROM t) GROUP BY x",
        "UPDATE u SET m = (SELECT running(n) FROM t WHERE t.a = u.a)",
        "DELETE FROM u WHERE a COLLATE length < 'ab'",
        "CREATE TEMP TABLE x (a COLLATE length)",
    ],
)
def test_a_change_is_what_it_is_on_sqlite(databases: Databases, sql: str) -> None:
    rome, stock = databases
    outcomes: list[object] = []
    for each, errors in both(databases):
        try:
            outcomes.append(each.execute(sql).rowcount)
        except errors as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    rome.commit()
    for table in ("t", "u"):
        query = f"SELECT * FROM {table} ORDER BY 1"
        assert rome.execute(query).fetchall() == stock.execute(query).fetchall()


def test_definitions_outlive_transactions_and_schema_changes(databases: Databases) -> None:
    rome, _ = databases
    for end in (rome.rollback, rome.commit):
        rome.execute("CREATE TABLE IF NOT EXISTS more (x)")
        end()
        found = rome.execute("SELECT longest(a), running(m) FROM u WHERE a COLLATE length >= 'ab'").fetchone()
        assert found == ("zz", sum(range(10)) - 7)


def test_a_temporary_table_may_have_a_collation_of_the_applications(databases: Databases) -> None:
    rome, stock = databases
    for each in databases:
        each.execute("CREATE TEMP TABLE x (a TEXT COLLATE length UNIQUE)")
        each.execute("INSERT INTO x VALUES ('a'), ('ab')")
        each.execute("INSERT OR IGNORE INTO x VALUES ('yy')")
        each.commit()
    rome.execute("CREATE TABLE elsewhere (a)")
    rome.commit()
    for query in ("SELECT a FROM x ORDER BY a", "SELECT x.a, u.m FROM x JOIN u ON u.a = x.a ORDER BY 2"):
        assert rome.execute(query).fetchall() == stock.execute(query).fetchall()


class TestTakenAway:
    def test_none_takes_a_definition_away(self, databases: Databases) -> None:
        databases[0].create_aggregate("longest", 1, None)  # for sqlite3 None is a class that cannot be called
        with pytest.raises(OperationalError, match=r"^no such function: longest$"):
            databases[0].execute("SELECT longest(n) FROM t")
        for each, error in both(databases):
            each.create_collation("LENGTH", None)
            each.create_window_function("running", 1, None)
            for sql, message in (
                ("SELECT a FROM t ORDER BY a COLLATE length", "no such collation sequence: length"),
                ("SELECT running(n) FROM t", "no such function: running"),
            ):
                with pytest.raises(error, match=f"^{message}$"):
                    each.execute(sql)

    def test_another_connection_has_none_of_it(self, databases: Databases, connect: Connect) -> None:
        rome, _ = databases
        query = "SELECT longest(a) FROM t"
        rome.execute(query)
        other = connect()
        with pytest.raises(OperationalError, match=r"^no such function: longest$"):
            other.execute(query)
        with pytest.raises(OperationalError, match=r"^no such collation sequence: length$"):
            other.execute("SELECT a FROM t ORDER BY a COLLATE length")

    def test_a_transaction_is_replayed_once_nothing_is_defined(self, databases: Databases, connect: Connect) -> None:
        rome, _ = databases
        other = connect()

        def meet() -> None:
            assert rome.execute("SELECT id FROM t WHERE id = 2").fetchone() == (2,)
            rome.execute("UPDATE t SET n = n + 10 WHERE id = 1")
            other.execute("UPDATE t SET n = n + 10 WHERE id = 2")
            other.commit()
            rome.commit()

        with pytest.raises(ConflictError):
            meet()
        rome.create_collation("length", None)
        rome.create_aggregate("longest", 1, None)
        rome.create_window_function("running", 1, None)
        meet()
        assert rome.rome_stats.replays == 1


class TestErrors:
    @pytest.mark.parametrize("method", ["__init__", "step", "finalize", "inverse", "value"])
    def test_what_a_class_raises_is_an_error_in_sqlite3s_words(self, databases: Databases, method: str) -> None:
        def fail(*_: object) -> None:
            raise ValueError("no")

        kind: Any = type("Failing", (Sum,), {method: fail, "finalize": fail if method == "finalize" else Sum.finalize})
        for each, error in both(databases):
            each.create_window_function("failing", 1, kind)
            # (In a window sqlite3 does not see what finalize() raises.)
            over = "" if method == "finalize" else "OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
            with pytest.raises(error, match=rf"^user-defined aggregate's '{method}' method raised error$"):
                each.execute(f"SELECT failing(n) {over} FROM t").fetchall()
        rome, _ = databases
        assert rome.execute("SELECT count(*) FROM t").fetchone() == (59,)

    @pytest.mark.parametrize("result", [object(), 2**63, "\ud800", 1j])
    def test_a_result_that_sqlite_does_not_know(self, databases: Databases, result: object) -> None:
        for each, error in both(databases, sqlite3.DatabaseError):
            given: Any = result
            each.create_function("odd", 0, lambda given=given: given)
            with pytest.raises(error):
                each.execute("SELECT odd()").fetchall()
        rome, _ = databases
        assert rome.execute("SELECT count(*) FROM t").fetchone() == (59,)

    def test_what_a_collation_raises_is_an_error(self, databases: Databases) -> None:
        """In sqlite3 the two texts are equal then, in silence."""
        rome, _ = databases
        rome.create_collation("failing", lambda one, other: 1 // 0)
        with pytest.raises(OperationalError, match=r"^user-defined collation raised exception$"):
            rome.execute("SELECT a FROM t ORDER BY a COLLATE failing")
        with pytest.raises(OperationalError, match=r"^user-defined collation raised exception$"):
            rome.execute("UPDATE t SET n = 0 WHERE a COLLATE failing = 'x'")
        assert rome.execute("SELECT count(*) FROM t WHERE n = 0").fetchone() != (59,)  # SQLite had run to the end
        rome.commit()


class TestRefused:
    @pytest.mark.parametrize("name", ["count", "MAX", "lower", "json_extract", "row_number"])
    def test_an_aggregate_in_the_place_of_a_function_of_sqlites(self, connection: Connection, name: str) -> None:
        for define in (connection.create_aggregate, connection.create_window_function):
            with pytest.raises(NotSupportedError, match=f"{name} cannot take the place of SQLite's own"):
                define(name, 1, Sum)

    @pytest.mark.parametrize(("name", "narg"), [("max", 1), ("sum", 1), ("count", 0), ("group_concat", 2)])
    def test_a_function_in_the_place_of_an_aggregate_of_sqlites(
        self, connection: Connection, name: str, narg: int
    ) -> None:
        with pytest.raises(NotSupportedError, match=f"function {name} cannot take the place of SQLite's own"):
            connection.create_function(name, narg, lambda *_: 1)

    @pytest.mark.parametrize("name", ["binary", "NoCase", "RTRIM"])
    def test_a_collation_in_the_place_of_one_of_sqlites(self, connection: Connection, name: str) -> None:
        with pytest.raises(NotSupportedError, match=f"collation {name} cannot be defined anew"):
            connection.create_collation(name, by_length)

    @pytest.mark.parametrize(
        "sql",
        [
            "CREATE TABLE x (a TEXT COLLATE length)",
            "CREATE TABLE x (a TEXT, UNIQUE (a COLLATE length))",
            "CREATE TABLE x (a CHECK (a COLLATE length > 'a'))",
            "CREATE TABLE x (a, b AS (a COLLATE length > 'a'))",
            "CREATE INDEX x ON t (a COLLATE length)",
            "CREATE INDEX x ON t (id) WHERE a COLLATE length > 'a'",
            "CREATE INDEX x ON t (a COLLATE length > 'a')",
            "ALTER TABLE t ADD COLUMN x TEXT COLLATE length",
            "ALTER TABLE t ADD COLUMN x INTEGER CHECK (one(x))",
            "ALTER TABLE t ADD CHECK (one(n))",
            "CREATE TABLE x (a CHECK (one(a)))",
            "CREATE TABLE x (a, b AS (one(a)))",
            "CREATE INDEX x ON t (one(a))",
            "CREATE INDEX x ON t (a) WHERE one(a)",
        ],
    )
    def test_nothing_stored_rests_on_a_definition(self, databases: Databases, connect: Connect, sql: str) -> None:
        """Before, a function in a CHECK made the database useless for every other connection, for good."""
        rome, _ = databases
        rome.create_function("one", 1, lambda _: 1, deterministic=True)
        rome.execute("INSERT INTO u VALUES ('before', 1)")
        with pytest.raises(
            (NotSupportedError, OperationalError), match=r"no such (function: one|collation sequence: )"
        ):
            rome.execute(sql)
        rome.execute("INSERT INTO u VALUES ('after', 1)")
        rome.commit()
        assert connect().execute("SELECT count(*) FROM u WHERE m = 1").fetchone() == (3,)


def test_regexp_may_stand_in_a_table_and_in_an_index(connect: Connect) -> None:
    """It is Rome's own, and on every connection; before, the database could not be opened any more."""
    one = connect()
    one.executescript(
        "CREATE TABLE r (a TEXT CHECK (a REGEXP '^x'), b AS (a REGEXP 'y$'));"
        "CREATE INDEX r_a ON r (a REGEXP 'z'); CREATE INDEX r_b ON r (a) WHERE a REGEXP 'y';"
    )
    one.execute("INSERT INTO r VALUES ('xy'), ('xz')")
    one.commit()
    other = connect()
    assert other.execute("SELECT a, b FROM r WHERE a REGEXP 'z' ORDER BY a").fetchall() == [("xz", 0)]
    with pytest.raises(OperationalError.__mro__[1], match="CHECK constraint failed"):
        other.execute("INSERT INTO r VALUES ('y')")
