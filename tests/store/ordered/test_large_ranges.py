"""Scans of large ranges are read in parts next to where they begin: the same rows, and few keys walked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from secrets import token_hex

import pytest

from rome.store.location import Location
from rome.store.ordered import strides, surveying
from rome.store.ordered.driver import DriverTransaction, Pair, Put
from rome.store.ordered.layout import Layout
from rome.store.ordered.memory import MemoryEngine
from rome.store.spi import BEYOND, Scan, ScanResult
from rome.testing.harness import SnapshotClient
from tests.store.ordered.kit import OrderedMemoryStore, engines


@pytest.fixture
def location() -> Location:
    return Location("ordered", "db", host=token_hex(4))


@pytest.fixture
def engine(location: Location) -> MemoryEngine:
    return engines[location.host or ""]


def fill(engine: MemoryEngine, keys: list[bytes], record: bytes = b"x") -> None:
    """Put rows into table 1."""
    engine.run(DriverTransaction(writes=[Put(Layout("db").row(1, key), record) for key in keys]))


def client_of(location: Location) -> SnapshotClient:
    client = SnapshotClient(OrderedMemoryStore.open(location))
    client.begin()
    return client


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many keys each range has walked."""
    counts: list[int] = []
    pairs = MemoryEngine._pairs

    def counted(self: MemoryEngine, *where: object) -> Iterator[Pair]:
        found = list(pairs(self, *where))  # type: ignore[arg-type]
        counts.append(len(found))
        return iter(found)

    monkeypatch.setattr(MemoryEngine, "_pairs", counted)
    return counts


def numbers(count: int) -> list[bytes]:
    """As the codec has integers: their length, and their bytes."""
    return [b"\x15" + n.to_bytes(3, "big") for n in range(count)]


def dates(count: int) -> list[bytes]:
    """Texts whose last characters change most."""
    return [
        b"\x02%04d-%02d-%02d %02d" % (2000 + n // 8640, n // 720 % 12 + 1, n // 24 % 30 + 1, n % 24)
        for n in range(count)
    ]


def page(client: SnapshotClient, start: bytes, stop: bytes, limit: int, reverse: bool) -> list[bytes]:
    """The first rows of a range, in as many reads as it takes."""
    keys: list[bytes] = []
    while True:
        [found] = client.read(Scan(1, 0, start, stop, limit - len(keys), reverse))
        assert isinstance(found, ScanResult)
        keys += [row.key for row in found.rows]
        if found.resume is None or len(keys) == limit:
            return keys
        start, stop = (start, found.resume) if reverse else (found.resume, stop)


@pytest.mark.parametrize("seed", range(8))
def test_parts_make_the_whole(
    location: Location, engine: MemoryEngine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the keys look like, and however they change meanwhile."""
    monkeypatch.setattr(strides, "LARGE", 10)
    monkeypatch.setattr(surveying, "LARGE", 10)
    monkeypatch.setattr(strides, "FIRST_ROWS", 7)
    chance = random.Random(seed)
    alphabet = [b"\x00", b"\x01", b"a", b"b", b"\xfe", b"\xff"]
    made = {
        0: numbers(300),
        1: dates(300),
        2: [b"".join(chance.choices(alphabet, k=chance.randint(1, 12))) for _ in range(300)],
        3: [chance.randbytes(16) for _ in range(300)],
    }[seed % 4]
    client = client_of(location)
    stored: set[bytes] = set()
    for _ in range(40):
        if chance.random() < 0.3 or not stored:
            added = chance.sample(made, 60)
            fill(engine, [key for key in dict.fromkeys(added) if key not in stored])
            stored.update(added)
            client.begin()
        start, stop = sorted(chance.choice([b"", BEYOND * 20, *made]) for _ in range(2))
        if chance.random() < 0.5:
            start, stop = chance.choice([(b"", stop), (start, BEYOND * 20), (b"", BEYOND * 20)])
        reverse, limit = chance.random() < 0.5, chance.choice([1, 3, 20, 1000])
        wanted = sorted((key for key in stored if start <= key < stop), reverse=reverse)[:limit]
        assert page(client, start, stop, limit, reverse) == wanted


@pytest.mark.parametrize("keys", [numbers, dates])
@pytest.mark.parametrize("reverse", [False, True])
def test_page_walks_few_keys_once_the_range_is_known(
    location: Location, engine: MemoryEngine, walked: list[int], keys: object, reverse: bool
) -> None:
    made = keys(20_000)  # type: ignore[operator]
    fill(engine, made)
    client = client_of(location)
    wanted = made[::-1] if reverse else made
    assert page(client, b"", BEYOND, 100, reverse) == wanted[:100]
    pages = []
    for first in range(0, 2000, 100):
        walked.clear()
        start, stop = (b"", wanted[first]) if reverse else (wanted[first] + b"\x00", BEYOND)
        assert page(client, start, stop, 100, reverse) == wanted[first + 1 : first + 101]
        pages.append(sum(walked))
    assert sorted(pages)[len(pages) // 2] < 5_000
    assert sum(pages) < 5 * 20_000, "a page after a gap, as between two months, counts the keys of all"


def test_first_read_backwards_fetches_no_large_range(location: Location, engine: MemoryEngine) -> None:
    """It counts the keys in bands first, and then reads the one at the end."""
    made = numbers(20_000)
    fill(engine, made)
    client = client_of(location)
    fetched: list[int] = []
    run = engine.run

    def watched(transaction: DriverTransaction):  # type: ignore[no-untyped-def]
        outcome = run(transaction)
        fetched.extend(
            found.count
            for asked, found in zip(transaction.then, outcome.found, strict=False)
            if asked.stop is not None and not asked.count_only
        )
        return outcome

    engine.run = watched  # type: ignore[method-assign]
    before = client.store.round_trips
    assert page(client, b"", BEYOND, 1, True) == [made[-1]]
    assert max(fetched) <= strides.LARGE
    assert client.store.round_trips - before <= 8
    before = client.store.round_trips
    assert page(client, b"", BEYOND, 1, True) == [made[-1]]
    assert client.store.round_trips - before == 1


def test_small_table_is_read_backwards_in_one_trip_once_it_is_known_to_be_small(
    location: Location, engine: MemoryEngine
) -> None:
    fill(engine, numbers(100))
    client = client_of(location)
    trips = []
    for _ in range(3):
        before = client.store.round_trips
        page(client, b"", BEYOND, 10, True)
        trips.append(client.store.round_trips - before)
    assert trips == [2, 1, 1]


def test_reply_with_large_rows_has_fewer_of_them(location: Location, engine: MemoryEngine) -> None:
    """About 4 MB; the first one of a table, of which nothing is known, has 250 rows at most."""
    for first in range(0, 400, 20):
        fill(engine, numbers(400)[first : first + 20], b"x" * 100_000)
    client = client_of(location)
    sizes = []
    start = b""
    while True:
        [found] = client.read(Scan(1, 0, start, BEYOND))
        assert isinstance(found, ScanResult)
        sizes.append(len(found.rows))
        if found.resume is None:
            break
        start = found.resume
    assert sizes[0] == 250
    assert max(sizes[1:]) == 41
    assert sum(sizes) == 400
