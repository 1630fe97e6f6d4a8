"""What is the redis store's own about reading: gets without a script, bounds of any bytes, stopping early."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from secrets import token_hex

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from rome.errors import CatalogChangedError, ConflictError, CorruptRecordError, SnapshotLostError
from rome.store.location import Location
from rome.store.memory import MemoryStore
from rome.store.redis import RedisStore, store
from rome.store.redis.link import Reply
from rome.store.redis.names import meta_key
from rome.store.spi import BEYOND, Get, Reserve, Scan, ScanResult, Snapshot
from rome.testing.harness import Point, RangeCheck, SnapshotClient, change_catalog, delete, enter, leave, put
from tests.store.redis.kit import Open, commands_of, link_of
from tests.support.strict_memory import make_memory_plain


@pytest.fixture(scope="module", autouse=True)
def _memory_as_applications_have_it() -> Iterator[None]:
    """These tests make requests of their own, which do not name the rows that a range has led to."""
    with pytest.MonkeyPatch.context() as patch:
        make_memory_plain(patch)
        yield


few_bytes = st.lists(st.sampled_from([0, 1, 5, 0x42, 0x61, 0xFE]), max_size=4).map(bytes)
row_keys = few_bytes.map(lambda key: key + b"~")
bounds = st.one_of(few_bytes, row_keys, row_keys.map(lambda key: key + b"\x00"), st.just(BEYOND))


class TestGets:
    def test_row_that_nobody_touched_costs_one_trip(self, connect: Open) -> None:
        client, other = connect(), connect()
        client.write(put(b"a"), put(b"b"))
        client.begin()
        other.write(put(b"b", b"new"), put(b"c"))
        before = client.store.round_trips
        assert client.record(b"a") == b"record"
        assert client.store.round_trips == before + 1

    def test_only_what_moved_costs_another(self, connect: Open) -> None:
        client, other = connect(), connect()
        client.write(put(b"a"), put(b"b"), put(b"d"))
        client.begin()
        other.write(put(b"b", b"new"), delete(b"d"), put(b"c"))
        before = client.store.round_trips
        rows = client.get(b"a", b"b", b"c", b"d", b"e")
        assert [row and row.record for row in rows] == [b"record", b"record", None, b"record", None]
        assert client.store.round_trips == before + 2

    def test_first_read_of_a_transaction_is_one_trip_with_its_numbers(self, connect: Open) -> None:
        client = connect()
        client.write(put(b"a"))
        client.store.read(None, (), [Reserve(1, 1)])  # loads the script
        before = client.store.round_trips
        result = client.store.read(None, [Get(1, (b"a",))], [Reserve(1, 10), Reserve(2, 1, above=5)])
        assert result.reserved == [2, 6]
        assert client.store.round_trips == before + 1

    @pytest.mark.parametrize("command", range(3))
    @pytest.mark.parametrize("change", ["update", "delete", "insert", "catalog"])
    def test_commit_between_the_commands_of_a_first_read_is_not_half_seen(
        self, connect: Open, monkeypatch: pytest.MonkeyPatch, command: int, change: str
    ) -> None:
        """Splits the pipeline: another client commits after its command-th command."""
        client, other = connect(), connect()
        client.write(put(b"a"), put(b"b"))
        writes = {
            "update": [put(b"a", b"new")],
            "delete": [delete(b"b")],
            "insert": [put(b"c")],
            "catalog": [change_catalog(), put(b"a", b"new")],
        }
        link = link_of(client)

        def exchange_in_two(request: bytes, how_many: int) -> list[Reply]:
            monkeypatch.undo()
            commands = commands_of(request)
            assert len(commands) == how_many
            head = link.call(commands[:command]) if command else []
            other.write(*writes[change])
            return head + link.call(commands[command:])

        monkeypatch.setattr(link, "exchange", exchange_in_two)
        result = client.store.read(None, [Get(1, (b"a", b"b", b"c"))])
        client.snapshot = result.snapshot
        [answer] = result.answers
        assert answer == _all_at(client, b"a", b"b", b"c")
        if command == 0:
            assert result.snapshot == other.begin()

    def test_catalog_change_is_noticed_without_a_script(self, connect: Open) -> None:
        client, other = connect(), connect()
        client.write(put(b"a"))
        client.begin()
        other.write(change_catalog())
        with pytest.raises(CatalogChangedError):
            client.get(b"a")


def _all_at(client: SnapshotClient, *keys: bytes) -> list[object]:
    """Rows at a snapshot, by a scan."""
    try:
        rows = {row.key: row for row in client.scan()}
    except CatalogChangedError:
        snapshot = client.snapshot
        pytest.fail(f"the first read fixed a snapshot that is refused at once: {snapshot}")
    return [rows.get(key) for key in keys]


class TestBounds:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        keys=st.sets(row_keys, min_size=1, max_size=6),
        later=st.dictionaries(row_keys, st.booleans(), max_size=6),
        start=bounds,
        stop=bounds,
    )
    def test_any_bounds_give_what_the_memory_store_gives(
        self, location: Location, keys: set[bytes], later: dict[bytes, bool], start: bytes, stop: bytes
    ) -> None:
        """Also bounds that extend a key by zero bytes; on old snapshots, in both directions, and for validation."""
        at = replace(location, database=token_hex(8))
        found = []
        for kind in (RedisStore, MemoryStore):
            reader, writer = SnapshotClient(kind.open(at)), SnapshotClient(kind.open(at))
            try:
                found.append(_history(reader, writer, keys, later, start, stop))
            finally:
                reader.store.close()
                writer.store.close()
                kind.drop_database(at)
        assert found[0] == found[1]

    @pytest.mark.parametrize("count", [1, 2, 8, 9])
    @pytest.mark.parametrize("is_old", [False, True])
    def test_ranges_asked_for_together_are_those_asked_for_one_by_one(
        self, connect: Open, count: int, is_old: bool
    ) -> None:
        """Up to eight short ones go another way than many, long ones, or those of a table that has changed."""
        client, other = connect(), connect()
        keys = [b"%03d" % number for number in range(150)]
        client.write(*(write for key in keys for write in (put(key), enter(b"i" + key, key))))
        client.begin()
        if is_old:
            other.write(put(b"0005"), delete(b"006"), put(b"007", b"new"))
        scans = [Scan(1, n % 2, b"i" * (n % 2) + b"%03d" % n, b"i" * (n % 2) + b"%03d" % (4 * n)) for n in range(count)]
        for scan in (Scan(1, 0, b"", BEYOND), Scan(1, 0, b"000", b"127"), Scan(1, 1, b"", BEYOND, 3), scans[0]):
            asked = [*scans[1:], scan]
            together = client.store.read(client.snapshot, asked).answers
            assert together == [client.store.read(client.snapshot, [each]).answers[0] for each in asked]
            found = together[-1]
            assert isinstance(found, ScanResult)
            stop = scan.stop.removeprefix(b"i" * scan.index_id)
            expected = [key for key in keys if scan.start[scan.index_id :] <= key < stop]
            assert [row.key for row in found.rows] == expected[: scan.limit]

    def test_short_way_serves_as_long_as_the_tables_have_not_changed(
        self, connect: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, other = connect(), connect()
        client.write(put(b"a"), enter(b"ia", b"a"), put(b"b", table=2))
        link = link_of(client)
        exchange = link.exchange
        is_list: list[bool] = []

        def note(request: bytes, how_many: int) -> list[Reply]:
            replies = exchange(request, how_many)
            is_list.append(isinstance(replies[0][0], int))
            return replies

        monkeypatch.setattr(link, "exchange", note)

        def went_short(*scans: Scan, snapshot: Snapshot | None = None) -> bool:
            result = client.store.read(snapshot, scans)
            for answer in result.answers:
                assert isinstance(answer, ScanResult)
                assert [row.record for row in answer.rows] == [b"record"]
            assert snapshot in (None, result.snapshot)
            return is_list[-1]

        first, second = Scan(1, 1, b"i", b"j"), Scan(2, 0, b"", BEYOND)
        assert went_short(first)
        snapshot = client.store.last_snapshot()
        assert went_short(first, second, snapshot=snapshot)
        other.write(put(b"a", b"new", table=3))
        assert went_short(first, second, snapshot=snapshot)
        other.write(put(b"b", b"new", table=2))
        assert went_short(first, snapshot=snapshot)
        assert not went_short(first, second, snapshot=snapshot)

    def test_ranges_of_an_old_or_strange_snapshot_are_refused(self, connect: Open) -> None:
        client, other = connect(), connect()
        client.write(put(b"a"))
        snapshot = client.begin()
        other.write(change_catalog())
        with pytest.raises(CatalogChangedError):
            client.scan()
        client.begin()
        for strange in (structs.replace(snapshot, incarnation=b"?" * 16), structs.replace(snapshot, version=1000)):
            client.store._snapshot = strange  # type: ignore[attr-defined]
            with pytest.raises(SnapshotLostError):
                client.store.read(strange, [Scan(1, 0, b"", BEYOND)])


def _history(
    reader: SnapshotClient,
    writer: SnapshotClient,
    keys: set[bytes],
    later: dict[bytes, bool],
    start: bytes,
    stop: bytes,
) -> list[object]:
    """Change a table and its index after a snapshot; returns all that was seen, and what is valid after it.

    `later`: row key -> whether it is put, or deleted.
    """
    writer.write(*(write for key in sorted(keys) for write in (put(key), enter(b"i" + key[:1], key))))
    reader.begin()
    ranges = [(0, start, stop), (1, b"i" + start, b"i" + stop)]
    found: list[object] = [_seen(reader, *bounds) for bounds in ranges]
    writer.write(
        *(put(key, b"new") if there else delete(key) for key, there in later.items()),
        *(enter(b"i" + key[:1], key) for key, there in later.items() if there and key not in keys),
        *(leave(b"i" + key[:1], key) for key, there in later.items() if not there and key in keys),
    )
    found += [_seen(reader, *bounds) for bounds in ranges]
    for bounds in ranges:
        for rows in (False, True):
            found.append(_is_valid(reader, RangeCheck(1, *bounds, reader.snapshot.version, rows)))
    return found


def _seen(client: SnapshotClient, index: int, start: bytes, stop: bytes) -> list[object]:
    scans: list[object] = [
        [(row.key, row.record) for row in client.scan(index, start, stop, limit=limit, reverse=reverse)]
        for reverse in (False, True)
        for limit in (None, 1, 2)
    ]
    return [*scans, client.count(index, start, stop)]


def _is_valid(client: SnapshotClient, check: RangeCheck) -> bool:
    try:
        client.commit(read=[check])
    except ConflictError:
        return False
    return True


class TestStoppingEarly:
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("index", [0, 1])
    def test_large_scan_comes_in_parts(self, connect: Open, index: int, reverse: bool) -> None:
        client = connect()
        keys = [b"%05d" % number for number in range(2 * store.SCAN_ROWS + 10)]
        for part in (keys[::2], keys[1::2]):
            client.write(*map(put, part), *(enter(key, key) for key in part))
        client.begin()
        [answer] = client.read(Scan(1, index, b"", BEYOND, reverse=reverse))
        assert isinstance(answer, ScanResult)
        assert answer.resume is not None
        assert store.SCAN_ROWS <= len(answer.rows) < store.SCAN_ROWS + 200
        assert client.keys(index, reverse=reverse) == sorted(keys, reverse=reverse)

    def test_scan_of_large_rows_stops_by_bytes(self, connect: Open) -> None:
        client = connect()
        client.write(*(put(b"%05d" % number, b"x" * 10_000) for number in range(1_000)))
        client.begin()
        [answer] = client.read(Scan(1, 0, b"", BEYOND))
        assert isinstance(answer, ScanResult)
        assert store.SCAN_BYTES <= sum(len(row.record) for row in answer.rows) < 3 * store.SCAN_BYTES
        assert len(client.keys()) == 1_000

    def test_scans_of_one_read_share_the_bound_and_all_get_on(self, connect: Open) -> None:
        client = connect()
        keys = [b"%05d" % number for number in range(store.SCAN_ROWS)]
        client.write(*map(put, keys))
        client.begin()
        scans = [Scan(1, 0, b"", BEYOND), Scan(1, 0, b"", BEYOND, reverse=True)]
        found: list[list[bytes]] = [[], []]
        while any(scan.start < scan.stop for scan in scans):
            answers = client.read(*scans)
            for position, answer in enumerate(answers):
                assert isinstance(answer, ScanResult)
                found[position] += [row.key for row in answer.rows]
                resume = answer.resume
                field = "stop" if scans[position].reverse else "start"
                nowhere = scans[position].start if scans[position].reverse else scans[position].stop
                scans[position] = structs.replace(scans[position], **{field: nowhere if resume is None else resume})
        assert found == [keys, keys[::-1]]


class TestShortRanges:
    def test_ranges_of_a_batch_share_the_commands_that_show_their_rows(self, connect: Open, admin: redis.Redis) -> None:
        client = connect()
        keys = [b"%05d" % number for number in range(1_000)]
        client.write(*map(put, keys), *(enter(key[:-1], key) for key in keys))
        client.begin()
        scans = [Scan(1, 1, b"%04d" % number, b"%04d" % number + BEYOND) for number in range(110)]
        before = _calls(admin, "hmget")
        answers = client.read(*scans)
        # One for the meta hash, one for the table's state, and one for each chunk of 128 rows.
        assert _calls(admin, "hmget") - before <= 2 + 1_000 // 128 + 1
        rows = [[row.key for row in answer.rows] for answer in answers if isinstance(answer, ScanResult)]
        assert rows == [keys[10 * number : 10 * number + 10] for number in range(100)] + [[]] * 10

    @pytest.mark.parametrize("long_at", [0, 5, 9])
    def test_long_range_among_short_ones(self, connect: Open, long_at: int) -> None:
        client = connect()
        keys = [b"%d.%03d" % (digit, n) for digit in range(10) for n in range(300 if digit == long_at else 3)]
        client.write(*(put(key, key) for key in keys), *(enter(key, key) for key in keys))
        client.begin()
        answers = client.read(
            *(Scan(1, 1, b"%d" % digit, b"%d" % digit + BEYOND) for digit in range(10)), Get(1, (b"0.000",))
        )
        found = [row.record for answer in answers if isinstance(answer, ScanResult) for row in answer.rows]
        assert found == keys
        assert answers[-1] == client.get(b"0.000")

    def test_ranges_of_large_rows_stop_by_bytes_and_get_on(self, connect: Open) -> None:
        client = connect()
        keys = [b"%05d" % number for number in range(600)]
        client.write(*(put(key, b"x" * 10_000) for key in keys), *(enter(key, key) for key in keys))
        client.begin()
        scans = [Scan(1, 1, key, key + BEYOND) for key in keys]
        answers = [answer for answer in client.read(*scans) if isinstance(answer, ScanResult)]
        read = [answer.rows[0].key for answer in answers if answer.rows]
        assert store.SCAN_BYTES <= 10_000 * len(read) < 3 * store.SCAN_BYTES
        left = [scan.start for scan, answer in zip(scans, answers, strict=True) if answer.resume is not None]
        assert read + left == keys

    def test_few_ranges_of_large_rows_stop_by_bytes(self, connect: Open) -> None:
        """Each of them short, so that the short way would answer all."""
        client = connect()
        keys = [b"%d.%02d" % (digit, n) for digit in range(8) for n in range(100)]
        client.write(*(put(key, b"x" * 10_000) for key in keys), *(enter(key, key) for key in keys))
        client.begin()
        scans = [Scan(1, 1, b"%d" % digit, b"%d" % digit + BEYOND) for digit in range(8)]
        answers = [answer for answer in client.read(*scans) if isinstance(answer, ScanResult)]
        assert 10_000 * sum(len(answer.rows) for answer in answers) < 3 * store.SCAN_BYTES
        assert any(answer.resume is not None for answer in answers)

    def test_entry_without_its_row_among_others(self, connect: Open, admin: redis.Redis, location: Location) -> None:
        client = connect()
        client.write(*map(put, (b"a", b"b", b"c")))
        admin.hdel(meta_key(location.database)[:-1] + b"r1", b"b")
        client.begin()
        with pytest.raises(CorruptRecordError, match="index 0 names row 62, which is not there"):
            client.read(*(Scan(1, 0, key, key + BEYOND) for key in (b"a", b"b", b"c")))


def _calls(admin: redis.Redis, command: str) -> int:
    """How often a server has run a command, scripts included."""
    return int(admin.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


class TestCorruption:
    def test_entry_without_its_row_names_table_and_key(
        self, connect: Open, admin: redis.Redis, location: Location
    ) -> None:
        client = connect()
        client.write(put(b"a"), enter(b"k", b"a"))
        admin.hdel(meta_key(location.database)[:-1] + b"r1", b"a")
        client.begin()
        with pytest.raises(CorruptRecordError, match="table 1: index 1 names row 61") as caught:
            client.scan(1)
        assert (caught.value.table, caught.value.key) == (1, b"a")

    def test_row_too_short_names_table_and_key(self, connect: Open, admin: redis.Redis, location: Location) -> None:
        client = connect()
        client.write(put(b"a"))
        admin.hset(meta_key(location.database)[:-1] + b"r1", b"a", b"short")
        client.begin()
        with pytest.raises(CorruptRecordError, match="table 1, row 61"):
            client.get(b"a")


class TestFarBehind:
    """20,000 commits later: what is looked at is bounded by what changed inside what is asked."""

    COMMITS = 20_000

    def test_reads_and_validation_look_at_little(self, connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, writer = connect(), connect()
        writer.write(
            *(put(b"%03d" % number) for number in range(100)), *(enter(b"k%d" % n, b"%03d" % n) for n in range(9))
        )
        version = reader.begin().version
        # The hot row, the hot range and the hot index key change all the time; what is asked about changed once.
        seen = version
        for number in range(self.COMMITS // 2):
            writer.snapshot = writer.store.last_snapshot()
            seen = writer.commit(put(b"050", b"%d" % number, was=seen), put(b"hot", was=0), enter(b"khot", b"050"))
            writer.snapshot = writer.store.last_snapshot()
            seen = writer.commit(
                put(b"050", b"%d" % -number, was=seen), delete(b"hot", was=seen), leave(b"khot", b"050")
            )
        writer.write(put(b"010", b"new"), put(b"0105"), delete(b"011"))
        work = _watch_work(reader, monkeypatch)
        assert [row and row.record for row in reader.get(b"050", b"0105", b"011")] == [b"record", None, b"record"]
        assert reader.keys(0, b"010", b"013") == [b"010", b"011", b"012"]
        assert reader.keys(0, b"h", b"i") == []
        assert reader.count(1, b"k", b"l") == 9
        assert len(reader.keys()) == 100
        assert max(work) <= 300
        assert sum(work) <= 1_500
        for index, start, stop, rows, valid in [
            (0, b"020", b"040", True, True),
            (0, b"010", b"0100", True, False),
            (0, b"010", b"0100", False, True),
            (0, b"050", b"051", False, True),
            (0, b"050", b"051", True, False),
            (1, b"k0", b"k9", False, True),
            (1, b"khot", b"khot\xff", False, False),
        ]:
            work.clear()
            assert _is_valid(reader, RangeCheck(1, index, start, stop, version, rows)) == valid
            assert sum(work) <= 300
        assert _is_valid(reader, RangeCheck(1, 0, b"05", b"06", version, rows=False))
        with pytest.raises(ConflictError):
            reader.commit(read=[Point(1, b"050", version)])


def _watch_work(client: SnapshotClient, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many log members each call of read.lua and commit.lua looks at, from now on."""
    work: list[int] = []
    link = link_of(client)
    exchange = link.exchange

    def watched(request: bytes, how_many: int) -> list[object]:
        replies = exchange(request, how_many)
        for reply in replies:
            if isinstance(reply, list) and reply[0] == b"done":
                work.append(int(reply[-1]))
        return replies

    monkeypatch.setattr(link, "exchange", watched)
    return work
