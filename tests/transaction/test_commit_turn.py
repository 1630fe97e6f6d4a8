"""The commit turn: a client that has lost several times comes next, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event, Thread
from typing import Any

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError
from rome.store import memory
from rome.store.spi import Claim
from rome.transaction.commit_turn import MAX_CLAIMS, SETBACKS_BEFORE, CommitTurn
from rome.transaction.read_set import ReadSet
from tests.support.databases import Connect
from tests.support.faulty_store import FaultyStore, connect_faulty

ADD_ONE = "UPDATE counter SET n = n + 1 WHERE id = 1"
LONG_S = 600.0


@pytest.fixture(autouse=True)
def no_lease_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(memory, "clock", lambda: 0.0)


@pytest.fixture
def other(connect: Connect) -> Connection:
    """The one who always comes first, until it is not its turn."""
    connection = connect()
    connection.execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INT)")
    connection.execute("INSERT INTO counter VALUES (1, 0), (2, 0)")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    connection.commit()
    return connection


@pytest.fixture
def faulty(other: Connection, url: str) -> Iterator[tuple[Connection, FaultyStore]]:
    connection, store = connect_faulty(url)
    yield connection, store
    connection.close()


@pytest.fixture
def ticket(faulty: tuple[Connection, FaultyStore]) -> bytes:
    """Somebody else's, for whoever plays a part in the line by hand."""
    return b"t" * 16


def add_one(connection: Connection) -> None:
    connection.execute(ADD_ONE)
    connection.commit()


def interfere(store: FaultyStore, other: Connection, times: int) -> None:
    """Commit a change of the counter just before each of the next commits."""
    left = times

    def once_more() -> None:
        nonlocal left
        if left:
            left -= 1
            add_one(other)

    store.before_commit = once_more


def read_and_add(connection: Connection) -> bool:
    """What no replay can help; returns whether it was committed."""
    [(n,)] = connection.execute("SELECT n FROM counter WHERE id = 1").fetchall()
    assert isinstance(n, int)
    try:
        connection.execute("UPDATE counter SET n = ? WHERE id = 1", (n + 1,))
        connection.commit()
    except ConflictError:
        connection.rollback()
        return False
    return True


def claimed_by_others(store: FaultyStore, ticket: bytes) -> int:
    """How many in the line claim something of the counter."""
    table = next(table.table_id for place in store.lined_up for table in place)
    ahead = store.join_queue(ticket, [Claim(table, None)], LONG_S)
    store.leave_queue(ticket)
    return ahead


def test_replays_line_up_after_several_setbacks(faulty: tuple[Connection, FaultyStore], other: Connection) -> None:
    one, store = faulty
    interfere(store, other, SETBACKS_BEFORE)
    add_one(one)
    assert (one.rome_stats.turns, one.rome_stats.replays) == (1, SETBACKS_BEFORE)
    assert len(store.lined_up) == 1
    assert one.execute("SELECT n FROM counter").fetchall() == [(SETBACKS_BEFORE + 1,), (0,)]


def test_nobody_lines_up_before(faulty: tuple[Connection, FaultyStore], other: Connection) -> None:
    one, store = faulty
    interfere(store, other, SETBACKS_BEFORE - 1)
    add_one(one)
    assert (one.rome_stats.turns, store.lined_up) == (0, [])


def test_the_commit_leaves_the_line_empty(
    faulty: tuple[Connection, FaultyStore], other: Connection, ticket: bytes
) -> None:
    one, store = faulty
    interfere(store, other, SETBACKS_BEFORE)
    add_one(one)
    assert claimed_by_others(store, ticket) == 0


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_the_application_that_runs_it_again_gets_its_turn(
    faulty: tuple[Connection, FaultyStore], other: Connection, ticket: bytes, end: str
) -> None:
    """It takes the place before it reads, and keeps it until its end, whatever that is."""
    one, store = faulty
    interfere(store, other, SETBACKS_BEFORE)
    assert [read_and_add(one) for _ in range(SETBACKS_BEFORE)] == [False] * SETBACKS_BEFORE
    assert store.lined_up == []
    one.execute("SELECT n FROM counter WHERE id = 1")
    assert len(store.lined_up) == 1
    assert claimed_by_others(store, ticket) == 1
    one.execute(end)
    assert claimed_by_others(store, ticket) == 0


