"""OpenTelemetry: spans and metrics of what connections do, if the application has set a provider of them.

Invariant: this module does not import OpenTelemetry. An application that has set a provider has imported it. For all
others, opening a connection costs two look-ups in sys.modules, and a statement costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rome.store.location import Location

if TYPE_CHECKING:
    from rome.tracing.meters import MeteredTracer
    from rome.tracing.spans import SpanTracer


def tracer_of(location: Location, namespace: str | None = None) -> SpanTracer | MeteredTracer | None:
    """The tracer for a connection that is about to be opened; None if nobody would see what it does.

    Args:
        namespace: the name of the database for metrics, if that must be another one.

    Cost: none without OpenTelemetry; with it some µs, and some ms in the first call.
    """
    spans = None
    tracers = _provider("trace", "tracer", "ProxyTracerProvider")
    if tracers is not None:
        spans = import_module("rome.tracing.spans").SpanTracer(tracers, location)
    meters = _provider("metrics", "meter", "_ProxyMeterProvider")
    if meters is None:
        found: SpanTracer | None = spans
        return found
    metered: MeteredTracer = import_module("rome.tracing.meters").MeteredTracer(
        meters, location, namespace or location.database, spans
    )
    return metered


def _provider(module: str, kind: str, proxy: str) -> Any:
    """The provider that the application has set; None without one.

    Until it sets one, OpenTelemetry has a proxy in its place, whose class is public for tracers and not for meters.
    """
    api = sys.modules.get(f"opentelemetry.{module}")
    if api is None:
        return None
    provider = getattr(api, f"get_{kind}_provider")()
    return None if type(provider).__name__ in (proxy, f"NoOp{kind.title()}Provider") else provider
