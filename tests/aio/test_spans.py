"""Spans that are made in a connection's thread hang below the span of the task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


async def test_each_task_has_its_own(url: str, exporter: InMemorySpanExporter) -> None:
    engine = create_async_engine(url)
    tracer = trace.get_tracer_provider().get_tracer("test")

    async def request(name: str) -> None:
        with tracer.start_as_current_span(name):
            async with engine.connect() as connection:
                await connection.execute(sa.text("CREATE TABLE IF NOT EXISTS t (a)"))
                await connection.commit()

    async with engine.connect() as warm:
        await warm.execute(sa.text("SELECT 1"))
    exporter.clear()
    await asyncio.gather(request("one"), request("two"), return_exceptions=True)
    await engine.dispose()
    spans = exporter.get_finished_spans()
    requests = {span.context.span_id: span.name for span in spans if span.context and span.name in ("one", "two")}
    below = [
        (requests[span.parent.span_id], span.name) for span in spans if span.parent and span.parent.span_id in requests
    ]
    assert sorted(requests.values()) == ["one", "two"]
    for name in ("one", "two"):
        assert {made.split()[0] for parent, made in below if parent == name} >= {"CREATE", "COMMIT"}
