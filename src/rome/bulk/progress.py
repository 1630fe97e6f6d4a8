"""How far a bulk change has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class BulkProgress(NamedTuple):
    """After a commit.

    Attributes:
        rows: committed by this call so far.
        commits: how many commits that took.
        seconds: since the call began.
    """

    rows: int
    commits: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """The mean rate of this call."""
        return self.rows / self.seconds if self.seconds else 0.0


OnProgress = Callable[[BulkProgress], object]
"""Called after each commit. What it raises ends the bulk change; what is committed stays."""


class Counter:
    """Counts what one call has committed, and tells its caller."""

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self.rows = self._commits = 0

    def committed(self, rows: int) -> None:
        """Note one commit."""
        self.rows += rows
        self._commits += 1
        if self._tell is not None:
            self._tell(BulkProgress(self.rows, self._commits, time.monotonic() - self._began))
