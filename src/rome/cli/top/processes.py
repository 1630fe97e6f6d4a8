"""What application processes say of themselves, at the addresses where they serve `rome.metrics`."""

from __future__ import annotations

import http.client
import math
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from rome.errors import ProgrammingError
from rome.metrics.exposition import ExposedValue, read_text
from rome.metrics.server import PATH
from rome.transaction.totals import DatabaseLabel

MAX_BYTES = 16 * 1024 * 1024


class ProcessReading(Struct, frozen=True):
    """What one process has said: values about one database, or why there are none."""

    url: str
    values: Sequence[ExposedValue] = ()
    error: str | None = None


def metrics_url(text: str) -> str:
    """The address of a process' metrics; the path may be left out.

    Raises:
        ProgrammingError: it is no such address.
    """
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address, or a port that is no number
        is_address = False
    if not is_address:
        raise ProgrammingError(f"--process {text}: write where the process serves rome.metrics: http://host:port{PATH}")
    return text if parts.path.strip("/") else parts._replace(path=PATH).geturl()


def ask_process(url: str, label: DatabaseLabel, timeout_s: float) -> ProcessReading:
    """What the process at an address says of a database. It raises nothing: others may still answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            values = read_text(answer.read(MAX_BYTES).decode(errors="replace"))
    except urllib.error.URLError as error:
        return ProcessReading(url, error=str(getattr(error.reason, "strerror", None) or error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return ProcessReading(url, error=str(error) or type(error).__name__)
    found = [value for value in values if is_of(value, label) and math.isfinite(value.value)]
    if not found:
        return ProcessReading(url, error="it has had no connection to this database")
    return ProcessReading(url, found)


def is_of(value: ExposedValue, label: DatabaseLabel) -> bool:
    """Whether a value is about a database. The path of a file may be written in another way there."""
    store, database = value.labels.get("store"), value.labels.get("database")
    if store != label.store or database is None:
        return False
    if store == "lmdb":
        return os.path.basename(database) == os.path.basename(label.database)
    return database == label.database
