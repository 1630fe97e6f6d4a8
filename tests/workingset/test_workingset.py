"""The working set: hydration without visible effects, and the CREATE statements that it runs."""

from __future__ import annotations

import apsw
import pytest

from rome import compiled
from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.rows import encode_row
from rome.catalog.schema import Table
from rome.errors import (
    CheckViolation,
    ForeignKeyViolation,
    InternalError,
    NotNullViolation,
    NotSupportedError,
    UniqueViolation,
)
from rome.store.row_block import RowBlock
from rome.store.spi import Row
from rome.workingset.contents import Stored
from rome.workingset.ddl import statements, with_autoincrement
from rome.workingset.workingset import WorkingSet

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE NOT NULL CHECK (a <> ''), up INT REFERENCES t)",
    "CREATE TABLE w (k TEXT PRIMARY KEY, g AS (k || '!')) WITHOUT ROWID",
    "CREATE INDEX t_up ON t (up)",
)


@pytest.fixture(scope="module")
def definition() -> Definition:
    made, mirror = Definition.empty(), Mirror()
    for statement in SCHEMA:
        mirror.connection.execute(statement)
        made = made.evolve(mirror).definition
    return made


@pytest.fixture
def working_set(definition: Definition) -> WorkingSet:
    made = WorkingSet(statements(definition.master, definition.catalog))
    made.begin()
    return made


@pytest.fixture
def table(definition: Definition) -> Table:
    return definition.catalog.tables["t"]


def row(number: int, text: str = "x") -> Stored:
    return Stored(b"key%d" % number, 1, number, [number, f"{text}{number}", None])


class TestHydration:
    def test_is_not_seen_by_counters_and_events(self, working_set: WorkingSet, table: Table) -> None:
        before = working_set.counters
        assert working_set.hydrate(table, [row(7), row(8)]) == 2
        assert working_set.counters == before
        run = working_set.run("UPDATE t SET a = 'y' WHERE id = 7", [()], frozenset())
        assert [(event.kind, event.old, event.new) for event in run.events] == [
            ("UPDATE", (7, "x7", None), (7, "y", None))
        ]

    def test_a_row_is_put_in_once(self, working_set: WorkingSet, table: Table) -> None:
        assert working_set.hydrate(table, [row(7)]) == 1
        run = working_set.run("DELETE FROM t", [()], frozenset())
        working_set.touch({"t": table}, run.events)
        assert working_set.hydrate(table, [row(7), row(8)]) == 1
        assert working_set.all_rows(table) == [(8, (8, "x8", None))]

    def test_ignores_foreign_keys(self, working_set: WorkingSet, table: Table) -> None:
        working_set.enforce_foreign_keys(True)
        assert working_set.hydrate(table, [Stored(b"k", 1, 1, [1, "x", 99])]) == 1

    def test_rollback_takes_all_out(self, working_set: WorkingSet, table: Table) -> None:
        working_set.hydrate(table, [row(7)])
        working_set.rollback()
        working_set.begin()
        assert working_set.all_rows(table) == []
        assert working_set.hydrate(table, [row(7)]) == 1

    def test_a_row_that_breaks_its_own_schema_is_said_to(self, working_set: WorkingSet, table: Table) -> None:
        with pytest.raises(InternalError, match="a stored row of table t does not fit its own schema: UNIQUE"):
            working_set.hydrate(table, [row(1), Stored(b"k", 1, 2, [2, "x1", None])])
        assert working_set.all_rows(table) == []
        assert working_set.hydrate(table, [row(1)]) == 1

    def test_rows_that_were_touched_are_not_evicted(self, working_set: WorkingSet, table: Table) -> None:
        working_set.hydrate(table, [row(7), row(8)])
        run = working_set.run("UPDATE t SET a = 'mine' WHERE id = 8", [()], frozenset())
        working_set.touch({"t": table}, run.events)
        working_set.evict_clean([table])
        assert working_set.all_rows(table) == [(8, (8, "mine", None))]
        assert working_set.hydrate(table, [row(7, "newer "), row(8, "newer ")]) == 1
        assert working_set.all_rows(table) == [(7, (7, "newer 7", None)), (8, (8, "mine", None))]

    def test_without_rowid_and_generated_columns(self, working_set: WorkingSet, definition: Definition) -> None:
        table = definition.catalog.tables["w"]
        assert working_set.hydrate(table, [Stored(b"a", 1, 0, ["a", None])]) == 1
        assert working_set.query("SELECT * FROM w", ()) == [("a", "a!")]
        assert working_set.all_rows(table) == [(0, ("a", None))]

    def test_keeps_unique_indexes_only(self, working_set: WorkingSet) -> None:
        names = working_set.query("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name", ())
        assert [name for (name,) in names if name == "t_up"] == []


