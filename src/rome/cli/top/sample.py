"""One look at a database and at the processes that use it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct

from rome.cli.probe import DatabaseProbe
from rome.cli.top.processes import ProcessReading, ask_process
from rome.errors import Error
from rome.metrics.stored import StoreReading

RECENT = 500
"""Of how many of the newest commits the rows are looked at."""


class TopSample(Struct, frozen=True):
    """What was seen. `at_s`: when, by time.monotonic(); `error`: why the store has not answered."""

    at_s: float
    store: StoreReading | None
    error: str | None
    processes: Sequence[ProcessReading]


def take_sample(probe: DatabaseProbe, processes: Sequence[str], timeout_s: float) -> TopSample:
    """Ask the store and all processes. It raises nothing: what cannot be asked now may answer the next time."""
    store, why = None, None
    try:
        store = probe.read(RECENT)
    except Error as error:
        why = str(error)
    at_s = time.monotonic()
    return TopSample(at_s, store, why, [ask_process(url, probe.label, timeout_s) for url in processes])
