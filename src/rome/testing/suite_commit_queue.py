"""Conformance of the commit queue: which commits must wait for which, and that the queue changes nothing else."""

from __future__ import annotations

from secrets import token_bytes

import pytest

from rome.errors import ConflictError, TurnTakenError
from rome.store.spi import BEYOND, Claim, Count, Drop
from rome.testing.harness import (
    Connect,
    Point,
    RangeCheck,
    SnapshotClient,
    StoreUnderTest,
    change_catalog,
    delete,
    enter,
    put,
)

ROW = Claim(1, b"a")
WHOLE_TABLE = Claim(1, None)
LONG_S = 600.0


def join_queue(client: SnapshotClient, *claims: Claim, lease_s: float = LONG_S) -> int:
    """Join the queue; returns how many entries before this one claim the same."""
    client.ticket = client.ticket or token_bytes(16)
    return client.store.join_queue(client.ticket, claims, lease_s)


class TestCommitQueue:
    """Entries, claims, leases, and the commits that must wait."""

    def test_counts_those_before_that_claim_the_same(self, connect: Connect) -> None:
        clients = [connect() for _ in range(6)]
        claims = [ROW, Claim(1, b"b"), Claim(2, b"a"), WHOLE_TABLE, ROW, Claim(2, None)]
        assert [join_queue(client, claim) for client, claim in zip(clients, claims, strict=True)] == [0, 0, 0, 2, 2, 1]

    def test_counts_a_place_with_several_claims_once(self, connect: Connect) -> None:
        one, other = connect(), connect()
        assert join_queue(one, ROW, Claim(1, b"b")) == 0
        assert join_queue(other, Claim(1, b"b"), ROW, Claim(3, b"c")) == 1

    def test_asking_again_keeps_the_place(self, connect: Connect) -> None:
        one, other = connect(), connect()
        join_queue(one, ROW)
        assert join_queue(other, ROW) == 1
        assert join_queue(one, ROW) == 0
        assert join_queue(other, ROW) == 1

    def test_claims_may_change_where_one_stands(self, connect: Connect) -> None:
        one, other = connect(), connect()
        join_queue(one, ROW)
        assert join_queue(other, Claim(1, b"b")) == 0
        assert join_queue(one, ROW, Claim(1, b"b")) == 0
        assert join_queue(other, Claim(1, b"b")) == 1

    def test_commit_of_others_must_wait_and_writes_nothing(self, connect: Connect) -> None:
        first, other = connect(), connect()
        other.write(put(b"a", b"0"))
        join_queue(first, ROW)
        other.begin()
        request = other.request(put(b"b"), put(b"a", b"1"), enter(b"k", b"a"), sequences={1: 100})
        with pytest.raises(TurnTakenError) as caught:
            other.store.commit(request)
        assert (caught.value.table, caught.value.index, caught.value.key) == (1, None, b"a")
        assert caught.value.retryable
        other.begin()
        assert (other.keys(), other.record(b"a"), other.count(1)) == ([b"a"], b"0", 0)
        first.store.leave_queue(first.ticket)
        other.store.commit(request)
        other.begin()
        assert other.keys() == [b"a", b"b"]

    def test_deletes_must_wait_too(self, connect: Connect) -> None:
        first, other = connect(), connect()
        other.write(put(b"a"))
        join_queue(first, WHOLE_TABLE)
        with pytest.raises(TurnTakenError):
            other.write(delete(b"a"))

    def test_a_conflict_is_told_at_once(self, connect: Connect) -> None:
        first, other, third = connect(), connect(), connect()
        third.write(put(b"a"))
        join_queue(first, ROW)
        other.begin()
        with pytest.raises(ConflictError) as caught:
            other.commit(put(b"a"), read=[Point(1, b"a", 0)])
        assert not isinstance(caught.value, TurnTakenError)

    def test_who_writes_none_of_the_claimed_rows_does_not_wait(self, connect: Connect) -> None:
        first, other = connect(), connect()
        join_queue(first, ROW)
        version = other.write(put(b"ab"), put(b"a", table=2), put(b"b"))
        seen = other.begin().version
        assert seen == version
        other.commit(read=[Point(1, b"a", 0), RangeCheck(1, 0, b"", BEYOND, seen, rows=True)])
        other.commit(sequences={1: 5})

    def test_commit_gives_the_place_up_and_the_next_follows(self, connect: Connect) -> None:
        first, second, outsider = connect(), connect(), connect()
        join_queue(first, ROW)
        join_queue(second, ROW)
        with pytest.raises(TurnTakenError):
            second.write(put(b"a"))
        first.write(put(b"a", b"first"))
        assert join_queue(second, ROW) == 0
        with pytest.raises(TurnTakenError):
            outsider.write(put(b"a"))
        second.write(put(b"a", b"second"))
        outsider.write(put(b"a", b"outsider"))
        assert join_queue(first, ROW) == 0, "it had to join the queue again"

    def test_those_in_the_middle_wait_for_those_before_only(self, connect: Connect) -> None:
        first, second, third = connect(), connect(), connect()
        join_queue(first, Claim(1, b"a"))
        join_queue(second, Claim(1, b"b"))
        join_queue(third, WHOLE_TABLE)
        with pytest.raises(TurnTakenError):
            third.write(put(b"c"), put(b"b"))
        with pytest.raises(TurnTakenError):
            second.write(put(b"a"))
        second.write(put(b"b"), put(b"c"))
        first.write(put(b"a"), put(b"b"))
        third.write(put(b"z"))

    def test_commit_that_fails_or_writes_nothing_keeps_the_place(self, connect: Connect) -> None:
        first, other = connect(), connect()
        other.write(put(b"a"))
        join_queue(first, ROW)
        first.begin()
        with pytest.raises(ConflictError):
            first.commit(put(b"a"), read=[Point(1, b"a", 0)])
        first.commit()
        assert join_queue(other, ROW) == 1

    def test_place_ends_with_its_lease(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        dead, second, outsider = connect(), connect(), connect()
        join_queue(dead, ROW, lease_s=0.2)
        store_under_test.wait(0.3)
        assert join_queue(second, ROW) == 0
        with pytest.raises(TurnTakenError):
            outsider.write(put(b"a"))
        second.write(put(b"a"))
        outsider.write(put(b"a"))
        assert join_queue(second, ROW) == 0

    def test_who_comes_back_after_the_lease_is_last(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        late, second = connect(), connect()
        join_queue(late, ROW, lease_s=0.2)
        join_queue(second, ROW)
        store_under_test.wait(0.3)
        assert join_queue(late, ROW, lease_s=0.2) == 1

    def test_asking_again_prolongs_the_lease(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        first, other = connect(), connect()
        join_queue(first, ROW, lease_s=0.2)
        join_queue(first, ROW)
        store_under_test.wait(0.3)
        assert join_queue(other, ROW) == 1

    def test_commit_after_the_lease_is_as_good_as_any(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        late, other = connect(), connect()
        late.begin()
        join_queue(late, ROW, lease_s=0.05)
        store_under_test.wait(0.1)
        other.write(put(b"b"))
        late.commit(put(b"a"), read=[Point(1, b"a", 0)])

    def test_repetition_of_a_commit_answers_the_same(self, connect: Connect) -> None:
        first, other = connect(), connect()
        other.begin()
        request = other.request(put(b"a"))
        version = other.store.commit(request)
        join_queue(first, ROW)
        assert other.store.commit(request) == version

    def test_dropping_a_claimed_table_does_not_wait(self, connect: Connect) -> None:
        first, other = connect(), connect()
        other.write(put(b"a"))
        join_queue(first, WHOLE_TABLE)
        other.write(Drop(1), change_catalog())
        other.begin()
        assert other.read(Count(1, 0, b"", BEYOND)) == [0]

    def test_leaving_without_a_place_is_no_error(self, connect: Connect) -> None:
        connect().store.leave_queue(token_bytes(16))

    def test_keys_of_any_bytes_are_told_apart(self, connect: Connect) -> None:
        one, other = connect(), connect()
        join_queue(one, Claim(1, b"\x00\xff:2"), Claim(12, b"x"))
        assert join_queue(other, Claim(1, b"\x00"), Claim(1, b"2:x"), Claim(2, b"x")) == 0
        other.write(put(b"\x00"), put(b"2:x"), put(b"x", table=2))
        with pytest.raises(TurnTakenError):
            connect().write(put(b"\x00\xff:2"))
