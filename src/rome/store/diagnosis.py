"""What `rome doctor` finds out about a store: what it would lose in which event, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How bad a finding is, the least first."""

    OK = 0
    UNKNOWN = 1
    """It could not be looked at, so nobody should rely on it."""
    WARNING = 2
    """Works, and would not in an event that is to be expected."""
    PROBLEM = 3
    """Does not work, or loses data without any crash."""


class Loss(NamedTuple):
    """What of the acknowledged commits an event takes with it; "nothing" when they all survive."""

    event: str
    lost: str


class Finding(NamedTuple):
    """What one check brought.

    Attributes:
        check: what was looked at, in a word or two.
        remedy: what to do about it; empty when there is nothing to do.
    """

    check: str
    level: Level
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found.

    Attributes:
        subject: which server or file, and its version.
    """

    subject: str
    losses: Sequence[Loss]
    findings: Sequence[Finding]

    @property
    def level(self) -> Level:
        """That of the worst finding."""
        return max((finding.level for finding in self.findings), default=Level.OK)


def size_text(count: float) -> str:
    """A number of bytes, for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.0f} TiB"
