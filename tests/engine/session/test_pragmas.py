"""PRAGMAs beside stock SQLite: what they answer and read back; what promises something is kept or refused."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from rome.dbapi import Connection
from rome.engine.statement.pragma import FIXED, TUNES
from rome.errors import NotSupportedError, OperationalError
from tests.support.databases import Connect, database, on

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A file of the same SQLite as Rome's, since sqlite3's may be older; with a table: an empty one acts otherwise."""
    connection = apsw.Connection(str(tmp_path / "stock.db"))
    connection.execute(SCHEMA)
    yield connection
    connection.close()


@pytest.fixture
def filled(connection: Connection) -> Connection:
    connection.execute(SCHEMA)
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "abc"), (2, "ABC"), (3, "x")])
    connection.commit()
    return connection


def answered(connection: Connection, sql: str) -> object:
    try:
        cursor = connection.execute(sql)
    except NotSupportedError:
        return "refused"
    except OperationalError as error:
        return str(error)
    return cursor.description and [name for name, *_ in cursor.description], cursor.fetchall()


def answered_by_stock(connection: apsw.Connection, sql: str) -> object:
    columns: list[str] = []

    def describe(cursor: apsw.Cursor, *_: object) -> bool:
        columns.extend(name for name, *_ in cursor.get_description())
        return True

    cursor = connection.cursor()
    cursor.exec_trace = describe
    try:
        rows = cursor.execute(sql).fetchall()
    except apsw.Error as error:
        return str(error)
    return columns or None, rows


FORMS = [
    "{}",
    "{} = 1",
    "{}",
    "{}(0)",
    "{}",
    "{} = 'off'",
    "main.{}",
    "{} = 5000",
    "{}",
    "{} = yes",
    "{}",
    "{} = -7",
    "{}",
]


@pytest.mark.parametrize("name", sorted(TUNES - {"soft_heap_limit"}))
def test_what_tunes_answers_and_reads_back_as_in_sqlite(filled: Connection, stock: apsw.Connection, name: str) -> None:
    for form in FORMS:
        sql = f"PRAGMA {form.format(name)}"
        if sql == "PRAGMA mmap_size = -7":  # back to what SQLite was compiled with
            continue
        assert answered(filled, sql) == answered_by_stock(stock, sql), sql


@pytest.mark.parametrize(
    "sql",
    [
        *("journal_mode = WAL", "journal_mode", "journal_mode(Truncate)", "journal_mode = nonsense", "journal_mode"),
        *("synchronous = NORMAL", "synchronous", "synchronous(extra)", "synchronous", "temp_store = MEMORY"),
        *("temp_store", "cache_size = -64000", "cache_size", "busy_timeout(20000)", "busy_timeout"),
        *("mmap_size = 268435456", "mmap_size", "wal_checkpoint", "optimize", "nonsense", "nonsense = 1"),
        *(
            "foreign_keys = 2",
            "foreign_keys",
            "foreign_keys = 0",
            "foreign_keys",
            "foreign_keys = 'true'",
            "foreign_keys",
        ),
        *("foreign_keys = on", "foreign_keys(no)", "foreign_keys", "defer_foreign_keys = 1", "defer_foreign_keys"),
        *("query_only = 1", "query_only", "query_only = 0", "query_only", "case_sensitive_like", "locking_mode"),
        *("case_sensitive_like = 1", "case_sensitive_like = 0", "locking_mode = normal", "legacy_alter_table = OFF"),
        *("recursive_triggers = 1", "recursive_triggers", "trusted_schema = 0", "trusted_schema", "encoding"),
        *("user_version", "user_version = 7", "user_version", "application_id = 0x1234", "application_id"),
        *("user_version = 'x'", "user_version", "user_version = -5", "user_version", "integrity_check(nosuch)"),
        *("quick_check", "integrity_check(t)", "nosuch.synchronous", "writable_schema = RESET", "hard_heap_limit"),
    ],
)
def test_forms(filled: Connection, stock: apsw.Connection, sql: str) -> None:
    """Each with those of the same name that come before it."""
    assert isinstance(test_forms.pytestmark[0].args[1], list)  # type: ignore[attr-defined]
    every: list[str] = test_forms.pytestmark[0].args[1]  # type: ignore[attr-defined]
    name = sql.split("=")[0].split("(")[0].strip()
    for each in every[: every.index(sql) + 1]:
        if each.startswith(name):
            assert answered(filled, f"PRAGMA {each}") == answered_by_stock(stock, f"PRAGMA {each}"), each


