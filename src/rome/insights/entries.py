"""What is kept of a process's statements, and the form in which files and processes hand it on (JSON).

Every kind of entry has an `id`, which is the same in every process, and `add`, which takes up the figures of another
entry with that id. Times are in seconds.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TypeVar

from msgspec import Struct, field

from rome.engine.observing.full_scans import FullScan

FORMAT = 1

_STEPS = 4
"""Steps of the histogram for each doubling of the time, so that a quantile is too large by 19 % at most."""
_LEAST_S = 1e-6
MOST_PLACES = 8


def id_of(*parts: str) -> str:
    """A short id of a thing that is known by these texts."""
    return blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=6).hexdigest()


class Times(Struct):
    """How long something took, each time: a histogram whose steps grow with the time.

    Attributes:
        buckets: {n: how many took between 2**(n/4) and 2**((n+1)/4) µs}
    """

    count: int = 0
    total_s: float = 0.0
    max_s: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)

    def note(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.total_s += seconds
        self.max_s = max(self.max_s, seconds)
        bucket = int(_STEPS * math.log2(max(seconds, _LEAST_S) / _LEAST_S))
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def add(self, other: Times) -> None:
        """Take up another histogram."""
        self.count += other.count
        self.total_s += other.total_s
        self.max_s = max(self.max_s, other.max_s)
        _sum(self.buckets, other.buckets)

    @property
    def mean_s(self) -> float:
        """The mean; 0 without any."""
        return self.total_s / self.count if self.count else 0.0

    def quantile_s(self, part: float) -> float:
        """The time within which this part of them ended, or up to 19 % more; 0 without any."""
        wanted = part * self.count
        for bucket in sorted(self.buckets):
            wanted -= self.buckets[bucket]
            if wanted <= 0:
                return min(_LEAST_S * 2 ** ((bucket + 1) / _STEPS), self.max_s)
        return self.max_s


class StatementEntry(Struct):
    """One statement: all executions on one database whose normalized texts are equal.

    Attributes:
        name: a short one, such as "SELECT orders".
        executions: how often it ran; more than `times.count` where executemany ran it.
        rows_read, bytes_read: that came from the store.
        places: {line of the application: how often it ran the statement}
        scans: the tables that it reads whole, by its newest plan.
        parameters: of the slowest call, if they were to be kept.
    """

    id: str
    database: str
    text: str
    name: str
    times: Times = field(default_factory=Times)
    executions: int = 0
    trips: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    rows_returned: int = 0
    rows_changed: int = 0
    errors: int = 0
    places: dict[str, int] = field(default_factory=dict)
    scans: list[FullScan] = field(default_factory=list)
    parameters: str | None = None

    def add(self, other: StatementEntry) -> None:
        """Take up another process's."""
        if other.times.max_s > self.times.max_s:
            self.parameters = other.parameters
        self.times.add(other.times)
        _add_numbers(
            self, other, "executions", "trips", "rows_read", "bytes_read", "rows_returned", "rows_changed", "errors"
        )
        _sum(self.places, other.places)
        self.scans = other.scans or self.scans


class RepeatEntry(Struct):
    """A statement that one line runs many times in one transaction, with other parameters each time.

    Attributes:
        statement, leader: ids; the leader is the statement before the first of them, None if it was the first.
        place: the line of the application.
        writes: it changes rows.
        transactions: in how many of them.
        calls: how often in these, in all; `most`: how often in one.
    """

    id: str
    database: str
    statement: str
    leader: str | None
    place: str | None
    writes: bool
    transactions: int = 0
    calls: int = 0
    most: int = 0
    total_s: float = 0.0
    trips: int = 0

    def add(self, other: RepeatEntry) -> None:
        """Take up another process's."""
        _add_numbers(self, other, "transactions", "calls", "total_s", "trips")
        self.most = max(self.most, other.most)


class ConflictEntry(Struct):
    """Conflicts about the same row, or the same rows.

    Attributes:
        table: empty if no single table is known.
        rows: "row id=1 of table post", "rows of table post with state='new'".
        is_row: it is about one row.
        conflicts: how many attempts met one; `failed`: how many of them the application got as an error. The other
            transactions were replayed.
        losers: {id of a statement: conflicts of transactions in which it used the table}
        winners: {id of a statement: conflicts with transactions of this process that had written by it}
        unseen: conflicts with other processes, or with what cannot be told.
    """

    id: str
    database: str
    table: str
    rows: str
    is_row: bool
    conflicts: int = 0
    failed: int = 0
    losers: dict[str, int] = field(default_factory=dict)
    winners: dict[str, int] = field(default_factory=dict)
    unseen: int = 0
    places: dict[str, int] = field(default_factory=dict)

    def add(self, other: ConflictEntry) -> None:
        """Take up another process's."""
        _add_numbers(self, other, "conflicts", "failed", "unseen")
        for mine, theirs in ((self.losers, other.losers), (self.winners, other.winners), (self.places, other.places)):
            _sum(mine, theirs)


class CommitEntry(Struct):
    """The commits of transactions that write by the same kinds of statements, at one line of the application.

    Attributes:
        name: the names of these statements: "INSERT orders, UPDATE stock".
        failed: how many raised an error.
        turns: how often they queued for their turn.
    """

    id: str
    database: str
    name: str
    place: str | None
    times: Times = field(default_factory=Times)
    rows_written: int = 0
    most_rows: int = 0
    trips: int = 0
    conflicts: int = 0
    replays: int = 0
    turns: int = 0
    failed: int = 0

    def add(self, other: CommitEntry) -> None:
        """Take up another process's."""
        self.times.add(other.times)
        _add_numbers(self, other, "rows_written", "trips", "conflicts", "replays", "turns", "failed")
        self.most_rows = max(self.most_rows, other.most_rows)


Entry = StatementEntry | RepeatEntry | ConflictEntry | CommitEntry
KINDS = ("statements", "repeats", "conflicts", "commits")
"""The fields of a Part that hold entries."""


class Totals(Struct):
    """All that was recorded, also of entries that were dropped for want of room."""

    statements: int = 0
    time_s: float = 0.0
    trips: int = 0
    rows_read: int = 0
    commits: int = 0
    conflicts: int = 0
    replays: int = 0
    failed: int = 0
    dropped: int = 0

    def add(self, other: Totals) -> None:
        """Take up another process's."""
        _add_numbers(self, other, *self.__struct_fields__)


class Process(Struct, frozen=True):
    """Which process it was; `began` and `until` are seconds since 1970."""

    id: str
    program: str
    pid: int
    host: str
    began: float
    until: float


class Part(Struct, kw_only=True):
    """What one process has recorded, or what has changed of it: one line of a file."""

    rome_insights: int = FORMAT
    process: Process
    totals: Totals
    statements: list[StatementEntry] = field(default_factory=list)
    repeats: list[RepeatEntry] = field(default_factory=list)
    conflicts: list[ConflictEntry] = field(default_factory=list)
    commits: list[CommitEntry] = field(default_factory=list)


Key = TypeVar("Key", str, int)


def _sum(mine: dict[Key, int], theirs: dict[Key, int]) -> None:
    for key, number in theirs.items():
        mine[key] = mine.get(key, 0) + number


def _add_numbers(mine: Struct, theirs: Struct, *names: str) -> None:
    for name in names:
        setattr(mine, name, getattr(mine, name) + getattr(theirs, name))
