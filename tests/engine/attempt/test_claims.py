"""Rows that a statement claims: later transactions wait, then see the new rows; none fails at COMMIT."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import NamedTuple

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, StoreReadOnlyError
from rome.store import memory
from rome.store.spi import Claim
from rome.transaction.commit_turn import MAX_CLAIMS, MAX_LEASE_S
from tests.support.databases import Connect
from tests.support.faulty_store import FaultyStore, connect_faulty

RAISE = "UPDATE provider SET generation = 1 WHERE id = 1 AND generation = 0"
TRANSACTIONAL = ["SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"]


class Player(NamedTuple):
    """A connection, and the store behind it."""

    connection: Connection
    store: FaultyStore

    def run(self, sql: str) -> list[tuple[object, ...]]:
        cursor = self.connection.execute(sql)
        return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]

    def commit(self) -> None:
        self.connection.commit()

    @property
    def claimed(self) -> int:
        """How many rows it has claimed last."""
        return len(self.store.lined_up[-1]) if self.store.lined_up else 0


Open = Callable[..., Player]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The store's time, which stands still unless a test moves it: however slow the machine is, no lease ends."""
    now = [0.0]
    monkeypatch.setattr(memory, "clock", lambda: now[0])
    return now


@pytest.fixture
def player(connect: Connect, url: str, request: pytest.FixtureRequest) -> Open:
    setup = connect()
    setup.execute("CREATE TABLE provider (id INTEGER PRIMARY KEY, generation INT, name TEXT UNIQUE)")
    setup.execute("CREATE TABLE used (provider INT REFERENCES provider, amount INT)")
    setup.executemany("INSERT INTO provider VALUES (?, 0, NULL)", [(number,) for number in range(2, MAX_CLAIMS + 2)])
    setup.execute("INSERT INTO provider VALUES (1, 0, 'a')")
    setup.commit()

    def open_player(level: str = "READ COMMITTED", **options: object) -> Player:
        connection, store = connect_faulty(url, **options)
        connection.isolation_level = level
        request.addfinalizer(connection.close)
        return Player(connection, store)

    return open_player


def while_it_waits(waiting: Player, work: Callable[[], object], meanwhile: Callable[[], object]) -> Future[object]:
    """Let a thread do the work of a player who will have to wait, and something else once it does."""
    waits = Event()
    waiting.store.told_to_wait = waits.set
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(work)
        assert waits.wait(30)
        meanwhile()
    return done


def test_update_waits_for_another_and_then_says_the_truth(player: Open) -> None:
    """As MySQL and PostgreSQL do it: compare-and-set finds nothing any more, and the transaction goes on."""
    one, two = player(), player()
    assert one.run(RAISE) == [(1,)]
    assert while_it_waits(two, lambda: two.run(RAISE), one.commit).result() == [(0,)]
    assert two.run("UPDATE provider SET generation = 2 WHERE id = 1 AND generation = 1") == [(1,)]
    two.commit()
    assert two.run("SELECT generation FROM provider WHERE id = 1") == [(2,)]
    assert one.connection.rome_stats.conflicts == two.connection.rome_stats.conflicts == 0


def test_update_that_waited_for_a_rollback_finds_its_row(player: Open) -> None:
    one, two = player(), player()
    one.run(RAISE)
    assert while_it_waits(two, lambda: two.run(RAISE), one.connection.rollback).result() == [(1,)]
    two.commit()


def test_delete_waits_too(player: Open) -> None:
    one, two = player(), player()
    one.run("DELETE FROM provider WHERE id = 1")
    assert while_it_waits(two, lambda: two.run("DELETE FROM provider WHERE id = 1"), one.commit).result() == [(0,)]


def test_what_placement_does_succeeds_at_once(player: Open) -> None:
    """It reads how much is used, adds to it, and raises the generation; if that is too late it does it all again.

    At SERIALIZABLE the second of two must fail: it has seen what was used before the first.
    """

    def allocate(who: Player) -> int:
        tries = 0
        [(generation,)] = who.run("SELECT generation FROM provider WHERE id = 2")
        while True:
            tries += 1
            who.run("SELECT sum(amount) FROM used WHERE provider = 2")
            who.run("INSERT INTO used VALUES (2, 1)")
            assert isinstance(generation, int)
            change = f"UPDATE provider SET generation = {generation + 1} WHERE id = 2 AND generation = {generation}"
            if who.run(change) == [(1,)]:
                return tries
            who.run("DELETE FROM used WHERE amount = 1 AND provider = 2 AND rowid = last_insert_rowid()")
            [(generation,)] = who.run("SELECT generation FROM provider WHERE id = 2")

    one, two = player(), player()
    assert allocate(one) == 1

    def second() -> int:
        tries = allocate(two)
        two.commit()
        return tries

    assert while_it_waits(two, second, one.commit).result() == 2
    assert one.run("SELECT generation, sum(amount) FROM provider JOIN used ON provider = id") == [(2, 2)]
    assert two.connection.rome_stats.conflicts == 0


