"""Pins, as the stores that run in this process keep them.

A transaction needs the history from its snapshot on: to read, and to be validated at COMMIT. Trimming discards that
once it is older than the retention, except what a *pin* asks for. A pin names a version and has a deadline, which its
process moves; so a process that dies loses it. It never lets the history grow beyond the retention's bytes.

Correctness does not depend on pins: whether a snapshot can still be read and committed is decided by the floor alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rome.store.diagnosis import Finding, Level
from rome.store.spi import PinnedSnapshot, Version


class StoredPin(NamedTuple):
    """One process' pin. `since` (when its oldest transaction began) and `deadline` are seconds of the store's clock."""

    ticket: bytes
    version: Version
    since: float
    deadline: float
    owner: str


class Pins:
    """The pins at one moment, without those whose deadline has passed."""

    def __init__(self, stored: Iterable[StoredPin], now: float) -> None:
        self.stored = [pin for pin in stored if pin.deadline > now]
        self._now = now

    @property
    def oldest(self) -> Version | None:
        """The version from which on the history is kept; None if there is no pin."""
        return min((pin.version for pin in self.stored), default=None)

    def put(self, ticket: bytes, version: Version, lease_s: float, *, age_s: float, owner: str) -> None:
        """Add a pin, or replace the one with this ticket."""
        self.remove(ticket)
        self.stored.append(StoredPin(ticket, version, self._now - age_s, self._now + lease_s, owner))

    def remove(self, ticket: bytes) -> bool:
        """Remove a pin; returns False if there is none."""
        left = [pin for pin in self.stored if pin.ticket != ticket]
        gone = len(left) < len(self.stored)
        self.stored = left
        return gone

    def shown(self) -> list[PinnedSnapshot]:
        """As `Store.pins` returns them."""
        return sorted(
            (
                PinnedSnapshot(pin.version, pin.owner, self._now - pin.since, pin.deadline - self._now)
                for pin in self.stored
            ),
            key=lambda pin: (pin.version, -pin.age_s),
        )


LONG_S = 900.0
"""Beyond this age of a transaction, doctor asks what it does."""


def described(pins: Sequence[PinnedSnapshot]) -> str:
    """Who holds history for long transactions, and for how long already, as messages say it; empty for nobody."""
    return ", ".join(f"{pin.owner} for {pin.age_s:.0f} s" for pin in pins)


def pins_finding(pins: Sequence[PinnedSnapshot]) -> Finding:
    """What doctor says about them."""
    check = "long transactions"
    if not pins:
        return Finding(check, Level.OK, "none")
    reason = f"{len(pins)} process{'es' if len(pins) > 1 else ''}, whose oldest has been open: {described(pins)}"
    if max(pin.age_s for pin in pins) < LONG_S:
        return Finding(check, Level.OK, reason)
    remedy = "see what the process does: until it ends the transaction, history is kept for it"
    return Finding(check, Level.WARNING, reason, remedy)
