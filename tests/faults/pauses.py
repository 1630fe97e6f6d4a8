"""For how long a fault kept clients from committing, by the times in their files.

The times are those of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.faults.ledger import Told


@dataclass(frozen=True)
class Pauses:
    """Seconds, one for each strike: the longest time between its strike and the next without an acknowledged commit.

    Attributes:
        of_all: during which no client was told of one.
        of_one: during which one client was told of none.
    """

    of_all: Sequence[float]
    of_one: Sequence[float]

    def __str__(self) -> str:
        if not self.of_all:
            return "no strike was timed"
        return (
            f"no commit for {median(self.of_all):.2f} s, at most {max(self.of_all):.2f} s;"
            f" one client's for {median(self.of_one):.2f} s, at most {max(self.of_one):.2f} s"
        )


def after(strikes: Sequence[float], notes: Iterable[Path]) -> Pauses:
    """Measure what the clients' files tell."""
    each = [sorted(_acknowledged(path)) for path in notes]
    every = sorted(time for times in each for time in times)
    return Pauses(_longest(strikes, [every]), _longest(strikes, each))


def _acknowledged(path: Path) -> Iterable[float]:
    for line in path.read_text().splitlines():
        told, _, *time = line.split()
        if told == Told.COMMITTED and time:
            yield float(time[0])


def _longest(strikes: Sequence[float], series: Iterable[Sequence[float]]) -> list[float]:
    longest = [0.0] * len(strikes)
    for times in series:
        for earlier, later in pairwise(times):
            if strike := bisect(strikes, later):  # the last strike before it ended
                longest[strike - 1] = max(longest[strike - 1], later - earlier)
    return longest
