"""Conformance of read sets: a commit is applied if, and only if, nothing that it read has changed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rome.errors import ConflictError
from rome.store.spi import BEYOND, Drop, Reserve, Row
from rome.testing.harness import (
    Connect,
    Point,
    RangeCheck,
    SnapshotClient,
    StoreWrite,
    change_catalog,
    delete,
    enter,
    leave,
    put,
)


class TestReadSet:
    """A change of anything that was read is a conflict; other changes are not."""

    @pytest.fixture
    def writer(self, connect: Connect) -> SnapshotClient:
        """Rows b, d, f under the index keys kb, kd, kf of index 1."""
        writer = connect()
        writer.write(*(put(key) for key in (b"b", b"d", b"f")), *(enter(b"k" + key, key) for key in (b"b", b"d", b"f")))
        return writer

    @pytest.mark.parametrize(
        ("key", "changes"),
        [
            pytest.param(b"d", [put(b"d", b"new")], id="updated"),
            pytest.param(b"d", [put(b"d", b"new"), put(b"d")], id="updated and set back"),
            pytest.param(b"d", [delete(b"d")], id="deleted"),
            pytest.param(b"d", [delete(b"d"), put(b"d")], id="deleted and put again"),
            pytest.param(b"c", [put(b"c")], id="inserted"),
        ],
    )
    def test_changed_point_conflicts(
        self, connect: Connect, writer: SnapshotClient, key: bytes, changes: Sequence[StoreWrite]
    ) -> None:
        client = connect()
        client.begin()
        [row] = client.get(key)
        for change in changes:
            writer.write(change)
        _conflicts(client, Point(1, key, row.version if row else 0), keys=[key])

    def test_unchanged_points_are_valid_whatever_else_changed(self, connect: Connect, writer: SnapshotClient) -> None:
        client = connect()
        client.begin()
        [row] = client.get(b"d")
        assert row is not None
        writer.write(put(b"b", b"new"), delete(b"f"), put(b"c"), put(b"d", table=2), put(b"e", table=2))
        client.commit(put(b"d", b"mine"), read=[Point(1, b"d", row.version), Point(1, b"e", 0), Point(9, b"e", 0)])
        client.begin()
        assert client.record(b"d") == b"mine"

    def test_absence_is_valid_again_when_the_row_came_and_went(self, connect: Connect, writer: SnapshotClient) -> None:
        client = connect()
        client.begin()
        writer.write(put(b"c"))
        writer.write(delete(b"c"))
        client.commit(put(b"e"), read=[Point(1, b"c", 0)])
        client.begin()
        assert client.keys() == [b"b", b"d", b"e", b"f"]

    @pytest.mark.parametrize("rows", [False, True])
    @pytest.mark.parametrize(
        ("index", "start", "stop", "change"),
        [
            pytest.param(0, b"c", b"e", put(b"c"), id="inserted at the start"),
            pytest.param(0, b"c", b"e", put(b"dz"), id="inserted before the stop"),
            pytest.param(0, b"c", b"e", delete(b"d"), id="deleted"),
            pytest.param(0, b"", BEYOND, put(b"z"), id="inserted into the whole table"),
            pytest.param(0, b"g", BEYOND, put(b"z"), id="inserted into an empty range"),
            pytest.param(1, b"kd", b"kd\xff", enter(b"kd", b"b"), id="entry came"),
            pytest.param(1, b"kd", b"kd\xff", leave(b"kd", b"d"), id="entry went"),
            pytest.param(1, b"kdd", b"kdd\xff", leave(b"kd", b"d"), id="entry went, range within one index key"),
            pytest.param(5, b"", BEYOND, enter(b"kd", b"b", index=5), id="entry came into an empty index"),
        ],
    )
    def test_range_conflicts_with_what_comes_or_goes(
        self,
        connect: Connect,
        writer: SnapshotClient,
        index: int,
        start: bytes,
        stop: bytes,
        change: StoreWrite,
        rows: bool,
    ) -> None:
        client = connect()
        client.begin()
        writer.write(change)
        _conflicts(client, client.check(index, start, stop, rows=rows), keys=[start, b"b", b"c", b"d", b"dz", b"z"])

    @pytest.mark.parametrize("rows", [False, True])
    @pytest.mark.parametrize(
        ("index", "start", "stop", "changes"),
        [
            pytest.param(0, b"c", b"d", [put(b"c"), delete(b"c")], id="came and went"),
            pytest.param(0, b"d", b"e", [delete(b"d"), put(b"d")], id="went and came back"),
            pytest.param(1, b"kc", b"kd", [enter(b"kc", b"d"), leave(b"kc", b"d")], id="entry came and went"),
            pytest.param(1, b"kd", b"ke", [leave(b"kd", b"d"), enter(b"kd", b"d")], id="entry went and came back"),
        ],
    )
    def test_range_conflicts_though_it_is_as_it_was(
        self,
        connect: Connect,
        writer: SnapshotClient,
        index: int,
        start: bytes,
        stop: bytes,
        changes: list[StoreWrite],
        rows: bool,
    ) -> None:
        client = connect()
        client.begin()
        for change in changes:
            writer.write(change)
        _conflicts(client, client.check(index, start, stop, rows=rows), keys=[start, b"c", b"d"])

    @pytest.mark.parametrize(
        ("index", "start", "stop"),
        [(0, b"c", b"e"), (0, b"", BEYOND), (1, b"kd", b"kd\xff"), (1, b"", BEYOND), (1, b"kdd", b"kdd\xff")],
    )
    def test_range_conflicts_with_an_update_only_if_rows_were_read(
        self, connect: Connect, writer: SnapshotClient, index: int, start: bytes, stop: bytes
    ) -> None:
        client = connect()
        seen = client.begin().version
        writer.write(put(b"d", b"new"))
        whole = client.check(index, start, stop, rows=True)
        client.commit(put(b"x", table=2, was=0), read=[RangeCheck(1, index, start, stop, seen, rows=False)])
        _conflicts(client, whole, keys=[start, b"d"])

    @pytest.mark.parametrize("rows", [False, True])
    def test_range_is_valid_whatever_changed_outside_it(
        self, connect: Connect, writer: SnapshotClient, rows: bool
    ) -> None:
        client = connect()
        seen = client.begin().version
        writer.write(put(b"a"), put(b"e"), put(b"b", b"new"), delete(b"f"), leave(b"kf", b"f"), enter(b"ke", b"b"))
        writer.write(put(b"d", table=2), enter(b"kd", b"d", table=2), enter(b"kd", b"d", index=2))
        checks = [RangeCheck(1, 0, b"c", b"e", seen, rows), client.check(1, b"kd", b"ke", rows=rows)]
        client.commit(put(b"d", b"mine"), read=checks)
        client.begin()
        assert client.record(b"d") == b"mine"

    def test_range_read_after_the_snapshot_is_checked_from_its_own_version(
        self, connect: Connect, writer: SnapshotClient
    ) -> None:
        client = connect()
        oldest = client.begin()
        writer.write(put(b"c"), put(b"d", b"new"), enter(b"kc", b"c"))
        seen = client.begin().version
        checks = [client.check(index, *bounds, rows=True) for index, *bounds in ((0, b"c", b"e"), (1, b"k", b"l"))]
        client.snapshot = oldest
        client.commit(put(b"z", was=0), read=checks)
        writer.write(delete(b"c"), leave(b"kc", b"c"))
        for index, start in [(0, b"c"), (1, b"k")]:
            client.snapshot = oldest
            _conflicts(client, RangeCheck(1, index, start, b"z", seen, rows=False), keys=[start, b"c"])

    def test_read_set_is_validated_far_behind(self, connect: Connect, writer: SnapshotClient) -> None:
        client = connect()
        seen = client.begin()
        for number in range(300):
            writer.write(put(b"x%d" % (number % 3), b"%d" % number), put(b"y"), put(b"f", b"%d" % number))
        valid = [
            RangeCheck(1, 0, b"c", b"e", seen.version, rows=True),
            RangeCheck(1, 0, b"f", b"g", seen.version, False),
        ]
        client.commit(put(b"z", was=0), read=valid)
        client.snapshot = seen
        _conflicts(client, RangeCheck(1, 0, b"e", b"g", seen.version, rows=True), keys=[b"e", b"f"])

    def test_one_change_among_many_reads_conflicts(self, connect: Connect, writer: SnapshotClient) -> None:
        client = connect()
        client.begin()
        reads: list[Point | RangeCheck] = [Point(1, b"absent%d" % number, 0) for number in range(500)]
        reads += [
            RangeCheck(1, 0, b"g%03d" % number, b"g%03d\xff" % number, client.snapshot.version, True)
            for number in range(200)
        ]
        writer.write(put(b"g123+"))
        _conflicts(client, *reads, keys=[b"g123", b"g123+"])
        client.snapshot = writer.begin()
        client.commit(put(b"fine"), read=[read for read in reads if isinstance(read, Point)])

    def test_own_writes_are_validated_as_they_were_read(self, connect: Connect, writer: SnapshotClient) -> None:
        """Two transactions insert the same key, having seen it absent: the second fails."""
        first, second = connect(), connect()
        for client in (first, second):
            client.begin()
            assert client.get(b"c") == [None]
        version = first.commit(put(b"c", b"first"), read=[Point(1, b"c", 0)])
        with pytest.raises(ConflictError):
            second.commit(put(b"c", b"second"), read=[Point(1, b"c", 0)])
        writer.begin()
        [row] = writer.get(b"c")
        assert row == Row(b"c", version, b"first")

    def test_write_skew_is_a_conflict(self, connect: Connect) -> None:
        """Each reads the range that the other writes into."""
        one, other = connect(), connect()
        seen = one.begin().version
        other.begin()
        one.commit(put(b"b1"), read=[RangeCheck(1, 0, b"a", b"b", seen, rows=True)])
        with pytest.raises(ConflictError):
            other.commit(put(b"a1"), read=[RangeCheck(1, 0, b"b", b"c", seen, rows=True)])

    def test_commit_that_only_validates_can_conflict(self, connect: Connect, writer: SnapshotClient) -> None:
        client = connect()
        client.begin()
        writer.write(put(b"c"))
        with pytest.raises(ConflictError):
            client.commit(read=[Point(1, b"c", 0)])

    def test_nothing_of_a_large_commit_is_written_on_conflict(self, connect: Connect, writer: SnapshotClient) -> None:
        client = connect()
        client.begin()
        writer.write(put(b"c"))
        keys = [b"n%04d" % number for number in range(2000)]
        with pytest.raises(ConflictError):
            client.commit(
                *(put(key) for key in keys),
                *(enter(key, key) for key in keys),
                delete(b"b"),
                leave(b"kb", b"b"),
                put(b"a", table=2),
                Drop(2, 1),
                change_catalog(),
                read=[Point(1, b"c", 0)],
            )
        client.begin()
        assert client.keys() == [b"b", b"c", b"d", b"f"]
        assert client.keys(1) == [b"b", b"d", b"f"]
        assert client.keys(table=2) == []

    def test_concurrent_increments_lose_none(self, connect: Connect) -> None:
        threads, increments = 4, 25
        connect().write(put(b"counter", b"0"))

        def increment(client: SnapshotClient) -> int:
            conflicts = 0
            for _ in range(increments):
                while True:
                    client.begin()
                    [row] = client.get(b"counter")
                    assert row is not None
                    try:
                        client.commit(
                            put(b"counter", b"%d" % (int(row.record) + 1)), read=[Point(1, b"counter", row.version)]
                        )
                        break
                    except ConflictError:
                        conflicts += 1
            return conflicts

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(increment, [connect() for _ in range(threads)]))
        client = connect()
        client.begin()
        assert client.record(b"counter") == b"%d" % (threads * increments)

    def test_concurrent_inserts_into_one_range_let_each_key_in_once(self, connect: Connect) -> None:
        """Each thread inserts the number after the largest that it sees; only the range in the read set guards it."""
        threads, inserts = 4, 15

        def insert(client: SnapshotClient) -> list[bytes]:
            taken: list[bytes] = []
            while len(taken) < inserts:
                version = client.begin().version
                rows = client.scan(reverse=True, limit=1)
                key = b"%05d" % (int(rows[0].key) + 1 if rows else 0)
                try:
                    client.commit(put(key), read=[RangeCheck(1, 0, b"", BEYOND, version, rows=False)])
                    taken.append(key)
                except ConflictError:
                    pass
            return taken

        with ThreadPoolExecutor(threads) as pool:
            taken = sorted(key for keys in pool.map(insert, [connect() for _ in range(threads)]) for key in keys)
        assert taken == [b"%05d" % number for number in range(threads * inserts)]


def _conflicts(client: SnapshotClient, *reads: Point | RangeCheck, keys: Sequence[bytes | None] = ()) -> None:
    """A commit that read `reads` conflicts over table 1 and one of `keys`, and writes nothing at all."""
    with pytest.raises(ConflictError) as caught:
        client.commit(
            put(b"unwritten", was=0),
            enter(b"unwritten", b"unwritten"),
            put(b"u", table=3, was=0),
            read=reads,
            sequences={77: 1000},
        )
    assert type(caught.value) is ConflictError
    assert caught.value.table == 1
    assert caught.value.key in keys
    client.begin()
    assert client.get(b"unwritten") == [None]
    assert client.count(1, b"unwritten", b"unwritten\xff") == 0
    assert client.count(table=3) == 0
    assert client.store.read(None, (), [Reserve(77, 1)]).reserved[0] < 1000