@pytest.mark.parametrize(
    ("sql", "error", "message"),
    [
        ("INSERT INTO t VALUES (7, 'y', NULL)", UniqueViolation, "UNIQUE constraint failed: t.id"),
        ("INSERT INTO t VALUES (8, 'x7', NULL)", UniqueViolation, "UNIQUE constraint failed: t.a"),
        ("INSERT INTO t VALUES (8, NULL, NULL)", NotNullViolation, "NOT NULL constraint failed: t.a"),
        ("INSERT INTO t VALUES (8, '', NULL)", CheckViolation, "CHECK constraint failed: a <> ''"),
        ("INSERT INTO t VALUES (8, 'y', 9)", ForeignKeyViolation, "FOREIGN KEY constraint failed"),
    ],
)
def test_errors_are_returned_in_sqlites_words(
    working_set: WorkingSet, table: Table, sql: str, error: type[Exception], message: str
) -> None:
    working_set.hydrate(table, [row(7)])
    working_set.enforce_foreign_keys(True)
    run = working_set.run(sql, [()], frozenset())
    assert type(run.error) is error
    assert str(run.error) == message
    assert (run.rows, run.changes, run.all_changes) == ([], 0, 0)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "create table t (id integer primary key not null, x)",
        "CREATE TABLE t (id INTEGER CONSTRAINT p PRIMARY KEY ASC ON CONFLICT REPLACE NOT NULL, x)",
        'CREATE TABLE t (x DEFAULT \'PRIMARY KEY\', "id" INTEGER, PRIMARY KEY ("id"))',
        "CREATE TABLE t (x, id INTEGER, CONSTRAINT p PRIMARY KEY (id) ON CONFLICT IGNORE, UNIQUE (x))",
        "CREATE TABLE t (id INTEGER /* PRIMARY KEY */ PRIMARY\n\t KEY, x -- PRIMARY KEY\n)",
        "CREATE TABLE t (id INTEGER PRIMARY/* comment */KEY)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        'CREATE TABLE "PRIMARY KEY" (id INTEGER PRIMARY KEY, "primary" TEXT, CHECK ("primary" <> \'key\'))',
    ],
)
def test_every_integer_primary_key_takes_its_ids_from_the_sequence(sql: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute(with_autoincrement(sql))
    [(name,)] = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'create table%id%'")
    quoted = '"' + name + '"'
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, 41)", (name,))
    connection.execute(f"INSERT INTO {quoted} DEFAULT VALUES")
    assert connection.last_insert_rowid() == 42
    connection.close()


def test_a_key_that_is_not_found_is_said_so() -> None:
    with pytest.raises(NotSupportedError, match="cannot find the PRIMARY KEY in: CREATE TABLE t"):
        with_autoincrement("CREATE TABLE t (id)")


class TestBlocks:
    @pytest.fixture
    def block(self, table: Table) -> RowBlock:
        if compiled.library() is None:
            pytest.skip(compiled.described())
        numbers = range(1, 200)
        return RowBlock.of([Row(b"key%d" % n, 5, encode_row(table, n, (n, f"x{n}", None))) for n in numbers])

    def test_its_rows_are_in_the_table_and_known(self, working_set: WorkingSet, table: Table, block: RowBlock) -> None:
        before = working_set.counters
        assert working_set.hydrate_block(table, block) == 199
        assert working_set.counters == before
        assert working_set.contents.large is False
        assert working_set.count_rows(table) == 199
        assert working_set.all_rows(table)[76] == (77, (77, "x77", None))
        contents = working_set.contents.of(table.id)
        assert contents.hydrated[77] == Stored(b"key77", 5, 77, (77, "x77", None))
        assert contents.keys == set(block.keys())

    def test_is_put_in_once(self, working_set: WorkingSet, table: Table, block: RowBlock) -> None:
        working_set.hydrate_block(table, block)
        run = working_set.run("DELETE FROM t WHERE id < 100", [()], frozenset())
        working_set.touch({"t": table}, run.events)
        assert working_set.hydrate_block(table, block) == 0
        assert working_set.hydrate(table, [row(7), row(300)]) == 1
        assert len(working_set.all_rows(table)) == 101
        assert working_set.hydrate_block(table, block) == 0

    def test_other_rows_are_put_in_one_by_one(self, working_set: WorkingSet, table: Table, block: RowBlock) -> None:
        working_set.hydrate(table, [row(7)])
        assert working_set.hydrate_block(table, block) is None
        assert working_set.all_rows(table) == [(7, (7, "x7", None))]

    def test_a_row_that_sqlite_refuses_leaves_nothing(
        self, working_set: WorkingSet, table: Table, block: RowBlock
    ) -> None:
        rows = [*block, Row(b"again", 5, encode_row(table, 500, (500, "x7", None)))]
        assert working_set.hydrate_block(table, RowBlock.of(rows)) is None
        assert working_set.all_rows(table) == []
        assert working_set.hydrate_block(table, block) == 199

    def test_what_was_only_read_is_evicted(self, working_set: WorkingSet, table: Table, block: RowBlock) -> None:
        working_set.hydrate_block(table, block)
        assert working_set.evict_clean([table]) == []
        assert working_set.all_rows(table) == []
        assert working_set.hydrate_block(table, block) == 199
        run = working_set.run("UPDATE t SET a = 'y' WHERE id = 7", [()], frozenset())
        working_set.touch({"t": table}, run.events)
        assert [stored.rowid for _, stored in working_set.evict_clean([table])] == [7]
        assert working_set.all_rows(table) == [(7, (7, "y", None))]
        assert working_set.hydrate_block(table, block) is None

    def test_a_copy_of_the_contents_does_not_change(
        self, working_set: WorkingSet, table: Table, block: RowBlock
    ) -> None:
        working_set.hydrate_block(table, block)
        copy = working_set.contents.copy()
        working_set.hydrate(table, [row(300)])
        assert 300 not in copy.of(table.id).hydrated
        again = copy.copy()
        working_set.contents = copy
        assert working_set.hydrate_block(table, block) == 0
        assert again.of(table.id).keys == set(block.keys())