def test_wal_checkpoint_after_wal(filled: Connection) -> None:
    filled.execute("PRAGMA journal_mode = WAL")
    assert filled.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]


@pytest.mark.parametrize("name", sorted(FIXED.keys() - {"encoding", "locking_mode", "max_page_count"}))
def test_of_what_promises_only_the_value_that_is_romes_is_taken(filled: Connection, name: str) -> None:
    filled.execute(f"PRAGMA {name}")
    value = 1 - filled.execute(f"PRAGMA {name}").fetchone()[0]
    with pytest.raises(NotSupportedError, match=f"PRAGMA {name} = {value} is not supported: "):
        filled.execute(f"PRAGMA {name} = {value}")
    filled.execute(f"PRAGMA {name} = {1 - value}")
    assert filled.execute(f"PRAGMA {name}").fetchone() == (1 - value,)


@pytest.mark.parametrize(
    "sql", ["encoding = 'UTF-16'", "locking_mode = EXCLUSIVE", "max_page_count = 100", "page_count"]
)
def test_what_cannot_be_kept_is_refused(filled: Connection, sql: str) -> None:
    with pytest.raises(NotSupportedError, match=f"PRAGMA {sql.split()[0]}"):
        filled.execute(f"PRAGMA {sql}")


def test_a_limit_of_the_process_is_not_passed_on(filled: Connection) -> None:
    assert filled.execute("PRAGMA soft_heap_limit = 1000000").fetchone() == (1000000,)
    assert filled.execute("PRAGMA soft_heap_limit").fetchone() == (1000000,)
    assert apsw.Connection(":memory:").execute("PRAGMA soft_heap_limit").fetchone() == (0,)


def test_settings_are_of_the_connection(filled: Connection, connect: Connect) -> None:
    filled.execute("PRAGMA busy_timeout = 77")
    assert connect().execute("PRAGMA busy_timeout").fetchone() == (0,)


@pytest.mark.parametrize("name", ["busy_timeout", "foreign_keys", "query_only", "user_version", "data_version"])
def test_a_function_that_the_mirror_would_answer_is_refused(filled: Connection, name: str) -> None:
    with pytest.raises(NotSupportedError, match=f"ask by PRAGMA {name}"):
        filled.execute(f"SELECT * FROM pragma_{name}")
    assert filled.execute("SELECT name FROM pragma_table_info('t')").fetchall() == [("id",), ("v",)]


class TestQueryOnly:
    @pytest.mark.parametrize(
        "sql",
        [
            *(
                "INSERT INTO t VALUES (9, 'x')",
                "UPDATE t SET v = 1",
                "DELETE FROM t WHERE 0",
                "REPLACE INTO t VALUES (1, 1)",
            ),
            *("CREATE TABLE u (a)", "DROP TABLE t", "ALTER TABLE t ADD COLUMN w", "CREATE INDEX i ON t (v)"),
            *("CREATE TEMP TABLE u (a)", "CREATE VIEW w AS SELECT 1", "PRAGMA user_version = 4", "ANALYZE"),
            *("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "WITH n AS (SELECT 1) INSERT INTO t SELECT 8, 8"),
        ],
    )
    def test_nothing_is_written(self, filled: Connection, stock: apsw.Connection, sql: str, connect: Connect) -> None:
        for connection in (filled, stock):
            connection.execute("PRAGMA query_only = ON")
        words = "attempt to write a readonly database"
        with pytest.raises(apsw.Error, match=words):
            stock.execute(sql)
        with pytest.raises(OperationalError, match=f"^{words}$"):
            filled.execute(sql)
        filled.commit()
        filled.execute("PRAGMA query_only = OFF")
        objects = "SELECT name FROM {} ORDER BY name"
        assert filled.execute(objects.format("sqlite_master")).fetchall() == [("t",)]
        assert filled.execute(objects.format("sqlite_temp_master")).fetchall() == []
        assert filled.execute("SELECT id, v FROM t").fetchall() == [(1, "abc"), (2, "ABC"), (3, "x")]
        filled.execute("INSERT INTO t VALUES (9, 'x')")
        filled.commit()
        assert connect().execute("SELECT max(id) FROM t").fetchone() == (9,)

    def test_executemany(self, filled: Connection) -> None:
        filled.execute("PRAGMA query_only = 1")
        with pytest.raises(OperationalError, match="readonly"):
            filled.executemany("INSERT INTO t VALUES (?, ?)", [(8, 1), (9, 1)])

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM t",
            "BEGIN",
            "SAVEPOINT s",
            "EXPLAIN DELETE FROM t",
            "CREATE TABLE IF NOT EXISTS t (a)",
            "VACUUM",
        ],
    )
    def test_what_writes_nothing_runs(self, filled: Connection, sql: str) -> None:
        filled.execute("PRAGMA query_only = ON")
        filled.execute(sql)


