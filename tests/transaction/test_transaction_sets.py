"""Read set, write set and cache: what is kept of a transaction."""

from __future__ import annotations

import pytest

from rome.errors import TransactionTooLargeError
from rome.store.spi import BEYOND, MAX_COMMIT_BYTES, MAX_COMMIT_ROWS, Row
from rome.transaction.read_set import ReadSet
from rome.transaction.snapshot_cache import SnapshotCache
from rome.transaction.write_set import CommitLimits, WriteSet


class TestReadSet:
    def test_the_first_reading_of_a_row_counts(self) -> None:
        reads = ReadSet()
        reads.add_point(1, b"k", 5)
        reads.add_point(1, b"k", 9)
        reads.add_point(2, b"k", 0)
        assert reads.points == {1: {b"k": 5}, 2: {b"k": 0}}

    def test_a_range_is_kept_once_for_each_strength(self) -> None:
        reads = ReadSet()
        reads.add_ranges(1, 2, [(b"a", b"b")], 7, rows=False)
        reads.add_ranges(1, 2, [(b"a", b"b")], 8, rows=False)
        reads.add_ranges(1, 2, [(b"a", b"b")], 9, rows=True)
        assert reads.ranges == {(1, 2, False): {(b"a", b"b"): 7}, (1, 2, True): {(b"a", b"b"): 9}}
        assert (reads.oldest(), len(reads)) == (7, 2)

    def test_what_came_after_a_mark_can_be_forgotten(self) -> None:
        reads = ReadSet()
        reads.add_point(1, b"k", 5)
        reads.add_ranges(1, 2, [(b"a", b"b")], 5, rows=False)
        mark = reads.mark()
        for table_id in (1, 2):
            reads.add_point(table_id, b"k", 6)
            reads.add_point(table_id, b"l", 6)
            reads.add_ranges(table_id, 2, [(b"a", b"b")], 6, rows=False)
            reads.add_ranges(table_id, 2, [(b"a", b"b")], 6, rows=True)
        reads.forget_since(mark)
        assert reads.points == {1: {b"k": 5}, 2: {}}
        assert {place: ranges for place, ranges in reads.ranges.items() if ranges} == {(1, 2, False): {(b"a", b"b"): 5}}
        assert (reads.oldest(), len(reads)) == (5, 2)

    def test_empty(self) -> None:
        assert (ReadSet().oldest(), len(ReadSet())) == (None, 0)


class TestWriteSet:
    def test_a_row_put_where_another_was_deleted_is_put(self) -> None:
        for order in (("delete", "put"), ("put", "delete")):
            writes = WriteSet()
            for step in order:
                if step == "put":
                    writes.put(1, b"k", b"new")
                else:
                    writes.delete(1, b"k")
            assert writes.rows == {1: {b"k": b"new"}}

    def test_an_entry_removed_and_added_stays_untouched(self) -> None:
        for first, second in (("add_entry", "remove_entry"), ("remove_entry", "add_entry")):
            writes = WriteSet()
            getattr(writes, first)(1, 2, b"i", b"k")
            getattr(writes, second)(1, 2, b"i", b"k")
            assert writes.entries == {(1, 2): {}}
            assert not writes

    def test_entries_of_different_rows_are_different(self) -> None:
        writes = WriteSet()
        writes.remove_entry(1, 2, b"i", b"k")
        writes.add_entry(1, 2, b"i", b"l")
        assert writes.entries == {(1, 2): {(b"i", b"k"): False, (b"i", b"l"): True}}

    def test_a_sequence_only_rises(self) -> None:
        writes = WriteSet()
        writes.raise_sequence(1, 7)
        writes.raise_sequence(1, 3)
        assert writes.sequences == {1: 7}
        assert writes

    def test_limits(self) -> None:
        writes = WriteSet()
        for number in range(MAX_COMMIT_ROWS):
            writes.put(1, b"%d" % number, b"")
        writes.check_size(CommitLimits())
        writes.delete(1, b"one more")
        with pytest.raises(TransactionTooLargeError, match="10,001 rows"):
            writes.check_size(CommitLimits())
        writes.check_size(CommitLimits(rows=10_001))
        writes = WriteSet()
        writes.put(1, b"", b"x" * MAX_COMMIT_BYTES)
        writes.check_size(CommitLimits())
        writes.add_entry(1, 1, b"i", b"")
        with pytest.raises(TransactionTooLargeError, match=r"1 rows, 1 index entries and 16,777,217 bytes"):
            writes.check_size(CommitLimits())
        writes.check_size(CommitLimits(bytes=MAX_COMMIT_BYTES + 1))

    def test_limit_of_the_store_is_not_one_that_the_url_raises(self) -> None:
        writes = WriteSet()
        writes.put(1, b"a", b"x" * 60)
        writes.put(1, b"b", b"x" * 60)
        writes.check_size(CommitLimits(), 122)
        with pytest.raises(
            TransactionTooLargeError, match=r"2 rows.*the store takes 121 bytes.*smaller parts"
        ) as caught:
            writes.check_size(CommitLimits(), 121)
        assert caught.value.limit == "the store takes 121 bytes in one commit, at most"
        assert "URL" not in str(caught.value)

    def test_entries_are_limited_like_rows(self) -> None:
        writes = WriteSet()
        for number in range(20):
            writes.add_entry(1, 1, b"%d" % number, b"key")
        writes.check_size(CommitLimits(rows=2))
        writes.remove_entry(1, 2, b"one more", b"key")
        with pytest.raises(TransactionTooLargeError, match="at most 2 rows, 20 entries"):
            writes.check_size(CommitLimits(rows=2))


class TestSnapshotCache:
    ROWS = (Row(b"a", 1, b"ra"), Row(b"c", 1, b"rc"))

    def test_an_absent_row_is_known(self) -> None:
        cache = SnapshotCache()
        assert not cache.knows(1, b"k")
        cache.add_rows(1, [(b"k", None)])
        assert cache.knows(1, b"k")
        assert cache.row(1, b"k") is None
        assert not cache.knows(2, b"k")

    def test_a_range_covers_what_lies_in_it(self) -> None:
        cache = SnapshotCache()
        cache.add_range(1, 3, (b"b", b"f"), list(self.ROWS))
        assert cache.covering(1, 3, b"c", b"d") == [b"a", b"c"]
        assert cache.covering(1, 3, b"b", b"f") is not None
        assert cache.covering(1, 3, b"a", b"d") is None
        assert cache.covering(1, 4, b"c", b"d") is None
        assert cache.row(1, b"c") == self.ROWS[1]

    def test_the_whole_table_covers_every_key_and_index(self) -> None:
        cache = SnapshotCache()
        cache.add_range(1, 0, (b"a", b"b"), [])
        cache.add_range(1, 0, (b"", BEYOND), list(self.ROWS))
        assert cache.knows(1, b"zzz")
        assert cache.row(1, b"zzz") is None
        assert cache.covering(1, 9, b"x", b"y") == [b"a", b"c"]
