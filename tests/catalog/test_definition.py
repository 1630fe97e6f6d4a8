"""Definitions: numbers that are never used again, layouts, and the change that a commit writes."""

from __future__ import annotations

import pytest

from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.objects import decode_objects, encode_object
from rome.catalog.rows import decode_row, encode_row, index_key, row_key
from rome.catalog.schema import ROWID, Table
from rome.codec.keys import encode_key
from rome.codec.rows import encode_record
from rome.errors import CorruptRecordError


class Script:
    """Runs DDL, and keeps the definition after each statement."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.definition = Definition.empty()

    def run(self, *statements: str) -> Definition:
        for statement in statements:
            self.mirror.connection.execute(statement)
            self.definition = self.definition.evolve(self.mirror).definition
        return self.definition

    def replace(self, name: str, *statements: str) -> Definition:
        """What an edit of a table's text does."""
        self.mirror.replace_table(name, statements)
        self.definition = self.definition.evolve(self.mirror).definition
        return self.definition

    def table(self, name: str) -> Table:
        return self.definition.catalog.tables[name]


@pytest.fixture
def script() -> Script:
    return Script()


def stored(definition: Definition) -> dict[bytes, bytes]:
    """All rows of the catalog's table."""
    return dict(map(encode_object, (definition.header, *definition.objects.values())))


class TestNumbers:
    def test_a_table_made_again_has_another_id(self, script: Script) -> None:
        script.run("CREATE TABLE t (a)")
        first = script.table("t").id
        script.run("DROP TABLE t", "CREATE TABLE t (a)")
        assert script.table("t").id > first

    def test_a_renamed_table_keeps_its_id_columns_and_indexes(self, script: Script) -> None:
        script.run("CREATE TABLE t (a UNIQUE, b)", "CREATE INDEX i ON t (b)")
        before = script.table("t")
        script.run("ALTER TABLE t RENAME TO u")
        after = script.table("u")
        assert (after.id, after.layouts, [c.id for c in after.columns], {i.id for i in after.indexes}) == (
            before.id,
            before.layouts,
            [c.id for c in before.columns],
            {i.id for i in before.indexes},
        )

    def test_an_index_made_again_has_another_id(self, script: Script) -> None:
        script.run("CREATE TABLE t (a)", "CREATE INDEX i ON t (a)")
        [first] = script.table("t").indexes
        script.run("DROP INDEX i", "CREATE INDEX i ON t (a)")
        [second] = script.table("t").indexes
        assert second.id > first.id

    def test_a_column_added_again_has_another_id_and_a_new_layout(self, script: Script) -> None:
        script.run("CREATE TABLE t (a, b)", "ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b DEFAULT 5")
        table = script.table("t")
        assert [column.id for column in table.columns] == [1, 3]
        assert table.layouts == {1: (1, 2), 2: (1,), 3: (1, 3)}
        assert table.layout == 3

    def test_an_index_keeps_its_id_while_its_entries_are_the_same(self, script: Script) -> None:
        script.run("CREATE TABLE t (a, b, UNIQUE (a), UNIQUE (b, a))", "CREATE INDEX i ON t (b)")
        before = {index.columns: index.id for index in script.table("t").indexes}
        script.replace("t", "CREATE TABLE t (a, b, UNIQUE (b, a), UNIQUE (a, b))", "CREATE INDEX i ON t (b)")
        after = {index.columns: index.id for index in script.table("t").indexes}
        assert after == {(1, 0): before[1, 0], (0, 1): 4, (1,): before[1,]}
        script.replace("t", "CREATE TABLE t (a, b COLLATE NOCASE, UNIQUE (b, a))", "CREATE INDEX i ON t (b)")
        assert {index.columns: index.id for index in script.table("t").indexes} == {(1, 0): 5, (1,): 6}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a INTEGER PRIMARY KEY, b", "a BIGINT PRIMARY KEY, b"),
            ("a, b", "a, b, PRIMARY KEY (b)"),
            ("a, b, PRIMARY KEY (a, b)", "a, b, PRIMARY KEY (b, a)"),
            ("a TEXT PRIMARY KEY", "a TEXT COLLATE NOCASE PRIMARY KEY"),
        ],
    )
    def test_a_table_whose_rows_are_stored_under_other_keys_is_a_new_one(
        self, script: Script, one: str, other: str
    ) -> None:
        script.run(f"CREATE TABLE t ({one})")
        first = script.table("t").id
        script.replace("t", f"CREATE TABLE t ({other})")
        assert script.table("t").id > first
        assert script.run("CREATE TABLE u (a)").catalog.tables["u"].id > script.table("t").id


