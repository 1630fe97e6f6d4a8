"""The metrics of a database, from what its store says (Store.usage)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rome.metrics.metric import Metric, MetricFamily, MetricKind, MetricSample
from rome.store.spi import MAX_NUMBER, StoreUsage
from rome.transaction.totals import DatabaseLabel

_COUNTER, _GAUGE = MetricKind.COUNTER, MetricKind.GAUGE


class StoreReading(Struct, frozen=True):
    """What a store has said of a database.

    Attributes:
        tables: {id: name}; 0 is not among them, which has the schema.
        took_s: how long it took to ask.
        rows: how people know the rows that the usage names, by table and key.
    """

    usage: StoreUsage
    tables: Mapping[int, str]
    took_s: float
    rows: Mapping[tuple[int, bytes | None], str] = {}


UP = Metric("rome_store_up", _GAUGE, "1", "1 if the store has answered; 0 if not, and then nothing else is known.")
ASKED_SECONDS = Metric("rome_store_scrape_duration_seconds", _GAUGE, "s", "How long the store took to answer.")
VERSION = Metric(
    "rome_store_version_total",
    _COUNTER,
    "{version}",
    "The newest version: a commit makes it one greater; on etcd, every change in the cluster does.",
)
COMMITS = Metric(
    "rome_store_history_commits", _GAUGE, "{commit}", "Commits whose superseded versions are kept for snapshots."
)
HISTORY_BYTES = Metric("rome_store_history_bytes", _GAUGE, "By", "What the history takes, as the store counts it.")
HISTORY_MAX_BYTES = Metric(
    "rome_store_history_max_bytes",
    _GAUGE,
    "By",
    "What the history may take before it is kept for a shorter time (rome retention).",
)
RETENTION_SECONDS = Metric(
    "rome_store_retention_seconds", _GAUGE, "s", "How old a snapshot may become unless it is pinned (rome retention)."
)
OLDEST_SECONDS = Metric(
    "rome_store_oldest_snapshot_seconds",
    _GAUGE,
    "s",
    "Age of the oldest commit in the history: a snapshot of that age can still be read.",
)
NEWEST_SECONDS = Metric(
    "rome_store_last_commit_seconds", _GAUGE, "s", "Age of the newest commit in the history; absent without one."
)
LIVE_SNAPSHOTS = Metric(
    "rome_store_live_snapshots", _GAUGE, "{snapshot}", "Snapshots that are open, of all processes (LMDB only)."
)
PINS = Metric("rome_store_pins", _GAUGE, "{pin}", "Processes whose long transactions hold the history.")
OLDEST_PIN_SECONDS = Metric(
    "rome_store_oldest_pin_seconds", _GAUGE, "s", "Age of the oldest of these transactions; 0 without one."
)
QUEUED = Metric("rome_store_queue_entries", _GAUGE, "{transaction}", "Transactions in the commit queue.")
CLAIMED = Metric("rome_store_claims", _GAUGE, "{claim}", "Rows, and whole tables, that these transactions claim.")
IDS_LEFT = Metric("rome_store_ids_left", _GAUGE, "{id}", "Ids that a table has left, up to 2^63 - 1.", ("table",))
USED_BYTES = Metric(
    "rome_store_used_bytes", _GAUGE, "By", "What is in use of the file, server or cluster, by all that is in it."
)
MAX_BYTES = Metric(
    "rome_store_max_bytes", _GAUGE, "By", "What may be in use of it; absent without a limit, or if it is not known."
)

STORE_METRICS = (
    UP,
    ASKED_SECONDS,
    VERSION,
    COMMITS,
    HISTORY_BYTES,
    HISTORY_MAX_BYTES,
    RETENTION_SECONDS,
    OLDEST_SECONDS,
    NEWEST_SECONDS,
    LIVE_SNAPSHOTS,
    PINS,
    OLDEST_PIN_SECONDS,
    QUEUED,
    CLAIMED,
    IDS_LEFT,
    USED_BYTES,
    MAX_BYTES,
)


def store_families(readings: Mapping[DatabaseLabel, StoreReading | None]) -> list[MetricFamily]:
    """The metrics of some databases. None stands for a store that has not answered."""
    found: dict[Metric, list[MetricSample]] = {metric: [] for metric in STORE_METRICS}
    for label, reading in readings.items():
        labels = label._asdict()
        found[UP].append(MetricSample(labels, 0 if reading is None else 1))
        if reading is None:
            continue
        for metric, value in _values(reading).items():
            if value is not None:
                found[metric].append(MetricSample(labels, value))
        for table, last in _last_ids(reading).items():
            found[IDS_LEFT].append(MetricSample({**labels, "table": table}, MAX_NUMBER - last))
    return [MetricFamily(metric, samples) for metric, samples in found.items()]


def _values(reading: StoreReading) -> dict[Metric, float | None]:
    usage = reading.usage
    return {
        ASKED_SECONDS: reading.took_s,
        VERSION: usage.version,
        COMMITS: usage.commits,
        HISTORY_BYTES: usage.history_bytes,
        HISTORY_MAX_BYTES: usage.retention.max_bytes,
        RETENTION_SECONDS: usage.retention.seconds,
        OLDEST_SECONDS: usage.oldest_s or 0.0,
        NEWEST_SECONDS: usage.newest_s,
        LIVE_SNAPSHOTS: usage.live_snapshots,
        PINS: len(usage.pins),
        OLDEST_PIN_SECONDS: max((pin.age_s for pin in usage.pins), default=0.0),
        QUEUED: len(usage.queue),
        CLAIMED: sum(map(len, usage.queue)),
        USED_BYTES: usage.used_bytes,
        MAX_BYTES: usage.max_bytes,
    }


def _last_ids(reading: StoreReading) -> dict[str, int]:
    """The last id of each table that exists, by its name."""
    return {
        reading.tables[sequence]: last
        for sequence, last in reading.usage.sequences.items()
        if sequence in reading.tables
    }
