"""Conformance of pins: what they keep from trimming, for how long, and what they cannot keep."""

from __future__ import annotations

from contextlib import closing
from secrets import token_hex

import pytest

from rome.errors import (
    CatalogChangedError,
    ConflictError,
    NotSupportedError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreUnavailableError,
)
from rome.store.spi import Retention, Snapshot
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

TICKET, OTHER = b"T" * 16, b"O" * 16
LONG_S = 600.0


def pin(client: SnapshotClient, snapshot: Snapshot, ticket: bytes = TICKET, lease_s: float = LONG_S) -> int:
    """Pin a snapshot; returns the floor."""
    return client.store.pin(ticket, snapshot, lease_s, owner="17@here", age_s=0.0)


def expire(client: SnapshotClient, under_test: StoreUnderTest) -> int:
    """Let the retention pass, and trim all that can be trimmed; returns of how many commits."""
    client.store.set_retention(Retention(0.05))
    under_test.wait(0.1)
    return client.store.trim()


class TestPins:
    """A pinned snapshot can be read and committed for longer than the retention."""

    @pytest.fixture(autouse=True)
    def only_with_pins(self, store_under_test: StoreUnderTest) -> None:
        if not store_under_test.store.capabilities.pins:
            pytest.skip("the store has no pins")

    def test_pinned_snapshot_can_be_read_and_committed_after_the_retention(
        self, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"1"), enter(b"k", b"a"), put(b"b", b"1"))
        version = writer.write(put(b"c", b"1"))
        seen = reader.begin()
        assert pin(writer, seen) <= seen.version
        writer.write(put(b"a", b"2"), leave(b"k", b"a"), delete(b"b"))
        writer.write(put(b"d", b"2"))
        assert expire(writer, store_under_test) <= 2
        for _ in range(5):  # commits trim, too
            writer.write(put(b"d", b"3"))
        assert [(row.key, row.record) for row in reader.scan()] == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]
        assert reader.keys(1) == [b"a"]
        reader.commit(
            put(b"z", was=0), read=[Point(1, b"c", version), RangeCheck(1, 0, b"x", b"y", seen.version, rows=True)]
        )

    @pytest.mark.parametrize("touched", ["row", "range"])
    def test_its_commit_still_finds_what_has_changed(
        self, connect: Connect, store_under_test: StoreUnderTest, touched: str
    ) -> None:
        client, writer = connect(), connect()
        version = writer.write(put(b"a", b"1"))
        seen = client.begin()
        pin(writer, seen)
        writer.write(put(b"a", b"2"), put(b"m", b"2"))
        writer.write(delete(b"m"))
        expire(writer, store_under_test)
        read = Point(1, b"a", version) if touched == "row" else RangeCheck(1, 0, b"m", b"n", seen.version, rows=False)
        with pytest.raises(ConflictError) as caught:
            client.commit(put(b"z", was=0), read=[read])
        assert type(caught.value) is ConflictError, "and not because it is too old"

    def test_outcome_of_its_commit_is_remembered(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        client, writer = connect(), connect()
        seen = client.begin()
        pin(writer, seen)
        request = client.request(put(b"a"))
        version = client.store.commit(request)
        expire(writer, store_under_test)
        assert writer.store.resolve(request.transaction_id, seen.version) == version
        assert client.store.commit(request) == version

    def test_history_before_it_is_trimmed(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        reader, writer = connect(), connect()
        for number in range(3):
            writer.write(put(b"a", b"%d" % number))
        pin(writer, reader.begin())
        for number in range(2):
            writer.write(put(b"a", b"later %d" % number))
        assert expire(writer, store_under_test) == 3
        assert reader.record(b"a") == b"2"
        writer.store.unpin(TICKET)
        assert writer.store.trim() == 2
        assert writer.store.trim() == 0

    def test_history_after_its_end_is_trimmed(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"1"))
        seen = reader.begin()
        pin(writer, seen, lease_s=0.05)
        writer.write(put(b"a", b"2"))
        assert expire(writer, store_under_test) == 2
        assert writer.store.pins() == []
        with pytest.raises(SnapshotTooOldError):
            reader.commit(put(b"z", was=0))
        assert pin(writer, seen) > seen.version, "what was trimmed cannot be pinned"
        assert writer.store.pins() == []

    def test_owner_moves_its_deadline_and_its_version(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        reader, writer = connect(), connect()
        pin(writer, reader.begin(), lease_s=0.02)
        writer.write(put(b"a", b"1"))
        seen = reader.begin()
        pin(writer, seen)
        writer.write(put(b"a", b"2"))
        assert expire(writer, store_under_test) == 1
        assert [found.version for found in writer.store.pins()] == [seen.version]
        assert reader.record(b"a") == b"1"

    def test_oldest_of_several_counts(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        reader, late, writer = connect(), connect(), connect()
        writer.write(put(b"a", b"1"))
        pin(writer, reader.begin(), OTHER)
        writer.write(put(b"a", b"2"))
        pin(writer, late.begin())
        writer.write(put(b"a", b"3"))
        assert expire(writer, store_under_test) == 1
        assert (reader.record(b"a"), late.record(b"a")) == (b"1", b"2")
        writer.store.unpin(OTHER)
        writer.store.unpin(OTHER)
        assert writer.store.trim() == 1
        assert late.record(b"a") == b"2"

    def test_bytes_of_the_retention_overrule_it(self, connect: Connect) -> None:
        client, writer = connect(), connect()
        writer.store.set_retention(Retention(0.0, 50_000))
        writer.write(put(b"a", b"x" * 10_000))
        seen = client.begin()
        pin(writer, seen)
        request = client.request(put(b"late", was=0))
        for _ in range(20):
            writer.write(put(b"a", b"x" * 10_000))
        writer.store.trim()
        with pytest.raises(SnapshotTooOldError):
            client.store.commit(request)
        assert pin(writer, seen) > seen.version

    def test_tells_who_has_them(self, connect: Connect) -> None:
        client, other = connect(), connect()
        assert client.store.pins() == []
        first = client.begin()
        other.write(put(b"a"))
        second = other.begin()
        other.store.pin(OTHER, second, 100.0, owner="2@söme where", age_s=2.0)
        client.store.pin(TICKET, first, 50.0, owner="1@here", age_s=40.0)
        old, young = connect().store.pins()
        assert (old.version, old.owner, young.version, young.owner) == (
            first.version,
            "1@here",
            second.version,
            "2@söme where",
        )
        assert 40 <= old.age_s < 70
        assert 2 <= young.age_s < 32
        assert 20 < old.left_s <= 50
        assert 70 < young.left_s <= 100

    def test_snapshot_that_is_of_no_use_is_not_pinned(self, connect: Connect) -> None:
        client, other = connect(), connect()
        other.write(put(b"a"))
        seen = client.begin()
        for unknown in (Snapshot(b"?" * 16, seen.version), Snapshot(seen.incarnation, seen.version + 1000)):
            with pytest.raises(SnapshotLostError):
                pin(other, unknown)
        other.write(change_catalog())
        with pytest.raises(CatalogChangedError):
            pin(client, seen)
        assert other.store.pins() == []

    def test_it_outlives_the_connection_that_made_it(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        reader, writer, owner = connect(), connect(), connect()
        writer.write(put(b"a", b"1"))
        pin(owner, reader.begin())
        owner.store.close()
        writer.write(put(b"a", b"2"))
        assert expire(writer, store_under_test) == 1
        assert reader.record(b"a") == b"1"

    def test_another_connection_can_be_made_from_one_in_use(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a"))
        seen = client.begin()
        with closing(client.store.another()) as another:
            assert another.pin(TICKET, seen, LONG_S, owner="", age_s=0.0) <= seen.version
            assert another.known_retention() == Retention()
            assert [found.version for found in client.store.pins()] == [seen.version]
            assert client.record(b"a") == b"record", "its snapshot goes on"
            another.unpin(TICKET)

    def test_another_connection_does_not_create_a_dropped_database(
        self, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        location = store_under_test.locate(f"suite-{token_hex(8)}")
        client = SnapshotClient(store_under_test.store.open(location))
        seen = client.begin()
        store_under_test.store.drop_database(location)
        with (
            pytest.raises((StoreUnavailableError, SnapshotLostError)),
            closing(client.store.another()) as another,
        ):
            another.pin(TICKET, seen, LONG_S, owner="", age_s=0.0)
        client.store.close()
        assert not store_under_test.store.database_exists(location)


class TestStoreWithoutPins:
    """A store may do without."""

    def test_it_says_so(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        client = connect()
        assert client.store.known_retention() == Retention()
        if store_under_test.store.capabilities.pins:
            return
        for call in (client.store.pins, client.store.another, lambda: client.store.unpin(TICKET)):
            with pytest.raises(NotSupportedError):
                call()
