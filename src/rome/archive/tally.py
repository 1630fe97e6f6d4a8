"""How far a dump or a load has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rome.kv import copies


class Tally(NamedTuple):
    """Rows so far.

    Attributes:
        table: the table that is under way, or that came last.
        rows: of all tables.
        tables: {name: rows} of the tables and collections that have begun.
    """

    table: str
    rows: int
    tables: Mapping[str, int]


OnTally = Callable[[Tally], object]
"""Called after each piece of some thousand rows."""


class RowCounter:
    """Counts rows by table, and tells a caller."""

    def __init__(self, tell: OnTally | None) -> None:
        self._tell = tell
        self._last = ""
        self.tables: dict[str, int] = {}

    def begin(self, table: str) -> None:
        """Begin a table, which may stay without rows."""
        self.tables.setdefault(table, 0)
        self._last = table

    def add(self, table: str, rows: int) -> None:
        """Count rows of a table."""
        self.begin(table)
        self.tables[table] += rows
        if self._tell is not None:
            self._tell(self.tally)

    def add_kv(self, kind: object, *frame: Any) -> None:
        """Count what a frame of rome.kv's holds; nothing if it is another one."""
        if kind == copies.KEYS_FRAME:
            self.add("rome.kv keys", len(frame[0]))
        elif kind == copies.COLLECTION_FRAME:
            self.begin(f"rome.kv collection {frame[0]}")
        elif kind == copies.OBJECTS_FRAME:
            self.add(f"rome.kv collection {frame[0]}", len(frame[1]))

    @property
    def tally(self) -> Tally:
        """What was counted so far."""
        return Tally(self._last, sum(self.tables.values()), dict(self.tables))
