"""Transaction.fetch leaves what `read` leaves: the same cache, counters and read set; and returns what `rows` does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from rome.store.location import Location
from rome.store.memory import MemoryStore
from rome.store.row_block import MANY
from rome.store.spi import BEYOND, ORDER_INDEX
from rome.transaction.memory_budget import MemoryBudget, OverBudget
from rome.transaction.read_set import NOTHING, Validation
from rome.transaction.reference_tables import ReferenceTables
from rome.transaction.snapshot_cache import EVERYTHING
from rome.transaction.transaction import ReadRequest, Transaction
from rome.transaction.write_set import WriteSet

TABLE, INDEX = 7, 1
ROWS = 2 * MANY


def _key(number: int) -> bytes:
    return b"k%04d" % number


@pytest.fixture(scope="module")
def store() -> Iterator[MemoryStore]:
    location = Location("memory", database="fetch")
    opened = MemoryStore.open(location)
    writes = WriteSet()
    for number in range(ROWS):
        writes.put(TABLE, _key(number), b"record %d" % number)
        writes.add_entry(TABLE, INDEX, b"i%04d" % (number // 3), _key(number))
    Transaction(opened).commit(writes)
    yield opened
    MemoryStore.drop_database(location)


_numbers = st.integers(0, ROWS + 3)
_keys = st.lists(_numbers, min_size=1, max_size=2).map(lambda found: (ORDER_INDEX, tuple(map(_key, found)), ()))
_ranges = st.tuples(_numbers, _numbers).map(
    lambda pair: (ORDER_INDEX, (), ((_key(min(pair)), _key(max(pair) + 1)),)),
)
_entries = _numbers.map(lambda number: (INDEX, (), ((b"i%04d" % number, b"i%04d" % number + BEYOND),)))
_whole = st.sampled_from([ORDER_INDEX, INDEX]).map(lambda index: (index, (), ((b"", BEYOND),)))
_wants = st.builds(
    lambda place, check: ReadRequest(TABLE, place[0], place[1], place[2], check),
    st.one_of(_keys, _ranges, _entries, _whole),
    st.sampled_from(Validation),
)


def _read(transaction: Transaction, want: ReadRequest) -> object:
    transaction.read([want])
    transaction.check_request(want)
    return transaction.rows(want)


def _fetched(transaction: Transaction, want: ReadRequest) -> object:
    rows = transaction.fetch(want)
    if rows is None:
        return _read(transaction, want)
    transaction.check_request(want)
    return [*rows]


def _held(transaction: Transaction) -> tuple[object, ...]:
    cache = asdict(transaction.cache)
    cache["ranges"] = {
        place: [(each.start, each.stop, [*each.listed], each.block and [*each.block]) for each in ranges]
        for place, (_, ranges) in transaction.cache.ranges.items()
    }
    cache["whole"] = {*transaction.cache.whole}
    cache["_blocks"] = {table: [[*block] for block in blocks] for table, blocks in cache["_blocks"].items() if blocks}
    cache["rows"] = {table: rows for table, rows in transaction.cache.rows.items() if rows}
    read_set = transaction.read_set
    counted = transaction.rows_read, transaction.bytes_read, transaction.waves, transaction.budget.used_bytes
    return cache, read_set.points, read_set.ranges, read_set.range_rows, counted, transaction.catalog_version


@given(wants=st.lists(_wants, max_size=6))
def test_fetch_leaves_what_read_leaves(store: MemoryStore, wants: list[ReadRequest]) -> None:
    one = Transaction(store, reference_tables=ReferenceTables())
    other = Transaction(store.another(), reference_tables=ReferenceTables())
    for want in wants:
        assert _fetched(one, want) == _read(other, want)
        assert _held(one) == _held(other)
    store.release()


@given(
    before=st.lists(_wants, max_size=2),
    wants=st.lists(_wants, max_size=4, unique_by=lambda want: (want.index_id, want.keys[:1], want.ranges)),
)
def test_fetch_all_leaves_what_read_leaves(
    store: MemoryStore, before: list[ReadRequest], wants: list[ReadRequest]
) -> None:
    keys = [key for want in wants for key in want.keys]
    assume(wants and len(keys) == len({*keys}))
    one = Transaction(store, reference_tables=ReferenceTables())
    other = Transaction(store.another(), reference_tables=ReferenceTables())
    for want in before:
        assert _read(one, want) == _read(other, want)
    found = one.fetch_all(wants)
    if found is None:
        one.read(wants)
    other.read(wants)
    for number, want in enumerate(wants):
        one.check_request(want)
        other.check_request(want)
        rows = one.rows(want) if found is None else found[number]
        assert {row.key for row in rows} <= {row.key for row in other.rows(want)}
        assert one.rows(want) == other.rows(want)
    assert _held(one) == _held(other)
    again = one.fetch_all(wants)  # what is known takes no trip
    assert again is None or [[*rows] for rows in again] == [[*other.rows(want)] for want in wants]
    assert one.waves == other.waves
    store.release()


@given(
    wants=st.lists(_wants, min_size=1, max_size=3, unique_by=lambda want: (want.index_id, want.keys[:1], want.ranges)),
    ahead=st.lists(_wants, max_size=3),
)
def test_what_is_read_ahead_changes_no_answer_and_no_read_set(
    store: MemoryStore, wants: list[ReadRequest], ahead: list[ReadRequest]
) -> None:
    keys = [key for want in wants for key in want.keys]
    assume(len(keys) == len({*keys}))
    one = Transaction(store, reference_tables=ReferenceTables())
    other = Transaction(store.another(), reference_tables=ReferenceTables())
    small = [replace(want, check=NOTHING, most=5) for want in ahead if EVERYTHING not in want.ranges]
    found = one.fetch_all(wants, small)
    if found is None:
        one.read(wants, ahead=small)
    other.read(wants)
    assert one.waves == 1 or found is None
    assert other.waves == 1
    for want in [*wants, *ahead]:
        one.admit([want])
        if not one.has_read(want):
            one.read([want])
        other.read([want])
        one.check_request(want)
        other.check_request(want)
        assert {row.key: row for row in one.rows(want)} == {row.key: row for row in other.rows(want)}
    assert (one.read_set.points, one.read_set.ranges) == (other.read_set.points, other.read_set.ranges)
    store.release()


def test_fetch_all_brings_keys_and_ranges(store: MemoryStore) -> None:
    transaction = Transaction(store)
    by_keys = ReadRequest(TABLE, ORDER_INDEX, (_key(5), _key(9_000)), (), Validation.ROWS)
    entries = ((b"i0002", b"i0002" + BEYOND), (b"i0004", b"i0004" + BEYOND))
    by_index = ReadRequest(TABLE, INDEX, (), entries, Validation.ROWS)
    found = transaction.fetch_all([by_keys, by_index])
    store.release()
    assert found is not None
    assert [[row.record for row in rows] for rows in found] == [
        [b"record 5"],
        [b"record 6", b"record 7", b"record 8", b"record 12", b"record 13", b"record 14"],
    ]
    assert transaction.fetch_all([by_keys]) == found[:1]
    assert transaction.waves == 1


def test_fetch_brings_one_range_or_one_key(store: MemoryStore) -> None:
    transaction = Transaction(store)
    by_key = transaction.fetch(ReadRequest(TABLE, ORDER_INDEX, (_key(5),), (), Validation.ROWS))
    by_index = transaction.fetch(ReadRequest(TABLE, INDEX, (), ((b"i0002", b"i0002" + BEYOND),), Validation.ROWS))
    store.release()
    assert by_key is not None
    assert by_index is not None
    assert [row.record for row in by_key] == [b"record 5"]
    assert [row.record for row in by_index] == [b"record 6", b"record 7", b"record 8"]


@given(want=_wants, check=st.sampled_from(Validation))
def test_what_was_fetched_is_at_hand_again(store: MemoryStore, want: ReadRequest, check: Validation) -> None:
    transaction = Transaction(store, reference_tables=ReferenceTables())
    transaction.read([want])
    is_one = len(want.keys) + len(want.ranges) == 1 and want.ranges != (EVERYTHING,)
    again = transaction.fetch(replace(want, check=check))
    assert again == (transaction.rows(want) if is_one and transaction.block(want) is None else None)
    assert transaction.waves == 1
    store.release()


def test_fetch_returns_nothing_of_a_greater_range(store: MemoryStore) -> None:
    transaction = Transaction(store)
    transaction.read([ReadRequest(TABLE, INDEX, (), ((b"i0002", b"i0005" + BEYOND),), Validation.ROWS)])
    assert transaction.fetch(ReadRequest(TABLE, INDEX, (), ((b"i0002", b"i0002" + BEYOND),), Validation.ROWS)) is None
    store.release()


def test_fetch_takes_memory(store: MemoryStore) -> None:
    transaction = Transaction(store, MemoryBudget(10))
    with pytest.raises(OverBudget):
        transaction.fetch(ReadRequest(TABLE, INDEX, (), ((b"i0002", b"i0002" + BEYOND),), Validation.ROWS))
    store.release()
