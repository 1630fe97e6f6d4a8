"""Triggers that look at OLD and NEW and RAISE, as in SQLite; all others are refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

import rome
from rome.catalog.objects import Header, IndexObject, TableObject, TriggerObject, ViewObject, encode_object
from rome.errors import CatalogChangedError, IntegrityError, NotSupportedError, OperationalError
from tests.support.databases import database, on
from tests.support.differential import MiscountedError, Pair

SCHEMA = [
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, p INT REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE,"
    " k TEXT UNIQUE, n INT CHECK (n < 1000))",
    "CREATE TABLE w (a INT, b TEXT UNIQUE ON CONFLICT IGNORE, PRIMARY KEY (a)) WITHOUT ROWID",
    "CREATE TABLE g (id INTEGER PRIMARY KEY, n INT, twice AS (n * 2), k TEXT UNIQUE)",
]
ROWS = [
    "INSERT INTO p VALUES (1, 'one'), (2, 'two'), (3, 'three')",
    "INSERT INTO t VALUES (1, 1, 'a', 1), (2, 1, 'b', 2), (3, 2, 'c', 3), (4, NULL, 'd', 4)",
    "INSERT INTO w VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO g (id, n, k) VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
    "COMMIT",
]
CONDITIONS = {
    "INSERT": ["NEW.n = 3", "NEW.k > 'x' OR NEW.n IS NULL"],
    "UPDATE": ["OLD.n = 3", "NEW.n IS NOT DISTINCT FROM 3", "NEW.k <> OLD.k"],
    "UPDATE OF k, n": ["NEW.n IN (2, 3)"],
    "DELETE": ["OLD.n BETWEEN 2 AND 3"],
}
ACTIONS = ["ABORT, 'no: '", "FAIL, 'no more: '", "IGNORE", "ROLLBACK, 'all gone: '"]
CHANGES = {
    "t": [
        "INSERT INTO t VALUES (9, 1, 'n', 3)",
        "INSERT INTO t VALUES (9, 7, 'n', 3)",
        "INSERT INTO t VALUES (9, 1, 'a', 3)",
        "INSERT INTO t VALUES (9, 1, 'x1', 2), (10, 1, 'x2', 3), (11, 1, 'a', 5)",
        "INSERT INTO t VALUES (9, 1, 'a', 2), (10, 1, 'x2', 3)",
        "INSERT OR IGNORE INTO t VALUES (9, 1, 'a', 3), (10, 1, 'x2', 4)",
        "INSERT OR REPLACE INTO t VALUES (9, 1, 'a', 3), (10, 1, 'b', 4)",
        "INSERT INTO t VALUES (2, 1, 'y', 3) ON CONFLICT (id) DO UPDATE SET n = 3, k = 'z'",
        "INSERT INTO t VALUES (9, 1, 'c', 6) ON CONFLICT (k) DO UPDATE SET n = n + 1",
        "INSERT INTO t SELECT id + 10, p, k || 'x', n FROM t",
        "INSERT INTO t VALUES (9, 1, 'n', 3) RETURNING id, k",
        "UPDATE t SET n = n + 1",
        "UPDATE t SET n = 3 WHERE id = 2",
        "UPDATE t SET k = k || 'x' WHERE n >= 2",
        "UPDATE t SET k = 'a' WHERE id IN (2, 3)",
        "UPDATE t SET id = id + 10 WHERE id > 1",
        "UPDATE t SET n = n * 1000 WHERE id > 2",
        "UPDATE OR REPLACE t SET k = 'a' WHERE id = 3",
        "DELETE FROM t WHERE id = 3",
        "DELETE FROM t",
        "DELETE FROM t WHERE n > 2 RETURNING id",
        "DELETE FROM p WHERE id = 1",
        "DELETE FROM p WHERE id = 2",
        "UPDATE p SET id = 20 WHERE id = 2",
        "REPLACE INTO p VALUES (2, 'two again')",
    ],
    "g": [
        "INSERT INTO g (id, n, k) VALUES (9, 2, 'x'), (10, 3, 'y')",
        "INSERT INTO g (id, n, k) VALUES (9, 3, 'a')",
        "UPDATE g SET n = n + 1",
        "UPDATE g SET k = k || 'z'",
        "DELETE FROM g",
    ],
    "w": [
        "INSERT INTO w VALUES (9, 'x'), (10, 'b'), (11, 'z')",
        "UPDATE w SET b = 'a' WHERE a >= 2",
        "UPDATE w SET a = a + 10",
        "DELETE FROM w WHERE a > 1",
    ],
}


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def pair(url: str) -> Iterator[Pair]:
    with Pair(SCHEMA, ids=True, url=url) as pair:
        for statement in ROWS:
            pair.execute(statement)
        yield pair


def triggers(table: str) -> Iterator[str]:
    for (event, conditions), when, action in itertools.product(CONDITIONS.items(), ("BEFORE", "AFTER"), ACTIONS):
        for condition in conditions:
            told = "NEW" if event == "INSERT" else "OLD"
            text = action if action == "IGNORE" else f"{action} || {told}.k"
            yield (
                f"CREATE TRIGGER tr {when} {event} ON {table} WHEN {condition}\n"
                f"BEGIN SELECT CASE WHEN {told}.id IS NOT 0 THEN RAISE({text}) END; END"
            )


@pytest.mark.parametrize("table", ["t", "g"])
@pytest.mark.parametrize("part", range(3))
def test_each_change_under_each_trigger(pair: Pair, table: str, part: int) -> None:
    for number, trigger in enumerate(triggers(table)):
        if number % 3 != part:
            continue
        pair.execute(trigger)
        pair.execute("COMMIT")
        for change in CHANGES[table]:
            try:
                pair.execute(change)
            except MiscountedError:  # SQLite says that it failed, and has changed something
                pair.stock.execute("ROLLBACK")
                continue
            for name in ("t", "p") if table == "t" else ("g",):
                pair.execute(f"SELECT * FROM {name} ORDER BY 1")
            pair.execute("ROLLBACK")
            pair.done.clear()
        pair.execute("DROP TRIGGER tr")
        pair.execute("COMMIT")


@pytest.mark.parametrize("action", ["ABORT, 'no'", "FAIL, 'no'", "IGNORE", "ROLLBACK, 'no'"])
@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE"])
def test_table_without_rowid_whose_constraint_leaves_rows_out(pair: Pair, event: str, action: str) -> None:
    row = "OLD" if event == "DELETE" else "NEW"
    for when in ("BEFORE", "AFTER"):
        pair.execute(
            f"CREATE TRIGGER tr {when} {event} ON w BEGIN SELECT RAISE({action}) WHERE {row}.a IN (3, 10, 12); END"
        )
        for change in CHANGES["w"]:
            pair.execute(change)
            pair.execute("SELECT * FROM w")
            pair.execute("ROLLBACK")


@pytest.mark.parametrize("action", ["ABORT, 'no'", "FAIL, 'no'", "IGNORE", "ROLLBACK, 'no'"])
def test_what_stands_is_committed(pair: Pair, action: str) -> None:
    pair.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON t WHEN OLD.id = 3 BEGIN SELECT RAISE({action}); END")
    pair.execute("COMMIT")
    pair.execute("UPDATE t SET n = n + 100")
    pair.execute("INSERT INTO t VALUES (20, 1, 'late', 3)")
    pair.execute("DELETE FROM t WHERE id = 1")
    pair.check_tables()


def test_many_runs_of_one_statement(pair: Pair) -> None:
    pair.execute("CREATE TRIGGER tr BEFORE INSERT ON t WHEN NEW.n % 2 BEGIN SELECT RAISE(IGNORE); END")
    pair.execute("CREATE TRIGGER tr2 AFTER UPDATE ON t WHEN NEW.n = 8 BEGIN SELECT RAISE(ABORT, 'eight'); END")
    pair.execute("INSERT INTO t VALUES (?, 1, ?, ?)", *((n, f"k{n}", n) for n in range(10, 20)))
    pair.execute("UPDATE t SET n = n - 4 WHERE id = ?", (10,), (14,), (16,))
    pair.check_tables()


def test_triggers_are_kept_renamed_and_dropped_with_their_table(pair: Pair) -> None:
    pair.tables = {}
    master = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    pair.execute("CREATE TRIGGER IF NOT EXISTS main.Late AFTER UPDATE OF n ON t BEGIN SELECT RAISE(ABORT, 'late'); END")
    pair.execute("CREATE TRIGGER IF NOT EXISTS late AFTER UPDATE ON t BEGIN SELECT RAISE(ABORT, 'other'); END")
    pair.execute("CREATE TRIGGER late AFTER UPDATE ON t BEGIN SELECT RAISE(ABORT, 'other'); END")
    pair.execute(master)
    pair.execute("ROLLBACK")
    pair.execute(master)
    pair.execute("CREATE TRIGGER kept AFTER UPDATE OF n ON t WHEN NEW.n > 5 BEGIN SELECT RAISE(ABORT, 'kept'); END")
    pair.execute("COMMIT")
    pair.execute("ALTER TABLE t RENAME TO renamed")
    pair.execute("ALTER TABLE renamed RENAME COLUMN n TO m")
    pair.execute("ALTER TABLE renamed ADD COLUMN more INT DEFAULT 1")
    pair.execute(master)
    pair.execute("UPDATE renamed SET m = 6")
    pair.execute("ALTER TABLE renamed DROP COLUMN m")
    pair.execute("COMMIT")
    pair.execute("UPDATE renamed SET m = 7 WHERE id = 1")
    pair.execute("SAVEPOINT s")
    pair.execute("DROP TRIGGER kept")
    pair.execute("UPDATE renamed SET m = 7 WHERE id = 1")
    pair.execute("ROLLBACK TO s")
    pair.execute("UPDATE renamed SET m = 8 WHERE id = 1")
    pair.execute("DROP TABLE renamed")
    pair.execute(master)
    pair.execute("COMMIT")
    pair.execute("DROP TRIGGER kept")


def test_rome_s_own_alter_table_keeps_them(url: str) -> None:
    with closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        connection.execute("INSERT INTO t VALUES (1, 1)")
        connection.execute("CREATE TRIGGER tr BEFORE INSERT ON t WHEN NEW.n = 1 BEGIN SELECT RAISE(ABORT, 'one'); END")
        connection.commit()
        connection.execute("ALTER TABLE t ADD CONSTRAINT few CHECK (n < 10)")
        connection.commit()
    with closing(rome.connect(url)) as connection:
        with pytest.raises(IntegrityError, match=r"^one$"):
            connection.execute("INSERT INTO t VALUES (2, 1)")
        with pytest.raises(IntegrityError, match="few"):
            connection.execute("INSERT INTO t VALUES (2, 11)")
        assert connection.execute("SELECT * FROM t").fetchall() == [(1, 1)]


def test_other_clients_and_dumps_have_them(url: str) -> None:
    with closing(rome.connect(url)) as one, closing(rome.connect(url)) as other:
        one.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        one.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
        one.commit()
        other.execute("UPDATE t SET n = 5 WHERE id = 1")
        one.execute("CREATE TRIGGER tr BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'immutable'); END")
        one.commit()
        with pytest.raises((CatalogChangedError, IntegrityError)):
            other.commit()
        with pytest.raises(IntegrityError, match=r"^immutable$"):
            other.execute("UPDATE t SET n = 5 WHERE id = 1")
        other.rollback()
        script = "\n".join(one.iterdump())
    with closing(rome.connect("rome+memory://")) as copy:
        copy.executescript(script)
        assert copy.execute("SELECT * FROM t").fetchall() == [(1, 1), (2, 2)]
        with pytest.raises(IntegrityError, match=r"^immutable$"):
            copy.execute("UPDATE t SET n = 5")


def test_change_reads_no_more_for_its_trigger(url: str) -> None:
    with closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, n) for n in range(200)])
        connection.execute("CREATE TRIGGER tr BEFORE UPDATE ON t WHEN NEW.n < 0 BEGIN SELECT RAISE(ABORT, 'low'); END")
        connection.commit()
        before = connection.rome_stats.rows
        connection.execute("UPDATE t SET n = 7 WHERE id = 5")
        connection.execute("INSERT INTO t VALUES (1000, 1)")
        connection.commit()
        assert connection.rome_stats.rows - before <= 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", "other than SELECT: DELETE FROM t"),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; INSERT INTO t VALUES (1, 2); END", "INSERT INTO t"),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'x') FROM t; END", "its body reads a table"),
        ("CREATE TRIGGER g AFTER INSERT ON t WHEN (SELECT max(n) FROM t) > 1 BEGIN SELECT 1; END", "its WHEN reads"),
        ("CREATE TRIGGER g AFTER INSERT ON t WHEN NEW.n IN t BEGIN SELECT 1; END", "IN t"),
        ("CREATE TRIGGER g AFTER INSERT ON t WHEN changes() > 1 BEGIN SELECT 1; END", "changes"),
        ("CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END", "temporary trigger"),
        ("CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN SELECT 1; END", "INSTEAD OF"),
        ("CREATE TRIGGER g AFTER INSERT ON passing BEGIN SELECT 1; END", "passing is a temporary table"),
        ("CREATE TRIGGER g AFTER INSERT ON r WHEN NEW.rowid > 1 BEGIN SELECT 1; END", "rowid of table r"),
    ],
)
def test_others_are_refused_by_the_part_that_is_in_the_way(url: str, text: str, part: str) -> None:
    with closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
        connection.execute("CREATE TABLE r (a)")
        connection.execute("CREATE VIEW v AS SELECT * FROM t")
        connection.execute("CREATE TEMP TABLE passing (a)")
        with pytest.raises(NotSupportedError, match="CREATE TRIGGER") as caught:
            connection.execute(text)
        assert part in str(caught.value)
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall() == []


def test_trigger_on_nothing_is_sqlite_s_error(url: str) -> None:
    with (
        closing(rome.connect(url)) as connection,
        pytest.raises(OperationalError, match=r"no such table: main\.missing"),
    ):
        connection.execute("CREATE TRIGGER g AFTER INSERT ON missing BEGIN SELECT 1; END")


def test_rome_that_does_not_know_triggers_cannot_read_the_catalog() -> None:
    before = msgspec.msgpack.Decoder(Header | TableObject | IndexObject | ViewObject)
    _, record = encode_object(TriggerObject(3, "g", "t", "CREATE TRIGGER g .."))
    with pytest.raises(msgspec.ValidationError, match="trigger"):
        before.decode(record)
