"""What `rome top` shows, from two samples: rates are those of the time between them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from rome.cli.top.processes import ProcessReading
from rome.cli.top.sample import TopSample
from rome.metrics.exposition import ExposedValue
from rome.metrics.process import COMMIT_SECONDS, CONFLICTS, CONNECTIONS, COUNTED, ROUND_TRIPS
from rome.metrics.stored import StoreReading
from rome.store.spi import MAX_NUMBER, PinnedSnapshot, RecentCommit

RATE_S = 10.0
"""Commits of so many seconds make the rates of the store; fewer if the database has more than are looked at."""

HOT_ROWS = 10


class HotRow(Struct, frozen=True):
    """A row that several of the newest commits have changed, or that transactions in the commit queue claim."""

    row: str
    changes: int
    waiting: int


class IdsLeft(Struct, frozen=True):
    """The table with the fewest ids left."""

    table: str
    left: int


class StoreView(Struct, frozen=True):
    """What the store says.

    Attributes:
        rows_per_s, hot_rows: None if the store does not keep which rows its commits have changed; `hot_rows` then has
            those that are claimed.
        looked_at: how many of the newest commits hot_rows is about, and `looked_at_s` of how many seconds.
    """

    commits_per_s: float
    rows_per_s: float | None
    last_commit_s: float | None
    queue: int
    history_commits: int
    history_bytes: int
    history_max_bytes: int
    oldest_snapshot_s: float | None
    retention_s: float
    live_snapshots: int | None
    pins: list[PinnedSnapshot]
    used_bytes: int | None
    max_bytes: int | None
    ids_left: IdsLeft | None
    looked_at: int
    looked_at_s: float
    hot_rows: list[HotRow]
    answered_in_s: float


class ProcessView(Struct, frozen=True):
    """What one process says. Rates are None without an earlier sample; `error`: why there is nothing else."""

    url: str
    error: str | None = None
    connections: int = 0
    statements_per_s: float | None = None
    trips_per_s: float | None = None
    rows_per_s: float | None = None
    commits_per_s: float | None = None
    commit_mean_s: float | None = None
    commit_p95_s: float | None = None
    conflicts_per_s: float | None = None
    replays_per_s: float | None = None
    failures: int = 0


class TableConflicts(Struct, frozen=True):
    """Conflicts about a table, in all processes since they were started; the rate is None without an earlier sample."""

    table: str
    reason: str
    conflicts: int
    per_s: float | None


class TopView(Struct, frozen=True):
    """Everything; `error`: why the store is not there."""

    database: str
    error: str | None
    store: StoreView | None
    processes: list[ProcessView]
    conflicts: list[TableConflicts]


def top_view(database: str, now: TopSample, before: TopSample | None = None) -> TopView:
    """What the newest sample says, and its difference to one before."""
    earlier = {} if before is None else {each.url: each for each in before.processes if each.error is None}
    seconds = 0.0 if before is None else now.at_s - before.at_s
    return TopView(
        database,
        now.error,
        None if now.store is None else _store(now.store),
        [_process(each, earlier.get(each.url), seconds) for each in now.processes],
        _conflicts(now.processes, earlier.values(), seconds),
    )


def _store(reading: StoreReading) -> StoreView:
    usage, recent = reading.usage, reading.usage.recent
    window = [commit for commit in recent if commit.age_s <= RATE_S]
    # If there are more than were looked at, they are of less time.
    seconds = max(window[-1].age_s, 0.001) if window and len(window) == len(recent) < usage.commits else RATE_S
    known = all(commit.rows is not None for commit in recent)
    ids = {reading.tables[n]: last for n, last in usage.sequences.items() if n in reading.tables}
    scarcest = max(ids, key=lambda table: ids[table], default=None)
    return StoreView(
        commits_per_s=len(window) / seconds,
        rows_per_s=sum(len(commit.rows or ()) for commit in window) / seconds if known else None,
        last_commit_s=usage.newest_s,
        queue=len(usage.queue),
        history_commits=usage.commits,
        history_bytes=usage.history_bytes,
        history_max_bytes=usage.retention.max_bytes,
        oldest_snapshot_s=usage.oldest_s,
        retention_s=usage.retention.seconds,
        live_snapshots=usage.live_snapshots,
        pins=[*usage.pins],
        used_bytes=usage.used_bytes,
        max_bytes=usage.max_bytes,
        ids_left=None if scarcest is None else IdsLeft(scarcest, MAX_NUMBER - ids[scarcest]),
        looked_at=len(recent) if known else 0,
        looked_at_s=recent[-1].age_s if recent and known else 0.0,
        hot_rows=_hot(reading, recent),
        answered_in_s=reading.took_s,
    )


def _hot(reading: StoreReading, recent: Sequence[RecentCommit]) -> list[HotRow]:
    changes: Counter[tuple[int, bytes | None]] = Counter()
    for commit in recent:
        changes.update(row for row in commit.rows or () if row[0])  # 0 is the schema
    waiting = Counter((claim.table_id, claim.key) for claims in reading.usage.queue for claim in claims)
    hot = [HotRow(reading.rows[row], changes[row], waiting[row]) for row in changes | waiting]
    hot = [each for each in hot if each.changes > 1 or each.waiting]
    return sorted(hot, key=lambda each: (-each.waiting, -each.changes, each.row))[:HOT_ROWS]


def _process(now: ProcessReading, before: ProcessReading | None, seconds: float) -> ProcessView:
    if now.error is not None:
        return ProcessView(now.url, now.error)

    def rate(name: str) -> float | None:
        return _rate(_sum(now, name), None if before is None else _sum(before, name), seconds)

    name = COMMIT_SECONDS.name
    count, took_s = (
        None if before is None else _rise(_sum(now, each), _sum(before, each))
        for each in (f"{name}_count", f"{name}_sum")
    )
    return ProcessView(
        now.url,
        connections=int(_sum(now, CONNECTIONS.name)),
        statements_per_s=rate(COUNTED["statements"].name),
        trips_per_s=rate(ROUND_TRIPS.name),
        rows_per_s=rate(COUNTED["rows"].name),
        commits_per_s=rate(COUNTED["commits"].name),
        commit_mean_s=took_s / count if took_s is not None and count else None,
        commit_p95_s=None if before is None else _quantile(now, before, 0.95),
        conflicts_per_s=rate(CONFLICTS.name),
        replays_per_s=rate(COUNTED["replays"].name),
        failures=int(_sum(now, COUNTED["failures"].name)),
    )


def _rise(now: float, before: float) -> float:
    """How much a counter has risen; a process that was started anew counts from 0."""
    return now - before if now >= before else now


def _rate(now: float, before: float | None, seconds: float) -> float | None:
    return None if before is None or seconds <= 0 else _rise(now, before) / seconds


def _sum(reading: ProcessReading, name: str) -> float:
    return sum(each.value for each in reading.values if each.name == name)


def _quantile(now: ProcessReading, before: ProcessReading, share: float) -> float | None:
    """The upper bound of the bucket that has the quantile of what came between; None if nothing came.

    The last bucket has no upper bound, so the one below it is returned.
    """
    name = f"{COMMIT_SECONDS.name}_bucket"

    def buckets(reading: ProcessReading) -> Counter[float]:
        found: Counter[float] = Counter()
        for each in reading.values:
            if each.name == name:
                found[float(each.labels["le"])] += int(each.value)
        return found

    after, earlier = buckets(now), buckets(before)
    rises = {bound: _rise(count, earlier[bound]) for bound, count in sorted(after.items())}
    most = rises.get(math.inf, 0)
    if not most:
        return None
    bounds = [bound for bound in rises if bound < math.inf]
    return next((bound for bound in bounds if rises[bound] >= share * most), max(bounds, default=None))


def _conflicts(now: Sequence[ProcessReading], before: Iterable[ProcessReading], seconds: float) -> list[TableConflicts]:
    earlier = {each.url: _by_table(each.values) for each in before}
    total: Counter[tuple[str, str]] = Counter()
    risen: Counter[tuple[str, str]] = Counter()
    for process in now:
        for kind, count in _by_table(process.values).items():
            total[kind] += count
            if process.url in earlier:
                risen[kind] += int(_rise(count, earlier[process.url][kind]))
    return [
        TableConflicts(table, reason, count, risen[table, reason] / seconds if earlier and seconds > 0 else None)
        for (table, reason), count in sorted(total.items(), key=lambda item: (-risen[item[0]], -item[1], item[0]))
    ]


def _by_table(values: Iterable[ExposedValue]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for each in values:
        if each.name == CONFLICTS.name:
            found[each.labels.get("table", ""), each.labels.get("reason", "")] += int(each.value)
    return found
