"""The conformance suite on ordered keys in memory: what it shows of the layout holds for whoever writes a driver."""

from __future__ import annotations

from collections.abc import Set
from secrets import token_hex

import pytest

from rome.store import memory
from rome.store.location import Location
from rome.store.ordered import committing
from rome.testing.harness import StoreUnderTest
from rome.testing.store_suite import *  # noqa: F403
from tests.store.ordered.kit import OrderedMemoryStore, engines


@pytest.fixture
def store_under_test(monkeypatch: pytest.MonkeyPatch) -> StoreUnderTest:
    """Time stands still, save when the suite waits."""
    now = 1e9
    host = token_hex(4)

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    def all_keys() -> Set[object]:
        engine = engines[host]
        return {pair.key for pair in engine._pairs(b"", b"\xff", engine.revision)}

    monkeypatch.setattr(committing, "clock", lambda: now)
    monkeypatch.setattr(memory, "clock", lambda: now)  # the model's time goes with it
    return StoreUnderTest(
        OrderedMemoryStore, lambda name: Location("ordered", name, host=host), wait=wait, residue=all_keys
    )
