"""`rome metrics`: what the store knows of databases, for Prometheus."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

import rome
from rome.cli.existing import check_exists
from rome.cli.probe import DatabaseProbe
from rome.cli.shown import to_json
from rome.dbapi.url import make_url
from rome.errors import Error, ProgrammingError
from rome.metrics.exposition import exposed, write_text
from rome.metrics.metric import MetricFamily
from rome.metrics.server import MetricsServer
from rome.metrics.stored import StoreReading, store_families
from rome.transaction.totals import DatabaseLabel

LIST_EVERY_S = 300.0
"""How often --all looks for databases that are new or gone: on Redis that goes through all keys."""

_ADDRESS = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[^:\[\]]*):)?([0-9]{1,5})")


def run_metrics(parsed: argparse.Namespace) -> None:
    """Print the metrics of a database, or of all databases of the server; with --serve answer Prometheus.

    Raises:
        OperationalError: there is no such database, or the port is not free.
    """
    if not parsed.all:
        check_exists(parsed.url)
    with _probes(parsed) as probes:
        if parsed.serve is None:
            families = probes.families(forgiving=parsed.all)
            print(_json(families) if parsed.json else write_text(families), end="\n" if parsed.json else "")
            return
        host, port = address(parsed.serve)
        with MetricsServer(lambda: write_text(probes.families()), host, range(port, port + 1)) as server:
            print(f"rome metrics: listening at {server.url}", file=sys.stderr, flush=True)
            Event().wait()


def address(text: str) -> tuple[str, int]:
    """The host and the port of `[HOST:]PORT`; without a host only this machine is served.

    Raises:
        ProgrammingError: it is written in another way.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > 65_535:
        raise ProgrammingError(f"--serve {text}: write a port, or a host and a port, such as 9470 or 0.0.0.0:9470")
    return (match[1] or "127.0.0.1").strip("[]"), int(match[2])


class _Probes:
    """The databases that are asked; one thread at a time asks them."""

    def __init__(self, url: str, *, everything: bool) -> None:
        self._url, self._everything = url, everything
        self._lock = Lock()
        self._probes: dict[str, DatabaseProbe] = {} if everything else {url: DatabaseProbe(url)}
        self._listed = -LIST_EVERY_S

    def families(self, *, forgiving: bool = True) -> list[MetricFamily]:
        """The present metrics.

        Args:
            forgiving: a database that cannot be asked is shown as down.

        Raises:
            rome.errors.Error: it cannot be asked, and that is not forgiven.
        """
        with self._lock:
            found: dict[DatabaseLabel, StoreReading | None] = {}
            self._look(forgiving=forgiving)
            for probe in self._probes.values():
                try:
                    found[probe.label] = probe.read()
                except Error:
                    if not forgiving:
                        raise
                    found[probe.label] = None
            return store_families(found)

    def _look(self, *, forgiving: bool) -> None:
        if not self._everything or time.monotonic() < self._listed + LIST_EVERY_S:
            return
        server = make_url(self._url)
        try:
            names = rome.list_databases(server)
        except Error:
            if not (forgiving and self._probes):  # else those that are known are shown as down
                raise
            return
        self._listed = time.monotonic()
        urls = {server.set(database=name).render_as_string(hide_password=False) for name in names}
        for url in self._probes.keys() - urls:
            self._probes.pop(url).close()
        for url in sorted(urls - self._probes.keys()):
            self._probes[url] = DatabaseProbe(url)

    def close(self) -> None:
        with self._lock:
            for probe in self._probes.values():
                probe.close()


@contextmanager
def _probes(parsed: argparse.Namespace) -> Iterator[_Probes]:
    probes = _Probes(parsed.url, everything=parsed.all)
    try:
        yield probes
    finally:
        probes.close()


def _json(families: list[MetricFamily]) -> str:
    """An array of {name, labels, value}."""
    return to_json([value._asdict() for value in exposed(families)])
