"""The memory store's own: its model, forks, and memory given back. What it shares is in tests/conformance."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from secrets import token_hex
from threading import Event, Thread

import pytest

from rome.errors import CorruptRecordError, StoreUnavailableError
from rome.store.location import Location
from rome.store.memory import MemoryStore
from rome.store.spi import BEYOND, Retention, Scan
from rome.testing.harness import SnapshotClient, StoreUnderTest, delete, enter, leave, put
from rome.testing.store_machine import TestRandomHistories
from tests.store.naive_store import NaiveStore

__all__ = ["TestRandomHistories"]

pytestmark = pytest.mark.memory


@pytest.fixture
def store_under_test() -> StoreUnderTest:
    return StoreUnderTest(MemoryStore, lambda name: Location("memory", name), model=NaiveStore, machine_runs=250)


@pytest.fixture
def location() -> Iterator[Location]:
    location = Location("memory", token_hex(8))
    yield location
    MemoryStore.drop_database(location)


@pytest.fixture
def client(location: Location) -> SnapshotClient:
    return SnapshotClient(MemoryStore.open(location))


def test_every_call_counts_as_a_round_trip_and_others_do_not(client: SnapshotClient) -> None:
    client.begin()
    client.commit(put(b"a", was=0))
    client.store.resolve(b"id", 0)
    client.store.trim()
    client.store.release()
    client.store.last_snapshot()
    client.store.is_usable()
    assert client.store.round_trips == 4


def test_closed_connection_refuses_to_work(client: SnapshotClient) -> None:
    client.store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        client.begin()


def test_connection_to_a_dropped_database_is_not_usable(client: SnapshotClient, location: Location) -> None:
    MemoryStore.drop_database(location)
    assert not client.store.is_usable()
    with pytest.raises(StoreUnavailableError, match="dropped"):
        client.begin()


def test_trimming_gives_all_memory_of_the_past_back(client: SnapshotClient) -> None:
    database = client.store._database  # type: ignore[attr-defined]
    client.write(put(b"kept"), enter(b"k", b"kept"))
    for _ in range(10):
        client.write(put(b"a", b"x" * 100), put(b"kept"), enter(b"k", b"a"))
        client.write(delete(b"a"), leave(b"k", b"a"))
    client.store.set_retention(Retention(0.0))
    assert client.store.trim() == 21
    table = database.tables[1]
    for history, key in [(table.rows, b"kept"), (table.indexes[1], b"kkept")]:
        assert history._keys == [key]
        assert [len(chain) for chain in history._chains.values()] == [1]
    assert (database._replaced_bytes, len(database._past), database._transactions) == (0, 0, {})


def test_index_entry_without_its_row_is_named(client: SnapshotClient) -> None:
    client.write(enter(b"k", b"lost"))
    client.begin()
    with pytest.raises(CorruptRecordError, match="table 1: index 1 names row 6c6f7374") as caught:
        client.store.read(client.snapshot, [Scan(1, 1, b"", BEYOND)])
    assert (caught.value.table, caught.value.key) == (1, b"lost")


def test_child_gets_a_whole_copy_that_is_its_own(client: SnapshotClient, location: Location) -> None:
    """Forked while other threads commit: the child neither waits for their locks nor sees a half of a commit."""
    client.write(put(b"a", b"0"), put(b"b", b"0"))
    stop = Event()

    def write() -> None:
        writer = SnapshotClient(MemoryStore.open(location))
        number = 0
        while not stop.is_set():
            number += 1
            writer.write(put(b"a", b"%d" % number), put(b"b", b"%d" % number))

    threads = [Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        statuses = [_in_child(location) for _ in range(10)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * 10
    client.begin()
    assert client.get(b"child") == [None]


def _in_child(location: Location) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    signal.alarm(20)  # ends a child that waits for a lock nobody will give back
    try:
        client = SnapshotClient(MemoryStore.open(location))
        client.begin()
        if client.record(b"a") == client.record(b"b"):
            client.write(put(b"child"))
            status = 0
    finally:
        os._exit(status)


def test_commits_do_not_wait_for_other_databases(client: SnapshotClient) -> None:
    """One lock per database: a commit goes through while somebody holds another's."""
    elsewhere = Location("memory", token_hex(8))
    with MemoryStore.open(elsewhere)._database.lock:
        client.write(put(b"a"))
    MemoryStore.drop_database(elsewhere)
    client.begin()
    assert client.keys() == [b"a"]
