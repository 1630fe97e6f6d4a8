"""Requests that arrive late, twice, or not at all: nothing is applied twice, and no caller gets a wrong answer."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex

import pytest
from msgspec.structs import replace as changed

from rome.errors import CommitAbortedError, CommitUnknownError, ConflictError, StoreUnavailableError
from rome.store.location import Location
from rome.store.ordered.driver import Delete, DriverTransaction, Range, TransactionOutcome
from rome.store.ordered.layout import Layout
from rome.store.ordered.memory import MemoryDriver
from rome.store.spi import Reserve, Retention
from rome.testing.harness import Point, SnapshotClient, delete, put
from tests.store.ordered.kit import OrderedMemoryStore, engines


class Postman(MemoryDriver):
    """Loses things, once each.

    Attributes:
        request: the next one does not arrive, but is kept in `late`, and is sent again as etcd's client does it.
        answer: the next request is done and its answer is lost, so that it is sent again.
        both: the same, and it is not sent again: the caller is told that nobody knows.
    """

    request = answer = both = False
    late: Sequence[DriverTransaction] = ()
    sent = False

    @property
    def was_sent(self) -> bool:
        return self.sent

    def run(
        self, transactions: Sequence[DriverTransaction], aside: Sequence[DriverTransaction] = (), *, fresh: bool = True
    ) -> list[TransactionOutcome]:
        self.sent = False
        if not any(transaction.writes for transaction in transactions):
            return super().run(transactions, aside, fresh=fresh)
        if self.both:
            self.both, self.sent = False, True
            super().run(transactions, aside)
            raise StoreUnavailableError("no answer in time")
        if self.request:
            self.request, self.sent = False, True
            self.late = transactions
            self.between()
        elif self.answer:
            self.answer, self.sent = False, True
            super().run(transactions, aside)
        return [changed(outcome, resent=self.sent) for outcome in super().run(transactions, aside, fresh=fresh)]

    def between(self) -> None:
        """What comes between the sending that was lost and the next one."""

    def deliver(self) -> None:
        """What was late arrives."""
        super().run(self.late)


class Store(OrderedMemoryStore):
    @classmethod
    def connect(cls, location: Location) -> Postman:
        return Postman(engines[location.host or ""])


@pytest.fixture
def location() -> Location:
    return Location("ordered", "db", host=token_hex(4))


@pytest.fixture
def client(location: Location) -> SnapshotClient:
    return SnapshotClient(Store.open(location))


@pytest.fixture
def other(location: Location) -> SnapshotClient:
    return SnapshotClient(Store.open(location))


def postman(client: SnapshotClient) -> Postman:
    assert isinstance(client.store, Store)
    driver = client.store._driver
    assert isinstance(driver, Postman)
    return driver


def test_commit_whose_answer_was_lost_returns_its_version(client: SnapshotClient, other: SnapshotClient) -> None:
    client.begin()
    postman(client).answer = True
    version = client.commit(put(b"a", b"1"), read=[Point(1, b"a", 0)], sequences={1: 5})
    other.begin()
    assert [(row.key, row.version) for row in other.scan()] == [(b"a", version)]


def test_commit_that_arrives_late_is_not_applied_again(client: SnapshotClient, other: SnapshotClient) -> None:
    client.begin()
    postman(client).request = True
    version = client.commit(put(b"a", b"1"), read=[Point(1, b"a", 0)])
    other.write(delete(b"a"))
    postman(client).deliver()
    other.begin()
    assert other.keys() == []
    assert other.snapshot.version > version


def test_conflict_is_told_only_when_nothing_can_arrive_any_more(client: SnapshotClient, other: SnapshotClient) -> None:
    """The row came and went: what was absent is absent again, so the first sending would be valid."""
    client.begin()
    post = postman(client)
    post.request = True
    post.between = lambda: other.write(put(b"a", b"other's"))  # type: ignore[method-assign, assignment]
    with pytest.raises(ConflictError):
        client.commit(put(b"a", b"1"), read=[Point(1, b"a", 0)])
    other.write(delete(b"a"))
    post.deliver()
    other.begin()
    assert other.keys() == []


def test_nobody_knows_until_the_store_is_asked(client: SnapshotClient, other: SnapshotClient) -> None:
    client.begin()
    request = client.request(put(b"a"))
    postman(client).both = True
    with pytest.raises(CommitUnknownError) as caught:
        client.store.commit(request)
    assert (caught.value.transaction_id, caught.value.snapshot) == (request.transaction_id, request.snapshot.version)
    version = other.store.resolve(request.transaction_id, request.snapshot.version)
    other.begin()
    [row] = other.get(b"a")
    assert row is not None
    assert row.version == version == other.store.commit(request)


def test_what_was_resolved_stays_so_when_it_arrives(client: SnapshotClient, other: SnapshotClient) -> None:
    client.begin()
    request = client.request(put(b"a"))
    post = postman(client)
    post.request = True
    resolved = []
    post.between = lambda: resolved.append(  # type: ignore[method-assign]
        other.store.resolve(request.transaction_id, request.snapshot.version)
    )
    with pytest.raises(CommitAbortedError):
        client.store.commit(request)
    post.deliver()
    assert resolved == [None]
    other.begin()
    assert other.keys() == []


def test_resolve_whose_answer_was_lost_says_the_same(client: SnapshotClient) -> None:
    client.begin()
    request = client.request(put(b"a"))
    postman(client).answer = True
    assert client.store.resolve(request.transaction_id, request.snapshot.version) is None
    version = client.write(put(b"b"))
    client.store.commit(changed(request, transaction_id=b"E" * 16))
    postman(client).answer = True
    assert (client.store.resolve(b"E" * 16, request.snapshot.version) or 0) > version


def test_numbers_whose_answer_was_lost_are_not_lost(client: SnapshotClient, other: SnapshotClient) -> None:
    postman(client).answer = True
    assert client.store.read(None, (), [Reserve(1, 3)]).reserved == [1]
    assert other.store.read(None, (), [Reserve(1, 1)]).reserved == [4]


def test_numbers_that_somebody_else_took_are_not_ours(client: SnapshotClient, other: SnapshotClient) -> None:
    post = postman(client)
    post.request = True
    post.between = lambda: other.store.read(None, (), [Reserve(1, 3)])  # type: ignore[method-assign, assignment]
    assert client.store.read(None, (), [Reserve(1, 3)]).reserved == [4]
    post.deliver()
    assert other.store.read(None, (), [Reserve(1, 1)]).reserved == [7]


def test_place_in_the_queue_is_taken_once(client: SnapshotClient, other: SnapshotClient) -> None:
    postman(client).answer = True
    assert client.store.join_queue(b"T" * 16, [], 60.0) == 0
    assert isinstance(client.store, Store)
    assert len(client.store._ask_head().queue) == 1


def test_drop_that_arrives_late_does_not_remove_the_database_made_anew(
    client: SnapshotClient, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.write(put(b"a"))
    posts: list[Postman] = []

    def connect(location: Location) -> Postman:
        post = Postman(engines[location.host or ""])
        post.request = True
        posts.append(post)
        return post

    with monkeypatch.context() as patched:
        patched.setattr(Store, "connect", connect)
        Store.drop_database(location)
    assert not Store.database_exists(location)
    anew = SnapshotClient(Store.open(location))
    anew.write(put(b"b"))
    for post in posts:
        postman(anew).late = post.late
        postman(anew).deliver()
    anew.begin()
    assert anew.keys() == [b"b"]


def test_drop_removes_what_is_left_of_a_database(client: SnapshotClient, location: Location) -> None:
    """Even if its description is gone."""
    client.write(put(b"a"))
    layout = Layout(location.database)
    postman(client).run([DriverTransaction(writes=[Delete(layout.description)])])
    Store.drop_database(location)
    [outcome] = postman(client).run([DriverTransaction(then=[Range(*layout.everything)])])
    assert not outcome.found[0].pairs


def test_retention_that_arrives_late_does_not_replace_the_next_one(
    client: SnapshotClient, other: SnapshotClient
) -> None:
    post = postman(client)
    post.request = True
    client.store.set_retention(Retention(10.0, 1000))
    other.store.set_retention(Retention(20.0, 2000))
    post.deliver()
    assert other.store.retention() == client.store.retention() == Retention(20.0, 2000)
