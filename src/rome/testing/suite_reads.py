"""Conformance of reads: snapshots, scans, and any bytes as key or record."""

from __future__ import annotations

from itertools import pairwise
from threading import Event, Thread

import pytest

from rome.errors import SnapshotLostError
from rome.store.spi import BEYOND, ORDER_INDEX, Count, Get, Row, Scan, ScanResult, Snapshot
from rome.testing.harness import Connect, SnapshotClient, delete, enter, leave, put

LETTERS = [bytes([letter]) for letter in b"abcdefghij"]


class TestSnapshot:
    """A snapshot is one version, and stays so."""

    def test_new_database_is_empty_at_version_0(self, connect: Connect) -> None:
        client = connect()
        result = client.store.read(None, [Get(1, (b"a",)), Scan(1, ORDER_INDEX, b"", BEYOND), Count(1, 1, b"", BEYOND)])
        assert result.snapshot.version == 0
        assert result.catalog_version == 0
        assert result.answers == [[None], ScanResult([], None), 0]

    def test_read_of_nothing_fixes_the_snapshot(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        reader.begin()
        writer.write(put(b"a"))
        assert reader.get(b"a") == [None]

    def test_row_has_the_version_of_the_commit_that_wrote_it(self, connect: Connect) -> None:
        client = connect()
        first = client.write(put(b"a", b"1"), put(b"b", b"1"))
        second = client.write(put(b"b", b"2"))
        client.begin()
        assert client.get(b"a", b"b") == [Row(b"a", first, b"1"), Row(b"b", second, b"2")]

    def test_insert_update_and_delete_are_not_seen_by_an_older_snapshot(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"1"), enter(b"k", b"a"), put(b"b", b"1"), enter(b"k", b"b"))
        reader.begin()
        before = reader.get(b"a", b"b", b"c"), reader.scan(), reader.scan(1), reader.count(), reader.count(1)
        writer.write(put(b"a", b"2"), leave(b"k", b"a"), enter(b"l", b"a"))
        writer.write(delete(b"b"), leave(b"k", b"b"))
        writer.write(put(b"c", b"3"), enter(b"k", b"c"))
        assert (reader.get(b"a", b"b", b"c"), reader.scan(), reader.scan(1), reader.count(), reader.count(1)) == before
        reader.begin()
        assert reader.record(b"a") == b"2"
        assert reader.keys() == [b"a", b"c"]
        assert reader.keys(1) == [b"c", b"a"]

    def test_snapshot_keeps_each_of_many_states_of_a_row(self, connect: Connect) -> None:
        """Put, replaced, deleted, put again: a snapshot keeps seeing the state at which it was taken."""
        writer = connect()
        readers: list[tuple[SnapshotClient, bytes | None]] = []
        for record in [None, b"1", b"2", None, b"3", None, None, b"4"]:
            writer.write(delete(b"a") if record is None else put(b"a", record), put(b"z", b"other"))
            reader = connect()
            reader.begin()
            readers.append((reader, record))
        for reader, record in readers:
            assert reader.record(b"a") == record
            assert reader.keys() == ([b"z"] if record is None else [b"a", b"z"])
            assert reader.count() == len(reader.keys())

    def test_old_snapshot_sees_the_entries_of_its_time(self, connect: Connect) -> None:
        """An entry that went and came back, and one that came and went, at every snapshot in between."""
        writer = connect()
        writer.write(put(b"x"), put(b"y"), put(b"z"), enter(b"m", b"y"))
        readers: list[tuple[SnapshotClient, list[bytes]]] = []
        for step, present in [
            (leave(b"m", b"y"), []),
            (enter(b"l", b"x"), [b"x"]),
            (enter(b"m", b"y"), [b"x", b"y"]),
            (leave(b"l", b"x"), [b"y"]),
            (enter(b"n", b"z"), [b"y", b"z"]),
        ]:
            writer.write(step)
            reader = connect()
            reader.begin()
            readers.append((reader, present))
        for reader, expected in readers:
            assert reader.keys(1) == expected
            assert reader.keys(1, reverse=True, limit=1) == expected[::-1]
            assert reader.count(1) == len(expected)
            assert reader.count(1, b"m", b"m\xff") == (b"y" in expected)

    def test_scan_of_an_old_snapshot_with_interleaved_changes(self, connect: Connect) -> None:
        """Pages of an old snapshot, with a commit between any two of them, are the pages of that snapshot."""
        reader, writer = connect(), connect()
        writer.write(*(put(key) for key in LETTERS[::2]))
        reader.begin()
        pages: list[bytes] = []
        start = b""
        changes = [
            delete(b"e"),
            put(b"b"),
            delete(b"a"),
            put(b"e"),
            put(b"f"),
            delete(b"i"),
            put(b"c", b"new"),
            put(b"a"),
        ]
        for change in changes:
            writer.write(change)
            [page] = reader.read(Scan(1, ORDER_INDEX, start, BEYOND, limit=1))
            assert isinstance(page, ScanResult)
            pages += [row.key for row in page.rows]
            if page.resume is None:
                break
            start = page.resume
        assert pages == LETTERS[::2]
        for limit in (1, 2, 3, None):
            assert reader.keys(limit=limit) == LETTERS[::2]
            assert reader.keys(limit=limit, reverse=True) == LETTERS[::2][::-1]
        assert {row.record for row in reader.scan()} == {b"record"}
        assert reader.count(start=b"b", stop=b"f") == 2

    def test_results_of_one_read_are_of_one_version(self, connect: Connect) -> None:
        """While a writer moves rows without changing their number or sum, no read sees a move half done."""
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"00"), put(b"b", b"00"), enter(b"00", b"a"), enter(b"00", b"b"))
        writer.write(put(b"only-0", table=2))
        stop = Event()

        def move() -> None:
            n = 0
            while not stop.is_set():
                old, new = b"%02d" % (n % 50), b"%02d" % ((n + 1) % 50)
                writer.write(
                    put(b"a", new), put(b"b", new), put(b"only-%d" % ((n + 1) % 2), table=2),
                    delete(b"only-%d" % (n % 2), table=2),
                    leave(old, b"a"), leave(old, b"b"), enter(new, b"a"), enter(new, b"b"),
                )  # fmt: skip
                n += 1

        thread = Thread(target=move)
        thread.start()
        try:
            for _ in range(100):
                result = reader.store.read(
                    None, [Get(1, (b"a",)), Scan(1, 1, b"", BEYOND), Count(1, 1, b"", BEYOND), Get(1, (b"b",))]
                )
                [a], scan, count, [b] = result.answers  # type: ignore[misc]
                assert isinstance(a, Row)
                assert isinstance(b, Row)
                assert isinstance(scan, ScanResult)
                assert (a.record, a.version) == (b.record, b.version)
                assert [(row.record, row.version) for row in scan.rows] == [(a.record, a.version)] * 2
                assert count == 2
                reader.snapshot = result.snapshot
                assert reader.record(b"b") == a.record
                assert reader.count(table=2) == 1
        finally:
            stop.set()
            thread.join()

    def test_new_snapshot_ends_the_one_before(self, connect: Connect) -> None:
        client, writer = connect(), connect()
        ended = client.begin()
        writer.write(put(b"a"))
        client.begin()
        with pytest.raises(SnapshotLostError):
            client.store.read(ended, [Get(1, (b"a",))])

    def test_released_snapshot_cannot_be_read(self, connect: Connect) -> None:
        client = connect()
        ended = client.begin()
        client.store.release()
        client.store.release()
        with pytest.raises(SnapshotLostError):
            client.store.read(ended, [Get(1, (b"a",))])

    def test_commit_ends_the_snapshot(self, connect: Connect) -> None:
        client = connect()
        ended = client.begin()
        client.commit(put(b"a"))
        with pytest.raises(SnapshotLostError):
            client.store.read(ended, [Get(1, (b"a",))])

    def test_snapshot_belongs_to_its_connection(self, connect: Connect) -> None:
        owner, other = connect(), connect()
        other.write(put(b"a"))
        snapshot = owner.begin()
        other.write(put(b"a"))
        other.begin()
        with pytest.raises(SnapshotLostError):
            other.store.read(snapshot, [Get(1, (b"a",))])

    def test_snapshot_of_another_incarnation_or_of_the_future_is_refused(self, connect: Connect) -> None:
        client = connect()
        snapshot = client.begin()
        for forged in (Snapshot(b"?" * 16, snapshot.version), Snapshot(snapshot.incarnation, snapshot.version + 1)):
            client.begin()
            with pytest.raises(SnapshotLostError):
                client.store.read(forged, [Get(1, (b"a",))])
            client.snapshot = forged
            with pytest.raises(SnapshotLostError):
                client.commit(put(b"a", was=0))
        client.begin()
        assert client.get(b"a") == [None]

    def test_last_snapshot_is_the_newest_that_was_heard_of(self, connect: Connect) -> None:
        first, second = connect(), connect()
        version = first.write(put(b"a"))
        assert first.store.last_snapshot().version == version
        assert second.begin().version == version
        assert second.store.last_snapshot() == second.snapshot == first.store.last_snapshot()
        assert connect().store.last_snapshot().version == version


