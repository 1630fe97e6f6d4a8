"""Prometheus' text format, as prometheus_client reads and writes it; the server; the collector."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import rome
from rome.errors import InterfaceError, OperationalError
from rome.metrics.exposition import CONTENT_TYPE, ExposedValue, exposed, read_text, write_text
from rome.metrics.metric import Metric, MetricBuckets, MetricFamily, MetricKind, MetricSample
from rome.metrics.process import PROCESS_METRICS, process_families

NAMED = Metric("rome_named", MetricKind.GAUGE, "1", "A \\ and\na line.", ("name",), of_database=False)


def read_by_others(text: str) -> list[ExposedValue]:
    return [
        ExposedValue(sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


@given(st.lists(st.text(), unique=True), st.floats(allow_nan=False))
def test_any_name_and_number_come_back(names: list[str], number: float) -> None:
    family = MetricFamily(NAMED, [MetricSample({"name": name}, number) for name in names])
    text = write_text([family])
    assert read_text(text) == [*exposed([family])] == read_by_others(text)


def test_histogram_is_cumulative() -> None:
    metric = Metric("rome_x_seconds", MetricKind.HISTOGRAM, "s", "X.", of_database=False)
    text = write_text([MetricFamily(metric, [MetricSample({}, MetricBuckets((0.1, 2.0), (3, 0, 4), 9.5))])])
    assert text == (
        "# HELP rome_x_seconds X.\n# TYPE rome_x_seconds histogram\n"
        'rome_x_seconds_bucket{le="0.1"} 3\nrome_x_seconds_bucket{le="2.0"} 3\nrome_x_seconds_bucket{le="+Inf"} 7\n'
        "rome_x_seconds_sum 9.5\nrome_x_seconds_count 7\n"
    )


def test_lines_of_others_are_read() -> None:
    text = '# TYPE a counter\n\na 1\nb{} 2.5e3 1700000000\nc{x="}",y="1,2"} NaN\n  \nnot a line\n'
    a, b, c = read_text(text)
    assert (a, b) == (ExposedValue("a", {}, 1), ExposedValue("b", {}, 2500))
    assert (c.name, c.labels) == ("c", {"x": "}", "y": "1,2"})


def test_collector_says_what_the_text_says() -> None:
    with rome.connect("rome+memory:///exposed") as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    registry = CollectorRegistry()
    registry.register(rome.metrics.collector())
    assert sorted(read_by_others(generate_latest(registry).decode()), key=str) == sorted(
        read_by_others(rome.metrics.text()), key=str
    )
    assert registry.get_sample_value("rome_commits_total", {"store": "memory", "database": "exposed"}) == 1
    connection.close()
    rome.drop_database("rome+memory:///exposed")


def test_collector_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rome.metrics.prometheus", None)
    with pytest.raises(InterfaceError, match=r"pip install 'sqlalchemy-rome\[metrics\]'"):
        rome.metrics.collector()


def test_server_answers_and_stops() -> None:
    with rome.metrics.serve(0) as server:
        assert server.url == f"http://127.0.0.1:{server.port}/metrics"
        with urllib.request.urlopen(server.url) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            assert "rome_plan_cache_entries" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.url + "x")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url)


@pytest.mark.parametrize("ports", [(7470, 7469), (-1,), (65_536,), (65_000, 70_000)])
def test_ports_that_are_none_are_refused(ports: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ports go from 0 to 65535"):
        rome.metrics.serve(*ports)


def test_processes_share_a_range_of_ports() -> None:
    with rome.metrics.serve(0) as first:
        with pytest.raises(OperationalError, match=f"cannot listen at 127.0.0.1, port {first.port}: Address already"):
            rome.metrics.serve(first.port)
        with rome.metrics.serve(first.port, min(first.port + 50, 65_535)) as second:
            assert second.port > first.port


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in PROCESS_METRICS:
        assert metric.name.startswith("rome_")
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER), metric.name
        assert ("_seconds" in metric.name) == (metric.unit == "s"), metric.name
        assert ("_bytes" in metric.name) == (metric.unit == "By"), metric.name
    assert len(process_families()) == len({metric.name for metric in PROCESS_METRICS})
