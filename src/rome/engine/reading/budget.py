"""What happens if the rows of a statement do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rome.engine.reading.reader import Reader
from rome.engine.statement.prepared import Prepared
from rome.errors import WorkingSetFullError
from rome.transaction.write_set import DELETE_IN_PARTS, INSERT_IN_PARTS, UPDATE_IN_PARTS

Returned = TypeVar("Returned")


def within_budget(reader: Reader, prepared: Prepared, run: Callable[[], Returned]) -> Returned:
    """Run a statement; if its rows do not fit, run it once more without the rows of earlier statements.

    Raises:
        WorkingSetFullError: the statement's own rows are too many. It is undone, and none of its rows remain.
    """
    held = reader.transaction.budget.used_bytes
    try:
        return run()
    except WorkingSetFullError as error:
        full = error
    return once_more(reader, prepared, run, held, full)


def once_more(
    reader: Reader, prepared: Prepared, run: Callable[[], Returned], held: int, error: WorkingSetFullError
) -> Returned:
    """After a statement whose rows found no room: run it without the rows that earlier ones brought.

    Args:
        held: bytes that those took when it began; with 0 it is not run again.
        error: that of the first run.

    Raises:
        WorkingSetFullError: see within_budget.
    """
    reader.evict()
    if not held:
        raise _advising(error, prepared) from None
    try:
        return run()
    except WorkingSetFullError as again:
        reader.evict()
        raise _advising(again, prepared) from None


def _advising(error: WorkingSetFullError, prepared: Prepared) -> WorkingSetFullError:
    """The error, with advice on how the statement can read less of the table."""
    columns = prepared.plan.unindexed_columns(error.table)
    less = f"An index that begins with {' or '.join(columns)}" if columns else "A narrower condition on an index"
    parts = _in_parts(prepared, error.table.lower())
    message = f"{error}. {less} would let it read less (EXPLAIN ROME shows what it reads){parts}"
    return WorkingSetFullError(f"{message}; or raise max_working_set", table=error.table, rows=error.rows)


def _in_parts(prepared: Prepared, table: str) -> str:
    """Advise how a statement can change a table with less of it in memory; empty if it changes none."""
    found = prepared.inspection
    if table not in found.written:
        return ""
    if table in found.deleted:
        parts = DELETE_IN_PARTS
    elif any(changed == table for changed, _ in found.updated):
        parts = UPDATE_IN_PARTS
    else:
        parts = INSERT_IN_PARTS
    return f"; or change it in parts: {parts}"