class TestScan:
    """Ranges, pages, counts and gets."""

    @pytest.fixture
    def client(self, connect: Connect) -> SnapshotClient:
        """Ten rows, and an index in which the first five have the key "k", the others "l", and "a" also "m"."""
        client = connect()
        client.write(*(put(key, key) for key in LETTERS))
        client.write(*(enter(b"k" if key < b"f" else b"l", key) for key in LETTERS), enter(b"m", b"a"))
        client.begin()
        return client

    def test_rows_come_in_order_of_the_index(self, client: SnapshotClient) -> None:
        assert client.keys() == LETTERS
        assert client.keys(reverse=True) == LETTERS[::-1]
        assert client.keys(1) == [*LETTERS, b"a"]
        assert client.keys(1, reverse=True) == [b"a", *LETTERS[::-1]]

    @pytest.mark.parametrize("reverse", [False, True])
    def test_range_is_half_open(self, client: SnapshotClient, reverse: bool) -> None:
        def letters(text: str) -> list[bytes]:
            return [bytes([letter]) for letter in (text[::-1] if reverse else text).encode()]

        assert client.keys(start=b"c", stop=b"f", reverse=reverse) == letters("cde")
        assert client.keys(start=b"c\xff", stop=b"f\xff", reverse=reverse) == letters("def")
        assert client.keys(start=b"i", reverse=reverse) == letters("ij")
        assert client.keys(stop=b"b", reverse=reverse) == letters("a")
        assert client.keys(1, b"k", b"k\xff", reverse=reverse) == letters("abcde")
        assert client.keys(1, b"k\xff", b"m", reverse=reverse) == letters("fghij")

    @pytest.mark.parametrize("reverse", [False, True])
    def test_range_bounds_index_key_and_row_key_together(self, client: SnapshotClient, reverse: bool) -> None:
        found = client.keys(1, b"kd", b"lg", reverse=reverse)
        assert found == ([b"f", b"e", b"d"] if reverse else [b"d", b"e", b"f"])
        assert client.count(1, b"kd", b"lg") == 3

    def test_empty_and_inverted_ranges_hold_nothing(self, client: SnapshotClient) -> None:
        for start, stop in [(b"c", b"c"), (b"d", b"c"), (b"c\x00", b"d"), (b"j\xff", BEYOND), (b"", b"a")]:
            for reverse in (False, True):
                assert client.scan(start=start, stop=stop, reverse=reverse) == []
            assert client.count(start=start, stop=stop) == 0
        assert client.scan(7) == []
        assert client.scan(table=7) == []
        assert client.count(7) == 0

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 3, 10, 11, None])
    def test_pages_join_to_the_whole(self, client: SnapshotClient, limit: int | None, reverse: bool) -> None:
        assert client.keys(limit=limit, reverse=reverse) == (LETTERS[::-1] if reverse else LETTERS)
        assert client.keys(1, b"kb", b"lh", limit=limit, reverse=reverse) == (
            LETTERS[6:0:-1] if reverse else LETTERS[1:7]
        )

    @pytest.mark.parametrize("reverse", [False, True])
    def test_limit_bounds_the_rows_of_one_answer(self, client: SnapshotClient, reverse: bool) -> None:
        [answer] = client.read(Scan(1, ORDER_INDEX, b"b", b"i", 3, reverse))
        assert isinstance(answer, ScanResult)
        assert 0 < len(answer.rows) <= 3
        assert answer.resume is not None
        expected = LETTERS[7:0:-1] if reverse else LETTERS[1:8]
        assert [row.key for row in answer.rows] == expected[: len(answer.rows)]
        going_on = client.keys(start=b"b", stop=answer.resume, reverse=True) if reverse else client.keys(
            start=answer.resume, stop=b"i"
        )  # fmt: skip
        assert going_on == expected[len(answer.rows) :]

    def test_count_is_exact(self, client: SnapshotClient) -> None:
        assert client.count() == 10
        assert client.count(start=b"b", stop=b"e") == 3
        assert client.count(1, b"k", b"k\xff") == 5
        assert client.count(1) == 11

    def test_get_answers_in_the_order_of_its_keys(self, client: SnapshotClient) -> None:
        rows = client.get(b"c", b"nope", b"a", b"c")
        assert [row and row.key for row in rows] == [b"c", None, b"a", b"c"]
        assert client.get() == []

    def test_rows_are_sent_to_whom_knows_those_of_another_database(self, client: SnapshotClient) -> None:
        """A database of the same name may have been dropped, and the new one may have as many commits."""
        known = Snapshot(bytes(len(client.snapshot.incarnation)), client.snapshot.version)
        [answer] = client.read(Scan(1, ORDER_INDEX, b"", BEYOND, known=known))
        assert isinstance(answer, ScanResult)
        assert not answer.unchanged
        assert len(answer.rows) == client.count()

    def test_one_read_answers_many_requests_in_order(self, client: SnapshotClient) -> None:
        other = client.write(put(b"z", b"other", table=2))
        client.begin()
        answers = client.read(
            Count(1, ORDER_INDEX, b"", b"c"), Get(2, (b"z", b"a")), Get(1, ()), Scan(2, 0, b"", BEYOND), Get(3, (b"z",))
        )
        row = Row(b"z", other, b"other")
        assert answers == [2, [row, None], [], ScanResult([row], None), [None]]

    def test_large_table_is_scanned_whole_and_counted_at_an_old_snapshot(self, connect: Connect) -> None:
        """More rows than any store gives in one answer, half of them deleted after the snapshot."""
        reader, writer = connect(), connect()
        keys = [b"%05d" % number for number in range(3000)]
        kept, added = keys[1::2], [b"new-%d" % number for number in range(10)]
        writer.write(*(put(key, key * 20) for key in keys), *(enter(key[::-1], key) for key in keys))
        reader.begin()
        writer.write(*(delete(key) for key in keys[::2]), *(leave(key[::-1], key) for key in keys[::2]))
        writer.write(*(put(key) for key in added), *(enter(key[::-1], key) for key in added))
        writer.begin()
        for client, expected in [(reader, keys), (writer, kept + added)]:
            by_index = sorted(expected, key=lambda key: key[::-1])
            assert client.keys() == expected
            assert client.keys(reverse=True) == expected[::-1]
            assert client.keys(1, limit=700) == by_index
            assert client.keys(1, reverse=True) == by_index[::-1]
            assert client.count() == client.count(1) == len(expected)


