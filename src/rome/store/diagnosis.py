"""What `rome doctor` finds out about a store: what it would lose in each kind of failure, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How bad a finding is, in ascending order."""

    OK = 0
    UNKNOWN = 1
    """It could not be checked, so do not rely on it."""
    WARNING = 2
    """It works, and would not in an event that must be expected."""
    PROBLEM = 3
    """It does not work, or loses data without any crash."""


class Loss(NamedTuple):
    """What an event does to acknowledged commits: which of them are lost, or "nothing" if all survive."""

    event: str
    lost: str


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        check: what was checked, in a word or two.
        remedy: what to do about it; empty if nothing need be done.
    """

    check: str
    level: Level
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found.

    Attributes:
        subject: which server or file, and its version.
    """

    subject: str
    losses: Sequence[Loss]
    findings: Sequence[Finding]

    @property
    def level(self) -> Level:
        """The level of the worst finding."""
        return max((finding.level for finding in self.findings), default=Level.OK)


def size_text(count: float) -> str:
    """A number of bytes as text, such as 1.5 MB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.0f} TiB"
