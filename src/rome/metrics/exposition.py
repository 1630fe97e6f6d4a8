"""Prometheus' text format: write it, and read what Rome has written.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rome.metrics.metric import MetricBuckets, MetricFamily, MetricSample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ExposedValue(NamedTuple):
    """One line of the text: for a histogram, `name` ends with _bucket, _sum or _count."""

    name: str
    labels: Mapping[str, str]
    value: float


def exposed(families: Iterable[MetricFamily]) -> Iterator[ExposedValue]:
    """The values as the text has them, in its order."""
    for metric, samples in families:
        for sample in samples:
            if isinstance(sample.value, MetricBuckets):
                yield from _histogram(metric.name, sample, sample.value)
            else:
                yield ExposedValue(metric.name, sample.labels, sample.value)


def write_text(families: Iterable[MetricFamily]) -> str:
    """All families that have samples."""
    lines = []
    for family in families:
        if family.samples:
            name = family.metric.name
            text = family.metric.text.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {family.metric.kind.value}"]
            lines += map(_line, exposed([family]))
    return "\n".join(lines) + "\n" if lines else ""


def read_text(text: str) -> list[ExposedValue]:
    """The values of a text. What is not a value's line is left out."""
    found = []
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match is not None:
            labels = {name: _unescaped(value) for name, value in _LABEL.findall(match[2] or "")}
            found.append(ExposedValue(match[1], labels, float(match[3])))
    return found


_LINE = re.compile(
    r'([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+([-+]?(?:[\d.]+(?:[eE][-+]?\d+)?|Inf|NaN))(?:\s|$)'
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def _histogram(name: str, sample: MetricSample, buckets: MetricBuckets) -> Iterator[ExposedValue]:
    below = 0
    for bound, count in zip((*buckets.bounds, math.inf), buckets.counts, strict=True):
        below += count
        yield ExposedValue(f"{name}_bucket", {**sample.labels, "le": _number(bound)}, below)
    yield ExposedValue(f"{name}_sum", sample.labels, buckets.sum)
    yield ExposedValue(f"{name}_count", sample.labels, below)


def _line(exposed: ExposedValue) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in exposed.labels.items())
    return (
        f"{exposed.name}{{{labels}}} {_number(exposed.value)}" if labels else f"{exposed.name} {_number(exposed.value)}"
    )


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(value) if isinstance(value, int) else repr(float(value))


def _escaped(value: str) -> str:
    plain = value.encode("utf-8", "backslashreplace").decode()
    return plain.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value, flags=re.DOTALL)