@pytest.mark.parametrize("level", TRANSACTIONAL)
def test_for_update_lets_read_and_write_follow_each_other(player: Open, level: str) -> None:
    one, two = player(level), player(level)

    def add_one(who: Player) -> None:
        [(generation,)] = who.run("SELECT generation FROM provider WHERE id = 1 FOR UPDATE")
        assert isinstance(generation, int)
        who.run(f"UPDATE provider SET generation = {generation + 1} WHERE id = 1")

    def add_one_and_commit() -> None:
        add_one(two)
        two.commit()

    add_one(one)
    while_it_waits(two, add_one_and_commit, one.commit).result()
    assert one.run("SELECT generation FROM provider WHERE id = 1") == [(2,)]
    assert one.connection.rome_stats.conflicts == two.connection.rome_stats.conflicts == 0


@pytest.mark.parametrize("condition", ["name = 'a'", "id = 1", "name IN ('a', 'x')", "name = 'a' AND id < 9"])
def test_update_waits_however_its_rows_are_found(player: Open, condition: str) -> None:
    one, two = player(), player()
    change = f"UPDATE provider SET generation = 1 WHERE {condition} AND generation = 0"
    one.run("UPDATE provider SET generation = 1 WHERE name = 'a'")
    assert while_it_waits(two, lambda: two.run(change), one.commit).result() == [(0,)]
    two.commit()
    assert one.connection.rome_stats.conflicts == two.connection.rome_stats.conflicts == 0


def test_row_that_came_while_it_waited_is_claimed_too(player: Open) -> None:
    one, two, three = player(), player(), player()
    one.run("UPDATE provider SET name = 'b' WHERE id = 2")
    one.run(RAISE)
    change = "UPDATE provider SET generation = 1 WHERE name IN ('a', 'b')"
    assert while_it_waits(two, lambda: two.run(change), one.commit).result() == [(2,)]
    raised = "UPDATE provider SET generation = generation + 1 WHERE id = 2"
    assert while_it_waits(three, lambda: three.run(raised), two.commit).result() == [(1,)]
    three.commit()
    assert one.run("SELECT id, generation FROM provider WHERE id < 3") == [(1, 1), (2, 2)]


@pytest.mark.parametrize("level", TRANSACTIONAL)
def test_for_update_waits_however_its_rows_are_found(player: Open, level: str) -> None:
    one, two = player(level), player(level)
    locking = "SELECT generation FROM provider WHERE name = 'a' FOR UPDATE"
    assert one.run(locking) == [(0,)]
    one.run(RAISE)
    assert while_it_waits(two, lambda: two.run(locking), one.commit).result() == [(1,)]
    two.run("UPDATE provider SET generation = 2 WHERE id = 1")
    two.commit()


@pytest.mark.parametrize("level", ["SERIALIZABLE", "SNAPSHOT"])
def test_transaction_that_read_before_it_waited_goes_on_with_a_new_snapshot(player: Open, level: str) -> None:
    one, two = player(level), player(level)
    one.run("SELECT generation FROM provider WHERE id = 1 FOR UPDATE")
    one.run(RAISE)
    two.run("SELECT generation FROM provider WHERE id = 2")
    locking = "SELECT generation FROM provider WHERE id = 1 FOR UPDATE"
    assert while_it_waits(two, lambda: two.run(locking), one.commit).result() == [(1,)]
    two.run("UPDATE provider SET generation = 2 WHERE id = 1")
    two.commit()
    assert two.connection.rome_stats.replays == 1


def test_transaction_that_saw_what_it_waited_for_fails_at_the_statement(player: Open) -> None:
    one, two = player("SERIALIZABLE"), player("SERIALIZABLE")
    locking = "SELECT generation FROM provider WHERE id = 1 FOR UPDATE"
    one.run(locking)
    one.run(RAISE)
    two.run("SELECT generation FROM provider WHERE id = 1")
    assert isinstance(while_it_waits(two, lambda: two.run(locking), one.commit).exception(), ConflictError)


def test_two_that_want_each_others_rows_do_not_wait_for_ever(player: Open) -> None:
    """The one that came first goes on; the other one's change is made once more."""
    one, two = player(), player()
    one.run("UPDATE provider SET generation = generation + 1 WHERE id = 1")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(two.run, "UPDATE provider SET generation = generation + 1 WHERE id = 2").result()

    def finish() -> None:
        one.run("UPDATE provider SET generation = generation + 1 WHERE id = 2")
        one.commit()

    def wait() -> None:
        two.run("UPDATE provider SET generation = generation + 1 WHERE id = 1")
        two.commit()

    while_it_waits(two, wait, finish).result()
    assert one.run("SELECT generation FROM provider WHERE id < 3") == [(2,), (2,)]


