"""The search: random histories on Rome and on stock SQLite, until the time is over or the two differ."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from rome.engine.reading import smallest_range
from rome.transaction import chunked_scan
from tests.fuzz.choices import strategy
from tests.fuzz.histories import History, random_history
from tests.support.differential import MEMORY, MiscountedError, Pair

ROUND = 200
"""Histories per run of Hypothesis: it makes each anew by varying those before."""


class Search:
    """Compares histories, and counts.

    Attributes:
        statements: compared so far; `failed`: those of them that raised the same error on both.
        streams: run every query once more, streamed; `streamed`: how many of them were cut into parts.
        last: the history that was compared last: after a failure, the shrunk one.
    """

    def __init__(self, url: str = MEMORY) -> None:
        self.url = url
        self.statements = 0
        self.failed = 0
        self.streamed = 0
        self.streams = False
        self.last: History | None = None

    def compare(self, history: History) -> None:
        """Run a history on both.

        Raises:
            AssertionError: they differ; the message is the script so far, and what both showed.
        """
        self.last = history
        schema = history.schema
        streams = self.streams
        with Pair(schema.statements, ids=schema.ids, tables=history.tables(), url=self.url, streams=streams) as pair:
            try:
                for operation in history.operations:
                    self.failed += pair.run(operation).error is not None
                pair.check_tables()
            except MiscountedError:
                pass
            finally:
                self.statements += len(pair.done)
                self.streamed += 0 if pair.twin is None else pair.twin.streamed

    def round(self, number: int, histories: int = ROUND) -> None:
        """Compare so many histories; the number decides which. A difference is raised when it has been shrunk."""

        self.streams = number % 2 == 0

        @seed(number)
        @settings(
            max_examples=histories,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy(random_history))
        def compare(history: History) -> None:
            self.compare(history)

        with pytest.MonkeyPatch.context() as patch:  # what runs afterwards in this process has the usual limits
            patch.setattr(smallest_range, "FEW", (1, 3, smallest_range.FEW)[number % 3])  # a few are many
            rows = (1, 2, 3)[number // 2 % 3]
            patch.setattr(chunked_scan, "FIRST_ROWS", rows)
            patch.setattr(chunked_scan, "MOST_ROWS", rows)
            compare()

    def run(self, seconds: float, first: int, tell: Callable[[], None]) -> int:
        """Rounds `first`, `first + 1`, .. until the time is over; `tell` is called after each. Returns the next one."""
        stop = time.monotonic() + seconds
        number = first
        while time.monotonic() < stop:
            self.round(number)
            tell()
            number += 1
        return number
