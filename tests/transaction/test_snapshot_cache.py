"""Parts of an index that were read are found again, whatever the order of the ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rome.store.spi import Row
from rome.transaction.snapshot_cache import EVERYTHING, SnapshotCache

TABLE, INDEX = 1, 2

_KEYS = [bytes([n]) for n in range(12)]
_ROWS = [Row(key, 1, b"") for key in _KEYS]
_ranges = st.tuples(st.sampled_from(_KEYS), st.sampled_from(_KEYS)).map(lambda ends: (min(ends), max(ends)))


@given(st.lists(st.one_of(_ranges, st.just(EVERYTHING)), max_size=10), _ranges)
def test_a_range_is_covered_if_one_that_was_read_holds_it(
    read: list[tuple[bytes, bytes]], asked: tuple[bytes, bytes]
) -> None:
    cache = SnapshotCache()
    for start, stop in read:
        cache.add_range(TABLE, INDEX, (start, stop), [row for row in _ROWS if start <= row.key < stop])

    found = cache.covering(TABLE, INDEX, *asked)

    assert (found is not None) == any(start <= asked[0] and asked[1] <= stop for start, stop in read)
    if found is not None:
        assert {key for key in _KEYS if asked[0] <= key < asked[1]} <= set(found)
    assert cache.covering(TABLE, INDEX + 1, *asked) is None


@given(st.lists(_ranges, max_size=5), _ranges)
def test_the_order_index_read_whole_covers_every_key_and_range(
    read: list[tuple[bytes, bytes]], asked: tuple[bytes, bytes]
) -> None:
    cache = SnapshotCache()
    for start, stop in [*read, EVERYTHING]:
        cache.add_range(TABLE, 0, (start, stop), [row for row in _ROWS if start <= row.key < stop])

    assert cache.covering(TABLE, INDEX, *asked) == _KEYS
    assert cache.knows(TABLE, b"never stored")
    assert cache.row(TABLE, b"never stored") is None


@given(st.lists(st.one_of(_ranges, st.just(EVERYTHING)), max_size=10), _ranges, st.sampled_from([0, INDEX]))
def test_a_range_that_was_read_as_it_is_brings_no_other_rows(
    read: list[tuple[bytes, bytes]], asked: tuple[bytes, bytes], index: int
) -> None:
    """Rows are shown without a look at their keys then."""
    cache = SnapshotCache()
    for start, stop in read:
        cache.add_range(TABLE, index, (start, stop), [row for row in _ROWS if start <= row.key < stop])
    if cache.has_range(TABLE, index, asked):
        assert cache.covering(TABLE, index, *asked) == [key for key in _KEYS if asked[0] <= key < asked[1]]
    alone = SnapshotCache()
    alone.add_range(TABLE, index, asked, [])
    assert alone.has_range(TABLE, index, asked)
