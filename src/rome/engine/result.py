"""What a statement gives back, and what the engine counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from rome.codec.values import SqlValue


@dataclass(frozen=True, slots=True)
class Result:
    """All rows of one statement: nothing streams, so that nothing later in the transaction can change them.

    Attributes:
        columns: name and declared type (None for an expression) of each column; None when the statement has no
            result set.
        rowcount: rows changed by INSERT, UPDATE or DELETE; -1 for everything else, as sqlite3 has it.
        lastrowid: rowid of the last row inserted, or None.
    """

    columns: tuple[tuple[str, str | None], ...] | None = None
    rows: list[tuple[SqlValue, ...]] = field(default_factory=list)
    rowcount: int = -1
    lastrowid: int | None = None


@dataclass(slots=True)
class Stats:
    """Counters of one connection since it was opened. Rows and bytes: fetched from the store; turns: lined up for."""

    statements: int = 0
    round_trips: int = 0
    rows: int = 0
    bytes: int = 0
    commits: int = 0
    conflicts: int = 0
    replays: int = 0
    turns: int = 0
