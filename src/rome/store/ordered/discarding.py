"""Decides which of the engine's old revisions may be discarded. They are those of all databases that it holds.

A database needs the revisions since its floor. Another one with a longer retention needs older ones, so the process
must know which revision was the newest at that time. It notes that now and then; and until it has done so for long
enough, it leaves discarding to those who have. Of a database with pins, the revisions since the oldest one stay, too.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from threading import Lock

from rome.errors import Error
from rome.store.ordered import committing
from rome.store.ordered.driver import Driver, DriverTransaction, Pair, Range, Revision
from rome.store.ordered.layout import ROOT, ROOT_STOP, Layout, database_name, decode_pins, decode_retention
from rome.store.pins import Pins

LOOK_EVERY_S = 600.0
"""How often a process looks at the retentions of the engine's other databases: one trip for each."""

NOTES = 100
"""How many revisions a process notes within the longest retention."""

PAGE = 100


class Horizon:
    """What one process knows of an engine's past. All its connections share it, each in its own thread.

    Attributes:
        databases: the names of those that the engine had at the last look.
    """

    def __init__(self) -> None:
        self.databases: list[str] = []
        self._lock = Lock()
        self._notes: list[tuple[float, Revision]] = []
        self._longest_s = 0.0
        self._looked_s = float("-inf")

    def saw(self, newest: Revision) -> None:
        """Note that this revision is the newest one now."""
        now = committing.clock()
        with self._lock:
            if not self._notes or now - self._notes[-1][0] >= self._longest_s / NOTES:
                self._notes.append((now, newest))
            old = [noted for noted, _ in self._notes if noted <= now - self._longest_s]
            del self._notes[: max(0, len(old) - 1)]

    def discardable(self, own: Revision, retention_s: float) -> Revision | None:
        """Return the first revision that is still needed; None if that is not known.

        Args:
            own: the first revision that our own database needs, whose retention is `retention_s`.
        """
        now = committing.clock()
        with self._lock:
            if retention_s >= self._longest_s:
                return own
            old = [revision for noted, revision in self._notes if noted <= now - self._longest_s]
            return min(own, old[-1]) if old else None

    def look(self, driver: Driver) -> None:
        """Look at the retentions of the engine's databases, if that is due."""
        now = committing.clock()
        with self._lock:
            if now - self._looked_s < LOOK_EVERY_S:
                return
            self._looked_s = now
        try:
            names = databases(driver)
            longest_s = max(retentions(driver, names), default=0.0)
        except (Error, ValueError):
            return  # a user that may not look at them, or something else that another connection will hear of
        with self._lock:
            self._longest_s, self.databases = longest_s, names


def databases(driver: Driver) -> list[str]:
    """Return the names of the engine's databases, sorted. One round trip for each."""
    names: set[str] = set()
    start = ROOT
    while True:
        [outcome] = driver.run([DriverTransaction(then=[Range(start, ROOT_STOP, limit=1, keys_only=True)])])
        if not outcome.found[0].pairs:
            return sorted(names)
        key = outcome.found[0].pairs[0].key
        if name := database_name(key):
            names.add(name)
        start = ROOT + key[len(ROOT) :].partition(b"/")[0] + b"0"


def retentions(driver: Driver, names: Sequence[str]) -> list[float]:
    """Return the retentions of these databases, in seconds. One round trip.

    Raises:
        ValueError: one cannot be decoded.
    """
    found = _values(driver, [Layout(name).retention for name in names])
    return [decode_retention(pair.value).seconds for pair in found.values()]


def pinned_revision(driver: Driver, names: Sequence[str]) -> Revision | None:
    """Return the first revision that pins of these databases ask for; None if there are none. One round trip.

    Raises:
        ValueError: something of them cannot be decoded.
    """
    layouts = [Layout(name) for name in names]
    found = _values(driver, [key for layout in layouts for key in (layout.description, layout.pins)])
    now = committing.clock()
    pinned = [
        found[layout.description].created + version
        for layout in layouts
        if layout.pins in found and layout.description in found
        if (version := Pins(decode_pins(found[layout.pins].value), now).oldest) is not None
    ]
    return min(pinned, default=None)


def _values(driver: Driver, keys: Sequence[bytes]) -> dict[bytes, Pair]:
    """Return those of the keys that are there. One round trip, or none."""
    transactions = [
        DriverTransaction(then=[Range(key) for key in keys[first : first + PAGE]])
        for first in range(0, len(keys), PAGE)
    ]
    outcomes = driver.run(transactions) if transactions else []
    return {pair.key: pair for outcome in outcomes for each in outcome.found for pair in each.pairs}


_horizons: dict[Hashable, Horizon] = {}
_horizons_lock = Lock()


def horizon_of(engine: Hashable) -> Horizon:
    """Return what this process knows of an engine."""
    with _horizons_lock:
        return _horizons.setdefault(engine, Horizon())