def test_others_wait_for_it(faulty: tuple[Connection, FaultyStore], other: Connection, url: str) -> None:
    """Who comes later commits later, and neither of them meets another conflict."""
    one, store = faulty
    interfere(store, other, SETBACKS_BEFORE)
    for _ in range(SETBACKS_BEFORE):
        assert not read_and_add(one)
    one.execute("SELECT n FROM counter WHERE id = 1")
    late, late_store = connect_faulty(url)
    refused = Event()
    late_store.before_commit = lambda: refused.set() if late_store.commits > 1 else None
    thread = Thread(target=add_one, args=(late,))
    thread.start()
    refused.wait()
    one.execute(ADD_ONE)
    one.commit()
    thread.join()
    assert one.rome_stats.conflicts == SETBACKS_BEFORE
    assert one.execute("SELECT n FROM counter WHERE id = 1").fetchall() == [(SETBACKS_BEFORE + 2,)]
    late.close()


def test_who_failed_once_in_another_thread_does_not_line_up_here(
    faulty: tuple[Connection, FaultyStore], other: Connection
) -> None:
    one, store = faulty
    interfere(store, other, SETBACKS_BEFORE)

    def lose() -> None:
        for _ in range(SETBACKS_BEFORE):
            assert not read_and_add(one)

    thread = Thread(target=lose)
    thread.start()
    thread.join()
    assert read_and_add(one)
    assert store.lined_up == []


def test_off(faulty: tuple[Connection, FaultyStore], other: Connection, url: str) -> None:
    one, store = connect_faulty(url, commit_turn=False)
    interfere(store, other, SETBACKS_BEFORE + 1)
    add_one(one)
    for _ in range(2 * SETBACKS_BEFORE):
        interfere(store, other, 1)
        assert not read_and_add(one)
    assert store.lined_up == []
    one.close()


def test_a_place_of_somebody_who_died_is_waited_for_until_its_lease_ends(
    faulty: tuple[Connection, FaultyStore],
    other: Connection,
    ticket: bytes,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "clock", time.monotonic)
    _, store = faulty
    off = connect(commit_turn="off")
    for connection in (other, off):
        store.join_queue(ticket, [Claim(table, None) for table in range(1, 9)], 0.3)
        add_one(connection)
        assert store.join_queue(ticket, [Claim(1, None)], 0.3) == 0
        store.leave_queue(ticket)
    assert other.execute("SELECT n FROM counter WHERE id = 1").fetchall() == [(2,)]


def test_a_range_is_claimed_by_its_table(faulty: tuple[Connection, FaultyStore], other: Connection) -> None:
    one, store = faulty
    for number in range(SETBACKS_BEFORE):
        one.execute("SELECT count(*) FROM item")
        one.execute("INSERT INTO item VALUES (?, 'mine')", (100 + number,))
        other.execute("INSERT INTO item VALUES (?, 'theirs')", (number,))
        other.commit()
        with pytest.raises(ConflictError):
            one.commit()
    one.execute("SELECT count(*) FROM item")
    [claims] = store.lined_up
    assert [claim.key for claim in claims] == [None]
    one.rollback()


def test_many_rows_are_claimed_by_their_table(faulty: tuple[Connection, FaultyStore]) -> None:
    _, store = faulty
    turn = CommitTurn(store, enabled=True)
    read_set = ReadSet()
    for number in range(MAX_CLAIMS):
        read_set.add_point(1 + number % 2, b"%d" % number, 7)
        turn.met(ConflictError("lost", table=1 + number % 2, key=b"%d" % number), 0.0, read_set)
    turn.before_replay(2)
    read_set.add_point(3, b"x", 7)
    turn.met(ConflictError("lost again", table=3, key=b"x"), 0.0, read_set)
    turn.before_replay(3)
    turn.leave()
    assert [len(claims) for claims in store.lined_up] == [MAX_CLAIMS, 3]
    assert {*store.lined_up[1]} == {Claim(1, None), Claim(2, None), Claim(3, None)}


