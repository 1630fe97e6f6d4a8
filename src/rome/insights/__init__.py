"""Statement insights: where an application's time in the database goes, on a page that a person reads.

    rome.insights.record()                    # before the first connection
    print(rome.insights.serve().url)          # http://127.0.0.1:8642/

or, without a change of the application, `ROME_INSIGHTS=8642 python app.py`, and with several processes
`ROME_INSIGHTS=/tmp/app.jsonl python app.py` beside `rome insights /tmp/app.jsonl` (docs/insights.md).

    recorder, repeats, collected    what a connection does, as figures of the process
    text, entries                   a statement's text without values; the figures, and their form as JSON
    journal, source, reporting      figures written to a file, read from files and processes, and put together
    findings, document, markup      what stands out; all of it as a page
    server                          the page at a port of this machine

Invariant: where nothing is recorded, a connection costs two look-ups more when it is opened, and a statement nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rome.engine.observing.observer import Tracer
    from rome.insights.process import html, record, report, reset, serve, stop
    from rome.transaction.totals import DatabaseLabel

__all__ = ["html", "record", "report", "reset", "serve", "stop"]

VARIABLE = "ROME_INSIGHTS"
"""The environment variable: a port of this machine, or a file."""

_PROCESS = "rome.insights.process"


class _Switch:
    """Whether connections that are opened are recorded.

    Attributes:
        on: record() was called, or serve().
        asks: the environment variable is still to be heeded, when the first connection is opened.
    """

    on = False
    asks = True


def is_recording() -> bool:
    """Whether connections that are opened are recorded."""
    return _Switch.on


def tracer_for(label: DatabaseLabel, inner: Tracer | None) -> Tracer | None:
    """The tracer for a connection that is about to be opened: one that records, if this process does; else `inner`."""
    if not (_Switch.on or (_Switch.asks and VARIABLE in os.environ)):
        return inner
    tracer: Tracer | None = import_module(_PROCESS).tracer_for(label, inner)
    return tracer


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module(_PROCESS), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