class TestCaseSensitiveLike:
    def test_it_counts_in_every_statement(self, filled: Connection) -> None:
        matching = "SELECT id FROM t WHERE v LIKE 'a%'"
        assert filled.execute(matching).fetchall() == [(1,), (2,)]
        filled.execute("PRAGMA case_sensitive_like = ON")
        assert filled.execute(matching).fetchall() == [(1,)]
        assert filled.execute("SELECT count(*) FROM t WHERE v NOT LIKE 'a%'").fetchone() == (2,)
        assert filled.execute("SELECT 'a' LIKE 'A'").fetchone() == (0,)
        assert filled.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'T'").fetchone() == (0,)
        assert filled.execute("UPDATE t SET v = 'y' WHERE v LIKE 'A%'").rowcount == 1
        filled.execute("PRAGMA case_sensitive_like = OFF")
        assert filled.execute("SELECT id FROM t WHERE v LIKE 'Y'").fetchall() == [(2,)]

    def test_it_outlives_transactions_and_changes_of_the_schema(self, filled: Connection, connect: Connect) -> None:
        filled.execute("PRAGMA case_sensitive_like = 1")
        other = connect()
        other.execute("CREATE INDEX t_v ON t (v COLLATE NOCASE)")
        other.commit()
        assert filled.execute("SELECT id FROM t WHERE v LIKE 'a%'").fetchall() == [(1,)]
        filled.execute("CREATE TABLE u AS SELECT v FROM t WHERE v LIKE 'A%'")
        filled.commit()
        assert filled.execute("SELECT v FROM u WHERE v LIKE 'A%'").fetchall() == [("ABC",)]
        assert other.execute("SELECT count(*) FROM t WHERE v LIKE 'a%'").fetchone() == (2,)

    def test_it_is_refused_where_an_index_depends_on_like(self, filled: Connection) -> None:
        filled.execute("CREATE INDEX part ON t (v) WHERE v LIKE 'a%'")
        filled.commit()
        with pytest.raises(NotSupportedError, match="while index part depends on LIKE"):
            filled.execute("PRAGMA case_sensitive_like = ON")
        assert filled.execute("SELECT id FROM t WHERE v LIKE 'a%'").fetchall() == [(1,), (2,)]


def test_trusted_schema_counts(filled: Connection) -> None:
    filled.create_function("secret", 0, lambda: 42, deterministic=True)
    filled.execute("CREATE VIEW shown AS SELECT secret() AS s")
    filled.commit()
    assert filled.execute("SELECT s FROM shown").fetchall() == [(42,)]
    filled.execute("PRAGMA trusted_schema = OFF")
    with pytest.raises(OperationalError, match=r"unsafe use of secret\(\)"):
        filled.execute("SELECT s FROM shown")


