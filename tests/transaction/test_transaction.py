"""A transaction on a store: round trips, what it validates, and commits whose answer is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from rome.errors import CommitAbortedError, CommitUnknownError, ConflictError, TransactionTooLargeError
from rome.store.location import Location
from rome.store.memory import MemoryStore
from rome.store.spi import BEYOND, Reserve
from rome.testing.harness import SnapshotClient, enter
from rome.transaction import transaction as transaction_module
from rome.transaction.incremental_scan import IncrementalScan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, Transaction
from rome.transaction.write_set import WriteSet
from tests.support.faulty_store import FaultyStore

LOCATION = Location("memory", "transaction")
TABLE = ReadRequest(1, 0, (), ((b"", BEYOND),), Validation.ROWS)


@pytest.fixture
def store() -> Iterator[FaultyStore]:
    with_rows = FaultyStore.open(LOCATION)
    put(with_rows, a=b"1", b=b"2")
    with_rows.round_trips = 0
    yield with_rows
    with_rows.close()
    MemoryStore.drop_database(LOCATION)


def put(store: MemoryStore, **records: bytes | None) -> None:
    """Commit rows of table 1."""
    transaction = Transaction(store)
    read(transaction, *(get(key.encode(), Validation.ROWS) for key in records))
    transaction.commit(writes(**records))


def commit_new_row(transaction: Transaction) -> None:
    """Commit a row that nobody else writes."""
    transaction.read_set.add_point(1, b"c", 0)
    transaction.commit(writes(c=b"3"))


def writes(**records: bytes | None) -> WriteSet:
    made = WriteSet()
    for key, record in records.items():
        if record is None:
            made.delete(1, key.encode())
        else:
            made.put(1, key.encode(), record)
    return made


def others(**records: bytes | None) -> None:
    """Another client commits rows."""
    other = MemoryStore.open(LOCATION)
    put(other, **records)
    other.close()


def get(key: bytes, check: Validation) -> ReadRequest:
    return ReadRequest(1, 0, (key,), (), check)


def read(transaction: Transaction, *requests: ReadRequest) -> list[bytes]:
    transaction.read(requests)
    for request in requests:
        transaction.check_request(request)
    return [row.record for request in requests for row in transaction.rows(request)]


def test_what_was_read_costs_no_second_trip(store: FaultyStore) -> None:
    transaction = Transaction(store)
    assert read(transaction, get(b"a", Validation.ROWS), get(b"z", Validation.ROWS)) == [b"1"]
    assert read(transaction, get(b"z", Validation.ROWS)) == []
    assert store.round_trips == 1
    assert read(transaction, TABLE) == [b"1", b"2"]
    assert read(transaction, get(b"b", Validation.ROWS), get(b"y", Validation.ROWS)) == [b"2"]
    assert (store.round_trips, transaction.rows_read) == (2, 3)


def test_ids_are_reserved_with_a_read(store: FaultyStore) -> None:
    transaction = Transaction(store)
    assert transaction.read([TABLE], [Reserve(1, 10), Reserve(2, 1, above=40)]) == [1, 41]
    assert store.round_trips == 1


@pytest.mark.parametrize(
    ("check", "change", "conflicts"),
    [
        (Validation.ROWS, {"a": b"new"}, True),
        (Validation.ROWS, {"a": None}, True),
        (Validation.KEYS, {"a": b"new"}, False),
        (Validation.KEYS, {"a": None}, True),
        (Validation.NOTHING, {"a": None}, False),
    ],
)
@pytest.mark.parametrize(
    "asked", [get(b"a", Validation.ROWS), TABLE, ReadRequest(1, 0, (), ((b"a", b"b"),), Validation.ROWS)]
)
def test_what_a_check_holds_on_to(
    store: FaultyStore, asked: ReadRequest, check: Validation, change: dict[str, bytes | None], conflicts: bool
) -> None:
    transaction = Transaction(store)
    assert read(transaction, replace(asked, check=check))[0] == b"1"
    others(**change)
    if conflicts:
        with pytest.raises(ConflictError):
            commit_new_row(transaction)
    else:
        commit_new_row(transaction)


@pytest.mark.parametrize("check", [Validation.ROWS, Validation.KEYS])
@pytest.mark.parametrize("asked", [get(b"x", Validation.ROWS), ReadRequest(1, 0, (), ((b"w", b"y"),), Validation.ROWS)])
def test_a_row_that_comes_where_there_was_none(store: FaultyStore, asked: ReadRequest, check: Validation) -> None:
    transaction = Transaction(store)
    assert read(transaction, replace(asked, check=check)) == []
    others(x=b"came")
    with pytest.raises(ConflictError):
        commit_new_row(transaction)


def test_a_new_snapshot_sees_what_came_and_validates_what_was_read_before(store: FaultyStore) -> None:
    transaction = Transaction(store)
    read(transaction, get(b"a", Validation.ROWS))
    others(a=b"new")
    transaction.new_snapshot()
    assert read(transaction, get(b"a", Validation.NOTHING)) == [b"new"]
    assert transaction.renewed
    with pytest.raises(ConflictError):
        commit_new_row(transaction)


def test_what_the_store_refuses_is_told_with_what_the_transaction_writes(store: FaultyStore) -> None:
    def refuse() -> None:
        raise TransactionTooLargeError("a flag of the server")

    store.before_commit = refuse
    with pytest.raises(TransactionTooLargeError, match=r"1 rows, .*; a flag of the server\. One row") as caught:
        commit_new_row(Transaction(store))
    assert caught.value.limit == "a flag of the server"


class TestRangeRows:
    """What ranges of an index led to is named to a store that wants it, and to no other."""

    BY_INDEX = ReadRequest(1, 1, (), ((b"k", b"l"),), Validation.ROWS)

    @pytest.fixture
    def asked(self, store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> FaultyStore:
        """Rows a and b have the index key k."""
        monkeypatch.setattr(FaultyStore, "capabilities", dataclasses.replace(store.capabilities, index_trips=2))
        client = SnapshotClient(store)
        client.begin()
        client.commit(enter(b"k", b"a"), enter(b"k", b"b"))
        return store

    def test_rows_of_a_range_with_their_versions(self, asked: FaultyStore) -> None:
        transaction = Transaction(asked)
        read(transaction, self.BY_INDEX)
        assert transaction.read_set.range_rows == {1: {b"a": 1, b"b": 1}}

    def test_rows_of_a_scan_in_parts(self, asked: FaultyStore) -> None:
        transaction = Transaction(asked)
        scan = IncrementalScan(1, 1, [(b"k", b"l")], 1, reverse=True)
        transaction.read([], incremental=scan)
        transaction.check_scan(scan, Validation.ROWS)
        assert transaction.read_set.range_rows == {1: {b"b": 1}}

    def test_of_a_greater_range_all_rows(self, asked: FaultyStore) -> None:
        transaction = Transaction(asked)
        read(transaction, replace(self.BY_INDEX, check=Validation.KEYS))
        assert transaction.read_set.range_rows == {}
        read(transaction, replace(self.BY_INDEX, ranges=((b"kb", b"l"),)))
        assert transaction.read_set.range_rows == {1: {b"a": 1, b"b": 1}}

    def test_none_where_the_whole_table_is_validated(self, asked: FaultyStore) -> None:
        transaction = Transaction(asked)
        read(transaction, TABLE, self.BY_INDEX)
        assert transaction.read_set.range_rows == {}

    def test_rows_that_are_not_kept_are_those_of_the_table(self, asked: FaultyStore) -> None:
        transaction = Transaction(asked)
        transaction.fix_snapshot()
        transaction.check_unkept(self.BY_INDEX)
        assert transaction.read_set.ranges.keys() == {(1, 0, True), (1, 1, True)}
        others(b=b"new")
        with pytest.raises(ConflictError):
            commit_new_row(transaction)

    def test_none_for_a_store_that_follows_indexes_by_itself(
        self, asked: FaultyStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FaultyStore, "capabilities", dataclasses.replace(asked.capabilities, index_trips=1))
        transaction = Transaction(asked)
        read(transaction, self.BY_INDEX)
        transaction.check_unkept(self.BY_INDEX)
        assert transaction.read_set.ranges.keys() == {(1, 1, True)}
        assert transaction.read_set.range_rows == {}

    def test_rows_that_were_forgotten_are_listed_again(self, asked: FaultyStore) -> None:
        """What a failed statement has read does not count; the next one reads it from the cache."""
        transaction = Transaction(asked)
        before = transaction.read_set.mark()
        read(transaction, self.BY_INDEX)
        transaction.read_set.forget_since(before)
        assert transaction.read_set.range_rows == {1: {}}
        read(transaction, self.BY_INDEX)
        assert transaction.read_set.range_rows == {1: {b"a": 1, b"b": 1}}


class TestLostAnswer:
    def commit(self, store: FaultyStore) -> int:
        transaction = Transaction(store)
        read(transaction, get(b"a", Validation.ROWS))
        store.commits = 0
        return transaction.commit(writes(a=b"new"))

    def test_applied(self, store: FaultyStore) -> None:
        store.answers_lost = 1
        version = self.commit(store)
        assert version == store.last_snapshot().version
        assert (store.commits, store.resolves) == (1, 1)

    def test_aborted(self, store: FaultyStore) -> None:
        store.requests_lost = 1
        with pytest.raises(CommitAbortedError, match="nothing was written, and nothing will be") as caught:
            self.commit(store)
        assert caught.value.retryable
        assert read(Transaction(store), get(b"a", Validation.ROWS)) == [b"1"]

    def test_unreachable(self, store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transaction_module, "RESOLVE_PAUSES_S", [0.0] * 3)
        store.answers_lost = 1
        store.resolves_lost = 10
        with pytest.raises(CommitUnknownError, match="Before you repeat it, ask") as caught:
            self.commit(store)
        assert not caught.value.retryable
        assert store.commits == 1
        store.resolves_lost = 0
        assert store.resolve(caught.value.transaction_id, caught.value.snapshot) == store.last_snapshot().version
