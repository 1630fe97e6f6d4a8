"""An engine that was restored from an older copy: nobody who has seen what came after the copy mixes both histories."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

import pytest

from rome.errors import CommitAbortedError, SnapshotLostError
from rome.store.location import Location
from rome.store.ordered import hints
from rome.store.ordered.driver import DriverTransaction
from rome.store.ordered.memory import MemoryEngine
from rome.testing.harness import Point, RangeCheck, SnapshotClient, put
from tests.store.ordered.kit import OrderedMemoryStore, engines

NEW = Point(1, b"other", 0)
"""The row `other` is not there."""


def save(engine: MemoryEngine) -> Callable[[], None]:
    """Copy the engine; calling what it returns restores the copy."""
    revision, keys = engine.revision, list(engine._keys)
    past = {key: list(values) for key, values in engine._past.items()}

    def restore() -> None:
        engine.revision, engine._keys[:] = revision, keys
        engine._past.clear()
        engine._past.update({key: list(values) for key, values in past.items()})

    return restore


@pytest.fixture
def location() -> Location:
    return Location("ordered", "db", host=token_hex(4))


@pytest.fixture
def engine(location: Location) -> MemoryEngine:
    return engines[location.host or ""]


def client_of(location: Location) -> SnapshotClient:
    return SnapshotClient(OrderedMemoryStore.open(location))


@pytest.fixture
def old(location: Location, engine: MemoryEngine) -> SnapshotClient:
    """Has seen row `lost`, which the engine does not have any more: its snapshot is newer than the database."""
    old = client_of(location)
    old.write(put(b"kept"))
    restore = save(engine)
    old.write(put(b"lost"))
    old.begin()
    assert old.keys() == [b"kept", b"lost"]
    restore()
    return old


def test_read_after_the_restore_is_refused(old: SnapshotClient) -> None:
    with pytest.raises(SnapshotLostError):
        old.keys()
    old.begin()
    assert old.keys() == [b"kept"]


def test_commit_after_the_restore_is_refused(old: SnapshotClient) -> None:
    """It has read a range that is the same as far as its conditions can see: nothing came into it since."""
    with pytest.raises(SnapshotLostError):
        old.commit(put(b"other"), read=[NEW, RangeCheck(1, 0, b"", b"z", old.snapshot.version, rows=False)])
    old.begin()
    assert old.keys() == [b"kept"]


def test_new_connection_of_a_process_that_knows_more_begins_a_new_history(
    old: SnapshotClient, location: Location
) -> None:
    """So what the process keeps of the old one, such as reference tables, is not valid either."""
    before = old.snapshot.incarnation
    new = client_of(location)
    assert new.begin().incarnation != before
    with pytest.raises(SnapshotLostError):
        old.commit(put(b"other"), read=[NEW])


def test_process_with_many_databases_notices_it_too(old: SnapshotClient, location: Location) -> None:
    """It forgets what it believes of the first ones, and not how far they have come."""
    before = old.snapshot.incarnation
    for number in range(hints.MAX_BELIEVING + 1):
        client_of(Location("ordered", f"db{number}", host=location.host)).begin()
    assert client_of(location).begin().incarnation != before


def test_mark_refuses_those_who_come_when_the_versions_are_assigned_again(
    old: SnapshotClient, location: Location
) -> None:
    """By then nothing else shows that there was a restore, where another process begins to work first."""
    hints._known.clear()  # another process knows nothing
    new = client_of(location)
    new.store.mark_restored()
    for number in range(5):
        new.write(put(b"new%d" % number))
    assert new.begin().version > old.snapshot.version
    with pytest.raises(SnapshotLostError):
        old.commit(put(b"other"), read=[NEW, RangeCheck(1, 0, b"l", b"m", old.snapshot.version, rows=False)])
    new.begin()
    assert b"other" not in {*new.keys()}


def test_mark_keeps_the_data_and_goes_on_with_the_versions(location: Location) -> None:
    client = client_of(location)
    client.write(put(b"a", b"1"))
    client.begin()
    request = client.request(put(b"b"))
    committed = client.store.commit(request)
    before = client.begin()
    client.store.mark_restored()
    after = client.begin()
    assert after.version == before.version == committed
    assert after.incarnation != before.incarnation
    assert [(row.key, row.record) for row in client.scan()] == [(b"a", b"1"), (b"b", b"record")]
    assert client.store.resolve(request.transaction_id, request.snapshot.version) == committed


def test_what_became_of_a_commit_is_what_became_of_it_in_the_restored_data(
    location: Location, engine: MemoryEngine
) -> None:
    client = client_of(location)
    client.begin()
    kept, lost = client.request(put(b"kept")), client.request(put(b"lost"))
    version = client.store.commit(kept)
    restore = save(engine)
    client.store.commit(lost)
    restore()
    other = client_of(location)
    other.store.mark_restored()
    assert other.store.resolve(kept.transaction_id, kept.snapshot.version) == version
    assert other.store.resolve(lost.transaction_id, lost.snapshot.version) is None
    with pytest.raises(CommitAbortedError):
        client.store.commit(lost)


def test_reads_at_the_same_time_are_no_restore(location: Location) -> None:
    """A head may be older than one that was read beside it: the history is looked at again, and goes on."""
    client = client_of(location)
    client.write(put(b"a"))
    before = client.begin()
    store = client.store
    assert isinstance(store, OrderedMemoryStore)
    older = store._driver.run([DriverTransaction(then=store._head_range())])[0].found[0]
    client_of(location).write(put(b"b"))
    store._ask_head()
    head = store._take_head(older)
    assert head.incarnation == before.incarnation
    assert head.version > before.version
