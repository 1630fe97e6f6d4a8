"""EXPLAIN ROME ANALYZE: run a statement, and count what each wave of its plan reads.

The figures are the store's and the transaction's own counters. The engine does not know: it runs the statement with a
plan that looks at the counters before and after each wave.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from rome.codec.values import SqlValue
from rome.engine.observing.explain import Cost, Measured
from rome.planner.plan import AggregateRequest, Fetch, FetchedRows, FetchPlan, PlanLine, PlannedRow, Wave
from rome.transaction.transaction import Transaction


class MeasuredPlan(FetchPlan):
    """A plan whose waves are measured while they are read and hydrated."""

    def __init__(self, plan: FetchPlan, lines: Sequence[PlanLine], transaction: Transaction) -> None:
        """Begin to measure.

        Args:
            lines: the plan's, which say what is read in which wave.
        """
        self.tables = plan.tables
        self.full_scans = plan.full_scans
        self.asks_aggregates = plan.asks_aggregates  # it is not `direct`: waves are what is measured
        self._plan = plan
        self._tables: dict[int, set[str]] = {}
        for line in lines:
            self._tables.setdefault(line.wave, set()).add(line.table)
        self._transaction = transaction
        self._waves: dict[int, Cost] = {}
        self._near_before = transaction.near_trips
        self._began = self._now()

    def measured(self, outcome: str) -> Measured:
        """What was read since; waves that were never read are left out. All is the first one's if none was."""
        total = self._now().since(self._began)
        if near := self._transaction.near_trips - self._near_before:
            outcome = f"{outcome}; {near} of the trips were near"
        if not self._waves and self._tables:
            return Measured({1: total}, None, total, outcome)
        rest = total
        for cost in self._waves.values():
            rest = rest.since(cost)
        return Measured(self._waves, rest, total, outcome)

    def waves(self, parameters: Sequence[SqlValue]) -> Generator[Wave, FetchedRows, None]:
        waves = self._plan.waves(parameters)
        wave = next(waves, None)
        number = 0
        while wave is not None:
            number = self._number(wave, number)
            before = self._now()
            rows = yield wave
            cost = self._now().since(before)
            known = self._waves.get(number)  # when the statement runs a second time, for want of room
            self._waves[number] = cost if known is None else cost.plus(known)
            try:
                wave = waves.send(rows)
            except StopIteration:
                return

    def _number(self, wave: Wave, previous: int) -> int:
        """Which of the lines' waves it is: one of which nothing is left to read is not there.

        None of the next ones: it belongs to the one before, where a first look found too many rows.
        """
        tables = {fetch.table.name for fetch in wave}
        later = (number for number in sorted(self._tables) if number > previous and tables <= self._tables[number])
        return next(later, max(previous, 1))

    def _now(self) -> Cost:
        transaction = self._transaction
        return Cost(transaction.round_trips, transaction.rows_read, transaction.bytes_read, time.perf_counter())

    # ------------------------------------------------------------ as the plan says
    def may_be_empty(self, parameters: Sequence[SqlValue]) -> bool:
        return self._plan.may_be_empty(parameters)

    def points(self, parameters: Sequence[SqlValue]) -> Wave:
        return self._plan.points(parameters)

    def questions(self, parameters: Sequence[SqlValue]) -> list[AggregateRequest] | None:
        return self._plan.questions(parameters)

    def only_fetch(self, parameters: Sequence[SqlValue]) -> Fetch | None:
        return self._plan.only_fetch(parameters)

    def independent(self, parameters: Sequence[SqlValue]) -> list[Fetch]:
        return self._plan.independent(parameters)

    def planned_rows(self, parameters: Sequence[SqlValue]) -> list[PlannedRow] | None:
        return self._plan.planned_rows(parameters)

    def unindexed_columns(self, table: str) -> list[str]:
        return self._plan.unindexed_columns(table)

    def explain(self, parameters: Sequence[SqlValue] | None) -> list[PlanLine]:
        return self._plan.explain(parameters)
