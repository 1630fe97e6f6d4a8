"""Notices that a transaction runs one statement again and again: N+1 loads, rows written one by one.

An N+1 load is one statement that finds N rows, and then one statement for each of them, where a join or an IN would
have found all at once. It shows as many executions of one statement, from one line of the application.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.observing.observer import Work
from rome.insights.collected import Kept
from rome.insights.entries import RepeatEntry, id_of
from rome.planner.parse.statement import StatementKind

LEAST = 5
"""So many executions in one transaction, all with different parameters, are noticed."""
MOST_STATEMENTS = 500
"""Statements of one transaction that are followed."""


class Run(Struct):
    """One statement at one line of the application, in one transaction.

    Attributes:
        leader: the statement that ran before the first of these.
        different: hashes of the parameters, until there are LEAST of them.
    """

    statement: str
    leader: str | None
    calls: int = 0
    total_s: float = 0.0
    trips: int = 0
    different: set[int] = field(default_factory=set)
    entry: RepeatEntry | None = None


class Repeats:
    """What one transaction has repeated."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str | None], Run] = {}
        self._last_of: dict[str, Run] = {}
        self._previous: str | None = None

    def note(
        self, database: str, statement: str, place: str | None, work: Work, kept: Kept[RepeatEntry]
    ) -> RepeatEntry | None:
        """A statement was executed; return the entry that has changed, if it is one too many.

        Args:
            work: the execution, which is over.
        """
        operation = work.operation
        if operation is None or operation.batch is not None or not operation.statement.reads_or_writes_rows:
            self._previous = statement
            return None
        run = self._runs.get((statement, place))
        if run is None:
            if len(self._runs) >= MOST_STATEMENTS:
                return None
            run = self._runs[statement, place] = Run(statement, self._previous)
        self._previous = statement
        self._last_of[statement] = run
        run.calls += 1
        run.total_s += work.duration_s
        run.trips += work.cost.round_trips
        if len(run.different) < LEAST:
            run.different.add(_hash(operation))
            if len(run.different) < LEAST:
                return None
        if run.entry is None:
            leader = self._leader(run)
            number = id_of("repeat", database, statement, leader or "", place or "")
            writes = operation.statement.kind is not StatementKind.SELECT
            run.entry = kept.get(number) or RepeatEntry(number, database, statement, leader, place, writes)
            if number not in kept:
                kept.keep(run.entry)
            run.entry.transactions += 1
            run.entry.calls += run.calls
            run.entry.total_s += run.total_s
            run.entry.trips += run.trips
        else:
            run.entry.calls += 1
            run.entry.total_s += work.duration_s
            run.entry.trips += work.cost.round_trips
        run.entry.most = max(run.entry.most, run.calls)
        return run.entry if run.entry.id in kept else None

    def _leader(self, run: Run) -> str | None:
        """The statement that led to these: not one that is repeated beside them, as in a loop of two."""
        leader, seen = run.leader, {run.statement}
        while leader is not None and leader not in seen:
            seen.add(leader)
            before = self._last_of.get(leader)
            if before is None or len(before.different) < LEAST - 1:
                return leader
            leader = before.leader
        return None


def _hash(operation: LoggedOperation) -> int:
    parameters = operation.parameters
    values = tuple(parameters.values()) if isinstance(parameters, Mapping) else tuple(parameters)
    try:
        return hash(values)
    except TypeError:
        return hash(repr(values))