def test_one_that_has_died_is_waited_for_until_its_lease_is_over(player: Open, clock: list[float]) -> None:
    one, two = player(), player()
    one.run(RAISE)

    def time_goes_by() -> None:
        clock[0] = 0.9 * MAX_LEASE_S
        asked = len(two.store.lined_up)
        while len(two.store.lined_up) < asked + 3:
            pass
        assert not done.done()
        clock[0] = MAX_LEASE_S

    waits = Event()
    two.store.told_to_wait = waits.set
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(two.run, RAISE)
        assert waits.wait(30)
        time_goes_by()
        assert done.result() == [(1,)]
    two.commit()
    with pytest.raises(ConflictError):
        one.commit()


def test_store_that_takes_no_claim_is_used_without(player: Open) -> None:
    """A replica, or a full disk: the statement may be right all the same, and what is wrong COMMIT will say."""

    def refuse() -> None:
        raise StoreReadOnlyError("a replica")

    one, two = player(), player()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(one.run, RAISE).result()
    two.store.told_to_wait = refuse
    assert two.run(RAISE) == [(1,)]


@pytest.mark.parametrize("waits_at", ["statement", "COMMIT"])
def test_thread_does_not_wait_for_itself(player: Open, waits_at: str) -> None:
    """What it did first loses its place; what it does then is checked at COMMIT, as without one."""
    one, two = player(), player(level="READ COMMITTED" if waits_at == "statement" else "SERIALIZABLE")
    one.run(RAISE)
    two.run(RAISE)
    two.commit()
    assert two.connection.rome_stats.conflicts == 0
    with pytest.raises(ConflictError):
        one.commit()


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_end_of_the_transaction_gives_the_rows_back(player: Open, end: str) -> None:
    one, two = player(), player()
    one.run(RAISE)
    assert one.claimed == 1
    one.connection.execute(end)
    [[claim]] = one.store.lined_up
    assert two.store.join_queue(b"t" * 16, [claim], MAX_LEASE_S) == 0


@pytest.mark.parametrize(
    ("level", "sql"),
    [
        ("SERIALIZABLE", RAISE),
        ("SNAPSHOT", RAISE),
        ("AUTOCOMMIT", RAISE),
        ("AUTOCOMMIT", "SELECT * FROM provider WHERE id = 1 FOR UPDATE"),
        ("SERIALIZABLE", "SELECT * FROM provider WHERE id = 1 FOR UPDATE NOWAIT"),
        ("READ COMMITTED", "SELECT * FROM provider WHERE id = 1"),
        ("READ COMMITTED", "INSERT INTO provider VALUES (99, 1, NULL)"),
        ("READ COMMITTED", "UPDATE provider SET generation = 1 WHERE generation = 0"),
        ("READ COMMITTED", "UPDATE provider SET generation = 1 WHERE name = 'nobody'"),
        ("READ COMMITTED", f"UPDATE provider SET generation = 1 WHERE id <= {MAX_CLAIMS + 1}"),
    ],
)
def test_nothing_else_is_claimed(player: Open, level: str, sql: str) -> None:
    one = player(level)
    one.run(sql)
    assert one.store.lined_up == []


def test_option_turns_it_off(player: Open) -> None:
    one = player(commit_turn="off")
    one.run(RAISE)
    assert one.store.lined_up == []


def test_rows_of_a_batch_are_claimed_together_unless_they_are_many(player: Open) -> None:
    one = player()
    change = "UPDATE provider SET generation = 5 WHERE id = ?"
    one.connection.executemany(change, [(number,) for number in range(1, MAX_CLAIMS + 1)])
    assert one.claimed == MAX_CLAIMS
    one.connection.executemany(change, [(number,) for number in range(1, MAX_CLAIMS + 2)])
    assert len(one.store.lined_up) == 1


def test_row_is_claimed_once(player: Open) -> None:
    one = player()
    one.run(RAISE)
    one.run("UPDATE provider SET generation = 7 WHERE id = 1")
    one.run("SELECT * FROM provider WHERE id = 1 FOR UPDATE")
    assert len(one.store.lined_up) == 1


def test_row_of_a_table_that_is_only_read_is_not_claimed(player: Open) -> None:
    one = player()
    one.run("INSERT INTO used VALUES (1, 1)")
    one.run("UPDATE used SET amount = (SELECT generation FROM provider WHERE id = 2) WHERE rowid = 1")
    tables = {claim.table_id for claims in one.store.lined_up for claim in claims}
    one.run("SELECT * FROM provider WHERE id = 2 FOR UPDATE")
    [locked] = [claim for claim in one.store.lined_up[-1] if claim.table_id not in tables]
    assert isinstance(locked, Claim)
