"""A small table that was read whole is not sent again while it is unchanged; results are those of the snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError
from rome.transaction import reference_tables
from tests.support.cost import cost
from tests.support.databases import Connect, database, on

TRAITS = 50
ALL = "SELECT id, name FROM trait"


@pytest.fixture(params=on("memory", "lmdb", "redis", "valkey", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def one(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript(
        "CREATE TABLE trait (id INTEGER PRIMARY KEY, name TEXT UNIQUE); CREATE TABLE other (id INTEGER PRIMARY KEY)"
    )
    connection.executemany("INSERT INTO trait VALUES (?, ?)", [(n, f"trait {n}") for n in range(TRAITS)])
    connection.commit()
    return connection


def rows(connection: Connection, sql: str = ALL) -> list[tuple[object, ...]]:
    """What a statement shows in a transaction of its own."""
    found = [*connection.execute(sql)]
    connection.rollback()
    return found


class TestCost:
    def test_an_unchanged_table_costs_a_trip_and_no_row(self, one: Connection, two: Connection) -> None:
        assert cost(one, ALL) == (1, TRAITS)
        assert cost(one, ALL) == (1, 0)
        assert cost(two, ALL) == (1, 0)
        assert cost(two, "SELECT max(length(name)) FROM trait") == (1, 0)

    def test_what_is_done_to_other_tables_does_not_matter(self, one: Connection, two: Connection) -> None:
        rows(one)
        two.execute("INSERT INTO other VALUES (1)")
        two.commit()
        assert cost(one, ALL) == (1, 0)

    def test_a_changed_table_is_sent_in_the_same_trip(self, one: Connection, two: Connection) -> None:
        rows(one)
        two.execute("UPDATE trait SET name = 'new' WHERE id = 7")
        two.commit()
        assert cost(one, ALL) == (1, TRAITS)
        assert cost(one, ALL) == (1, 0)

    def test_large_tables_are_not_kept(self, one: Connection) -> None:
        one.execute("INSERT INTO other VALUES (1)")
        many = reference_tables.MAX_TABLE_BYTES // 1_000 + 1
        one.executemany("INSERT INTO other VALUES (?)", [(n,) for n in range(2, many + 1)])
        one.commit()
        for _ in range(2):
            assert cost(one, "SELECT id FROM other")[1] == many

    def test_what_is_kept_is_bounded(self, one: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        rows(one, "SELECT id FROM other")
        rows(one)
        monkeypatch.setattr(reference_tables, "MAX_BYTES", 0)
        one.execute("INSERT INTO other VALUES (1)")
        one.commit()
        rows(one, "SELECT id FROM other")
        assert cost(one, ALL) == (1, TRAITS)
        assert cost(one, ALL) == (1, TRAITS)


class TestContent:
    def test_every_change_is_seen(self, one: Connection, two: Connection) -> None:
        for sql in (
            "UPDATE trait SET name = 'new' WHERE id = 7",
            "INSERT INTO trait VALUES (1000, 'more')",
            "DELETE FROM trait WHERE id < 3",
            "DELETE FROM trait",
        ):
            assert rows(one) == rows(two)
            two.execute(sql)
            expected = [*two.execute(ALL)]
            two.commit()
            assert rows(one) == rows(two) == expected

    def test_what_one_has_written_is_seen_before_commit_and_gone_after_rollback(self, one: Connection) -> None:
        before = rows(one)
        one.execute("UPDATE trait SET name = 'mine' WHERE id = 7")
        assert [*one.execute("SELECT name FROM trait WHERE id = 7")] == [("mine",)]
        assert sorted(one.execute(ALL)) == sorted([*before[:7], (7, "mine"), *before[8:]])
        one.rollback()
        assert rows(one) == before

    def test_an_old_snapshot_does_not_see_what_others_have_read_since(self, one: Connection, two: Connection) -> None:
        before = rows(one)
        one.execute("SELECT count(*) FROM other").fetchall()
        two.execute("UPDATE trait SET name = 'new' WHERE id = 7")
        two.commit()
        assert rows(two) != before
        assert [*one.execute(ALL)] == before
        one.rollback()
        assert rows(one) == rows(two)

    def test_rows_read_by_key_go_with_those_that_are_known(self, one: Connection) -> None:
        before = rows(one)
        assert [*one.execute("SELECT name FROM trait WHERE id IN (7, 8) ORDER BY id")] == [("trait 7",), ("trait 8",)]
        assert [*one.execute(ALL)] == before
        assert [*one.execute("SELECT name FROM trait WHERE name = 'trait 9'")] == [("trait 9",)]
        one.rollback()

    def test_a_change_of_the_layout_is_seen(self, one: Connection, two: Connection) -> None:
        rows(one)
        two.execute("ALTER TABLE trait ADD COLUMN weight INT DEFAULT 3")
        assert {row[2] for row in two.execute("SELECT * FROM trait")} == {3}
        two.commit()
        for connection in (one, two):
            assert {row[2:] for row in rows(connection, "SELECT * FROM trait")} == {(3,)}
            assert len(rows(connection)) == TRAITS

    def test_a_transaction_that_rests_on_known_rows_conflicts_when_they_change(
        self, one: Connection, two: Connection
    ) -> None:
        rows(one)
        [(count,)] = one.execute("SELECT count(name) FROM trait")
        one.execute("INSERT INTO other VALUES (?)", (count,))
        two.execute("DELETE FROM trait WHERE id = 1")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()
        one.rollback()
        assert rows(one, "SELECT id FROM other") == []

    def test_each_statement_of_read_committed_asks_again(self, one: Connection, two: Connection) -> None:
        one.isolation_level = "READ COMMITTED"
        before = [*one.execute(ALL)]
        two.execute("UPDATE trait SET name = 'new' WHERE id = 7")
        two.commit()
        assert [*one.execute(ALL)] == [*before[:7], (7, "new"), *before[8:]]
        two.execute("UPDATE trait SET name = 'newer' WHERE id = 7")
        two.commit()
        assert [*one.execute("SELECT name FROM trait WHERE id = 7")] == [("newer",)]
        one.rollback()

    def test_a_database_made_anew_has_other_rows(self, url: str) -> None:
        for names in (["a", "b"], ["c"]):
            connection = rome.connect(url)
            connection.executescript("CREATE TABLE trait (id INTEGER PRIMARY KEY, name TEXT)")
            connection.executemany("INSERT INTO trait (name) VALUES (?)", [(name,) for name in names])
            connection.commit()
            for _ in range(2):
                assert rows(connection) == [*enumerate(names, start=1)]
            connection.close()
            rome.drop_database(url)