class TestHeader:
    @pytest.fixture(params=on("memory", "lmdb", "redis"))
    def url(self, request: pytest.FixtureRequest) -> Iterator[str]:
        with database(request.param, request) as url:
            yield url

    def test_it_is_in_the_database_and_part_of_the_transaction(self, filled: Connection, connect: Connect) -> None:
        filled.execute("PRAGMA user_version = 3")
        assert filled.execute("PRAGMA user_version").fetchone() == (3,)
        assert connect().execute("PRAGMA user_version").fetchone() == (0,)
        filled.rollback()
        assert filled.execute("PRAGMA user_version").fetchone() == (0,)
        filled.execute("PRAGMA user_version = 4")
        filled.execute("CREATE TABLE later (a)")
        filled.execute("PRAGMA application_id = -2")
        filled.commit()
        for connection in (filled, connect()):
            assert connection.execute("PRAGMA user_version").fetchone() == (4,)
            assert connection.execute("PRAGMA application_id").fetchone() == (-2,)
            connection.rollback()
        filled.execute("DROP TABLE later")
        filled.commit()
        assert connect().execute("PRAGMA user_version").fetchone() == (4,)

    def test_savepoints(self, filled: Connection) -> None:
        filled.execute("SAVEPOINT s")
        filled.execute("PRAGMA user_version = 3")
        filled.execute("ROLLBACK TO s")
        assert filled.execute("PRAGMA user_version").fetchone() == (0,)

    def test_a_backup_has_it(self, filled: Connection, tmp_path: Path) -> None:
        filled.execute("PRAGMA user_version = 12")
        filled.execute("PRAGMA application_id = 99")
        filled.commit()
        filled.execute("VACUUM INTO ?", (str(tmp_path / "b.db"),))
        copy = sqlite3.connect(tmp_path / "b.db")
        assert copy.execute("PRAGMA user_version").fetchone() == (12,)
        assert copy.execute("PRAGMA application_id").fetchone() == (99,)
        copy.close()

    def test_data_version_tells_of_others_commits_alone(self, filled: Connection, connect: Connect) -> None:
        def now() -> object:
            filled.rollback()
            return filled.execute("PRAGMA data_version").fetchone()

        other = connect()
        before = now()
        filled.execute("INSERT INTO t VALUES (10, 'mine')")
        filled.commit()
        filled.execute("SELECT * FROM t WHERE id = 10 FOR UPDATE")
        filled.commit()
        assert now() == before
        other.execute("INSERT INTO t VALUES (11, 'yours')")
        assert now() == before
        other.commit()
        assert now() != before

    def test_schema_version_tells_of_changes(self, filled: Connection, connect: Connect) -> None:
        seen = []
        for sql in ("SELECT 1", "INSERT INTO t VALUES (10, 'x')", "CREATE TABLE u (a)", "DROP TABLE u"):
            connect_ = connect()
            connect_.execute(sql)
            connect_.commit()
            filled.rollback()
            seen.append(filled.execute("PRAGMA schema_version").fetchone())
        assert seen[0] == seen[1] != seen[2] != seen[3]
        with pytest.raises(NotSupportedError, match="schema_version"):
            filled.execute("PRAGMA schema_version = 4")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("ANALYZE nosuch", "no such table: nosuch"),
        ("ANALYZE main.nosuch", r"no such table: main\.nosuch"),
        ("ANALYZE nosuch.t", "unknown database nosuch"),
        ("REINDEX nosuch", "unable to identify the object to be reindexed"),
        ("VACUUM nosuch", "unknown database nosuch"),
        ("SELECT * FROM t INDEXED BY nosuch", "no such index: nosuch"),
    ],
)
def test_what_names_nothing_is_an_error(filled: Connection, stock: apsw.Connection, sql: str, words: str) -> None:
    with pytest.raises(apsw.Error, match=words):
        stock.execute(sql)
    with pytest.raises(OperationalError, match=words):
        filled.execute(sql)


@pytest.mark.parametrize(
    "sql", ["ANALYZE", "ANALYZE t", "ANALYZE main", "REINDEX", "REINDEX t", "REINDEX NOCASE", "VACUUM"]
)
def test_what_a_store_does_not_need_is_accepted(filled: Connection, sql: str) -> None:
    assert filled.execute(sql).fetchall() == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, v FROM t INDEXED BY t_v WHERE v = 'x'",
        "SELECT a.id FROM t AS a indexed by \"t_v\" JOIN t AS b ON a.id = b.id WHERE a.v = 'x'",
        "UPDATE t INDEXED BY t_v SET v = 'y' WHERE v = 'x'",
        "DELETE FROM t INDEXED BY [t_v] WHERE v = 'x'",
        "SELECT * FROM through",
        "SELECT id, v FROM t NOT INDEXED WHERE v = 'x'",
        "SELECT 'INDEXED BY t_v' FROM t",
    ],
)
def test_indexed_by(filled: Connection, stock: apsw.Connection, sql: str) -> None:
    stock.execute("INSERT INTO t VALUES (1, 'abc'), (2, 'ABC'), (3, 'x')")
    for connection in (filled, stock):
        connection.execute("CREATE INDEX t_v ON t (v)")
        connection.execute("CREATE VIEW through AS SELECT id FROM t INDEXED BY t_v WHERE v = 'x'")
    filled.commit()
    assert filled.execute(sql).fetchall() == stock.execute(sql).fetchall()
    everything = "SELECT * FROM t"
    assert filled.execute(everything).fetchall() == stock.execute(everything).fetchall()


def test_the_page_on_pragmas_names_all_that_sqlite_has(stock: apsw.Connection) -> None:
    page = (Path(__file__).parents[3] / "docs" / "pragmas.md").read_text()
    named = set(re.findall(r"\w+", page[page.index("## PRAGMAs") : page.index("## Other statements")]))
    assert {name for (name,) in stock.execute("SELECT name FROM pragma_pragma_list")} - named == set()
