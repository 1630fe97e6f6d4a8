"""Conformance of commits: their effects, transaction ids, sequences, the catalog version, drops."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from secrets import token_bytes

import pytest

from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    IdsExhaustedError,
    SnapshotLostError,
    TransactionTooLargeError,
)
from rome.store.spi import (
    BEYOND,
    MAX_NUMBER,
    ORDER_INDEX,
    CommitRequest,
    Count,
    Drop,
    Reserve,
    Retention,
    Row,
    Scan,
    ScanResult,
    Version,
)
from rome.testing.harness import (
    UNREAD,
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


class TestCommit:
    """What a commit writes."""

    def test_every_commit_has_a_greater_version(self, connect: Connect) -> None:
        clients = [connect(), connect()]
        versions = [clients[number % 2].write(put(b"a")) for number in range(6)]
        assert versions == sorted(set(versions))
        assert clients[0].begin().version == versions[-1]

    def test_rows_and_entries_of_several_tables_are_applied_together(self, connect: Connect) -> None:
        client = connect()
        version = client.write(put(b"a"), enter(b"k", b"a"), put(b"b", table=2), enter(b"l", b"b", index=3, table=2))
        client.begin()
        assert [row.version for row in client.scan() + client.scan(table=2)] == [version] * 2
        assert client.keys(1) == [b"a"]
        assert client.keys(3, table=2) == [b"b"]

    def test_writing_nothing_makes_no_version(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.begin()
        newest = other.write(put(b"a"))
        assert client.commit(read=[Point(1, b"b", 0)]) == newest
        assert client.begin().version == newest

    def test_commit_without_a_read_rests_on_the_last_snapshot(self, connect: Connect) -> None:
        """New rows whose keys are taken for absent are written without any read; COMMIT finds out if they are not."""
        client, other = connect(), connect()
        other.write(put(b"a", b"1"))
        client.snapshot = client.store.last_snapshot()
        client.commit(put(b"b", was=0))
        with pytest.raises(ConflictError):
            client.commit(put(b"a", b"2", was=0))
        other.begin()
        assert [(row.key, row.record) for row in other.scan()] == [(b"a", b"1"), (b"b", b"record")]

    def test_blind_writes_hold_whatever_is_there_by_then(self, connect: Connect) -> None:
        client, other = connect(), connect()
        other.write(put(b"a", b"1"), put(b"b", b"1"), put(b"d", b"1"))
        client.snapshot = client.store.last_snapshot()
        other.write(put(b"a", b"2"), delete(b"d"), put(b"e", b"2"))
        version = client.commit(
            put(b"a", b"3", was=UNREAD), put(b"d", b"3", was=UNREAD), put(b"f", b"3", was=UNREAD),
            delete(b"b", was=UNREAD), delete(b"e", was=UNREAD), delete(b"g", was=UNREAD),
        )  # fmt: skip
        other.begin()
        assert other.scan() == [Row(key, version, b"3") for key in (b"a", b"d", b"f")]
        assert other.count() == 3
        assert other.get(b"b", b"e", b"g") == [None] * 3

    def test_blind_deletion_of_what_is_not_there_leaves_it_absent(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        reader.begin()
        writer.write(delete(b"a", was=UNREAD))
        assert reader.get(b"a") == [None]
        reader.commit(put(b"c"), read=[Point(1, b"a", 0)])

    def test_deleting_what_is_not_there_changes_nothing(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"b"), put(b"z"))
        writer.write(delete(b"z"))
        seen = reader.begin().version
        writer.write(delete(b"a"), delete(b"z"))
        assert reader.keys() == [b"b"]
        reader.commit(put(b"c"), read=[Point(1, b"a", 0), RangeCheck(1, ORDER_INDEX, b"", BEYOND, seen, rows=True)])
        reader.begin()
        assert reader.keys() == [b"b", b"c"]
        assert reader.count() == 2

    def test_thousands_of_writes_are_one_commit(self, connect: Connect) -> None:
        client = connect()
        keys = [b"%05d" % number for number in range(4000)]
        version = client.write(*(put(key) for key in keys), *(enter(key, key, index=2) for key in keys))
        client.begin()
        assert {row.version for row in client.scan()} == {version}
        assert client.keys(2) == keys

    def test_commit_beyond_the_limit_of_the_store_writes_nothing(
        self, connect: Connect, store_under_test: StoreUnderTest
    ) -> None:
        most = store_under_test.store.capabilities.max_commit_bytes
        if most is None:
            pytest.skip("no limit of its own")
        client = connect()
        client.begin()
        requests = [client.request(put(b"b", was=0), put(b"a", bytes(size), was=0)) for size in (most, most * 15 // 16)]
        with pytest.raises(TransactionTooLargeError):
            client.store.commit(requests[0])
        client.begin()
        assert client.keys() == []
        client.store.commit(requests[1])
        client.begin()
        assert client.keys() == [b"a", b"b"]

    def test_index_entry_may_move_in_the_commit_that_puts_its_row(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a", b"1"), enter(b"k1", b"a"))
        client.write(put(b"a", b"2"), leave(b"k1", b"a"), enter(b"k2", b"a"))
        client.begin()
        assert [row.record for row in client.scan(1, b"k2", b"k2\xff")] == [b"2"]
        assert client.count(1, b"k1", b"k1\xff") == 0


class TestTransactionIds:
    """A request is applied at most once, and its outcome can be asked for."""

    def test_repeated_commit_is_applied_once_and_answers_the_same(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.begin()
        request = client.request(put(b"a", b"1"), read=[Point(1, b"a", 0)], sequences={5: 10})
        version = client.store.commit(request)
        assert client.store.commit(request) == version
        later = other.write(put(b"a", b"2"))
        assert other.store.commit(request) == version
        assert connect().store.commit(request) == version
        other.begin()
        assert other.get(b"a") == [Row(b"a", later, b"2")]
        assert other.snapshot.version == later

    def test_repeated_commit_answers_the_same_after_the_catalog_changed(self, connect: Connect) -> None:
        """Otherwise a client would take an applied commit for a conflict, and run the transaction again."""
        client = connect()
        client.begin()
        request = client.request(put(b"a"))
        version = client.store.commit(request)
        client.write(change_catalog())
        assert client.store.commit(request) == version

    def test_concurrent_repetitions_are_applied_once(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a", b"0"))
        client.begin()
        request = client.request(put(b"a", b"1"), read=[Point(1, b"a", client.snapshot.version)])
        with ThreadPoolExecutor(4) as pool:
            versions = set(pool.map(lambda client: client.store.commit(request), [connect() for _ in range(4)]))
        assert len(versions) == 1
        assert client.begin().version in versions

    def test_conflict_does_not_use_up_the_id(self, connect: Connect) -> None:
        client = connect()
        transaction_id = token_bytes(16)
        version = client.write(put(b"a"))
        client.begin()
        with pytest.raises(ConflictError):
            client.commit(put(b"a", b"2"), read=[Point(1, b"a", 0)], transaction_id=transaction_id)
        client.begin()
        client.commit(put(b"a", b"2"), read=[Point(1, b"a", version)], transaction_id=transaction_id)
        client.begin()
        assert client.record(b"a") == b"2"

    def test_resolve_of_an_applied_commit_gives_its_version(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.begin()
        request = client.request(put(b"a"))
        version = client.store.commit(request)
        other.write(put(b"b"))
        for store in (client.store, other.store, connect().store):
            assert store.resolve(request.transaction_id, request.snapshot.version) == version

    def test_resolve_of_a_commit_that_never_arrived_makes_it_fail_for_ever(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.begin()
        request = client.request(put(b"a"), enter(b"k", b"a"), sequences={5: 100})
        assert other.store.resolve(request.transaction_id, request.snapshot.version) is None
        for store in (client.store, other.store):
            with pytest.raises(CommitAbortedError):
                store.commit(request)
            assert store.resolve(request.transaction_id, request.snapshot.version) is None
        result = client.store.read(None, [Scan(1, 1, b"", BEYOND), Count(1, 0, b"", BEYOND)], [Reserve(5, 1)])
        assert result.answers == [ScanResult([], None), 0]
        assert result.reserved == [1]

    def test_resolve_of_one_does_not_disturb_others(self, connect: Connect) -> None:
        client = connect()
        client.begin()
        connect().store.resolve(token_bytes(16), client.snapshot.version)
        client.commit(put(b"a"), read=[Point(1, b"a", 0), RangeCheck(1, 0, b"", BEYOND, client.snapshot.version, True)])
        client.begin()
        assert client.keys() == [b"a"]

    def test_resolve_later_than_the_retention_says_that_nobody_knows(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.begin()
        applied, lost = client.request(put(b"a")), client.request(put(b"b"))
        client.store.commit(applied)
        other.write(put(b"c"))
        other.store.set_retention(Retention(0.0))
        other.store.trim()
        for request in (applied, lost):
            with pytest.raises(CommitUnknownError, match="older than the retention") as caught:
                other.store.resolve(request.transaction_id, request.snapshot.version)
            assert caught.value.transaction_id == request.transaction_id
            assert caught.value.snapshot == request.snapshot.version

    def test_racing_resolve_and_commit_agree(self, connect: Connect) -> None:
        """Whichever comes first decides, and both sides get the same answer."""
        committer, resolver = connect(), connect()
        committer.begin()
        requests = [committer.request(put(b"%03d" % number)) for number in range(30)]

        def commit(request: CommitRequest) -> Version | None:
            try:
                return committer.store.commit(request)
            except CommitAbortedError:
                return None

        with ThreadPoolExecutor(2) as pool:
            committed = pool.submit(lambda: [commit(request) for request in requests])
            resolved = pool.submit(
                lambda: [
                    resolver.store.resolve(request.transaction_id, request.snapshot.version) for request in requests
                ]
            )
            outcomes = committed.result()
        assert outcomes == resolved.result()
        committer.begin()
        assert [row.version for row in committer.scan()] == [version for version in outcomes if version is not None]


class TestSequences:
    """Numbers rise, and are never handed out twice."""

    def test_first_number_is_one_and_blocks_follow_each_other(self, connect: Connect) -> None:
        client, other = connect(), connect()
        assert _reserve(client, Reserve(1, 1)) == [1]
        first, second = _reserve(client, Reserve(1, 10), Reserve(1, 5))
        assert first > 1
        assert second >= first + 10
        assert _reserve(other, Reserve(1, 1))[0] >= second + 5
        assert _reserve(other, Reserve(2, 1)) == [1]

    def test_numbers_are_greater_than_above(self, connect: Connect) -> None:
        client = connect()
        assert _reserve(client, Reserve(1, 5, above=100)) == [101]
        assert _reserve(client, Reserve(1, 5, above=3))[0] > 105
        assert _reserve(client, Reserve(1, 5))[0] > 110

    def test_commit_raises_a_sequence_and_never_lowers_it(self, connect: Connect) -> None:
        client = connect()
        client.begin()
        client.commit(put(b"a"), sequences={1: 1000, 2: 7})
        client.begin()
        client.commit(put(b"a"), sequences={1: 10})
        assert _reserve(client, Reserve(1, 1))[0] > 1000
        assert _reserve(client, Reserve(2, 1)) == [8]

    def test_numbers_beyond_2_to_the_53_are_exact(self, connect: Connect) -> None:
        """SQLite's rowids have 63 bits; a double would repeat a number here."""
        client = connect()
        client.begin()
        client.commit(put(b"a"), sequences={1: 2**62 + 1, 2: 2**53})
        client.begin()
        client.commit(put(b"a"), sequences={1: 2**62})
        assert _reserve(client, Reserve(1, 1)) == [2**62 + 2]
        assert _reserve(client, Reserve(1, 1)) == [2**62 + 3]
        assert _reserve(client, Reserve(2, 1), Reserve(2, 1, above=2**53 + 2)) == [2**53 + 1, 2**53 + 3]
        assert _reserve(client, Reserve(3, 2, above=2**60 + 1), Reserve(3, 1, above=2**60)) == [2**60 + 2, 2**60 + 4]

    def test_sequence_ends_at_2_to_the_63(self, connect: Connect) -> None:
        client = connect()
        client.begin()
        client.commit(put(b"a"), sequences={1: MAX_NUMBER, 2: MAX_NUMBER - 2})
        for reserve in (Reserve(1, 1), Reserve(2, 3), Reserve(3, 1, above=MAX_NUMBER)):
            with pytest.raises(IdsExhaustedError, match=f"sequence {reserve.sequence} has no id left"):
                _reserve(client, reserve)
        assert _reserve(client, Reserve(2, 2), Reserve(4, 1)) == [MAX_NUMBER - 1, 1]

    def test_reserved_numbers_are_not_given_back(self, connect: Connect) -> None:
        client = connect()
        writer = connect()
        client.begin()
        [first] = _reserve(client, Reserve(1, 1))
        writer.write(put(b"a"))
        with pytest.raises(ConflictError):
            client.commit(put(b"b"), read=[Point(1, b"a", 0)])
        assert _reserve(connect(), Reserve(1, 1))[0] > first

    def test_reserving_on_a_snapshot_leaves_it_alone(self, connect: Connect) -> None:
        client, writer = connect(), connect()
        snapshot = client.begin()
        writer.write(put(b"a"))
        result = client.store.read(snapshot, [Count(1, 0, b"", BEYOND)], [Reserve(1, 1)])
        assert (result.snapshot, result.answers, result.reserved) == (snapshot, [0], [1])

    def test_each_number_is_greater_than_all_that_were_taken_before(self, connect: Connect) -> None:
        clients = [connect() for _ in range(3)]
        taken = [_reserve(clients[turn % 3], Reserve(1, 1 + turn % 2))[0] for turn in range(12)]
        assert taken == sorted(set(taken))

    def test_size_0_takes_nothing(self, connect: Connect) -> None:
        client, other = connect(), connect()
        assert _reserve(client, Reserve(1, 0), Reserve(1, 0, above=7)) == [1, 8]
        assert _reserve(other, Reserve(1, 1)) == [1]
        assert _reserve(client, Reserve(1, 0)) == _reserve(other, Reserve(1, 0)) == [2]
        client.begin()
        client.commit(put(b"a"), sequences={1: 30, 2: MAX_NUMBER + 2})
        assert _reserve(other, Reserve(1, 0), Reserve(2, 0)) == [31, MAX_NUMBER + 3]

    def test_numbers_are_taken_again_unless_somebody_went_on(self, connect: Connect) -> None:
        client, other = connect(), connect()
        assert _reserve(client, Reserve(1, 5)) == [1]
        assert _reserve(client, Reserve(1, 2, again=(3, 6))) == [3]
        assert _reserve(client, Reserve(1, 4, above=4, again=(5, 6))) == [5]
        assert _reserve(other, Reserve(1, 1)) == [9]
        assert _reserve(client, Reserve(1, 1, again=(7, 9))) == [10]
        client.begin()
        client.commit(put(b"a"), sequences={1: 20})
        assert _reserve(client, Reserve(1, 1, again=(10, 11))) == [21]
        assert _reserve(client, Reserve(2, 1, again=(2, 4))) == [1]

    def test_last_numbers_are_taken_again(self, connect: Connect) -> None:
        client = connect()
        client.begin()
        client.commit(put(b"a"), sequences={1: MAX_NUMBER - 2})
        assert _reserve(client, Reserve(1, 2)) == [MAX_NUMBER - 1]
        assert _reserve(client, Reserve(1, 2, again=(MAX_NUMBER - 1, MAX_NUMBER + 1))) == [MAX_NUMBER - 1]
        with pytest.raises(IdsExhaustedError):
            _reserve(client, Reserve(1, 2, again=(MAX_NUMBER, MAX_NUMBER + 1)))

    def test_commit_sets_a_sequence_back(self, connect: Connect) -> None:
        client, other = connect(), connect()
        assert _reserve(other, Reserve(1, 50), Reserve(2, 5)) == [1, 1]
        client.begin()
        client.commit(put(b"a"), sequences={2: 7}, settings={1: 3, 3: 2**62 + 1, 4: 0})
        assert _reserve(other, Reserve(1, 1), Reserve(2, 1), Reserve(3, 1), Reserve(4, 1)) == [4, 8, 2**62 + 2, 1]
        client.begin()
        client.commit(settings={1: 100})
        assert _reserve(other, Reserve(1, 1)) == [101]

    def test_setting_of_a_commit_in_conflict_does_nothing(self, connect: Connect) -> None:
        client, writer = connect(), connect()
        assert _reserve(client, Reserve(1, 5)) == [1]
        client.begin()
        writer.write(put(b"a"))
        with pytest.raises(ConflictError):
            client.commit(read=[Point(1, b"a", 0)], settings={1: 0})
        assert _reserve(writer, Reserve(1, 1)) == [6]

    def test_threads_never_get_the_same_number(self, connect: Connect) -> None:
        def take(client: SnapshotClient) -> list[int]:
            return [
                number
                for size in range(1, 40)
                for first in _reserve(client, Reserve(1, size, above=size * 20))
                for number in range(first, first + size)
            ]

        with ThreadPoolExecutor(4) as pool:
            numbers = [number for taken in pool.map(take, [connect() for _ in range(4)]) for number in taken]
        assert len(set(numbers)) == len(numbers) == 4 * sum(range(1, 40))


