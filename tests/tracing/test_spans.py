"""OpenTelemetry spans: their content, how they are nested, and that they cost nothing unless enabled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from rome.dbapi import Connection
from rome.engine.result import Stats
from rome.errors import ConflictError, OperationalError, UniqueViolation
from rome.store.location import Location
from rome.tracing import tracer_of
from rome.tracing.spans import _of_cost, of_connection
from tests.support.databases import Connect, database, on


@pytest.fixture(params=on("memory", "lmdb", "redis", "valkey", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    """The process's tracer provider, for one test."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield provider
    provider.shutdown()


@pytest.fixture
def connection(provider: TracerProvider, exporter: InMemorySpanExporter, connect: Connect) -> Connection:
    connection = connect()
    connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    exporter.clear()
    return connection


def spans(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    """All that are finished, in the order of their begin; then they are forgotten."""
    found = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
    exporter.clear()
    return found


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_statement_is_a_span_and_its_trip_one_below(connection: Connection, exporter: InMemorySpanExporter) -> None:
    connection.execute("SELECT * FROM t WHERE id IN (1, ?)", (2,))
    statement, read = spans(exporter)
    assert (statement.name, statement.kind, statement.parent) == ("SELECT t", SpanKind.CLIENT, None)
    found = attributes(statement)
    assert found["db.system.name"] == "rome"
    assert found["db.query.text"] == "SELECT * FROM t WHERE id IN (?, ?)"
    assert found["db.query.summary"] == "SELECT t"
    assert (found["rome.round_trips"], found["rome.waves"], found["rome.rows_read"]) == (1, 1, 2)
    assert statement.status.status_code is StatusCode.UNSET
    assert (read.name, read.kind) == ("rome.read", SpanKind.INTERNAL)
    assert read.parent is not None
    assert read.parent == statement.context
    assert attributes(read) == {"rome.round_trips": 1, "rome.rows_read": 2}


def test_it_says_where_the_database_is(connection: Connection, exporter: InMemorySpanExporter, url: str) -> None:
    connection.execute("SELECT * FROM t")
    found = attributes(spans(exporter)[0])
    assert url.endswith(str(found["db.namespace"]))
    if url.startswith(("rome+redis", "rome+etcd")):
        assert f"{found['server.address']}:{found['server.port']}/" in url
    else:
        assert "server.address" not in found


def test_a_commit_is_a_span(connection: Connection, exporter: InMemorySpanExporter) -> None:
    for commit in (connection.commit, lambda: connection.execute("COMMIT")):
        connection.execute("DELETE FROM t WHERE id = (SELECT max(id) FROM t)")
        exporter.clear()
        before = connection.rome_stats.round_trips
        commit()
        trips = connection.rome_stats.round_trips - before
        commit_span, trip = spans(exporter)
        found = attributes(commit_span)
        assert (commit_span.name, found["db.operation.name"]) == ("COMMIT", "COMMIT")
        assert (found["rome.rows_written"], found["rome.round_trips"]) == (1, trips)
        assert "db.query.text" not in found
        assert trip.name == "rome.commit"
        assert trip.parent == commit_span.context


def test_every_trip_is_in_a_span(connection: Connection, exporter: InMemorySpanExporter) -> None:
    before = connection.rome_stats.round_trips
    connection.execute("INSERT INTO t (a) VALUES ('z')")
    connection.execute("UPDATE t SET a = 'w'")
    connection.commit()
    connection.isolation_level = "AUTOCOMMIT"
    connection.execute("DELETE FROM t")
    found = spans(exporter)
    trips = connection.rome_stats.round_trips - before
    for kind in (SpanKind.CLIENT, SpanKind.INTERNAL):
        assert sum(attributes(span)["rome.round_trips"] for span in found if span.kind is kind) == trips  # type: ignore[misc]


def test_executemany_is_a_batch(connection: Connection, exporter: InMemorySpanExporter) -> None:
    connection.executemany("UPDATE t SET a = ? WHERE id = ?", [("a", 1), ("b", 2)])
    connection.executemany("UPDATE t SET a = ? WHERE id = ?", [("a", 1)])
    batch, single = (span for span in spans(exporter) if span.kind is SpanKind.CLIENT)
    assert (batch.name, attributes(batch)["db.operation.batch.size"]) == ("BATCH UPDATE t", 2)
    assert single.name == "UPDATE t"
    assert "db.operation.batch.size" not in attributes(single)


def test_an_error_is_told_without_values(connection: Connection, exporter: InMemorySpanExporter) -> None:
    with pytest.raises(UniqueViolation):
        connection.execute("INSERT INTO t VALUES (1, 'secret') -- secret")
    with pytest.raises(UniqueViolation):
        connection.execute("INSERT INTO t VALUES (?, ?)", (1, "secret"))
    found = spans(exporter)
    failed = [span for span in found if span.kind is SpanKind.CLIENT]
    for span in failed:
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "UniqueViolation")
        assert attributes(span)["error.type"] == attributes(span)["db.response.status_code"] == "23505"
        assert span.events == ()
    assert len(failed) == 2
    assert "secret" not in "".join(span.to_json() for span in found)


