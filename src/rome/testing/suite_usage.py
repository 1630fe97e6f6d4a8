"""Conformance of Store.usage: what it says of the history, the queue, the sequences and the newest commits.

A store need not implement it: it then raises NotSupportedError, and these tests are skipped.
"""

from __future__ import annotations

from secrets import token_bytes

import pytest

from rome.errors import NotSupportedError
from rome.store.spi import MAX_TOLD_ROWS, Claim, Drop, Get, Reserve, Retention
from rome.testing.harness import UNREAD, Connect, SnapshotClient, StoreUnderTest, change_catalog, delete, enter, put

LONG = b"long" * 200
"""A key longer than the engine of some stores takes."""


class TestUsage:
    """What a database takes, and who waits."""

    @pytest.fixture
    def client(self, connect: Connect) -> SnapshotClient:
        client = connect()
        try:
            client.store.usage()
        except NotSupportedError:
            pytest.skip("this store does not count")
        return client

    def test_new_database_has_no_history(self, client: SnapshotClient) -> None:
        usage = client.store.usage(10)
        assert (usage.version, usage.commits, usage.history_bytes) == (client.begin().version, 0, 0)
        assert (usage.oldest_s, usage.newest_s, usage.recent, usage.queue) == (None, None, [], [])
        assert not any(usage.sequences.values())
        assert usage.retention == client.store.retention()

    def test_counts_commits_and_what_they_superseded(self, client: SnapshotClient) -> None:
        client.write(put(b"a", b"x" * 1_000))
        before = client.store.usage()
        for _ in range(3):
            version = client.write(put(b"a", b"x" * 1_000))
        after = client.store.usage()
        assert (after.version, after.commits) == (version, before.commits + 3)
        assert after.history_bytes >= before.history_bytes + 3_000

    def test_ages_are_those_of_the_first_and_the_last_commit(
        self, client: SnapshotClient, store_under_test: StoreUnderTest
    ) -> None:
        client.write(put(b"a"))
        store_under_test.wait(0.3)
        client.write(put(b"b"))
        usage = client.store.usage()
        assert usage.oldest_s is not None
        assert usage.newest_s is not None
        assert 0 <= usage.newest_s < usage.oldest_s
        assert usage.oldest_s - usage.newest_s > 0.25

    def test_trimmed_history_is_gone(self, client: SnapshotClient, store_under_test: StoreUnderTest) -> None:
        client.store.set_retention(Retention(seconds=0.05))
        client.write(put(b"a"))
        client.write(put(b"a", b"more"))
        store_under_test.wait(0.2)
        client.store.trim()
        usage = client.store.usage(10)
        assert (usage.commits, usage.history_bytes, usage.oldest_s, usage.recent) == (0, 0, None, [])

    def test_numbers_that_were_taken_and_raised(self, client: SnapshotClient) -> None:
        client.store.read(None, (), [Reserve(5, 10)])
        client.begin()
        client.commit(put(b"a"), sequences={7: 2**62})
        usage = client.store.usage()
        assert {sequence: last for sequence, last in usage.sequences.items() if last} == {5: 10, 7: 2**62}
        client.begin()
        client.commit(settings={7: 3})
        assert client.store.usage().sequences[7] == 3

    def test_queue_shows_what_is_claimed_until_it_is_given_up(
        self, client: SnapshotClient, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        claims = [Claim(1, b"\x00a:1"), Claim(2, None)]
        other, late = connect(), connect()
        client.store.join_queue(token_bytes(16), [Claim(9, b"soon over")], 0.1)
        client.ticket = token_bytes(16)
        client.store.join_queue(client.ticket, claims, 600)
        late.store.join_queue(token_bytes(16), [Claim(1, b"b")], 600)
        store_under_test.wait(0.2)
        assert [list(each) for each in other.store.usage().queue] == [claims, [Claim(1, b"b")]]
        client.store.leave_queue(client.ticket)
        assert [list(each) for each in other.store.usage().queue] == [[Claim(1, b"b")]]

    def test_pins_are_those_that_the_store_lists(
        self, client: SnapshotClient, store_under_test: StoreUnderTest
    ) -> None:
        if not store_under_test.store.capabilities.pins:
            pytest.skip("this store has no pins")
        client.write(put(b"a"))
        snapshot, ticket = client.begin(), token_bytes(16)
        client.store.pin(ticket, snapshot, 600, owner="7@here", age_s=50)
        [pin] = client.store.usage().pins
        assert (pin.version, pin.owner) == (snapshot.version, "7@here")
        assert 50 <= pin.age_s < 100
        client.store.unpin(ticket)
        assert client.store.usage().pins == []

    def test_recent_commits_name_their_rows_newest_first(self, client: SnapshotClient) -> None:
        first = client.write(put(b"a"), put(b"\x00\xffb", table=2), enter(b"k", b"a"))
        second = client.write(put(b"a", b"more"), put(LONG, table=3))
        third = client.write(delete(b"a"), delete(LONG, table=3))
        recent = client.store.usage(10).recent
        assert [commit.version for commit in recent] == [third, second, first]
        assert sorted(commit.age_s for commit in recent) == [commit.age_s for commit in recent]
        if any(commit.rows is None for commit in recent):
            assert not any(commit.rows for commit in recent), "a store keeps the rows, or it does not"
            return
        assert [sorted(commit.rows or ()) for commit in recent] == [
            [(1, b"a"), (3, LONG)],
            [(1, b"a"), (3, LONG)],
            [(1, b"a"), (2, b"\x00\xffb")],
        ]

    def test_recent_commits_are_as_many_as_asked_for(self, client: SnapshotClient) -> None:
        versions = [client.write(put(b"%d" % n)) for n in range(5)]
        assert [commit.version for commit in client.store.usage(2).recent] == versions[:2:-1]
        assert client.store.usage().recent == []

    def test_a_large_commit_is_one(self, client: SnapshotClient) -> None:
        before = client.store.usage().commits
        client.write(*(put(b"%04d" % n, was=UNREAD) for n in range(450)))
        usage = client.store.usage(10)
        assert usage.commits == before + 1
        assert len(usage.recent) == 1
        rows = usage.recent[0].rows
        assert rows is None or len(set(rows)) == len(rows) == 450

    def test_many_large_commits_are_not_all_told(self, client: SnapshotClient) -> None:
        for first in range(0, 12_000, 3_000):
            client.write(*(put(b"%05d" % n, was=UNREAD) for n in range(first, first + 3_000)))
        recent = client.store.usage(100).recent
        told = sum(len(commit.rows or ()) for commit in recent)
        assert not told or MAX_TOLD_ROWS // 2 <= told <= MAX_TOLD_ROWS + 3_000
        assert recent[0].age_s <= recent[-1].age_s

    def test_dropped_table_is_no_obstacle(self, client: SnapshotClient) -> None:
        client.write(put(b"a", table=4))
        version = client.write(Drop(4), change_catalog())
        assert client.store.usage(10).version == version

    def test_usage_changes_nothing_and_ends_no_snapshot(self, client: SnapshotClient, connect: Connect) -> None:
        client.write(put(b"a", b"old"))
        reader = connect()
        reader.begin()
        client.write(put(b"a", b"new"))
        before = client.store.usage(5)
        reader.store.usage(5)
        assert reader.read(Get(1, (b"a",))) == [[row for row in reader.get(b"a") if row and row.record == b"old"]]
        after = client.store.usage(5)
        assert (before.version, before.commits, before.history_bytes) == (
            after.version,
            after.commits,
            after.history_bytes,
        )

    @pytest.mark.parametrize(("recent", "most"), [(0, 2), (10, 3)])
    def test_it_takes_few_round_trips(self, client: SnapshotClient, recent: int, most: int) -> None:
        client.write(put(b"a"))
        client.store.usage()  # a server may have to load a script first
        before = client.store.round_trips
        client.store.usage(recent)
        assert client.store.round_trips - before <= most
