"""The state machine of the conformance suite: it accepts everything that the SPI allows."""

from __future__ import annotations

from secrets import token_hex

import pytest

from rome.store import memory
from rome.store.location import Location
from rome.testing.harness import StoreUnderTest
from rome.testing.store_machine import KEYS, StoreMachine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> StoreMachine:
    """One history on two databases of the memory store. Time stands still, except when the machine waits."""
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Machine(StoreMachine):
        under_test = StoreUnderTest(
            memory.MemoryStore, lambda name: Location("memory", f"{name}-{token_hex(4)}"), wait=wait
        )

    monkeypatch.setattr(memory, "clock", lambda: now)
    return Machine()


def test_commit_that_the_queue_refused_may_be_applied_after_trimming(machine: StoreMachine) -> None:
    """It saw the newest version, and trimming keeps that one."""
    machine.write_plain(0, {KEYS[0]: b"r"})
    machine.join_queue(0, True, [KEYS[0]])
    machine.write_plain(1, {KEYS[0]: b"s"})
    refused = machine.sent[-1]
    assert refused.version is None, "the queue has refused it"
    machine.expire(2)
    machine.leave_queue(0)
    machine.repeat(1, 0)
    assert refused.version is not None
    machine.teardown()


def test_commit_below_what_was_trimmed_is_never_applied(machine: StoreMachine) -> None:
    machine.write_plain(0, {KEYS[0]: b"r"})
    machine.join_queue(0, True, [KEYS[0]])
    machine.write_plain(1, {KEYS[0]: b"s"})
    refused = machine.sent[-1]
    machine.write_plain(2, {KEYS[1]: b"r"})
    machine.expire(2)
    machine.leave_queue(0)
    machine.repeat(1, 0)
    assert refused.expired
    assert refused.version is None
    machine.teardown()