def _reserve(client: SnapshotClient, *reserves: Reserve) -> list[int]:
    return client.store.read(None, (), reserves).reserved


class TestCatalogVersion:
    """A schema change conflicts with everything that began before it."""

    def test_it_is_the_version_of_the_last_change_of_table_0(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a"))
        changed = client.write(change_catalog(), put(b"b"))
        client.write(put(b"c"))
        assert client.store.read(None, ()).catalog_version == changed
        changed = client.write(delete(change_catalog().key, table=0))
        assert client.store.read(None, ()).catalog_version == changed
        client.write(delete(change_catalog().key, table=0), delete(b"never there", table=0))
        assert client.store.read(None, ()).catalog_version == changed

    def test_read_of_an_older_snapshot_is_refused(self, connect: Connect, store_under_test: StoreUnderTest) -> None:
        if store_under_test.reads_near:
            pytest.skip("a near server may not know of the change yet; COMMIT does")
        client, other = connect(), connect()
        client.write(put(b"a"))
        client.begin()
        other.write(change_catalog())
        for _ in range(2):
            with pytest.raises(CatalogChangedError):
                client.get(b"a")
        with pytest.raises(CatalogChangedError):
            client.read()
        client.begin()
        assert client.record(b"a") == b"record"

    def test_commit_from_an_older_snapshot_is_refused(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.begin()
        other.write(change_catalog())
        with pytest.raises(CatalogChangedError):
            client.commit(put(b"a", was=0), sequences={1: 100})
        with pytest.raises(CatalogChangedError):
            client.commit()
        assert _reserve(client, Reserve(1, 1)) == [1]
        client.begin()
        assert client.get(b"a") == [None]

    def test_of_two_concurrent_changes_one_is_refused(self, connect: Connect) -> None:
        one, other = connect(), connect()
        one.begin()
        other.begin()
        one.commit(change_catalog(b"one"))
        with pytest.raises(CatalogChangedError):
            other.commit(change_catalog(b"other"))
        one.begin()
        assert one.record(change_catalog().key, table=0) == b"one"

    def test_snapshot_at_the_change_itself_is_good(self, connect: Connect) -> None:
        client, other = connect(), connect()
        version = other.write(change_catalog())
        assert client.begin().version == version
        other.write(put(b"a"))
        assert client.get(b"a") == [None]
        client.commit(put(b"b"), read=[Point(1, b"b", 0)])


class TestDrop:
    """A drop is committed together with a catalog change, so no older snapshot asks for what is gone."""

    @pytest.fixture
    def client(self, connect: Connect) -> SnapshotClient:
        """Two tables with the same rows and two indexes each."""
        client = connect()
        for table in (1, 2):
            keys = [b"%04d" % number for number in range(1500)]
            client.write(
                *(put(key, table=table) for key in keys),
                *(enter(key, key, index, table) for key in keys[:300] for index in (1, 2)),
            )
        client.write(*(delete(b"%04d" % number) for number in range(3)))
        return client

    def test_dropped_table_is_gone_with_its_indexes(self, client: SnapshotClient) -> None:
        client.write(Drop(1), change_catalog())
        client.begin()
        assert client.scan() == client.scan(1) == client.scan(2) == []
        assert client.get(b"0007") == [None]
        assert client.count() == client.count(1) == 0
        assert len(client.scan(table=2)) == 1500
        assert client.count(1, table=2) == client.count(2, table=2) == 300

    def test_dropped_index_leaves_the_rows_and_the_other_index(self, client: SnapshotClient) -> None:
        client.write(leave(b"0000", b"0000"), leave(b"0000", b"0000", 2))
        client.write(Drop(1, 1), change_catalog())
        client.begin()
        assert client.scan(1) == []
        assert client.count(1) == 0
        assert client.count() == 1497
        assert client.count(2) == 299
        assert client.count(1, table=2) == 300

    def test_the_commit_of_a_drop_writes_to_what_is_left(self, client: SnapshotClient) -> None:
        """A new table in place of one, and a new index in place of another."""
        version = client.write(
            Drop(1), put(b"new", table=3), enter(b"k", b"new", 1, 3),
            Drop(2, 1), put(b"new", table=2), enter(b"k", b"new", 2, 2), enter(b"k", b"0005", 3, 2), change_catalog(),
        )  # fmt: skip
        client.begin()
        new = Row(b"new", version, b"record")
        assert client.scan() == client.scan(1) == client.scan(1, table=2) == []
        assert client.scan(table=3) == client.scan(1, table=3) == client.scan(2, b"k", b"k\xff", table=2) == [new]
        assert client.keys(3, table=2) == [b"0005"]
        assert (client.count(table=2), client.count(2, table=2)) == (1501, 301)

    def test_dropping_what_is_not_there_is_no_error(self, client: SnapshotClient) -> None:
        client.write(Drop(9), Drop(1, 9), change_catalog())
        client.begin()
        assert client.count() == 1497
        assert client.count(1) == 300

    def test_older_snapshot_is_refused_after_a_drop(
        self, connect: Connect, client: SnapshotClient, store_under_test: StoreUnderTest
    ) -> None:
        old = connect()
        seen = old.begin().version
        client.write(Drop(1), change_catalog())
        if not store_under_test.reads_near:  # a near server may not know of it yet
            with pytest.raises((CatalogChangedError, SnapshotLostError)):
                old.scan()
        with pytest.raises((CatalogChangedError, SnapshotLostError)):
            old.commit(put(b"z", was=0), read=[RangeCheck(1, 0, b"", BEYOND, seen, rows=True)])
