"""The peers, running at one durability, and the alternation in which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from romekit.databases import Databases, text

from romebench.figures import Failure, Figure, Results
from romebench.peers import Peer
from romebench.servers import SERVERS, Server

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        runs: repetitions of every measurement.
        boots: servers booted one at a time, for the medians of each request; `runs` if commits are not durable.
        at_once: servers booted at once; 1 leaves this case out.
        round_trips_ms: delays under which servers are booted, besides no delay.
        operations: in one repetition of a micro benchmark.
        rows: of the bulk load, and of the table that is paged through.
        servers: Nova's instances in the list benchmark.
        seconds: how long one cell of the concurrency benchmark takes.
        clients: numbers of processes at once, ascending.
        site_round_trips_ms: distances between sites, besides no distance.
        placings: keys of what is compared at several sites, and of the outages; empty: all.
        site_runs, far_runs: repetitions of what is measured at several sites; of boots at more than 50 ms between them.
        outage_round_trip_ms: the distance between sites, of which one is lost.
        quiet_s, cut_s: how long all is well before that, and how long the site is lost.
        budget_s: what one peer may take for work that grows with the data, before the rest is left out.
    """

    runs: int
    boots: int
    at_once: int
    round_trips_ms: tuple[float, ...]
    operations: int
    rows: int
    servers: int
    seconds: float
    clients: tuple[int, ...]
    site_round_trips_ms: tuple[float, ...]
    placings: tuple[str, ...]
    site_runs: int
    far_runs: int
    outage_round_trip_ms: float
    quiet_s: float
    cut_s: float
    budget_s: float


class Contender:
    """A peer whose server is running.

    Attributes:
        template: its URL with {db}.
        folder: where it keeps its data.
    """

    def __init__(self, peer: Peer, server: Server | None, folder: Path, *, durable: bool) -> None:
        self.peer = peer
        self.server = server
        self.folder = folder
        self._durable = durable
        self.template = self.url_at(0 if server is None else server.port)
        self._databases = Databases(self.template)

    @property
    def key(self) -> str:
        """The peer's key."""
        return self.peer.key

    def url_at(self, port: int) -> str:
        """Its URL with {db} and another port, such as a proxy's."""
        return self.peer.url(port, self.folder, durable=self._durable)

    def fresh_database(self, label: str) -> str:
        """The URL of a new database, which is dropped at the end of the stage."""
        return text(self._databases.create(f"{self.key[-12:]} {label}"))  # its key, since two drivers share a server


class Stage:
    """The contenders at one durability. It is a context manager that stops their servers."""

    def __init__(self, peers: Iterable[Peer], folder: Path, results: Results, sizes: Sizes, *, durable: bool) -> None:
        self.results = results
        self.sizes = sizes
        self.durable = durable
        self.folder = folder
        self.contenders: list[Contender] = []
        self._clean_up = ExitStack()
        servers: dict[str, Server | Exception] = {}
        for peer in peers:
            place = folder / (peer.server or peer.key)
            place.mkdir(parents=True, exist_ok=True)
            server = None
            if peer.server is not None:
                if peer.server not in servers:
                    servers[peer.server] = self._started(SERVERS[peer.server](place, durable=durable))
                outcome = servers[peer.server]
                if isinstance(outcome, Exception):
                    self.fail("servers", peer.key, outcome)
                    continue
                server = outcome
            self.contenders.append(Contender(peer, server, place, durable=durable))

    def _started(self, server: Server) -> Server | Exception:
        try:
            server.start()
        except Exception as error:  # noqa: BLE001 (it is reported, and the other peers go on)
            return error
        self._clean_up.callback(server.stop)
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up.close()

    def on_exit(self, close: Callable[[], object]) -> None:
        """Register a function to be called before the servers are stopped."""
        self._clean_up.callback(close)

    def settings(self) -> dict[str, object]:
        """The peers' settings and versions, for the results."""
        return {
            contender.key: {
                "url": contender.template.replace(str(contender.folder), "<folder>"),
                "server": None if contender.server is None else contender.server.version(),
                "settings": {} if contender.server is None else contender.server.settings,
            }
            for contender in self.contenders
        }

    def fail(self, workload: str, peer: str, error: BaseException) -> None:
        """Report that a peer failed in a workload."""
        reason = str(error).strip() or repr(error)
        print(f"  {workload}, {peer}: FAILED: {_last_word(reason)}", flush=True)
        self.results.failures.append(Failure(workload, peer, self.durable, reason))

    def attempt(self, workload: str, keys: Iterable[str], make: Callable[[str], _Made]) -> dict[str, _Made]:
        """{key: make(key)}; the peers that fail are reported and left out."""
        made = {}
        for key in keys:
            try:
                made[key] = make(key)
            except Exception as error:  # noqa: BLE001 (it is reported, and the other peers go on)
                self.fail(workload, key, error)
        return made

    def measure(
        self,
        workload: str,
        case: str,
        unit: str,
        keys: Iterable[str],
        run: Callable[[str], float],
        *,
        round_trip_ms: float = 0,
        runs: int | None = None,
    ) -> None:
        """Measure the peers in alternation, `runs` times; `run(key)` measures one value."""
        values: dict[str, list[float]] = {key: [] for key in keys}
        for _ in range(runs or self.sizes.runs):
            got = self.attempt(workload, values, run)
            values = {key: [*values[key], value] for key, value in got.items()}
        for key, found in values.items():
            self.add(workload, case, key, unit, found, round_trip_ms=round_trip_ms)

    def add(
        self, workload: str, case: str, peer: str, unit: str, runs: list[float], *, round_trip_ms: float = 0
    ) -> None:
        """Add a figure to the results."""
        if runs:
            self.results.figures.append(Figure(workload, case, peer, self.durable, round_trip_ms, unit, runs))


def _last_word(reason: str) -> str:
    """The line of a traceback that says what went wrong; SQLAlchemy puts the statement after it."""
    lines = [line for line in reason.splitlines() if line.strip() and not line.startswith(("[SQL", "[para", "(Back"))]
    return lines[-1] if lines else reason
