"""Spans of OpenTelemetry for what a connection does, where the application has set a tracer provider.

Invariant: OpenTelemetry is not imported here. Who has set a provider has imported it; for everybody else a connection
costs one look into sys.modules, and a statement nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from rome.store.location import Location

if TYPE_CHECKING:
    from rome.tracing.spans import SpanTracer


def tracer_of(location: Location) -> SpanTracer | None:
    """Who makes the spans of a connection that is about to be opened; None: nobody would see them.

    Cost: none without OpenTelemetry; with it some µs, and 1 ms in the first call.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    tracer: SpanTracer = import_module("rome.tracing.spans").SpanTracer(provider, location)
    return tracer