def test_an_error_without_sqlstate_is_told_by_its_class(connection: Connection, exporter: InMemorySpanExporter) -> None:
    with pytest.raises(OperationalError):
        connection.execute("SELECT * FROM nowhere")
    [statement] = (span for span in spans(exporter) if span.kind is SpanKind.CLIENT)
    found = attributes(statement)
    assert (found["error.type"], "db.response.status_code" in found) == ("OperationalError", False)


def test_conflicts_are_told(connection: Connection, exporter: InMemorySpanExporter, connect: Connect) -> None:
    connection.execute("SELECT a FROM t WHERE id = 1")
    connection.execute("UPDATE t SET a = 'mine' WHERE id = 2")
    other = connect(tracing="off")
    other.execute("UPDATE t SET a = 'theirs' WHERE id = 1")
    other.commit()
    exporter.clear()
    with pytest.raises(ConflictError):
        connection.commit()
    found = {span.name: span for span in spans(exporter)}
    assert attributes(found["COMMIT"])["rome.replays"] == 1
    for name in ("COMMIT", "rome.commit"):
        assert (found[name].status.description, attributes(found[name])["error.type"]) == ("ConflictError", "40001")


def test_they_are_below_the_applications_span(
    connection: Connection, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    with provider.get_tracer("application").start_as_current_span("request"):
        connection.execute("SELECT 1")
    request, statement = spans(exporter)
    assert (request.name, statement.name, statement.parent) == ("request", "SELECT", request.context)


def test_a_text_without_a_word_has_a_name(connection: Connection, exporter: InMemorySpanExporter) -> None:
    connection.execute("")
    assert [span.name for span in spans(exporter)] == ["rome"]


def test_what_is_not_sampled_costs_no_attributes(
    exporter: InMemorySpanExporter, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    connection = connect()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert spans(exporter) == []


def test_off_in_the_url_is_off(provider: TracerProvider, exporter: InMemorySpanExporter, connect: Connect) -> None:
    connect(tracing="off").execute("SELECT 1")
    assert spans(exporter) == []


@pytest.mark.parametrize("nobody", [trace.ProxyTracerProvider(), trace.NoOpTracerProvider()])
def test_without_a_provider_there_is_no_tracer(nobody: trace.TracerProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: nobody)
    assert tracer_of(Location("memory", "any")) is None


def test_rome_does_not_import_opentelemetry() -> None:
    program = (
        "import sys, rome; rome.connect('rome+memory://').execute('SELECT 1')\n"
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_provider_of_the_process_is_found() -> None:
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import rome

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
rome.connect("rome+memory://").execute("SELECT 1")
print([span.name for span in exporter.get_finished_spans()])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['SELECT']\n"


@pytest.mark.parametrize(
    ("location", "address"),
    [
        (
            Location("redis", "d", host="db", port=6380, password="secret"),
            {"server.address": "db", "server.port": 6380},
        ),
        (Location("redis", "d", options={"unix_socket": "/run/redis.sock"}), {"server.address": "/run/redis.sock"}),
        (Location("redis", "d", options={"sentinel": "main", "host": "one,two"}), {}),
    ],
)
def test_where_the_server_is(location: Location, address: dict[str, object]) -> None:
    expected = {"db.system.name": "rome", "db.namespace": "d", "rome.store": "redis", **address}
    assert dict(of_connection(location)) == expected


def test_near_trips_are_told_where_there_are_some() -> None:
    assert _of_cost(Stats(round_trips=3, near_trips=2))["rome.near_round_trips"] == 2
    assert "rome.near_round_trips" not in _of_cost(Stats(round_trips=3))
