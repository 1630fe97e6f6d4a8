"""Conformance around commits: retention and trimming, several databases, connections."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from secrets import token_hex

import pytest

from rome.errors import (
    CommitAbortedError,
    ConflictError,
    NotSupportedError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreUnavailableError,
)
from rome.store.location import Location
from rome.store.spi import BEYOND, Reserve, Retention, Store
from rome.testing.harness import (
    Connect,
    Point,
    RangeCheck,
    SnapshotClient,
    StoreUnderTest,
    change_catalog,
    delete,
    enter,
    leave,
    put,
)


def _expire(store: Store, under_test: StoreUnderTest) -> int:
    """Trim all history, and keep the retention so short that it stays trimmed."""
    store.set_retention(Retention(0.05))
    under_test.wait(0.1)
    return store.trim()


class TestRetention:
    """How long superseded versions can be read."""

    def test_default_and_change_are_the_databases(self, connect: Connect) -> None:
        client, other = connect(), connect()
        assert client.store.retention() == Retention(60.0, 256 * 1024 * 1024)
        client.store.set_retention(Retention(12.5, 1_000_000))
        assert other.store.retention() == connect().store.retention() == Retention(12.5, 1_000_000)

    def test_trim_says_how_many_commits_it_discarded(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        client = connect()
        for record in (b"1", b"2", b"3"):
            client.write(put(b"a", record))
        assert client.store.trim() == 0
        assert _expire(connect().store, store_under_test) == 3
        assert client.store.trim() == 0

    def test_trimming_leaves_what_is_current(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        client = connect()
        client.write(put(b"a", b"1"), enter(b"k1", b"a"), put(b"b"), enter(b"k1", b"b"), put(b"c"))
        client.write(put(b"a", b"2"), leave(b"k1", b"a"), enter(b"k2", b"a"), delete(b"b"), leave(b"k1", b"b"))
        version = client.write(delete(b"c"), put(b"d"))
        _expire(client.store, store_under_test)
        client.store.set_retention(Retention())
        for _ in range(2):
            client.begin()
            assert client.record(b"a") == b"2"
            assert client.get(b"b", b"c") == [None, None]
            assert client.keys() == [b"a", b"d"]
            assert client.keys(1) == [b"a"]
            assert client.keys(1, b"k1", b"k1\xff") == []
            assert client.count() == 2
            client.commit(put(b"a", b"2"), read=[Point(1, b"b", 0), Point(1, b"d", version)])

    def test_snapshot_within_the_retention_survives_trimming(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"1"), enter(b"k", b"a"))
        seen = reader.begin().version
        for number in range(50):
            writer.write(put(b"a", b"%d" % number), put(b"b%d" % number))
        writer.write(delete(b"a"), leave(b"k", b"a"))
        writer.store.trim()
        assert [row.record for row in reader.scan()] == [b"1"]
        assert [row.record for row in reader.scan(1)] == [b"1"]
        reader.commit(put(b"z"), read=[RangeCheck(1, 0, b"c", b"d", seen, rows=True), Point(2, b"a", 0)])

    def test_version_that_everything_is_trimmed_up_to_can_still_be_read(
        self, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        """Its commit is old, but it was superseded only just now."""
        reader, writer = connect(), connect()
        writer.store.set_retention(Retention(2.0))
        writer.write(put(b"a", b"1"), put(b"b", b"1"), put(b"c", b"1"))
        writer.write(put(b"a", b"2"), delete(b"b"), put(b"d", b"2"))
        store_under_test.wait(2.1)
        seen = reader.begin().version
        writer.write(put(b"a", b"3"), put(b"b", b"3"), delete(b"c"), delete(b"d"))
        writer.store.trim()
        assert [(row.key, row.record) for row in reader.scan()] == [(b"a", b"2"), (b"c", b"1"), (b"d", b"2")]
        reader.commit(put(b"e"), read=[RangeCheck(1, 0, b"e", b"f", seen, rows=True)])

    def test_read_of_a_trimmed_snapshot_is_refused(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        if store_under_test.reads_near:
            pytest.skip("a near server may still have it; COMMIT refuses it")
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"1"))
        reader.begin()
        writer.write(put(b"a", b"2"))
        _expire(writer.store, store_under_test)
        with pytest.raises(SnapshotTooOldError):
            reader.get(b"a")
        with pytest.raises(SnapshotTooOldError):
            reader.scan()
        writer.store.set_retention(Retention())
        reader.begin()
        assert reader.record(b"a") == b"2"

    @pytest.mark.parametrize("blind", [True, False])
    def test_commit_from_a_trimmed_snapshot_is_refused(
        self, connect: Connect, store_under_test: StoreUnderTest, blind: bool
    ) -> None:
        client, writer = connect(), connect()
        seen = client.begin().version
        writer.write(put(b"a"))
        _expire(writer.store, store_under_test)
        with pytest.raises(SnapshotTooOldError):
            client.commit(put(b"b", was=0), read=[] if blind else [RangeCheck(1, 0, b"c", b"d", seen, rows=True)])
        writer.store.set_retention(Retention())
        client.begin()
        assert client.keys() == [b"a"]
        client.commit(put(b"b"), read=[Point(1, b"b", 0)])

    def test_commits_trim_by_themselves(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        """Each commit trims at least one old commit; otherwise the history would grow forever."""
        client = connect()
        for batch in (b"1", b"2"):
            for _ in range(20):
                client.write(put(b"a", batch))
            client.store.set_retention(Retention(0.05))
            store_under_test.wait(0.1)
        assert client.store.trim() <= 20

    def test_bytes_shorten_the_retention(self, connect: Connect) -> None:
        client = connect()
        client.store.set_retention(Retention(3600.0, 50_000))
        for _ in range(20):
            client.write(put(b"a", b"x" * 10_000))
        early = client.request(put(b"late", was=0))
        for _ in range(20):
            client.write(put(b"a", b"x" * 10_000))
        client.store.trim()
        with pytest.raises(SnapshotTooOldError):
            client.store.commit(early)

    def test_repetition_after_its_id_was_trimmed_is_not_applied_again(
        self, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        client = connect()
        client.begin()
        request = client.request(put(b"a", b"1"))
        client.store.commit(request)
        client.write(delete(b"a"))
        _expire(client.store, store_under_test)
        with pytest.raises(SnapshotTooOldError):
            client.store.commit(request)
        client.store.set_retention(Retention())
        client.begin()
        assert client.get(b"a") == [None]

    def test_late_commit_after_its_abort_was_trimmed_is_still_refused(
        self, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        client, other = connect(), connect()
        client.begin()
        request = client.request(put(b"a"))
        assert other.store.resolve(request.transaction_id, request.snapshot.version) is None
        _expire(other.store, store_under_test)
        with pytest.raises((CommitAbortedError, SnapshotTooOldError)):
            client.store.commit(request)
        other.store.set_retention(Retention())
        client.begin()
        assert client.get(b"a") == [None]


class TestDatabases:
    """Several databases share a store without seeing each other."""

    @pytest.fixture
    def locations(self, store_under_test: StoreUnderTest) -> Iterator[list[Location]]:
        unique = token_hex(4)
        locations = [store_under_test.locate(name + unique) for name in store_under_test.awkward_names]
        locations += [store_under_test.locate(unique + name) for name in store_under_test.awkward_names]
        yield locations
        for location in locations:
            store_under_test.store.drop_database(location)

    def test_databases_of_any_name_do_not_see_each_other(
        self, store_under_test: StoreUnderTest, locations: list[Location]
    ) -> None:
        store = store_under_test.store
        with ExitStack() as cleanup:
            clients = []
            for location in locations:
                clients.append(SnapshotClient(store.open(location)))
                cleanup.callback(clients[-1].store.close)
            for number, client in enumerate(clients):
                assert client.begin().version == 0
                client.write(put(b"own", b"%d" % number), put(b"%02d" % number), enter(b"k", b"own"))
            assert {location.database for location in locations} <= set(store.list_databases(locations[0]))
            assert store.list_databases(locations[0]) == sorted(store.list_databases(locations[1]))
            for number, client in enumerate(clients):
                client.begin()
                assert client.record(b"own") == b"%d" % number
                assert client.keys() == [b"%02d" % number, b"own"]
                assert client.count(1) == 1
                assert client.store.read(None, (), [Reserve(1, 1)]).reserved == [1]

    def test_dropping_one_leaves_the_others(self, store_under_test: StoreUnderTest, locations: list[Location]) -> None:
        store = store_under_test.store
        for location in locations:
            client = SnapshotClient(store.open(location))
            client.write(put(b"a"))
            client.store.close()
        dropped, kept = locations[::2], locations[1::2]
        for location in dropped:
            store.drop_database(location)
        listed = store.list_databases(locations[0])
        assert not {location.database for location in dropped} & set(listed)
        assert {location.database for location in kept} <= set(listed)
        for location in kept:
            client = SnapshotClient(store.open(location))
            client.begin()
            assert client.keys() == [b"a"]
            client.store.close()

    def test_dropped_database_leaves_nothing_behind(self, store_under_test: StoreUnderTest) -> None:
        store = store_under_test.store
        location = store_under_test.locate(f"suite-{token_hex(8)}")
        before = store_under_test.residue()
        client = SnapshotClient(store.open(location))
        keys = [b"%05d" % number for number in range(3000)]
        for table in (1, 2):
            client.write(*(put(key, table=table) for key in keys), *(enter(key, key, table=table) for key in keys))
        client.write(change_catalog(), *(delete(key) for key in keys[:500]), *(leave(key, key) for key in keys[:500]))
        client.store.read(None, (), [Reserve(1, 10)])
        client.store.resolve(b"never arrived...", 0)
        client.store.close()
        assert location.database in store.list_databases(location)
        store.drop_database(location)
        assert location.database not in store.list_databases(location)
        assert store_under_test.residue() <= before

    def test_database_of_the_same_name_begins_anew(self, store_under_test: StoreUnderTest) -> None:
        store = store_under_test.store
        location = store_under_test.locate(f"suite-{token_hex(8)}")
        old = SnapshotClient(store.open(location))
        old.write(put(b"a"), change_catalog())
        old.store.read(None, (), [Reserve(1, 10)])
        old.store.set_retention(Retention(5.0))
        ended = old.begin()
        old.store.close()
        store.drop_database(location)
        new = SnapshotClient(store.open(location))
        result = new.store.read(None, (), [Reserve(1, 1)])
        assert result.snapshot.version == result.catalog_version == 0
        assert result.snapshot.incarnation != ended.incarnation
        assert result.reserved == [1]
        assert new.store.retention() == Retention()
        new.snapshot = result.snapshot
        assert new.keys() == new.keys(table=0) == []
        new.store.close()
        store.drop_database(location)

    def test_dropping_what_is_not_there_is_no_error(self, store_under_test: StoreUnderTest) -> None:
        location = store_under_test.locate(f"suite-{token_hex(8)}")
        store_under_test.store.drop_database(location)
        assert location.database not in store_under_test.store.list_databases(location)

    def test_connection_to_a_dropped_database_neither_reads_nor_revives_it(
        self, store_under_test: StoreUnderTest
    ) -> None:
        store = store_under_test.store
        location = store_under_test.locate(f"suite-{token_hex(8)}")
        old = SnapshotClient(store.open(location))
        old.write(put(b"a"))
        old.begin()
        store.drop_database(location)
        new = SnapshotClient(store.open(location))
        new.write(put(b"b"))
        with pytest.raises((SnapshotLostError, StoreUnavailableError)):
            old.get(b"a")
        with pytest.raises((SnapshotLostError, StoreUnavailableError)):
            old.commit(put(b"a", was=0))
        old.store.close()
        new.begin()
        assert new.keys() == [b"b"]
        new.store.close()
        store.drop_database(location)


class TestConnection:
    """Connections, processes, and their ends."""

    def test_connections_see_each_others_commits(self, connect: Connect) -> None:
        one, other = connect(), connect()
        one.write(put(b"a", b"1"))
        other.begin()
        assert other.record(b"a") == b"1"

    def test_database_outlives_its_connections(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a", b"1"))
        snapshot = client.begin()
        client.store.close()
        client = connect()
        assert client.begin() == snapshot
        assert client.record(b"a") == b"1"

    def test_closed_connection_is_not_usable(self, connect: Connect) -> None:
        client = connect()
        assert client.store.is_usable()
        client.begin()
        client.store.close()
        client.store.close()
        assert not client.store.is_usable()

    def test_processes_share_the_database(
        self, connect: Connect, location: Location, store_under_test: StoreUnderTest
    ) -> None:
        if not store_under_test.store.capabilities.shared:
            pytest.skip("one process only")
        client = connect()
        client.write(put(b"counter", b"0"))
        assert _run_twice_at_once(_increment, store_under_test.store, location) == [0, 0]
        client.begin()
        assert client.record(b"counter") == b"%d" % (2 * INCREMENTS)

    def test_acknowledged_commit_survives_the_death_of_its_process(
        self, connect: Connect, location: Location, store_under_test: StoreUnderTest
    ) -> None:
        if not store_under_test.store.capabilities.shared:
            pytest.skip("one process only")
        client = connect()
        snapshot = client.begin()
        assert _run_twice_at_once(_insert_and_die, store_under_test.store, location) == [-signal.SIGKILL] * 2
        assert client.keys() == []
        assert client.begin().version > snapshot.version
        assert client.keys() == [b"acknowledged"]
        client.write(put(b"z"))

    def test_marked_as_restored_it_refuses_older_snapshots_and_keeps_its_data(self, connect: Connect) -> None:
        old, other = connect(), connect()
        old.write(put(b"a"))
        old.begin()
        before = other.begin()
        try:
            other.store.mark_restored()
        except NotSupportedError:
            pytest.skip("it notices an older copy by itself")
        with pytest.raises(SnapshotLostError):
            old.keys()
        with pytest.raises(SnapshotLostError):
            old.commit(put(b"b"), read=[Point(1, b"b", 0)])
        after = old.begin()
        assert (old.keys(), after.version) == ([b"a"], before.version)
        assert old.write(put(b"c")) > after.version

    def test_a_connection_that_goes_away_leaves_no_trace(self, connect: Connect) -> None:
        """Neither a connection that read and never ended its snapshot, nor one that conflicted."""
        client, conflicting, other = connect(), connect(), connect()
        client.begin()
        conflicting.begin()
        other.write(put(b"a"))
        with pytest.raises(ConflictError):
            conflicting.commit(put(b"b"), read=[Point(1, b"a", 0)])
        for gone in (client, conflicting):
            gone.store.close()
        seen = other.begin().version
        other.commit(put(b"c"), read=[RangeCheck(1, 0, b"", BEYOND, seen, rows=True)])
        other.begin()
        assert other.keys() == [b"a", b"c"]


INCREMENTS = 15


def _run_twice_at_once(
    target: Callable[[type[Store], Location], None], store: type[Store], location: Location
) -> list[int | None]:
    """Run `target` in two new processes; returns their exit statuses."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=(store, location)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _increment(store: type[Store], location: Location) -> None:
    client = SnapshotClient(store.open(location))
    done = 0
    while done < INCREMENTS:
        client.begin()
        [row] = client.get(b"counter")
        assert row is not None
        new = put(b"counter", b"%d" % (int(row.record) + 1))
        try:
            client.commit(new, read=[Point(1, b"counter", row.version)])
            done += 1
        except ConflictError:
            pass
    client.store.close()


def _insert_and_die(store: type[Store], location: Location) -> None:
    """Commit a row, then die with an open snapshot, which nobody releases."""
    client = SnapshotClient(store.open(location))
    client.write(put(b"acknowledged"))
    client.begin()
    client.keys()
    os.kill(os.getpid(), signal.SIGKILL)
