"""Near reads on ordered keys: the rules of rome.store.ordered, whichever engine is below."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import pytest

from rome.errors import CatalogChangedError, ConflictError
from rome.store import seen
from rome.store.location import Location
from rome.store.spi import BEYOND, ORDER_INDEX, Reserve, Scan, ScanResult, Snapshot
from rome.testing.harness import Point, SnapshotClient, change_catalog, put
from tests.near.lagging import LaggingEngine, LaggingStore, lagging_engines


@pytest.fixture
def location() -> Location:
    return Location("lagging", "near", host=token_hex(8))


@pytest.fixture
def engine(location: Location) -> LaggingEngine:
    """Its member has row `k` at version 1, with the record `old`, and lacks `new`, which another process commits."""
    engine = lagging_engines[location.host or ""]
    client_of(location).write(put(b"k", b"old"))
    engine.member_has = engine.revision
    return engine


def client_of(location: Location) -> SnapshotClient:
    return SnapshotClient(LaggingStore.open(location))


@contextmanager
def another_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is seen and committed in the block, this process does not know."""
    with monkeypatch.context() as patch:
        patch.setattr(seen, "VERSIONS", OrderedDict())
        patch.setattr(seen, "_incarnations", OrderedDict())
        yield


def commit_elsewhere(location: Location, monkeypatch: pytest.MonkeyPatch, *, catalog: bool = False) -> None:
    with another_process(monkeypatch):
        client_of(location).write(put(b"k", b"new"), *([change_catalog()] if catalog else []))


def test_new_snapshot_is_the_members(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(location)
    commit_elsewhere(location, monkeypatch)
    client.begin()
    assert client.record(b"k") == b"old"
    assert client.store.near_trips == client.store.round_trips


def test_own_commit_is_seen_by_every_connection_of_the_process(location: Location, engine: LaggingEngine) -> None:
    first, second = client_of(location), client_of(location)
    first.write(put(b"k", b"mine"))
    for client in (first, second):
        client.begin()
        assert client.record(b"k") == b"mine"


def test_nothing_older_is_seen_than_another_connection_has_seen(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = client_of(location), client_of(location)
    commit_elsewhere(location, monkeypatch)
    engine.member_has = None
    first.begin()
    assert first.record(b"k") == b"new"
    engine.member_has = engine.revision - 1
    second.begin()
    assert second.record(b"k") == b"new"


def test_read_set_is_validated_where_it_is_newest(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(location)
    commit_elsewhere(location, monkeypatch)
    client.begin()
    [row] = client.get(b"k")
    assert row is not None
    with pytest.raises(ConflictError):
        client.commit(put(b"k", b"mine"), read=[Point(1, b"k", row.version)])
    client.begin()
    assert client.record(b"k") == b"new", "what the conflict has shown is seen by the next attempt"


def test_schema_change_is_noticed_at_commit(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(location)
    commit_elsewhere(location, monkeypatch, catalog=True)
    client.begin()
    assert client.record(b"k") == b"old"
    with pytest.raises(CatalogChangedError):
        client.commit(put(b"other"))
    client.begin()
    assert client.record(b"k") == b"new"


def test_what_takes_numbers_is_read_where_it_is_newest(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(location)
    commit_elsewhere(location, monkeypatch)
    result = client.store.read(None, [], [Reserve(1, 1)])
    assert result.reserved == [1]
    client.snapshot = result.snapshot
    assert client.record(b"k") == b"new"


def test_version_that_is_asked_for_is_seen(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = client_of(location), client_of(location)
    commit_elsewhere(location, monkeypatch)
    with another_process(monkeypatch):
        engine.member_has, before = None, engine.member_has
        wanted = other.begin()
        engine.member_has = before
    client.store.at_least = wanted
    client.begin()
    assert client.record(b"k") == b"new"


def test_member_cannot_tell_that_a_table_is_as_somebody_knows_it_who_has_seen_more(
    location: Location, engine: LaggingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction goes on at an older version than that of the rows which the process has kept."""
    client = client_of(location)
    snapshot = client.begin()
    commit_elsewhere(location, monkeypatch)
    known = Snapshot(snapshot.incarnation, engine.revision - client_base(client))
    [answer] = client.read(Scan(1, ORDER_INDEX, b"", BEYOND, known=known))
    assert isinstance(answer, ScanResult)
    assert [row.record for row in answer.rows] == [b"old"]


def client_base(client: SnapshotClient) -> int:
    assert isinstance(client.store, LaggingStore)
    assert client.store._head is not None
    return client.store._head.base