class TestShape:
    @pytest.mark.parametrize(
        ("sql", "key", "alias"),
        [
            ("(id INTEGER PRIMARY KEY, a)", (0,), 0),
            ("(a, id INTEGER, PRIMARY KEY (id))", (1,), 1),
            ("(id INT PRIMARY KEY, a)", (0,), None),
            ("(id INTEGER PRIMARY KEY DESC, a)", (0,), None),
            ("(a TEXT, b INT, PRIMARY KEY (b, a))", (1, 0), None),
            ("(a, b)", (ROWID,), None),
            ("(a TEXT PRIMARY KEY, b) WITHOUT ROWID", (0,), None),
        ],
    )
    def test_key(self, script: Script, sql: str, key: tuple[int, ...], alias: int | None) -> None:
        script.run(f"CREATE TABLE t {sql}")
        assert (script.table("t").key.columns, script.table("t").rowid_alias) == (key, alias)

    @pytest.mark.parametrize(
        ("index", "computed"),
        [
            ("(a)", None),
            ("(a COLLATE NOCASE, b DESC)", None),
            ("(a) WHERE b > 0;", (("a",), "b > 0")),
            (
                "(lower(a) DESC, [b], (max(a, 'x,)')) COLLATE NOCASE)",
                (("lower(a)", "[b]", "(max(a, 'x,)')) COLLATE NOCASE"), None),
            ),
            ("(g) where (a) and b", (("g",), "(a) and b")),
        ],
    )
    def test_what_sqlite_must_compute(self, script: Script, index: str, computed: object) -> None:
        script.run("CREATE TABLE t (a, b, g AS (a + b))", f"CREATE INDEX i ON t {index}")
        found = script.table("t").indexes[0]
        assert (found.computed and found.computed[:2]) == computed

    def test_what_sqlite_must_compute_for_a_constraint(self, script: Script) -> None:
        script.run('CREATE TABLE t (a, "b c" AS (a + 1) UNIQUE)')
        (index,) = script.table("t").indexes
        assert index.computed is not None
        assert index.computed.keys == ('"b c"',)

    def test_index_whose_keys_change_has_other_entries(self, script: Script) -> None:
        script.run("CREATE TABLE t (a INT, b)", "CREATE INDEX i ON t (lower(a))", "CREATE INDEX j ON t (lower(b))")
        before = {index.name: index.id for index in script.table("t").indexes}
        script.run("ALTER TABLE t ADD COLUMN c", "ALTER TABLE t RENAME COLUMN a TO d")
        after = {index.name: index.id for index in script.table("t").indexes}
        assert after["j"] == before["j"]
        assert after["i"] not in before.values()

    def test_foreign_keys(self, script: Script) -> None:
        script.run(
            "CREATE TABLE p (id INTEGER PRIMARY KEY, x UNIQUE)",
            "CREATE TABLE c (a REFERENCES p ON DELETE CASCADE, b REFERENCES P (X) ON UPDATE SET NULL)",
        )
        one, two = script.table("c").foreign_keys
        assert (one.columns, one.parent_columns, one.on_delete, one.deferred) == ((0,), None, "CASCADE", False)
        assert (two.columns, two.parent_columns, two.on_update) == ((1,), ("X",), "SET NULL")
        assert [table.name for table, _ in script.definition.catalog.referencing["p"]] == ["c", "c"]


