"""The results of a run: figures of repeated measurements and their conditions, saved as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity that was measured several times.

    Attributes:
        workload, case: what was done.
        peer: which peer did it; a key of romebench.peers.
        durable: whether every commit is flushed to disk before it is acknowledged.
        round_trip_ms: what the delay proxy added to each round trip; 0 without a proxy.
        unit: of the runs: "s", "trips", "1/s", "bytes", ..
        runs: one value for each repetition, in order. Equal positions in two peers' figures are of the same round.
    """

    workload: str
    case: str
    peer: str
    durable: bool
    round_trip_ms: float
    unit: str
    runs: list[float]

    @property
    def median(self) -> float:
        """The median of the runs."""
        return median(self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest run."""
        return min(self.runs), max(self.runs)


@dataclass(frozen=True, slots=True)
class Failure:
    """A workload that a peer could not do, while the others went on."""

    workload: str
    peer: str
    durable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Requests:
    """The distinct requests of a peer's boots: {normalised text: (how many per boot, median seconds)}."""

    peer: str
    durable: bool
    round_trip_ms: float
    costs: dict[str, tuple[float, float]]


@dataclass
class Results:
    """Everything of one run."""

    conditions: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    requests: list[Requests] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def find(
        self, workload: str, case: str, peer: str, *, durable: bool = True, round_trip_ms: float = 0
    ) -> Figure | None:
        """The figure; None if it was not measured."""
        wanted = (workload, case, peer, durable, round_trip_ms)
        for figure in self.figures:
            if (figure.workload, figure.case, figure.peer, figure.durable, figure.round_trip_ms) == wanted:
                return figure
        return None

    def find_requests(self, peer: str, *, durable: bool = True, round_trip_ms: float = 0) -> Requests | None:
        """The requests of a peer's boots; None if there were no boots."""
        for found in self.requests:
            if (found.peer, found.durable, found.round_trip_ms) == (peer, durable, round_trip_ms):
                return found
        return None

    def save(self, path: Path) -> None:
        """Write the results as JSON. The file is replaced in one step, so that it is always complete."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote."""
        found = json.loads(path.read_text())
        return cls(
            found["conditions"],
            [Figure(**fields) for fields in found["figures"]],
            [_requests(fields) for fields in found["requests"]],
            [Failure(**fields) for fields in found["failures"]],
        )


def _requests(fields: dict[str, Any]) -> Requests:
    costs = {text: (count, seconds) for text, (count, seconds) in fields.pop("costs").items()}
    return Requests(**fields, costs=costs)


def ratios(one: Figure, other: Figure) -> list[float]:
    """`one` divided by `other`, run by run, so that disturbances of a whole round cancel out."""
    return [a / b for a, b in zip(one.runs, other.runs, strict=False) if b]


def shown(seconds: float) -> str:
    """A time with three digits, in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds / 1e-6)} µs"


def shown_value(value: float, unit: str) -> str:
    """A value of a figure with its unit."""
    if unit == "s":
        return shown(value)
    if unit == "bytes":
        return f"{_three(value)} B" if value < 1e4 else f"{_three(value / 1e6)} MB"
    return f"{_three(value)} {unit}"


def shown_runs(runs: Sequence[float], unit: str) -> str:
    """The median of the runs, with the least and the greatest."""
    return f"{shown_value(median(runs), unit)} ({shown_value(min(runs), unit)} - {shown_value(max(runs), unit)})"


def _three(value: float) -> str:
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
