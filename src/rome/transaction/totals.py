"""What all connections of this process have done, for `rome.metrics`.

Each connection keeps its own counters, without a lock, since one thread at a time uses it. Whoever wants the totals
adds those of the open connections to those that closed ones have left. A total never falls: an open transaction's reads
come in when it ends, and a connection's counters move from one sum to the other under a lock.

A forked child begins with zeros, so that two processes never report the same work.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

from msgspec import Struct, field

from rome.errors import (
    CatalogChangedError,
    CommitAbortedError,
    ConflictError,
    SnapshotLostError,
    SnapshotTooOldError,
    TurnTakenError,
)

COMMIT_BOUNDS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""The upper bounds of the buckets for the duration of commits; one more bucket has the rest."""


class CommitDurations(Struct):
    """How long the store took for the commits of a connection.

    Attributes:
        within: how many took as long as each bound of COMMIT_BOUNDS_S at most, and longer than the one before.
        seconds: all of them together.
    """

    within: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS_S) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a commit."""
        self.within[bisect_left(COMMIT_BOUNDS_S, seconds)] += 1
        self.seconds += seconds


class DatabaseLabel(NamedTuple):
    """Which database a connection is to, as metrics name it; `store` is the kind of the store, such as "redis"."""

    store: str
    database: str


PRIVATE = "(private)"
"""In place of the name of a database that nobody else can see, since each of them has another one."""


class ConflictKind(NamedTuple):
    """What a conflict was about: a table, empty if it was no single one, and a word for the reason."""

    table: str
    reason: str


_REASONS: Mapping[type[Exception], str] = {
    ConflictError: "changed",
    SnapshotTooOldError: "snapshot_too_old",
    SnapshotLostError: "snapshot_lost",
    CatalogChangedError: "schema_changed",
    TurnTakenError: "turn_taken",
    CommitAbortedError: "commit_aborted",
}
REASONS = (*_REASONS.values(), "other")
"""Why transactions conflict, as metrics name it."""


def conflicts_by_table(
    met: Mapping[tuple[int | None, type[Exception]], int], names: Mapping[int, str]
) -> Counter[ConflictKind]:
    """Conflicts by the name of the table; a table that does not exist any more is `#` and its number."""
    found: Counter[ConflictKind] = Counter()
    for (table_id, error), number in met.items():
        table = names.get(table_id, f"#{table_id}") if table_id else ""
        found[ConflictKind(table, _REASONS.get(error, "other"))] += number
    return found


class Totals(Struct):
    """Sums of counters.

    Attributes:
        counts: by the names of rome.engine.result.Stats, and by those of rome.transaction.commit_turn.TurnCounts.
        conflicts: conflicts by kind.
        commits: how long they took.
    """

    counts: dict[str, float] = field(default_factory=dict)
    conflicts: Counter[ConflictKind] = field(default_factory=Counter)
    commits: CommitDurations = field(default_factory=CommitDurations)

    def add(self, more: Totals) -> None:
        """Add other sums."""
        for name, value in more.counts.items():
            self.counts[name] = self.counts.get(name, 0) + value
        self.conflicts.update(more.conflicts)
        self.commits.seconds += more.commits.seconds
        self.commits.within = [a + b for a, b in zip(self.commits.within, more.commits.within, strict=True)]


class Counted(Protocol):
    """A connection's engine, as far as its counters go."""

    def totals(self) -> Totals:
        """A copy of its counters; any thread may ask."""


class _Process:
    def __init__(self) -> None:
        self.lock = Lock()
        self.open: WeakKeyDictionary[Counted, DatabaseLabel] = WeakKeyDictionary()
        self.closed: dict[DatabaseLabel, Totals] = {}


_process = _Process()


def _begin_anew() -> None:
    global _process
    _process = _Process()


os.register_at_fork(after_in_child=_begin_anew)


def opened(connection: Counted, label: DatabaseLabel) -> None:
    """Count a connection from now on."""
    with _process.lock:
        _process.open[connection] = label


def closed(connection: Counted) -> None:
    """Keep what a connection has counted, and forget the connection. Idempotent."""
    process = _process
    with process.lock:
        label = process.open.pop(connection, None)
        if label is not None:
            process.closed.setdefault(label, Totals()).add(connection.totals())


def open_connections() -> Mapping[DatabaseLabel, int]:
    """How many connections are open, to each database that there was one to."""
    with _process.lock:
        return {**dict.fromkeys(_process.closed, 0), **Counter(_process.open.values())}


def process_totals() -> Mapping[DatabaseLabel, Totals]:
    """The totals of all connections that were opened in this process, by database.

    Cost: some µs for each open connection; nobody waits for a store.
    """
    with _process.lock:
        found: dict[DatabaseLabel, Totals] = {}
        for label, totals in _all(_process):
            found.setdefault(label, Totals()).add(totals)
        return found


def _all(process: _Process) -> Iterator[tuple[DatabaseLabel, Totals]]:
    yield from process.closed.items()
    for connection, label in process.open.items():
        yield label, connection.totals()