CLAIM_NEXT = (
    "UPDATE item SET name = ? WHERE id = (SELECT id FROM item WHERE name = 'new' ORDER BY id LIMIT 1) RETURNING id"
)
"""As docs/limitations.md advises, in the place of SKIP LOCKED."""


def claim_next(connection: Connection, name: str) -> object:
    """The id of the next item, which is this one's now; None if it was lost."""
    try:
        [(item,)] = connection.execute(CLAIM_NEXT, (name,)).fetchall()
        connection.commit()
    except ConflictError:
        connection.rollback()
        return None
    return item


@pytest.mark.parametrize("level", ["SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"])
def test_who_wants_another_row_each_time_claims_all_that_it_has_read(
    faulty: tuple[Connection, FaultyStore], other: Connection, level: str
) -> None:
    one, store = faulty
    one.isolation_level = level
    other.execute("CREATE INDEX item_name ON item (name)")
    other.executemany("INSERT INTO item VALUES (?, 'new')", [(number,) for number in range(10)])
    other.commit()
    store.lined_up.clear()
    left = SETBACKS_BEFORE

    def be_first() -> None:
        nonlocal left
        if left:
            left -= 1
            assert claim_next(other, "theirs") is not None

    store.before_commit = be_first
    assert [claim_next(one, "mine") for _ in range(SETBACKS_BEFORE)] == [None] * SETBACKS_BEFORE
    one.execute(CLAIM_NEXT, ("mine",))
    claims = {claim for claims in store.lined_up for claim in claims if claim.key is None}
    [(table,)] = {(claim.table_id,) for claim in store.lined_up[-1]}
    assert claims == {Claim(table, None)}
    assert store.join_queue(b"t" * 16, [Claim(table, b"any row")], LONG_S) == 1
    store.leave_queue(b"t" * 16)
    one.commit()
    assert one.rome_stats.conflicts == SETBACKS_BEFORE


def test_who_loses_on_several_rows_that_it_always_wants_claims_these(
    faulty: tuple[Connection, FaultyStore], other: Connection
) -> None:
    one, store = faulty
    rows = [1, 2]

    def change_one_of_them() -> None:
        if rows:
            rows.append(rows.pop(0))
            other.execute("UPDATE counter SET n = n + 1 WHERE id = ?", (rows[0],))
            other.commit()
        if store.commits == SETBACKS_BEFORE:
            rows.clear()

    store.before_commit = change_one_of_them
    one.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    one.execute("UPDATE counter SET n = n + 1 WHERE id = 2")
    one.commit()
    [claims] = store.lined_up
    assert len(claims) == 2
    assert None not in [claim.key for claim in claims]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED"])
def test_five_tries_are_enough_to_claim_the_next(other: Connection, url: str, level: str) -> None:
    """Whatever the threads do to each other: no lease ends here, so nothing depends on the time."""
    other.execute("CREATE INDEX item_name ON item (name)")
    other.executemany("INSERT INTO item VALUES (?, 'new')", [(number,) for number in range(60)])
    other.commit()
    claimed: list[tuple[Any, ...]] = []
    given_up: list[int] = []

    def work() -> None:
        with closing(rome.connect(url, isolation_level=level)) as connection:
            while True:
                for _ in range(5):
                    try:
                        rows = connection.execute(CLAIM_NEXT, ("mine",)).fetchall()
                        connection.commit()
                    except ConflictError:
                        connection.rollback()
                    else:
                        break
                else:
                    given_up.append(1)
                    continue
                if not rows:
                    return
                claimed.extend(rows)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [(number,) for number in range(60)]
    assert given_up == []


def test_autocommit_gets_its_turn_too(faulty: tuple[Connection, FaultyStore], other: Connection) -> None:
    one, store = faulty
    one.isolation_level = "AUTOCOMMIT"
    interfere(store, other, SETBACKS_BEFORE)
    one.execute(ADD_ONE)
    assert len(store.lined_up) == 1
    assert one.execute("SELECT n FROM counter WHERE id = 1").fetchall() == [(SETBACKS_BEFORE + 1,)]
