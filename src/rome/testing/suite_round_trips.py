"""Conformance of costs: how many round trips each operation takes on a quiet database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rome.store.spi import BEYOND, Count, Drop, Get, Request, Reserve, Scan
from rome.testing.harness import (
    UNREAD,
    Connect,
    Point,
    SnapshotClient,
    StoreUnderTest,
    change_catalog,
    delete,
    enter,
    leave,
    put,
)

MANY = [b"%03d" % number for number in range(200)]
"""More rows than a store guesses that a range leads to."""


class TestRoundTrips:
    """A read is one, and so is a commit. The round trips of a read of an index are a capability."""

    @pytest.fixture
    def client(self, connect: Connect) -> SnapshotClient:
        """A row with an entry, and as many as MANY in table 2; the client has done all that has to be done once."""
        client = connect()
        client.write(put(b"a"), enter(b"k", b"a"))
        client.write(*(put(key, table=2) for key in MANY), *(enter(b"k", key, table=2) for key in MANY))
        client.store.read(None, REQUESTS, [Reserve(1, 10)])  # a server may have to load a script first
        return client

    def test_a_read_is_one(self, client: SnapshotClient, store_under_test: StoreUnderTest) -> None:
        requests = [request for request in REQUESTS if not isinstance(request, Scan) or not request.index_id]
        assert _trips(client, lambda: client.store.read(None, requests, [Reserve(1, 10), Reserve(2, 10)])) <= 1
        client.begin()
        assert _trips(client, lambda: client.read(*requests)) <= 1
        assert client.store.round_trips > 0 or not store_under_test.store.capabilities.network

    def test_a_read_of_an_index_is_as_many_as_the_store_says(
        self, client: SnapshotClient, store_under_test: StoreUnderTest
    ) -> None:
        most = store_under_test.store.capabilities.index_trips
        client.begin()
        assert _trips(client, lambda: client.read(*REQUESTS)) <= most
        assert _trips(client, lambda: client.read(Scan(2, 1, b"", BEYOND), Scan(1, 1, b"", BEYOND))) <= most
        assert _trips(client, lambda: client.store.read(None, REQUESTS, [Reserve(1, 10)])) <= most

    def test_a_commit_is_one(self, client: SnapshotClient) -> None:
        client.begin()
        request = client.request(put(b"c"), enter(b"k", b"c"), read=[Point(1, b"c", 0)], sequences={1: 100})
        assert _trips(client, lambda: client.store.commit(request)) <= 1

    def test_a_commit_is_one_whoever_has_read_what_it_rests_on(self, client: SnapshotClient, connect: Connect) -> None:
        """The request says which rows a range of an index led to, so that nobody has to look."""
        other = connect()
        client.write(*(enter(b"m", key, table=2) for key in MANY[:20]))
        client.begin()
        check = client.check(1, b"m", b"m\xff", rows=True, table=2)
        assert len(check.led_to) == 20
        request = client.request(put(b"c", was=0), read=[check])
        other.begin()
        assert _trips(other, lambda: other.store.commit(request)) <= 1
        client.begin()
        assert client.keys() == [b"a", b"c"]

    def test_a_commit_is_one_whatever_it_writes(self, client: SnapshotClient) -> None:
        client.write(change_catalog(), put(b"d"))
        client.begin()
        request = client.request(
            put(b"a", b"2"), put(b"b"), delete(b"never there"), leave(b"k", b"a"), enter(b"l", b"a"),
            put(b"c", was=UNREAD), delete(b"d", was=UNREAD), delete(b"not there", was=UNREAD),
            Drop(2), Drop(1, 9), delete(change_catalog().key, 0, UNREAD), sequences={1: 100}, settings={2: 5},
        )  # fmt: skip
        assert _trips(client, lambda: client.store.commit(request)) <= 1
        client.begin()
        assert (client.keys(), client.keys(1), client.keys(table=0), client.keys(table=2)) == (
            [b"a", b"b", b"c"], [b"a"], [], []
        )  # fmt: skip

    def test_the_rest_of_a_transaction_costs_none(self, client: SnapshotClient) -> None:
        client.begin()
        assert _trips(client, client.store.last_snapshot) == 0
        assert _trips(client, client.store.release) == 0
        assert _trips(client, client.store.is_usable) == 0


REQUESTS: list[Request] = [
    Get(1, (b"a", b"b")),
    Get(2, (b"a",)),
    Scan(1, 0, b"", BEYOND),
    Scan(1, 1, b"", BEYOND),
    Count(1, 1, b"", BEYOND),
]


def _trips(client: SnapshotClient, call: Callable[[], object]) -> int:
    """Trips to a near server do not count, unless there were no others."""
    store = client.store
    before, near = store.round_trips, store.near_trips
    call()
    trips, near = store.round_trips - before, store.near_trips - near
    return trips - near or min(near, 1)
