"""What each isolation level prevents and what it allows, and what holds at every level.

Two clients, `one` and `two`, never replayed unless a test says so: a conflict shows as ConflictError.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, ForeignKeyViolation, UniqueViolation
from tests.support.databases import Connect

SERIALIZABLE, SNAPSHOT, READ_COMMITTED, AUTOCOMMIT = "SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT"
TRANSACTIONAL = (SERIALIZABLE, SNAPSHOT, READ_COMMITTED)

Pair = tuple[Connection, Connection]
Clients = Callable[[str], Pair]


@pytest.fixture
def clients(connect: Connect) -> Clients:
    """Two connections at a level, to a database with an `account` table of two rows, and a parent with a child."""
    setup = connect()
    setup.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT UNIQUE, balance INT)")
    setup.execute("INSERT INTO account VALUES (1, 'ann', 50), (2, 'bob', 50)")
    setup.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)")
    setup.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent)")
    setup.execute("CREATE INDEX child_parent ON child (parent)")
    setup.execute("INSERT INTO parent VALUES (1, 'p'), (2, 'q')")
    setup.commit()

    def open_two(level: str) -> Pair:
        connections = connect(max_replays=0), connect(max_replays=0)
        for connection in connections:
            connection.isolation_level = level
            connection.execute("SELECT 1 FROM account WHERE id = 0")  # knows the schema
            connection.commit()
        return connections

    return open_two


def balance(connection: Connection, number: int) -> object:
    row = connection.execute("SELECT balance FROM account WHERE id = ?", (number,)).fetchone()
    return None if row is None else row[0]


def count(connection: Connection, condition: str = "1") -> object:
    row = connection.execute(f"SELECT count(*) FROM account WHERE {condition}").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("level", [*TRANSACTIONAL, AUTOCOMMIT])
def test_no_level_reads_what_is_not_committed(clients: Clients, level: str) -> None:
    one, two = clients(level)
    one.execute("BEGIN")
    one.execute("UPDATE account SET balance = 0 WHERE id = 1")
    assert balance(two, 1) == 50
    one.rollback()
    assert balance(two, 1) == 50


@pytest.mark.parametrize(("level", "again"), [(SERIALIZABLE, 50), (SNAPSHOT, 50), (READ_COMMITTED, 0), (AUTOCOMMIT, 0)])
def test_non_repeatable_read(clients: Clients, level: str, again: int) -> None:
    one, two = clients(level)
    assert balance(one, 1) == 50
    two.execute("UPDATE account SET balance = 0 WHERE id = 1")
    two.commit()
    assert balance(one, 1) == again


@pytest.mark.parametrize(("level", "again"), [(SERIALIZABLE, 2), (SNAPSHOT, 2), (READ_COMMITTED, 3), (AUTOCOMMIT, 3)])
def test_phantom_read(clients: Clients, level: str, again: int) -> None:
    one, two = clients(level)
    assert count(one, "balance = 50") == 2
    two.execute("INSERT INTO account VALUES (3, 'cat', 50)")
    two.commit()
    assert count(one, "balance = 50") == again


@pytest.mark.parametrize(("level", "total"), [(SERIALIZABLE, 100), (SNAPSHOT, 100), (READ_COMMITTED, 110)])
def test_read_skew(clients: Clients, level: str, total: int) -> None:
    one, two = clients(level)
    ann = balance(one, 1)
    two.execute("UPDATE account SET balance = balance - 10 WHERE id = 1")
    two.execute("UPDATE account SET balance = balance + 10 WHERE id = 2")
    two.commit()
    bob = balance(one, 2)
    assert isinstance(ann, int)
    assert isinstance(bob, int)
    assert ann + bob == total


@pytest.mark.parametrize("level", [SERIALIZABLE, SNAPSHOT])
def test_lost_update_is_prevented(clients: Clients, level: str) -> None:
    one, two = clients(level)
    seen = balance(one, 1)
    assert seen == 50
    two.execute("UPDATE account SET balance = 60 WHERE id = 1")
    two.commit()
    one.execute("UPDATE account SET balance = ? WHERE id = 1", (51,))
    with pytest.raises(ConflictError):
        one.commit()
    assert balance(two, 1) == 60


def test_lost_update_after_a_read_is_allowed_under_read_committed(clients: Clients) -> None:
    one, two = clients(READ_COMMITTED)
    assert balance(one, 1) == 50
    two.execute("UPDATE account SET balance = 60 WHERE id = 1")
    two.commit()
    one.execute("UPDATE account SET balance = ? WHERE id = 1", (51,))
    one.commit()
    assert balance(two, 1) == 51


def test_read_committed_computes_from_what_is_committed_at_the_statement(clients: Clients) -> None:
    one, two = clients(READ_COMMITTED)
    assert balance(one, 1) == 50
    two.execute("UPDATE account SET balance = 60 WHERE id = 1")
    two.commit()
    one.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
    one.commit()
    assert balance(two, 1) == 61


def test_read_committed_never_overwrites_what_came_after_its_update(clients: Clients) -> None:
    one, two = clients(READ_COMMITTED)
    one.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
    two.execute("UPDATE account SET balance = balance + 10 WHERE id = 1")
    two.commit()
    assert balance(one, 1) == 51  # its own row stays
    with pytest.raises(ConflictError):
        one.commit()
    assert balance(two, 1) == 60


@pytest.mark.parametrize(("level", "allowed"), [(SERIALIZABLE, False), (SNAPSHOT, True), (READ_COMMITTED, True)])
def test_write_skew(clients: Clients, level: str, allowed: bool) -> None:
    one, two = clients(level)
    assert balance(one, 1) == balance(two, 2) == 50
    assert balance(one, 2) == balance(two, 1) == 50
    one.execute("UPDATE account SET balance = -10 WHERE id = 1")
    two.execute("UPDATE account SET balance = -10 WHERE id = 2")
    one.commit()
    if allowed:
        two.commit()
    else:
        with pytest.raises(ConflictError):
            two.commit()
    assert count(one, "balance < 0") == (2 if allowed else 1)


@pytest.mark.parametrize(("level", "allowed"), [(SERIALIZABLE, False), (SNAPSHOT, True), (READ_COMMITTED, True)])
def test_write_skew_by_a_phantom(clients: Clients, level: str, allowed: bool) -> None:
    one, two = clients(level)
    for number, connection in enumerate((one, two)):
        assert count(connection, "balance > 50") == 0
        connection.execute("INSERT INTO account VALUES (?, ?, 70)", (10 + number, f"new {number}"))
    one.commit()
    if allowed:
        two.commit()
    else:
        with pytest.raises(ConflictError):
            two.commit()


def test_serializable_transactions_on_different_rows_do_not_conflict(clients: Clients) -> None:
    one, two = clients(SERIALIZABLE)
    one.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
    two.execute("UPDATE account SET balance = balance + 1 WHERE owner = 'bob'")
    one.commit()
    two.commit()
    assert (balance(one, 1), balance(one, 2)) == (51, 51)


@pytest.mark.parametrize("level", [SERIALIZABLE, SNAPSHOT, READ_COMMITTED])
def test_read_only_transaction_never_conflicts(clients: Clients, level: str) -> None:
    one, two = clients(level)
    balance(one, 1)
    two.execute("UPDATE account SET balance = 0")
    two.commit()
    balance(one, 2)
    one.commit()


def test_autocommit_statement_is_there_at_once_and_explicit_transactions_work(clients: Clients) -> None:
    one, two = clients(AUTOCOMMIT)
    one.execute("UPDATE account SET balance = 1 WHERE id = 1")
    assert balance(two, 1) == 1
    one.execute("BEGIN")
    one.execute("UPDATE account SET balance = 2 WHERE id = 1")
    assert balance(two, 1) == 1
    one.execute("COMMIT")
    assert balance(two, 1) == 2
    assert not one.in_transaction


def test_savepoint_under_autocommit_is_a_transaction_until_it_is_released(clients: Clients) -> None:
    one, two = clients(AUTOCOMMIT)
    one.execute("SAVEPOINT s")
    one.execute("UPDATE account SET balance = 1 WHERE id = 1")
    one.execute("SAVEPOINT t")
    one.execute("UPDATE account SET balance = 2 WHERE id = 1")
    one.execute("ROLLBACK TO t")
    one.execute("RELEASE t")
    assert balance(two, 1) == 50
    one.execute("RELEASE s")
    assert balance(two, 1) == 1
    assert not one.in_transaction


def test_explicit_transaction_under_autocommit_is_serializable_as_in_sqlite(clients: Clients) -> None:
    one, two = clients(AUTOCOMMIT)
    one.execute("BEGIN")
    assert balance(one, 2) == 50
    two.execute("UPDATE account SET balance = 0 WHERE id = 2")
    one.execute("UPDATE account SET balance = 0 WHERE id = 1")
    with pytest.raises(ConflictError):
        one.execute("COMMIT")


def test_autocommit_keeps_what_or_fail_has_inserted(clients: Clients) -> None:
    one, two = clients(AUTOCOMMIT)
    with pytest.raises(UniqueViolation):
        one.execute("INSERT OR FAIL INTO account VALUES (3, 'cat', 1), (4, 'ann', 1)")
    assert balance(two, 3) == 1


NO_CHANGE = [
    "REPLACE INTO account VALUES (1, 'ann', 50)",
    "INSERT INTO account VALUES (1, 'x', 50) ON CONFLICT (id) DO UPDATE SET balance = excluded.balance",
    "INSERT INTO account VALUES (3, 'ann', 50) ON CONFLICT (owner) DO UPDATE SET balance = balance",
    "UPDATE account SET balance = 50 WHERE id = 1",
    "DELETE FROM account WHERE id = 1; INSERT INTO account VALUES (1, 'ann', 50)",
]


@pytest.mark.parametrize("level", TRANSACTIONAL)
@pytest.mark.parametrize("statements", NO_CHANGE)
def test_row_that_is_made_what_it_is_already_counts_as_written(clients: Clients, level: str, statements: str) -> None:
    """Else what others made of it meanwhile would stand beside what else the transaction writes."""
    one, two = clients(level)
    for statement in statements.split("; "):
        one.execute(statement)
    assert balance(two, 2) == 50
    two.execute("UPDATE account SET balance = 7 WHERE id = 1")
    two.commit()
    one.execute("UPDATE account SET balance = 60 WHERE id = 2")
    with pytest.raises(ConflictError):
        one.commit()


LEFT_ALONE = [
    "INSERT INTO account VALUES (1, 'x', 9) ON CONFLICT (id) DO UPDATE SET balance = 9 WHERE balance < 9",
    "INSERT INTO account VALUES (8, 'ann', 9) ON CONFLICT (owner) DO UPDATE SET balance = 9 WHERE balance < 9",
    "INSERT INTO account SELECT 1, 'x', 9 WHERE 1 ON CONFLICT DO UPDATE SET balance = 9 WHERE balance < 9",
]


@pytest.mark.parametrize("statement", LEFT_ALONE)
@pytest.mark.parametrize(("level", "allowed"), [(SERIALIZABLE, False), (SNAPSHOT, True), (READ_COMMITTED, True)])
def test_row_that_an_upsert_looked_at_and_left(clients: Clients, level: str, allowed: bool, statement: str) -> None:
    """Its WHERE read the balance: that another one changes it, having missed what this one writes, is write skew."""
    one, two = clients(level)
    assert one.execute(statement).rowcount == 0
    assert balance(two, 2) == 50
    two.execute("UPDATE account SET balance = 7 WHERE id = 1")
    two.commit()
    one.execute("UPDATE account SET balance = 60 WHERE id = 2")
    if allowed:
        one.commit()
    else:
        with pytest.raises(ConflictError):
            one.commit()


def test_upsert_looks_at_rows_that_are_known_already(clients: Clients) -> None:
    """Of rows from a SELECT nobody knows before which are in the way; this one was met by an INSERT that it refused."""
    one, two = clients(SERIALIZABLE)
    one.execute("INSERT OR IGNORE INTO account VALUES (1, 'x', 0)")
    assert one.execute(LEFT_ALONE[2]).rowcount == 0
    two.execute("UPDATE account SET balance = 7 WHERE id = 1")
    two.commit()
    one.execute("UPDATE account SET balance = 60 WHERE id = 2")
    with pytest.raises(ConflictError):
        one.commit()


def test_batch_of_upserts_looks_at_rows_too(clients: Clients) -> None:
    one, two = clients(SERIALIZABLE)
    one.executemany(LEFT_ALONE[0].replace("1, 'x', 9", "?, ?, 9"), [(1, "x"), (2, "y")])
    two.execute("UPDATE account SET balance = 7 WHERE id = 1")
    two.commit()
    one.execute("INSERT INTO account VALUES (3, 'z', 0)")
    with pytest.raises(ConflictError):
        one.commit()


class TestGuards:
    """Constraints hold at every level, whoever comes first."""

    @pytest.fixture(params=TRANSACTIONAL)
    def pair(self, request: pytest.FixtureRequest, clients: Clients) -> Pair:
        return clients(request.param)

    def test_same_unique_key(self, pair: Pair) -> None:
        one, two = pair
        one.execute("INSERT INTO account VALUES (3, 'new', 1)")
        two.execute("INSERT INTO account VALUES (4, 'new', 1)")
        one.commit()
        with pytest.raises(ConflictError):
            two.commit()
        with pytest.raises(UniqueViolation, match=r"account\.owner"):
            two.execute("INSERT INTO account VALUES (4, 'new', 1)")

    def test_same_primary_key(self, pair: Pair) -> None:
        one, two = pair
        one.execute("INSERT INTO account VALUES (3, 'x', 1)")
        two.execute("INSERT INTO account VALUES (3, 'y', 1)")
        one.commit()
        with pytest.raises(ConflictError):
            two.commit()

    def test_update_to_a_key_that_comes(self, pair: Pair) -> None:
        one, two = pair
        one.execute("UPDATE account SET owner = 'new' WHERE id = 1")
        two.execute("INSERT INTO account VALUES (3, 'new', 1)")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()

    def test_key_freed_by_another_transaction_is_not_lost(self, pair: Pair) -> None:
        one, two = pair
        one.execute("UPDATE account SET owner = 'zoe' WHERE id = 1")
        one.execute("INSERT INTO account VALUES (3, 'ann', 1)")
        one.commit()
        with pytest.raises(UniqueViolation):
            two.execute("INSERT INTO account VALUES (4, 'ann', 1)")

    def test_parent_deleted_while_a_child_is_inserted(self, pair: Pair) -> None:
        one, two = pair
        one.execute("INSERT INTO child VALUES (1, 1)")
        two.execute("DELETE FROM parent WHERE id = 1")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()
        with pytest.raises(ForeignKeyViolation):
            one.execute("INSERT INTO child VALUES (1, 1)")

    def test_child_inserted_while_the_parent_is_deleted(self, pair: Pair) -> None:
        one, two = pair
        one.execute("DELETE FROM parent WHERE id = 1")
        two.execute("INSERT INTO child VALUES (1, 1)")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()
        with pytest.raises(ForeignKeyViolation):
            one.execute("DELETE FROM parent WHERE id = 1")

    def test_updated_parent_does_not_conflict_with_its_new_children(self, pair: Pair) -> None:
        one, two = pair
        one.execute("INSERT INTO child VALUES (1, 1)")
        two.execute("UPDATE parent SET name = 'new' WHERE id = 1")
        two.commit()
        one.commit()
        one.execute("UPDATE parent SET name = 'newer' WHERE id = 1")
        two.execute("INSERT INTO child VALUES (2, 1)")
        two.commit()
        one.commit()
        assert one.execute("SELECT count(*), max(name) FROM child, parent WHERE parent = parent.id").fetchall() == [
            (2, "newer")
        ]

    def test_children_of_different_parents_do_not_conflict_with_a_delete(self, pair: Pair) -> None:
        one, two = pair
        one.execute("DELETE FROM parent WHERE id = 1")
        two.execute("INSERT INTO child VALUES (1, 2)")
        two.commit()
        one.commit()

    def test_ids_that_are_handed_out_never_collide(self, pair: Pair) -> None:
        one, two = pair
        for connection in (one, two, one):
            connection.execute("INSERT INTO account (balance) VALUES (0)")
        one.commit()
        two.commit()
        assert count(one) == 5


class TestReadCommitted:
    """Rows of this transaction and rows that others commit meanwhile meet in one working set."""

    @pytest.fixture
    def pair(self, clients: Clients) -> Pair:
        return clients(READ_COMMITTED)

    def test_row_inserted_by_both_is_a_conflict(self, pair: Pair) -> None:
        one, two = pair
        one.execute("INSERT INTO account VALUES (3, 'mine', 1)")
        two.execute("INSERT INTO account VALUES (3, 'theirs', 1)")
        two.commit()
        with pytest.raises(ConflictError):
            self.read_and_commit(one)

    def test_unique_key_taken_by_another_row_meanwhile_is_a_conflict(self, pair: Pair) -> None:
        one, two = pair
        one.execute("INSERT INTO account VALUES (3, 'new', 1)")
        two.execute("INSERT INTO account VALUES (4, 'new', 1)")
        two.commit()
        with pytest.raises(ConflictError):
            self.read_and_commit(one)

    def test_key_moved_to_where_another_row_came_is_a_conflict(self, pair: Pair) -> None:
        one, two = pair
        one.execute("UPDATE account SET id = 3 WHERE id = 1")
        two.execute("INSERT INTO account VALUES (3, 'theirs', 1)")
        two.commit()
        with pytest.raises(ConflictError):
            self.read_and_commit(one)

    def read_and_commit(self, connection: Connection) -> None:
        connection.execute("SELECT * FROM account").fetchall()
        connection.commit()

    def test_deleted_row_stays_away_when_another_has_changed_it(self, pair: Pair) -> None:
        one, two = pair
        one.execute("DELETE FROM account WHERE id = 1")
        two.execute("UPDATE account SET balance = 7 WHERE id = 1")
        two.commit()
        assert count(one) == 1
        with pytest.raises(ConflictError):
            one.commit()

    @pytest.mark.parametrize(
        ("change", "back"),
        [
            ("UPDATE account SET balance = 0 WHERE id = 1", "UPDATE account SET balance = 50 WHERE id = 1"),
            ("UPDATE account SET balance = balance WHERE id = 1", "SELECT 1"),
            ("DELETE FROM account WHERE id = 1", "INSERT INTO account VALUES (1, 'ann', 50)"),
            ("SAVEPOINT s; UPDATE account SET balance = 0 WHERE id = 1", "ROLLBACK TO s"),
            ("INSERT INTO account VALUES (3, 'new', 1)", "DELETE FROM account WHERE id = 3"),
        ],
    )
    def test_own_change_that_was_seen_beside_newer_rows_is_validated_though_it_is_undone(
        self, pair: Pair, change: str, back: str
    ) -> None:
        one, two = pair
        for statement in change.split("; "):
            one.execute(statement)
        two.execute("UPDATE account SET balance = balance + CASE id WHEN 1 THEN 10 ELSE -10 END")
        two.execute("INSERT INTO account VALUES (3, 'three', 0)")
        two.commit()
        one.execute("SELECT id, balance FROM account WHERE id < 3").fetchall()  # neither before nor after the transfer
        with pytest.raises(ConflictError):
            self.run_and_commit(one, back)

    def run_and_commit(self, connection: Connection, sql: str) -> None:
        connection.execute(sql)
        connection.commit()

    def test_own_change_that_is_undone_before_the_next_statement_needs_no_commit(self, pair: Pair) -> None:
        one, two = pair
        one.execute("SAVEPOINT s")
        one.execute("UPDATE account SET balance = 0 WHERE id = 1")
        one.execute("ROLLBACK TO s")
        two.execute("UPDATE account SET balance = 7 WHERE id = 1")
        two.commit()
        assert balance(one, 1) == 7
        trips = one.rome_stats.round_trips
        one.commit()
        assert one.rome_stats.commits == 0
        assert one.rome_stats.round_trips == trips + 1  # it gives the row back that it has claimed

    def test_rollback_to_brings_back_no_stale_row(self, pair: Pair) -> None:
        one, two = pair
        assert balance(one, 1) == 50
        one.execute("SAVEPOINT s")
        two.execute("UPDATE account SET balance = 7 WHERE id = 1")
        two.execute("DELETE FROM account WHERE id = 2")
        two.commit()
        assert balance(one, 1) == 7
        one.execute("ROLLBACK TO s")
        assert balance(one, 1) == 7
        assert count(one) == 1


class TestForUpdate:
    @pytest.mark.parametrize("level", TRANSACTIONAL)
    def test_is_validated_even_if_nothing_is_written(self, clients: Clients, level: str) -> None:
        one, two = clients(level)
        one.execute("SELECT * FROM account WHERE id = 1 FOR UPDATE")
        two.execute("UPDATE account SET balance = 0 WHERE id = 1")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()

    @pytest.mark.parametrize("level", TRANSACTIONAL)
    def test_is_validated_beside_other_writes(self, clients: Clients, level: str) -> None:
        one, two = clients(level)
        one.execute("SELECT * FROM account WHERE owner = 'bob' FOR UPDATE")
        one.execute("UPDATE account SET balance = 0 WHERE id = 1")
        two.execute("UPDATE account SET balance = 0 WHERE id = 2")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()

    @pytest.mark.parametrize("level", TRANSACTIONAL)
    def test_row_read_before_without_it_is_validated_too(self, clients: Clients, level: str) -> None:
        one, two = clients(level)
        balance(one, 1)
        one.execute("SELECT * FROM account WHERE id = 1 FOR UPDATE")
        two.execute("DELETE FROM account WHERE id = 1")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()

    @pytest.mark.parametrize("level", TRANSACTIONAL)
    def test_absence_is_validated(self, clients: Clients, level: str) -> None:
        one, two = clients(level)
        assert one.execute("SELECT * FROM account WHERE id = 9 FOR UPDATE").fetchall() == []
        two.execute("INSERT INTO account VALUES (9, 'new', 0)")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()

    @pytest.mark.parametrize("level", TRANSACTIONAL)
    def test_costs_two_trips_at_commit_and_lets_other_rows_change(self, clients: Clients, level: str) -> None:
        one, two = clients(level)
        one.execute("SELECT * FROM account WHERE id = 1 FOR UPDATE")
        two.execute("UPDATE account SET balance = 0 WHERE id = 2")
        two.commit()
        trips = one.rome_stats.round_trips
        one.commit()
        assert one.rome_stats.round_trips == trips + 2  # it validates the row, and gives it back


class TestRoundTrips:
    """Counted by the store itself."""

    @pytest.mark.parametrize("level", TRANSACTIONAL)
    def test_what_costs_none(self, clients: Clients, level: str) -> None:
        one, _ = clients(level)
        before = one.rome_stats.round_trips
        one.execute("BEGIN")
        one.execute("SAVEPOINT s")
        one.execute("RELEASE s")
        one.commit()
        one.rollback()
        assert one.is_usable()
        for end in ("ROLLBACK", "COMMIT"):
            one.execute("BEGIN")
            one.execute(end)
        assert one.rome_stats.round_trips == before

    @pytest.mark.parametrize("level", [SERIALIZABLE, SNAPSHOT])
    def test_reads_cost_one_each_and_the_same_again_none(self, clients: Clients, level: str) -> None:
        one, _ = clients(level)
        before = one.rome_stats.round_trips
        balance(one, 1)
        balance(one, 1)
        one.execute("SELECT * FROM account WHERE id IN (1, 2)")
        balance(one, 2)
        one.commit()
        assert one.rome_stats.round_trips == before + 2

    def test_update_by_key_costs_two(self, clients: Clients) -> None:
        one, _ = clients(SERIALIZABLE)
        before = one.rome_stats.round_trips
        one.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
        one.commit()
        assert one.rome_stats.round_trips == before + 2

    def test_insert_with_an_id_at_hand_costs_two_with_its_guards(self, clients: Clients) -> None:
        one, _ = clients(SERIALIZABLE)
        one.execute("INSERT INTO child (parent) VALUES (1)")
        one.commit()
        before = one.rome_stats.round_trips
        one.execute("INSERT INTO child (parent) VALUES (2)")
        one.commit()
        assert one.rome_stats.round_trips == before + 2

    def test_rolled_back_change_costs_what_it_read(self, clients: Clients) -> None:
        one, _ = clients(SERIALIZABLE)
        before = one.rome_stats.round_trips
        one.execute("DELETE FROM account WHERE id = 1")
        one.rollback()
        assert one.rome_stats.round_trips == before + 1

    def test_change_that_leaves_everything_as_it_was_is_not_sent(self, clients: Clients) -> None:
        one, _ = clients(SERIALIZABLE)
        before = one.rome_stats.round_trips
        one.execute("UPDATE account SET balance = balance WHERE id = 1")
        one.commit()
        assert one.rome_stats.round_trips == before + 1

    def test_foreign_key_violation_reads_no_other_rows(self, clients: Clients) -> None:
        one, two = clients(SERIALIZABLE)
        one.executemany("INSERT INTO child (parent) VALUES (?)", [(1,)] * 40)
        one.commit()
        two.execute("INSERT INTO child (parent) VALUES (1)")
        two.commit()
        before = two.rome_stats
        with pytest.raises(ForeignKeyViolation):
            two.execute("INSERT INTO child (parent) VALUES (77)")
        assert two.rome_stats.round_trips <= before.round_trips + 2
        assert two.rome_stats.rows == before.rows


class TestFailedStatements:
    """What a failed statement rested on need not stay, unless all that was seen must."""

    @pytest.mark.parametrize(("level", "conflicts"), [(READ_COMMITTED, 0), (SNAPSHOT, 0), (SERIALIZABLE, 1)])
    def test_guards_of_a_failed_insert(self, clients: Clients, level: str, conflicts: int) -> None:
        one, two = clients(level)
        with pytest.raises(UniqueViolation):
            one.execute("INSERT INTO account VALUES (3, 'ann', 0)")
        with pytest.raises(ForeignKeyViolation):
            one.execute("INSERT INTO child VALUES (1, 9)")
        one.execute("UPDATE account SET balance = 7 WHERE id = 2")
        two.execute("DELETE FROM account WHERE owner = 'ann'")
        two.execute("INSERT INTO parent VALUES (9, 'r')")
        two.commit()
        if conflicts:
            with pytest.raises(ConflictError):
                one.commit()
        else:
            one.commit()
        assert one.rome_stats.conflicts == conflicts

    @pytest.mark.parametrize("level", [READ_COMMITTED, SNAPSHOT])
    def test_guards_of_a_failed_batch(self, clients: Clients, level: str) -> None:
        one, two = clients(level)
        with pytest.raises(UniqueViolation):
            one.executemany("INSERT INTO account (owner) VALUES (?)", [("ann",), ("carl",)])
        one.execute("UPDATE account SET balance = 7 WHERE id = 2")
        two.execute("INSERT INTO account VALUES (3, 'carl', 0)")
        two.commit()
        one.commit()

    @pytest.mark.parametrize("level", [READ_COMMITTED, SNAPSHOT])
    @pytest.mark.parametrize(
        ("statement", "rows"),
        [
            ("INSERT OR FAIL INTO account VALUES (?, ?, 0), (?, ?, 0)", [(5, "carl", 6, "bob")]),
            ("INSERT INTO account VALUES (?, ?, 0)", [(5, "carl"), (6, "bob")]),
        ],
    )
    def test_guards_of_what_a_failed_statement_left_are_kept(
        self, clients: Clients, level: str, statement: str, rows: list[tuple[object, ...]]
    ) -> None:
        one, two = clients(level)
        with pytest.raises(UniqueViolation):
            one.executemany(statement, rows)
        two.execute("INSERT INTO account VALUES (7, 'carl', 0)")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()

    def test_guards_of_an_earlier_statement_are_kept(self, clients: Clients) -> None:
        one, two = clients(SNAPSHOT)
        one.execute("INSERT INTO account VALUES (5, 'carl', 0)")
        with pytest.raises(UniqueViolation):
            one.execute("INSERT INTO account VALUES (6, 'carl', 0)")
        two.execute("INSERT INTO account VALUES (7, 'carl', 0)")
        two.commit()
        with pytest.raises(ConflictError):
            one.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR IGNORE INTO t SELECT 9, 8",
        "INSERT OR IGNORE INTO t VALUES (9, 4 + 4)",
        "INSERT INTO t SELECT 9, 8 WHERE true ON CONFLICT DO NOTHING",
        "UPDATE OR IGNORE t SET n = 8 WHERE id = 1",
    ],
)
def test_what_keeps_a_row_out_stays_as_it_is(connect: Connect, statement: str) -> None:
    """The row in the way is known by another key than the one by which it is in the way."""
    one, two = connect(), connect()
    one.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT UNIQUE)")
    one.executescript("CREATE TABLE u (id INTEGER PRIMARY KEY, v)")
    one.executescript("INSERT INTO t VALUES (1, 1), (7, 8); INSERT INTO u VALUES (1, 0)")
    one.commit()
    with pytest.raises(UniqueViolation):
        one.execute("INSERT INTO t VALUES (7, 50)")
    assert one.execute(statement).rowcount == 0
    one.execute("UPDATE u SET v = 1")
    assert [*two.execute("SELECT v FROM u")] == [(0,)]
    two.execute("UPDATE t SET n = 100 WHERE id = 7")
    two.commit()
    with pytest.raises(ConflictError):
        one.commit()
