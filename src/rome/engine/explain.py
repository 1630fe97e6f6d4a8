"""EXPLAIN ROME: what a statement would read, in which wave, and how many round trips that takes."""

from __future__ import annotations

from collections.abc import Sequence

from rome.codec.values import SqlValue
from rome.engine import guards
from rome.engine.prepared import Prepared
from rome.engine.result import Result
from rome.engine.schema import Schema

_COLUMNS = tuple((name, None) for name in ("wave", "table", "access", "bounds", "remark"))


def explain(prepared: Prepared, parameters: Sequence[SqlValue] | None, schema: Schema, *, foreign_keys: bool) -> Result:
    """One row for each fetch and for each guard of INSERT .. VALUES, and a last one with the round trips.

    Args:
        parameters: None when they are not given; then bounds name them, and the guards are not known.

    Cost: no I/O.
    """
    rows: list[tuple[SqlValue, ...]] = list(prepared.plan.explain(parameters))
    planned = prepared.plan.planned_rows(parameters) if prepared.target is not None and parameters is not None else None
    if prepared.target is not None and planned is not None:
        wants = guards.planned(
            schema.catalog, prepared.target, planned, foreign_keys=foreign_keys and prepared.foreign_keys
        )
        for want in dict.fromkeys(wants):
            table = schema.definition.tables_by_id[want.table_id]
            path = next(path for path in (table.key, *table.indexes) if path.id == want.index_id)
            access = "key" if want.keys else f"index {path.name}" if path.id else "whole table"
            rows.append((1, table.name, access, "", "guard of a constraint"))
    waves = max((int(row[0]) for row in rows if isinstance(row[0], int)), default=0)
    remark = "fewer when the transaction has read some of it before"
    if prepared.writes:
        remark += "; constraints of the rows written may need one more, and COMMIT is one"
    rows.append((None, "", "expected round trips", str(waves), remark))
    return Result(_COLUMNS, rows)