class TestStored:
    def test_what_is_written_is_what_is_loaded(self, script: Script) -> None:
        definition = script.run(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE)",
            "CREATE TABLE child (k TEXT PRIMARY KEY, p INT REFERENCES parent, n REAL DEFAULT '5')",
            "CREATE INDEX child_n ON child (n DESC)",
            "ALTER TABLE child ADD COLUMN late INT DEFAULT '7'",
            "CREATE VIEW v AS SELECT * FROM child",
        )
        loaded = Definition.load(9, decode_objects(stored(definition).items()))
        assert loaded.catalog.version == 9
        assert loaded.catalog.tables == definition.catalog.tables
        assert loaded.catalog.views == definition.catalog.views
        assert loaded.header == definition.header
        assert script.table("child").columns[3].default == 7

    def test_changes_applied_one_by_one_are_the_definition(self, script: Script) -> None:
        rows: dict[bytes, bytes] = {}
        before = script.definition
        for statement in (
            "CREATE TABLE t (a, b)",
            "CREATE INDEX i ON t (a)",
            "ALTER TABLE t ADD COLUMN c",
            "ALTER TABLE t RENAME TO u",
            "CREATE TABLE other (a)",
            "DROP INDEX i",
            "DROP TABLE other",
        ):
            after = script.run(statement)
            for key, record in after.change_since(before).rows.items():
                if record is None:
                    del rows[key]
                else:
                    rows[key] = record
            before = after
            assert rows == stored(after)

    def test_a_drop_is_named(self, script: Script) -> None:
        before = script.run("CREATE TABLE t (a UNIQUE)", "CREATE INDEX i ON t (a)", "CREATE TABLE u (a)")
        table = script.table("t")
        number = next(index.id for index in table.indexes if index.name == "i")
        after = script.run("DROP INDEX i", "DROP TABLE u")
        change = after.change_since(before)
        assert change.dropped_indexes == [(table.id, number)]
        assert change.dropped_tables == [before.catalog.tables["u"].id]

    def test_corrupt_record_of_the_catalog(self) -> None:
        with pytest.raises(CorruptRecordError, match="the catalog's record 8001 cannot be decoded"):
            decode_objects([(b"\x80\x01", b"\xc1")])


class TestRows:
    def test_round_trip(self, script: Script) -> None:
        script.run("CREATE TABLE t (a TEXT PRIMARY KEY, b, g AS (b + 1))", "CREATE INDEX i ON t (b)")
        table = script.table("t")
        values = ("x", 1.5, None)
        assert decode_row(table, b"", encode_row(table, 7, values)) == (7, values)
        assert row_key(table, 7, values) == encode_key(["x"], ["BINARY"])
        assert index_key(table.indexes[0], 7, values) == encode_key([1.5], ["BINARY"])

    def test_rowid_alias_is_not_stored_twice(self, script: Script) -> None:
        script.run("CREATE TABLE t (a, id INTEGER PRIMARY KEY)")
        table = script.table("t")
        assert encode_row(table, 7, ["x", 7]) == encode_record(1, 7, ["x"])
        assert decode_row(table, b"", encode_record(1, 7, ["x"])) == (7, ("x", 7))

    def test_key_with_a_null_is_told_apart_by_the_rowid(self, script: Script) -> None:
        script.run("CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b))")
        table = script.table("t")
        assert row_key(table, 1, [5, None]) != row_key(table, 2, [5, None])
        assert row_key(table, 1, [5, 6]) == row_key(table, 2, [5, 6])

    def test_old_layouts_are_read_in_todays_columns(self, script: Script) -> None:
        script.run("CREATE TABLE t (a, b)")
        old = encode_row(script.table("t"), 1, ["a", "b"])
        script.run("ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 5")
        assert decode_row(script.table("t"), b"", old) == (1, ("b", "5"))
        script.replace("t", "CREATE TABLE t (b, c TEXT DEFAULT 6)")
        assert decode_row(script.table("t"), b"", old) == (1, ("b", "5"))
        loaded = Definition.load(1, decode_objects(stored(script.definition).items()))
        assert decode_row(loaded.catalog.tables["t"], b"", old) == (1, ("b", "5"))

    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            (encode_record(9, 1, [1]), "unknown layout 9"),
            (encode_record(1, 1, [1, 2]), "layout 1 has 1 columns, the record 2"),
            (b"\xc1", "not a record"),
            (b"", "not a record"),
        ],
    )
    def test_corrupt_record_names_table_and_key(self, script: Script, record: bytes, reason: str) -> None:
        script.run("CREATE TABLE t (a)")
        with pytest.raises(CorruptRecordError, match=rf"record of table t, key 0102, is corrupt: .*{reason}") as caught:
            decode_row(script.table("t"), b"\x01\x02", record)
        assert (caught.value.table, caught.value.key) == ("t", b"\x01\x02")


def test_objects_are_found_by_name_in_any_case() -> None:
    script = Script()
    script.run("CREATE TABLE Mixed (A)")
    assert script.table("mixed").positions == {"a": 0}
