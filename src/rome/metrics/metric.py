"""A metric, and its samples, in the terms that Prometheus and OpenTelemetry share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class MetricKind(Enum):
    """What can be done with a metric's values."""

    COUNTER = "counter"
    """It only rises, so that its rate says something."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: for Prometheus, with the base unit and `_total` where its conventions want them.
        unit: in UCUM's signs, as OpenTelemetry has it: "s", "By", "{statement}".
        labels: besides `store` and `database`, which all metrics of a database have.
        text: what it says, in one sentence.
        of_database: whether it has the labels `store` and `database`.
    """

    name: str
    kind: MetricKind
    unit: str
    text: str
    labels: tuple[str, ...] = ()
    of_database: bool = True

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The names of its labels, in order."""
        return (*(("store", "database") if self.of_database else ()), *self.labels)

    @property
    def otel_name(self) -> str:
        """The name for OpenTelemetry, which has the unit elsewhere."""
        name = self.name.removesuffix("_total")
        for suffix, unit in (("_seconds", "s"), ("_bytes", "By")):
            if self.unit == unit:
                name = name.removesuffix(suffix)
        return name.replace("_", ".", 1)


class MetricBuckets(NamedTuple):
    """The value of a histogram.

    Attributes:
        bounds: the upper bounds of all buckets but the last.
        counts: how many values each bucket has, one more than bounds.
        sum: all values together.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float


class MetricSample(NamedTuple):
    """A value, and the labels that it has."""

    labels: Mapping[str, str]
    value: float | MetricBuckets


class MetricFamily(NamedTuple):
    """A metric with its samples."""

    metric: Metric
    samples: Sequence[MetricSample]
