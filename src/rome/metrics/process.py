"""The metrics of this process: what its connections have done."""

from __future__ import annotations

from rome.engine.statement.schema import PLAN_COUNTS, cached_plans
from rome.metrics.metric import Metric, MetricBuckets, MetricFamily, MetricKind, MetricSample
from rome.transaction.totals import COMMIT_BOUNDS_S, DatabaseLabel, Totals, open_connections, process_totals

_COUNTER, _GAUGE, _HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

CONNECTIONS = Metric("rome_connections", _GAUGE, "{connection}", "Connections that are open.")
ROUND_TRIPS = Metric(
    "rome_round_trips_total",
    _COUNTER,
    "{trip}",
    "How often connections have waited for the store; server=near: for a near server (reads=near).",
    ("server",),
)
CONFLICTS = Metric(
    "rome_conflicts_total",
    _COUNTER,
    "{conflict}",
    "Conflicts that transactions have met, replayed or not, by table and reason.",
    ("table", "reason"),
)
COMMIT_SECONDS = Metric(
    "rome_commit_duration_seconds",
    _HISTOGRAM,
    "s",
    "How long the store took for each commit that succeeded, without replays and waiting in the commit queue.",
)
PLANS_MADE = Metric(
    "rome_plan_cache_misses_total",
    _COUNTER,
    "{statement}",
    "Statements that were analysed since the plan cache did not have them.",
    of_database=False,
)
PLANS_DISCARDED = Metric(
    "rome_plan_cache_evictions_total",
    _COUNTER,
    "{statement}",
    "Plans that were discarded because a schema had too many.",
    of_database=False,
)
PLANS = Metric("rome_plan_cache_entries", _GAUGE, "{statement}", "Plans in the cache.", of_database=False)

COUNTED = {
    "statements": Metric("rome_statements_total", _COUNTER, "{statement}", "Statements that were run."),
    "waves": Metric("rome_reads_total", _COUNTER, "{read}", "Reads, each of which is at least one round trip."),
    "rows": Metric("rome_rows_read_total", _COUNTER, "{row}", "Rows that the store has sent."),
    "bytes": Metric("rome_read_bytes_total", _COUNTER, "By", "Bytes of these rows."),
    "commits": Metric("rome_commits_total", _COUNTER, "{commit}", "Commits that succeeded and had something to send."),
    "rows_written": Metric("rome_rows_written_total", _COUNTER, "{row}", "Rows that commits have put or deleted."),
    "replays": Metric("rome_replays_total", _COUNTER, "{replay}", "Transactions that were run again after a conflict."),
    "failures": Metric(
        "rome_serialization_failures_total",
        _COUNTER,
        "{transaction}",
        "Transactions whose conflict the application was told (SQLSTATE 40001).",
    ),
    "turns": Metric("rome_queue_entries_total", _COUNTER, "{entry}", "Entries made in the commit queue."),
    "claims": Metric("rome_claims_total", _COUNTER, "{claim}", "Rows claimed by statements that lock or change them."),
    "queue_wait_s": Metric(
        "rome_queue_wait_seconds_total", _COUNTER, "s", "Time that transactions have waited in the commit queue."
    ),
}
"""{counter: metric}, for the counters whose metrics have no further labels."""

PROCESS_METRICS = (
    CONNECTIONS,
    *COUNTED.values(),
    ROUND_TRIPS,
    CONFLICTS,
    COMMIT_SECONDS,
    PLANS,
    PLANS_MADE,
    PLANS_DISCARDED,
)


def process_families() -> list[MetricFamily]:
    """All metrics of this process.

    Cost: some µs for each open connection; nobody waits for a store.
    """
    found: dict[Metric, list[MetricSample]] = {metric: [] for metric in PROCESS_METRICS}
    for label, number in open_connections().items():
        found[CONNECTIONS].append(MetricSample(label._asdict(), number))
    for label, totals in process_totals().items():
        _add(found, label, totals)
    for metric, number in (
        (PLANS, cached_plans()),
        (PLANS_MADE, PLAN_COUNTS.made),
        (PLANS_DISCARDED, PLAN_COUNTS.discarded),
    ):
        found[metric].append(MetricSample({}, number))
    return [MetricFamily(metric, samples) for metric, samples in found.items()]


def _add(found: dict[Metric, list[MetricSample]], label: DatabaseLabel, totals: Totals) -> None:
    labels, counts = label._asdict(), totals.counts
    for name, metric in COUNTED.items():
        found[metric].append(MetricSample(labels, counts.get(name, 0)))
    near = counts.get("near_trips", 0)
    for server, trips in (("primary", counts.get("round_trips", 0) - near), ("near", near)):
        found[ROUND_TRIPS].append(MetricSample({**labels, "server": server}, trips))
    for (table, reason), number in totals.conflicts.items():
        found[CONFLICTS].append(MetricSample({**labels, "table": table, "reason": reason}, number))
    durations = totals.commits
    buckets = MetricBuckets(COMMIT_BOUNDS_S, tuple(durations.within), durations.seconds)
    found[COMMIT_SECONDS].append(MetricSample(labels, buckets))
