"""OpenTelemetry's metrics: what `rome.metrics` counts, and how long each statement and COMMIT took.

The counters are read when OpenTelemetry collects them, and cost nothing before. The durations are a histogram, to which
each statement adds a value as it ends.

Source: https://opentelemetry.io/docs/specs/semconv/db/database-metrics/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from importlib.metadata import version
from threading import Lock

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

from rome.engine.observing.observer import Tracer, Work
from rome.metrics.metric import Metric, MetricBuckets, MetricFamily, MetricKind
from rome.metrics.process import PROCESS_METRICS, process_families
from rome.store.location import Location
from rome.store.spi import Store
from rome.tracing.spans import SCHEMA_URL, SpanTracer, of_connection

DURATION = "db.client.operation.duration"
DURATION_BOUNDS_S = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
"""As the conventions recommend them."""

ATTRIBUTES = {
    "store": "rome.store",
    "database": "db.namespace",
    "table": "db.collection.name",
    "server": "rome.server",
    "reason": "rome.reason",
}
"""{label: attribute}"""

_SAME_COLLECTION_S = 0.1
"""OpenTelemetry asks for each metric by itself: what was found for one is good for the others."""


class MeteredTracer(Tracer):
    """Adds the duration of each piece of work of one connection; the spans are another tracer's."""

    def __init__(
        self, provider: MeterProvider, location: Location, namespace: str, spans: SpanTracer | None = None
    ) -> None:
        self._durations = _instruments(provider)
        self._location = location
        self._connection = {**of_connection(location), "db.namespace": namespace}
        self._spans = spans

    def open_store(self, store: type[Store]) -> Store:
        """As SpanTracer.open_store."""
        return store.open(self._location) if self._spans is None else self._spans.open_store(store)

    @contextmanager
    def span(self, work: Work) -> Iterator[None]:
        """As SpanTracer.span, and the duration."""
        with nullcontext() if self._spans is None else self._spans.span(work):
            try:
                yield
            finally:
                self._durations.record(work.duration_s, {**self._connection, **_attributes(work)})


def _attributes(work: Work) -> Mapping[str, str]:
    name = work.name or "rome"
    batch = work.batch_size is not None and work.batch_size != 1
    found = {"db.operation.name": name.split()[0], "db.query.summary": f"BATCH {name}" if batch else name}
    if work.error is not None:
        found["error.type"] = work.sqlstate or work.error
    return found


class _Collected:
    """The metrics of this process, for one collection."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._families: Mapping[Metric, MetricFamily] = {}
        self._until = 0.0

    def observe(self, metric: Metric) -> Iterable[Observation]:
        with self._lock:
            if time.monotonic() > self._until:
                self._families = {family.metric: family for family in process_families()}
                self._until = time.monotonic() + _SAME_COLLECTION_S
            samples = self._families[metric].samples
        for labels, value in samples:
            if not isinstance(value, MetricBuckets):
                attributes = {ATTRIBUTES[label]: text for label, text in labels.items()}
                yield Observation(value, {"db.system.name": "rome", **attributes})


@lru_cache(maxsize=4)
def _instruments(provider: MeterProvider) -> Histogram:
    """Make all instruments of a provider; returns the one that connections use."""
    meter, collected = provider.get_meter("rome", version("sqlalchemy-rome"), SCHEMA_URL), _Collected()
    for metric in PROCESS_METRICS:
        if metric.kind is not MetricKind.HISTOGRAM:
            _make(meter, metric, collected)
    return meter.create_histogram(
        DURATION,
        unit="s",
        description="Duration of statements and COMMITs.",
        explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
    )


def _make(meter: Meter, metric: Metric, collected: _Collected) -> None:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return collected.observe(metric)

    callbacks: list[Callable[[CallbackOptions], Iterable[Observation]]] = [observe]
    if metric.kind is MetricKind.COUNTER:
        meter.create_observable_counter(metric.otel_name, callbacks, metric.unit, metric.text)
    else:
        meter.create_observable_up_down_counter(metric.otel_name, callbacks, metric.unit, metric.text)
