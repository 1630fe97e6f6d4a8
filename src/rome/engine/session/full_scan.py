"""The option full_scan: allow a statement that reads a whole table, warn of it, or refuse it."""

from __future__ import annotations

from typing import Literal

from rome.callers import warn
from rome.engine.statement.prepared import Prepared
from rome.errors import FullScanError, FullScanWarning


def check_full_scan(prepared: Prepared, option: Literal["allow", "warn", "error"]) -> None:
    """Warn of a statement that reads a whole table, or refuse it.

    Raises:
        FullScanError: the statement reads a whole table, and that is not allowed.
    """
    if option == "allow" or not prepared.plan.full_scans:
        return
    names = ", ".join(table.name for table in prepared.plan.full_scans)
    message = (
        f"this statement reads the whole of {names}; bound it by an indexed column, or add an index "
        f"(EXPLAIN ROME shows the plan): {prepared.statement.text}"
    )
    if option == "error":
        raise FullScanError(message)
    warn(message, FullScanWarning)
