"""When a connection discards the engine's old revisions."""

from __future__ import annotations

from secrets import token_hex

import pytest

from rome.store.location import Location
from rome.store.ordered import committing
from rome.testing.harness import SnapshotClient, put
from tests.store.ordered.kit import OrderedMemoryStore, engines


def test_commits_discard_what_no_snapshot_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9
    monkeypatch.setattr(committing, "clock", lambda: now)
    host = token_hex(4)
    client = SnapshotClient(OrderedMemoryStore.open(Location("ordered", "db", host=host)))
    for number in range(10):
        client.write(put(b"a", b"%d" % number))
    assert engines[host].discarded == 0, "all of it is within the retention"
    now += 61
    for number in range(10):
        client.write(put(b"a", b"%d" % number))
    old = engines[host].discarded
    assert old > 0
    client.begin()
    seen = client.snapshot
    for number in range(10):
        client.write(put(b"b", b"%d" % number))
    now += 31
    client.write(put(b"a", b"new"))
    assert old < engines[host].discarded <= engines[host].revision - 11, "a snapshot of 31 s ago is readable"
    assert seen.version > 0
