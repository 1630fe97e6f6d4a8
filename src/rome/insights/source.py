"""Where recorded figures come from: a file that processes write, or the page of a process."""

from __future__ import annotations

import http.client
import urllib.request
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from rome.errors import OperationalError
from rome.insights.entries import FORMAT, KINDS, Entry, Part
from rome.insights.reporting import Report, merged

JSON_PATH = "/insights.json"
_TIMEOUT_S = 10.0


class _Head(msgspec.Struct):
    rome_insights: int


def read(source: str) -> Report:
    """The report of a file that processes write (or have written), or of the page of a process, by its URL.

    Raises:
        OperationalError: there is none; the message says what to do.
    """
    if source.startswith("rome+"):
        raise OperationalError(
            f"{source} is a database: what its applications ask is known by them. Name the file that one of them "
            "writes (ROME_INSIGHTS=FILE), or the http:// address at which one serves its page (ROME_INSIGHTS=PORT)"
        )
    return _of_process(source) if source.startswith(("http://", "https://")) else _of_file(source)


def parse_part(line: bytes) -> Part:
    """One line.

    Raises:
        msgspec.DecodeError: it is none, or of another version of Rome.
    """
    return _parse(line, Part)


Read = TypeVar("Read", Part, Report)


def _parse(text: bytes, kind: type[Read]) -> Read:
    if msgspec.json.decode(text, type=_Head).rome_insights != FORMAT:
        raise msgspec.DecodeError("it was written by another version of Rome")
    return msgspec.json.decode(text, type=kind)


def _of_file(name: str) -> Report:
    """What the processes of a file have recorded: the last line of each entry counts.

    A process that is killed while it writes leaves half a line, so only the first line has to be whole.
    """
    processes: dict[str, _ProcessLines] = {}
    damaged = 0
    try:
        with Path(name).open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # it is being written
                try:
                    part = parse_part(line)
                except msgspec.DecodeError as error:
                    if not processes:
                        raise OperationalError(
                            f"{name}, line {number}: this is not a file of statement insights ({error}). "
                            "ROME_INSIGHTS=FILE, or rome.insights.record(FILE), writes one"
                        ) from error
                    damaged += 1
                    continue
                processes.setdefault(part.process.id, _ProcessLines()).take(part)
    except OSError as error:
        raise OperationalError(
            f"{name}: {error.strerror}. A process writes it that runs with ROME_INSIGHTS={name}"
        ) from error
    report = merged(process.whole() for process in processes.values())
    report.damaged = damaged
    return report


class _ProcessLines:
    """The newest entries of one process."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._last: Part | None = None

    def take(self, part: Part) -> None:
        for kind, entries in self._entries.items():
            entries.update((entry.id, entry) for entry in getattr(part, kind))
        self._last = part

    def whole(self) -> Part:
        assert self._last is not None
        return replace(self._last, **{kind: list(entries.values()) for kind, entries in self._entries.items()})


def _of_process(url: str) -> Report:
    # A proxy of the environment would not reach this machine's own ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    address = url
    try:
        parts = urlsplit(url)
        address = f"{parts.scheme}://{parts.netloc}{JSON_PATH}"
        with opener.open(address, timeout=_TIMEOUT_S) as answer:
            return _parse(answer.read(), Report)
    except (OSError, http.client.HTTPException, ValueError, msgspec.DecodeError) as error:  # URLError is an OSError
        raise OperationalError(
            f"{address}: no statement insights are there ({error}). rome.insights.serve() in a process, or "
            "ROME_INSIGHTS=8642, shows them"
        ) from error