LONG = b"long" * 1500
KEYS = sorted(
    [
        b"\x00", b"\x01\x00", b"\x01\x01", b"\x02\x00\x00", b"\x02\x00\x01", b"\n\r", b"\x80\x00",
        b"\xfe\x00", b"\xfe\xff", b"{1}", b"*", b"[a", b"\\x", b"%s",
        *(LONG[:length] + end for length in (300, 509, 510, 511, 512, 900, 6000) for end in (b"\0", b"\1", b"\xff")),
    ]
)  # fmt: skip
"""Prefix-free. The keys that begin with LONG differ only near their end, at and beyond the limits of key lengths."""


class TestKeysAndRecords:
    """Any bytes may be keys and records, and keys are ordered by memcmp."""

    def test_keys_are_prefix_free_as_the_contract_wants_them(self) -> None:
        assert not any(longer.startswith(shorter) for shorter, longer in pairwise(KEYS))
        assert all(key < BEYOND for key in KEYS)

    def test_any_bytes_are_row_keys_in_memcmp_order(self, connect: Connect) -> None:
        client = connect()
        client.write(*(put(key, b"%d" % len(key)) for key in reversed(KEYS)))
        client.begin()
        assert [row and row.key for row in client.get(*KEYS)] == KEYS
        assert client.keys() == KEYS
        assert client.keys(limit=2, reverse=True) == KEYS[::-1]
        assert [row.record for row in client.scan()] == [b"%d" % len(key) for key in KEYS]

    def test_any_bytes_are_index_keys_in_memcmp_order(self, connect: Connect) -> None:
        client = connect()
        row_keys = [b"a", b"b", LONG + b"c", LONG + b"d"]
        client.write(*(put(key) for key in row_keys))
        client.write(*(enter(key, row_key) for key in KEYS for row_key in reversed(row_keys)))
        client.begin()
        assert client.keys(1) == row_keys * len(KEYS)
        assert client.count(1) == len(row_keys) * len(KEYS)
        for key in KEYS:
            assert client.keys(1, key, key + b"\xff", limit=3) == row_keys
            assert client.keys(1, key, key + b"\xff", reverse=True) == row_keys[::-1]
            assert client.keys(1, key + b"b", key + LONG + b"d") == [b"b", LONG + b"c"]
            assert client.count(1, key + b"b", key + b"\xff") == 3

    def test_every_range_between_long_keys_is_exact(self, connect: Connect) -> None:
        client = connect()
        client.write(*(put(key) for key in KEYS))
        client.begin()
        bounds = [*KEYS, *(key + b"\xff" for key in KEYS), *(LONG[:length] for length in (1, 510, 511, 512, 3000))]
        for bound in bounds:
            below, above = [key for key in KEYS if key < bound], [key for key in KEYS if key >= bound]
            assert client.keys(stop=bound) == below
            assert client.keys(start=bound) == above
            assert client.keys(stop=bound, reverse=True, limit=2) == below[::-1]
            assert client.count(start=bound) == len(above)

    def test_long_keys_are_kept_apart_when_they_change(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        writer.write(*(put(key) for key in KEYS))
        reader.begin()
        for victim in [key for key in KEYS if key.startswith(LONG[:300])]:
            writer.write(delete(victim))
            writer.begin()
            assert writer.keys() == [key for key in KEYS if key != victim]
            assert writer.get(victim) == [None]
            writer.write(put(victim))
        assert reader.keys() == KEYS

    @pytest.mark.parametrize(
        "record",
        [b"", b"\x00", bytes(range(256)), b"\xff" * 8, b"12345678", b"x" * 2**20],
        ids=["empty", "zero", "every byte", "eight bytes", "digits", "a megabyte"],
    )
    def test_any_bytes_are_a_record(self, connect: Connect, record: bytes) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"a", record), enter(b"k", b"a"))
        reader.begin()
        writer.write(put(b"a", b"later"))
        writer.write(delete(b"a"), leave(b"k", b"a"))
        assert reader.record(b"a") == record
        assert [row.record for row in reader.scan()] == [record]
        assert [row.record for row in reader.scan(1)] == [record]

    def test_several_large_records_in_one_scan(self, connect: Connect) -> None:
        client = connect()
        for key in LETTERS:
            client.write(put(key, key * 2**20))
        client.begin()
        assert [row.record[:2] for row in client.scan()] == [key * 2 for key in LETTERS]
        assert [row.record[-2:] for row in client.scan(reverse=True, limit=4)] == [key * 2 for key in LETTERS[::-1]]
