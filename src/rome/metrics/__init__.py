"""Metrics of what Rome does in this process, for Prometheus and OpenTelemetry; docs/metrics.md describes each one.

    rome.metrics.serve(9470)                          a port of its own that Prometheus scrapes
    REGISTRY.register(rome.metrics.collector())       beside the application's own, with prometheus_client
    rome.metrics.text()                               for a view of the application's own

An application that has set a meter provider of OpenTelemetry has them without doing anything (rome.tracing.meters).
What the store knows, without any process, is shown by the command `rome metrics URL`.

`metric` says what a metric is; `process` and `stored` list them; `exposition`, `server` and `prometheus` show them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rome.errors import InterfaceError
from rome.metrics.exposition import write_text
from rome.metrics.process import process_families
from rome.metrics.server import MetricsServer

if TYPE_CHECKING:
    from rome.metrics.prometheus import RomeCollector

__all__ = ["collector", "serve", "text"]


def text() -> str:
    """The metrics of this process, in Prometheus' text format (rome.metrics.exposition.CONTENT_TYPE).

    Cost: some µs for each open connection; nobody waits for a store.
    """
    return write_text(process_families())


def collector() -> RomeCollector:
    """A collector of the metrics of this process, for a registry of prometheus_client.

    With several processes behind one port (gunicorn), each scrape meets one of them: there, let each process `serve` a
    port of its own. prometheus_client's multiprocess mode keeps values in files and does not ask collectors.

    Raises:
        InterfaceError: prometheus_client is not installed.
    """
    try:
        made: RomeCollector = import_module("rome.metrics.prometheus").RomeCollector()
    except ModuleNotFoundError as error:
        raise InterfaceError(
            "the package prometheus_client is not installed: pip install 'sqlalchemy-rome[metrics]'; "
            "rome.metrics.serve(port) needs no package"
        ) from error
    return made


def serve(port: int, last_port: int | None = None, *, host: str = "127.0.0.1") -> MetricsServer:
    """Answer GET /metrics from a thread of this process, until the server that is returned is closed.

    Anybody who reaches the port can read the names of databases and tables, so `host` is this machine by default.

    Args:
        port: 0 for any free port; the answer's `port` says which.
        last_port: if given, the first free port from `port` to this one: several processes can share a range. Call it
            in each process, after it was forked.

    Raises:
        ValueError: a port is none, or the last one is before the first.
        OperationalError: no port is free, or there is no such address.
    """
    return MetricsServer(text, host, range(port, (port if last_port is None else last_port) + 1))
