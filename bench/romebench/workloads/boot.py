"""Boot servers with the real Nova: what its requests to the databases cost, near and far from the store."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from romekit.boot import nova_environment, what_matters
from romekit.recorder import Request

from romebench.cases import BOOT, BOOT_DATABASE, BOOT_TRIPS, BOOT_WALL
from romebench.figures import Requests, shown
from romebench.normalise import normalise
from romebench.stage import Stage
from romebench.workloads.distance import Distance

_BOOT_LIMIT_S = 60
_TRIPS_LIMIT = 2_000
"""More round trips than any boot takes."""
_START_TIMEOUT_S = 600.0


class NovaSession:
    """A process with the real Nova, its databases on one URL."""

    def __init__(self, url: str, log: Path, *, durable: bool, within: Sequence[str] = ()) -> None:
        """Start Nova and boot a few servers, which fill its caches.

        Args:
            within: the beginning of a command line that runs the rest of it somewhere, such as at a site.

        Raises:
            RuntimeError: Nova failed; the message has what it logged.
        """
        self._log = log
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [*within, sys.executable, "-W", "ignore", "-m", "romebench.workloads.nova_session", url, str(durable)],
                env={**os.environ, **nova_environment()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self._answer(_START_TIMEOUT_S)
        self._pause()

    def _pause(self) -> None:
        """Stop the process. An idle Nova takes a tenth of a CPU, since its services poll for messages."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)

    def _go_on(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def boot(self, at_once: int, limit_s: int) -> tuple[list[float], list[Request]]:
        """Boot servers; returns the seconds that each took, and the database requests of all.

        Args:
            limit_s: how long one boot may take.

        Raises:
            RuntimeError: Nova failed; the message has what it logged.
        """
        assert self._process.stdin is not None
        self._go_on()
        try:
            self._process.stdin.write(f"{at_once} {limit_s}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise RuntimeError(f"Nova is gone: {what_matters(self._log.read_text())}") from error
        found: dict[str, Any] = json.loads(self._answer(2 * limit_s))
        self._pause()
        return found["seconds"], [Request(**request) for request in found["requests"]]

    def _answer(self, timeout_s: float) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        # Each command has an answer of one line, so no further line can wait in the buffer.
        if select.select([stdout], [], [], timeout_s)[0] and (line := stdout.readline()):
            return line
        self.close()
        raise RuntimeError(f"Nova failed, or took more than {timeout_s:.0f} s: {what_matters(self._log.read_text())}")

    def close(self) -> None:
        """End the process, which drops its databases unless it must be killed. Idempotent."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._go_on()
            self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def run(stage: Stage) -> None:
    """Boot servers without a proxy, one at a time; if commits are durable, also several at once and with delays."""
    near = _start(stage, {contender.key: contender.template for contender in stage.contenders}, "near")
    try:
        _boots(stage, near, 1, round_trip_ms=0, boots=stage.sizes.boots if stage.durable else stage.sizes.runs)
        if stage.durable and stage.sizes.at_once > 1:
            _boots(stage, near, stage.sizes.at_once, round_trip_ms=0, boots=stage.sizes.runs)
    finally:
        for session in near.values():
            session.close()
    if stage.durable and stage.sizes.round_trips_ms:
        _run_far(stage)


def _run_far(stage: Stage) -> None:
    distance = Distance()
    far: dict[str, NovaSession] = {}
    try:
        ports = {c.key: c.server.port for c in stage.contenders if c.server is not None}
        contenders = {contender.key: contender for contender in stage.contenders}
        templates = {key: contenders[key].url_at(distance.front(port)) for key, port in ports.items()}
        far = _start(stage, templates, "far")
        for round_trip_ms in stage.sizes.round_trips_ms:
            measured = distance.set_round_trip(round_trip_ms / 1e3)
            stage.results.conditions.setdefault("round trips", {})[f"{round_trip_ms:g} ms:"] = shown(measured)
            _boots(stage, far, 1, round_trip_ms=round_trip_ms, boots=stage.sizes.runs, counter=(distance, ports))
    finally:
        for session in far.values():
            session.close()
        distance.close()


def _start(stage: Stage, templates: dict[str, str], label: str) -> dict[str, NovaSession]:
    """Start Nova for each peer, as many at once as there are CPUs; this takes a while and is not measured."""

    def start(key: str) -> NovaSession:
        return NovaSession(templates[key], stage.folder / f"nova-{label}-{key}.log", durable=stage.durable)

    print(f"  starting Nova for each, {label}", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        starting = {key: pool.submit(start, key) for key in templates}
        return stage.attempt(BOOT, templates, lambda key: starting[key].result())


def _boots(
    stage: Stage,
    sessions: dict[str, NovaSession],
    at_once: int,
    *,
    round_trip_ms: float,
    boots: int,
    counter: tuple[Distance, dict[str, int]] | None = None,
) -> None:
    """Boot `at_once` servers `boots` times on each peer, in alternation; a run of a figure is `boots / runs` boots."""
    print(f"  booting {at_once} at once, round trip {round_trip_ms:g} ms", flush=True)
    database: defaultdict[str, list[float]] = defaultdict(list)
    wall: defaultdict[str, list[float]] = defaultdict(list)
    trips: defaultdict[str, list[float]] = defaultdict(list)
    requests: defaultdict[str, list[Request]] = defaultdict(list)

    def boot(key: str) -> None:
        before = 0 if counter is None else counter[0].round_trips(counter[1][key])
        seconds, asked = sessions[key].boot(at_once, limit_s)
        if counter is not None:
            trips[key].append((counter[0].round_trips(counter[1][key]) - before) / at_once)
        database[key].append(sum(request.seconds for request in asked) / at_once)
        wall[key].append(median(seconds))
        requests[key] += asked

    limit_s = _BOOT_LIMIT_S + round(_TRIPS_LIMIT * round_trip_ms / 1e3)
    alive = list(sessions)
    for _ in range(boots):
        alive = list(stage.attempt(BOOT, alive, boot))
    suffix = f", {at_once} at once" if at_once > 1 else ""
    for key in alive:
        for case, unit, found in ((BOOT_DATABASE, "s", database), (BOOT_WALL, "s", wall), (BOOT_TRIPS, "trips", trips)):
            runs = rounds(found[key], stage.sizes.runs)
            stage.add(BOOT, case + suffix, key, unit, runs, round_trip_ms=round_trip_ms)
        if at_once == 1:
            costs = costs_of(requests[key], boots)
            stage.results.requests.append(Requests(key, stage.durable, round_trip_ms, costs))


def rounds(values: Sequence[float], count: int) -> list[float]:
    """The means of `count` rounds into which the values are cut, in order; fewer if there are fewer values."""
    size = max(1, len(values) // count)
    parts = [values[start : start + size] for start in range(0, size * min(count, len(values)), size)]
    return [sum(part) / len(part) for part in parts]


def costs_of(requests: Sequence[Request], boots: int) -> dict[str, tuple[float, float]]:
    """{text of a distinct request: (how often per boot, median seconds)}."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for request in requests:
        groups[normalise(request.text)].append(request.seconds)
    return {text: (len(seconds) / boots, median(seconds)) for text, seconds in groups.items()}
