"""Which old revisions an engine may discard, where several databases with different retentions need them."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

import pytest

from rome.errors import SnapshotTooOldError
from rome.store.location import Location
from rome.store.ordered import committing
from rome.store.ordered.memory import MemoryEngine
from rome.store.spi import Retention
from rome.testing.harness import SnapshotClient, put
from tests.store.ordered.kit import OrderedMemoryStore, engines

Open = Callable[[str], SnapshotClient]


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(committing, "clock", clock)
    return clock


@pytest.fixture
def host() -> str:
    return token_hex(4)


@pytest.fixture
def engine(host: str) -> MemoryEngine:
    return engines[host]


@pytest.fixture
def open_one(host: str, clock: Clock) -> Open:
    return lambda name: SnapshotClient(OrderedMemoryStore.open(Location("ordered", name, host=host)))


def work(client: SnapshotClient, clock: Clock, seconds: int) -> None:
    """Commit each second."""
    for _ in range(seconds):
        client.write(put(b"a", b"%f" % clock.now))
        clock.now += 1


def test_commits_discard_what_is_older_than_the_retention(open_one: Open, clock: Clock, engine: MemoryEngine) -> None:
    client = open_one("alone")
    work(client, clock, 200)
    assert engine.revision - 200 < engine.discarded < engine.revision - 60


@pytest.mark.parametrize("idle", [True, False])
def test_database_with_a_longer_retention_keeps_its_snapshots(
    open_one: Open, clock: Clock, engine: MemoryEngine, idle: bool
) -> None:
    """Whether it commits itself, or not at all."""
    busy, other = open_one("busy"), open_one("other")
    other.store.set_retention(Retention(seconds=1000))
    other.write(put(b"b", b"first"))
    other.begin()
    for _ in range(19):
        if not idle:
            open_one("other").write(put(b"b", b"later"))
        work(busy, clock, 50)
        assert other.record(b"b") == b"first"
    assert busy.store.retention().seconds == 60
    for _ in range(10):
        work(busy, clock, 50)
    assert engine.discarded > engine.revision - 2200, "what nobody needs any more goes: a second makes two revisions"
    with pytest.raises(SnapshotTooOldError):
        other.record(b"b")


def test_database_with_a_pin_keeps_what_it_asks_for(open_one: Open, clock: Clock, engine: MemoryEngine) -> None:
    busy, other = open_one("busy"), open_one("other")
    other.write(put(b"b", b"first"))
    seen = other.begin()
    open_one("other").write(put(b"b", b"later"))
    clock.now += 50
    open_one("other").store.pin(b"P" * 16, seen, 400.0, owner="17@here", age_s=50.0)
    work(busy, clock, 300)
    assert engine.discarded > 0, "what is older goes"
    assert other.record(b"b") == b"first"
    work(busy, clock, 300)
    assert engine.discarded > engine.revision - 400, "and the rest after its deadline"


def test_bytes_of_superseded_versions_shorten_the_time(open_one: Open, clock: Clock, engine: MemoryEngine) -> None:
    client = open_one("large")
    client.store.set_retention(Retention(max_bytes=80_000))
    for _ in range(50):
        client.write(put(b"a", b"x" * 5_000))
    assert engine.discarded > engine.revision - 25
    client.begin()
    assert client.record(b"a") == b"x" * 5_000


def test_who_reads_what_was_discarded_too_early_is_told_so(open_one: Open, engine: MemoryEngine) -> None:
    reader, writer = open_one("x"), open_one("x")
    writer.write(put(b"a", b"1"))
    reader.begin()
    writer.write(put(b"a", b"2"))
    engine.discard(engine.revision)
    with pytest.raises(SnapshotTooOldError, match="retention of 60 s is not over"):
        reader.record(b"a")
