"""EXPLAIN ROME: what a statement would read, in which wave, and how many round trips that takes.

The result is a tree, one row for each of its lines: a line per wave, below it one for each of its accesses, and a last
one for the whole. EXPLAIN ROME ANALYZE adds what a run did cost (rome.engine.observing.analysis).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from rome.codec.values import SqlValue
from rome.engine.result import Result
from rome.engine.statement.prepared import Prepared
from rome.engine.statement.schema import SchemaVersion
from rome.planner.plan import CutPlan, PlanLine
from rome.store.spi import ORDER_INDEX

_COLUMNS = ("wave", "table", "access", "bounds", "remark", "expected_trips", "most_rows")
_MEASURED = ("trips", "rows", "bytes", "ms")

_CACHED = "fewer when the transaction has read some of it before"
_WRITES = "constraints or ids of the rows written may need one more, and COMMIT is one"
_RUN = "its trips are for constraints and ids of the rows written, or for rows that find no room"


class Cost(NamedTuple):
    """What something has cost: round trips, rows and bytes that they brought, and time in all."""

    trips: int
    rows: int
    bytes: int
    seconds: float

    def plus(self, other: Cost) -> Cost:
        """The sum of both."""
        return Cost(*map(operator.add, self, other))

    def since(self, before: Cost) -> Cost:
        """The difference to an earlier cost."""
        return Cost(*map(operator.sub, self, before))


class Measured(NamedTuple):
    """What a run cost: its waves, by number from 1, the rest of it, and the total; and what it did."""

    waves: Mapping[int, Cost]
    rest: Cost | None
    total: Cost
    outcome: str


def plan_lines(
    prepared: Prepared, parameters: Sequence[SqlValue] | None, schema: SchemaVersion, *, foreign_keys: bool
) -> list[PlanLine]:
    """One line for each fetch and for each guard of INSERT .. VALUES, in the order of the waves.

    Args:
        parameters: None when they are not given; then bounds name them, and the guards are not known.

    Cost: no I/O.
    """
    lines = list(prepared.plan.explain(parameters))
    if prepared.target is None or parameters is None:
        return lines
    planned = prepared.plan.planned_rows(parameters)
    if planned is not None:
        foreign_keys = foreign_keys and prepared.traits.foreign_keys
        wants = schema.guards.planned(prepared.target, planned, foreign_keys=foreign_keys)
        for want in dict.fromkeys(wants):
            table = schema.definition.tables_by_id[want.table_id]
            path = next(path for path in (table.key, *table.indexes) if path.id == want.index_id)
            access = "key" if want.keys else f"index {path.name}" if path.id else "whole table"
            most_rows = len(want.keys) if want.keys else len(want.ranges) if path.unique else None
            lines.append(PlanLine(1, table.name, access, "", "guard of a constraint", most_rows))
    return sorted(lines, key=lambda line: line.wave)


def as_streamed(cut: CutPlan | None) -> str:
    """What the last line says of a statement whose rows can be read while they are fetched."""
    if cut is None:
        return ""
    path = "the key" if cut.path.id == ORDER_INDEX else f"index {cut.path.name}"
    return f"; on request streamed in chunks along {path} of {cut.table.name}{', backwards' if cut.reverse else ''}"


def as_result(
    lines: Sequence[PlanLine], *, writes: bool, measured: Measured | None = None, streamed: str = ""
) -> Result:
    """The tree as rows; columns that say nothing of a line are NULL there, or empty.

    Args:
        lines: sorted by wave.
        streamed: what `as_streamed` says.
    """
    rows: list[tuple[SqlValue, ...]] = []
    expected = 0
    for wave, group in groupby(lines, key=lambda line: line.wave):
        expected += 1
        below = list(group)
        known = [line.most_rows for line in below if line.most_rows is not None]
        most_rows = sum(known) if len(known) == len(below) else None
        rows.append((wave, "", "wave", "", "", 1, most_rows, *_figures(measured and measured.waves.get(wave))))
        rows += [(*line[:5], None, line.most_rows, *_figures(None)) for line in below]
    if measured is not None and measured.rest is not None:
        remark = _RUN if measured.rest.trips else ""
        rows.append((None, "", "run in SQLite", "", remark, None, None, *_figures(measured.rest)))
    remark = measured.outcome if measured else f"{_CACHED}; {_WRITES}" if writes else _CACHED
    rows.append((None, "", "in all", "", f"{remark}{streamed}", expected, None, *_figures(measured and measured.total)))
    names = _COLUMNS if measured is None else _COLUMNS + _MEASURED
    return Result(tuple((name, None) for name in names), [row[: len(names)] for row in rows])


def _figures(cost: Cost | None) -> tuple[SqlValue, ...]:
    if cost is None:
        return (None,) * len(_MEASURED)
    return cost.trips, cost.rows, cost.bytes, round(cost.seconds * 1000, 3)
