"""OpenTelemetry's metrics: the counters and the durations, and that they cost nothing unless a provider is set."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import rome
from rome.errors import ConflictError, OperationalError
from rome.metrics.metric import MetricKind
from rome.metrics.process import PROCESS_METRICS
from rome.tracing.meters import ATTRIBUTES, DURATION
from tests.metrics.conftest import values
from tests.support.databases import Connect

CREATE = "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counter VALUES (1, 0), (2, 0)"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Collects the metrics of a provider that is the process's for one test."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    monkeypatch.setattr("rome.tracing.meters._SAME_COLLECTION_S", 0.0)
    yield reader
    provider.shutdown()


Points = Mapping[str, tuple[str, Sequence[NumberDataPoint | HistogramDataPoint]]]


def collected(reader: InMemoryMetricReader) -> Points:
    """{name: (unit, data points)}"""
    data = reader.get_metrics_data()
    return {
        metric.name: (
            metric.unit or "",
            [each for each in metric.data.data_points if isinstance(each, NumberDataPoint | HistogramDataPoint)],
        )
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_counters_are_those_of_prometheus(reader: InMemoryMetricReader, connect: Connect) -> None:
    one, other = connect(), connect()
    one.executescript(CREATE)
    other.execute("SELECT n FROM counter WHERE id = 1").fetchall()
    other.execute("UPDATE counter SET n = 7 WHERE id = 2")
    one.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    one.commit()
    with pytest.raises(ConflictError):
        other.commit()
    found, expected = collected(reader), values()
    for metric in PROCESS_METRICS:
        if metric.kind is not MetricKind.HISTOGRAM and metric.name in expected:
            unit, points = found[metric.otel_name]
            assert unit == metric.unit
            assert sum(point.value for point in points if isinstance(point, NumberDataPoint)) == expected[metric.name]
            assert all(
                set(point.attributes or ()) == {"db.system.name", *(ATTRIBUTES[label] for label in metric.all_labels)}
                for point in points
            ), metric.name
    [conflict] = found["rome.conflicts"][1]
    assert dict(conflict.attributes or {})["db.collection.name"] == "counter"


def test_durations_of_statements_and_commits(reader: InMemoryMetricReader, connect: Connect) -> None:
    connection = connect()
    connection.executescript(CREATE)
    for _ in range(2):
        connection.execute("SELECT n FROM counter")
    connection.execute("DELETE FROM counter")
    connection.commit()
    with pytest.raises(OperationalError):
        connection.execute("SELECT nothing FROM counter")
    unit, points = collected(reader)[DURATION]
    assert unit == "s"
    counts: dict[tuple[object, ...], int] = {}
    for point in points:
        assert isinstance(point, HistogramDataPoint)
        has = dict(point.attributes or {})
        assert has["db.system.name"] == "rome"
        assert 0 < point.sum < 60
        counts[has["db.operation.name"], has["db.query.summary"], has.get("error.type")] = point.count
    assert counts["SELECT", "SELECT counter", None] == 2
    assert counts["DELETE", "DELETE counter", None] == 1
    assert counts["COMMIT", "COMMIT", None] == 2
    assert counts["SELECT", "SELECT counter", "OperationalError"] == 1


def test_private_databases_do_not_make_many_series(reader: InMemoryMetricReader, connect: Connect) -> None:
    for _ in range(2):
        with rome.connect("rome+memory://") as connection:
            connection.execute("SELECT 1")
        connection.close()
    _, points = collected(reader)[DURATION]
    assert {dict(point.attributes or {})["db.namespace"] for point in points} == {"(private)"}


def test_spans_go_on_beside(reader: InMemoryMetricReader, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    connect().execute("SELECT 1")
    assert [span.name for span in exporter.get_finished_spans()] == ["SELECT"]
    assert len(collected(reader)[DURATION][1]) == 1
    provider.shutdown()


def test_off_in_the_url_is_off(reader: InMemoryMetricReader, connect: Connect) -> None:
    connect(tracing="off").execute("SELECT 1")
    assert DURATION not in collected(reader)


def test_the_provider_of_the_process_is_found() -> None:
    program = """
import rome
from opentelemetry import metrics
rome.connect("rome+memory:///a").execute("SELECT 1")  # nobody listens yet
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
rome.connect("rome+memory:///a").execute("SELECT 1")
found = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
[statements] = [metric for metric in found if metric.name == "rome.statements"]
print(sum(point.value for point in statements.data.data_points))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
