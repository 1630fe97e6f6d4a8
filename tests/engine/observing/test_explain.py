"""EXPLAIN ROME and EXPLAIN ROME ANALYZE."""

from __future__ import annotations

import pytest

from rome.dbapi import Connection
from rome.errors import (
    ConflictError,
    FullScanError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from tests.support.databases import Connect
from tests.support.family import SCHEMA

JOIN = "SELECT child.* FROM parent JOIN child ON child.parent = parent.id WHERE name = 'ann'"
Row = dict[str, object]


@pytest.fixture
def filled(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(SCHEMA)
    return connection


def explain(connection: Connection, sql: str, *parameters: object) -> list[Row]:
    cursor = connection.execute(f"EXPLAIN ROME {sql}", parameters)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def accesses(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["table"]]


def waves(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["access"] == "wave"]


class TestExplain:
    def test_is_a_tree_of_waves_and_accesses(self, filled: Connection) -> None:
        assert explain(filled, JOIN) == [
            dict(zip(("wave", "table", "access", "bounds", "remark", "expected_trips", "most_rows"), row, strict=True))
            for row in [
                (1, "", "wave", "", "", 1, 1),
                (1, "parent", "index parent_name", "name = 'ann'", "", None, 1),
                (2, "", "wave", "", "", 1, None),
                (2, "child", "index child_parent", "parent = parent.id", "keyed by parent", None, None),
                (None, "", "in all", "", "fewer when the transaction has read some of it before", 2, None),
            ]
        ]

    def test_says_why_a_table_is_read_whole(self, filled: Connection) -> None:
        [found] = accesses(explain(filled, "SELECT * FROM log WHERE line = 'first'"))
        assert (found["wave"], found["table"], found["access"]) == (1, "log", "whole table")
        assert found["remark"] == "no index begins with line"

    @pytest.mark.parametrize(
        ("sql", "along"),
        [
            ("SELECT * FROM log", "the key of log"),
            ("SELECT * FROM child WHERE parent > 0 ORDER BY parent DESC", "index child_parent of child, backwards"),
            ("SELECT count(*) FROM child WHERE uuid > 'a'", None),
            ("UPDATE log SET line = 'x'", None),
        ],
    )
    def test_says_what_can_be_streamed(self, filled: Connection, sql: str, along: str | None) -> None:
        remark = str(explain(filled, sql)[-1]["remark"])
        assert remark.partition("; on request streamed in chunks along ")[2] == (along or "")

    def test_shows_the_guards_of_an_insert(self, filled: Connection) -> None:
        found = explain(filled, "INSERT INTO child VALUES ('u9', 2, NULL)")
        guarded = [(row["table"], row["access"]) for row in found if row["remark"] == "guard of a constraint"]
        assert sorted(guarded) == [("child", "key"), ("parent", "key")]
        assert waves(found)[0]["most_rows"] == 2
        assert "COMMIT is one" in str(found[-1]["remark"])

    def test_does_not_run_the_statement_and_reads_nothing(self, filled: Connection) -> None:
        before = filled.rome_stats.rows
        explain(filled, "DELETE FROM child")
        assert filled.rome_stats.rows == before
        assert filled.execute("SELECT count(*) FROM child").fetchall() == [(3,)]

    def test_parameters_may_be_left_out(self, filled: Connection) -> None:
        assert accesses(explain(filled, "SELECT * FROM child WHERE uuid = ?"))[0]["bounds"] == "uuid = ?1"

    def test_of_a_wrong_statement_is_sqlites_error(self, filled: Connection) -> None:
        with pytest.raises(OperationalError, match="no such column: nowhere"):
            explain(filled, "SELECT nowhere FROM child")

    def test_without_rome_is_sqlites(self, filled: Connection) -> None:
        [row] = filled.execute("EXPLAIN QUERY PLAN SELECT * FROM child WHERE parent = 1")
        assert "child_parent" in str(row[-1])
        assert len(filled.execute("EXPLAIN SELECT 1").fetchall()[0]) == 8


class TestAnalyze:
    def test_counts_each_wave(self, filled: Connection) -> None:
        filled.rollback()
        before = filled.rome_stats
        found = explain(filled, f"ANALYZE {JOIN}")
        after = filled.rome_stats
        assert [(row["trips"], row["rows"]) for row in waves(found)] == [(1, 1), (1, 2)]
        whole = found[-1]
        assert (whole["access"], whole["remark"]) == ("in all", "rows of the result: 2")
        assert whole["trips"] == after.round_trips - before.round_trips == 2
        assert (whole["rows"], whole["bytes"]) == (after.rows - before.rows, after.bytes - before.bytes)
        counted = [row for row in found if not row["table"]]
        for name in ("trips", "rows", "bytes"):
            assert sum(row[name] for row in counted[:-1]) == whole[name]  # type: ignore[misc]
        assert all(isinstance(row["ms"], float) and row["ms"] >= 0 for row in counted)

    def test_what_was_read_before_costs_nothing(self, filled: Connection) -> None:
        filled.execute(JOIN)
        found = explain(filled, f"ANALYZE {JOIN}")
        assert [row["trips"] for row in waves(found)] == [0, 0]

    def test_a_wave_that_is_not_reached_has_no_figures(self, filled: Connection) -> None:
        found = explain(filled, f"ANALYZE {JOIN.replace('ann', 'nobody')}")
        assert [row["trips"] for row in waves(found)] == [1, None]

    def test_a_wave_in_which_nothing_is_left_to_read_is_left_out(self, filled: Connection) -> None:
        sql = "SELECT 1 FROM child a, child b, parent p WHERE a.uuid = 'u1' AND b.uuid = a.uuid AND p.id = b.parent"
        found = explain(filled, f"ANALYZE {sql}")
        by_table = {row["wave"]: row["table"] for row in accesses(found)}
        assert {by_table[row["wave"]] for row in waves(found) if row["rows"]} == {"child", "parent"}

    @pytest.mark.parametrize(
        ("sql", "changed", "rest"),
        [
            ("INSERT INTO child VALUES ('u9', 2, NULL)", 1, None),
            ("INSERT INTO parent (name) VALUES ('cid'), ('dan')", 2, None),
            ("UPDATE child SET parent = 2 WHERE uuid = 'u1'", 1, 1),
            ("UPDATE child SET note = 'n' WHERE parent = 1", 2, 0),
            ("DELETE FROM child WHERE parent = 1", 2, 0),
            ("REPLACE INTO child SELECT uuid, 2, note FROM child", 3, 1),
        ],
    )
    def test_a_change_is_counted_and_undone(self, filled: Connection, sql: str, changed: int, rest: int | None) -> None:
        filled.execute("UPDATE log SET line = 'third' WHERE line = 'first'")
        state = "SELECT last_insert_rowid(), changes(), total_changes()"
        before = [list(filled.iterdump()), filled.execute(state).fetchall()]
        filled.commit()
        filled.execute("UPDATE log SET line = 'fourth' WHERE line = 'second'")
        counters = filled.execute(state).fetchall()
        commits = filled.rome_stats.commits
        found = explain(filled, f"ANALYZE {sql}")
        assert found[-1]["remark"] == f"rows changed, and undone: {changed}"
        assert [row["trips"] for row in found if row["access"] == "run in SQLite"] == ([] if rest is None else [rest])
        assert filled.execute(state).fetchall() == counters
        filled.commit()
        assert filled.rome_stats.commits == commits + 1
        after = [line.replace("fourth", "second") for line in filled.iterdump()]
        assert after == before[0]

    def test_alone_it_commits_nothing(self, filled: Connection) -> None:
        commits = filled.rome_stats.commits
        explain(filled, "ANALYZE DELETE FROM child")
        filled.commit()
        filled.isolation_level = "AUTOCOMMIT"
        explain(filled, "ANALYZE DELETE FROM child")
        assert filled.rome_stats.commits == commits
        assert filled.execute("SELECT count(*) FROM child").fetchall() == [(3,)]

    def test_rows_that_were_only_undone_are_read_again_from_the_snapshot(self, filled: Connection) -> None:
        explain(filled, "ANALYZE UPDATE child SET note = 'n'")
        assert filled.execute("SELECT note FROM child ORDER BY uuid").fetchall() == [("x",), (None,), ("z",)]

    def test_counts_answers_without_rows(self, filled: Connection) -> None:
        found = explain(filled, "ANALYZE SELECT count(*) FROM child")
        assert [(row["trips"], row["rows"]) for row in waves(found)] == [(1, 0)]

    def test_takes_parameters(self, filled: Connection) -> None:
        assert explain(filled, "ANALYZE SELECT * FROM child WHERE uuid = ?", "u1")[-1]["rows"] == 1
        with pytest.raises(ProgrammingError, match="Incorrect number of bindings"):
            explain(filled, "ANALYZE SELECT * FROM child WHERE uuid = ?")

    @pytest.mark.parametrize("clause", ["", "OR ROLLBACK ", "OR FAIL "])
    def test_what_fails_fails(self, filled: Connection, clause: str) -> None:
        with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: child\.uuid"):
            explain(filled, f"ANALYZE INSERT {clause}INTO child VALUES ('u8', 1, NULL), ('u1', 1, NULL)")
        filled.commit()
        assert filled.execute("SELECT count(*) FROM child").fetchall() == [(3,)]

    @pytest.mark.parametrize(
        "sql", ["DROP TABLE child", "COMMIT", "PRAGMA user_version", "SELECT * FROM sqlite_master"]
    )
    def test_of_what_is_not_about_rows_is_refused(self, filled: Connection, sql: str) -> None:
        with pytest.raises((NotSupportedError, ProgrammingError)):
            explain(filled, f"ANALYZE {sql}")

    def test_a_full_scan_is_refused_where_the_url_says_so(self, filled: Connection, connect: Connect) -> None:
        connection = connect(full_scan="error")
        assert explain(connection, "SELECT * FROM log")
        with pytest.raises(FullScanError):
            explain(connection, "ANALYZE SELECT * FROM log")

    def test_the_transaction_is_not_replayed(self, filled: Connection, connect: Connect) -> None:
        explain(filled, "ANALYZE SELECT * FROM child WHERE uuid = 'u1'")
        filled.execute("UPDATE log SET line = 'mine'")
        other = connect()
        other.execute("UPDATE child SET note = 'theirs' WHERE uuid = 'u1'")
        other.commit()
        with pytest.raises(ConflictError):
            filled.commit()
        assert filled.rome_stats.replays == 0
