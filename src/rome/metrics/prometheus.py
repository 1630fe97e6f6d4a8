"""The metrics of this process for a registry of `prometheus_client`, which is the extra `metrics`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.registry import Collector

from rome.metrics.exposition import exposed
from rome.metrics.metric import MetricFamily, MetricKind
from rome.metrics.process import PROCESS_METRICS, process_families

_FAMILIES = {
    MetricKind.COUNTER: CounterMetricFamily,
    MetricKind.GAUGE: GaugeMetricFamily,
    MetricKind.HISTOGRAM: HistogramMetricFamily,
}


class RomeCollector(Collector):
    """Collects what the connections of this process have done: `REGISTRY.register(RomeCollector())`."""

    def collect(self) -> Iterator[PrometheusMetric]:
        """The present values. Cost: some µs for each open connection."""
        for family in process_families():
            made = _empty(family)
            for name, labels, value in exposed([family]):
                made.add_sample(name, dict(labels), value)
            yield made

    def describe(self) -> Iterator[PrometheusMetric]:
        """The metrics without values, so that a registry need not collect them to know their names."""
        for metric in PROCESS_METRICS:
            yield _empty(MetricFamily(metric, ()))


def _empty(family: MetricFamily) -> PrometheusMetric:
    metric = family.metric
    made: PrometheusMetric = _FAMILIES[metric.kind](metric.name, metric.text, labels=metric.all_labels)
    return made
