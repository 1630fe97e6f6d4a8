"""What a statement returns, and what the engine counts."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct, field

from rome.codec.values import SqlValue


class Result(Struct, gc=False):
    """All rows of one statement: nothing streams, so that nothing later in the transaction can change them.

    Its two numbers stay open until the application asks for one of them: a replay may change them until then.

    Attributes:
        columns: name and declared type (None for an expression) of each column; None when the statement has no
            result set.
        rowcount: rows changed by INSERT, UPDATE or DELETE; -1 for everything else, as sqlite3 has it.
        lastrowid: rowid of the last row inserted, or None.
        numbers_shown: the application has asked for one of the two.
    """

    columns: tuple[tuple[str, str | None], ...] | None = None
    rows: list[tuple[SqlValue, ...]] = field(default_factory=list)
    rowcount: int = -1
    lastrowid: int | None = None
    numbers_shown: bool = False

    def take_numbers(self, of: Result) -> None:
        """Show the numbers of another run."""
        self.rowcount, self.lastrowid = of.rowcount, of.lastrowid


@dataclass(slots=True)
class Stats:
    """Counters of one connection since it was opened, or of a part of that time.

    Attributes:
        waves: reads, of which each is one round trip, and more when the store bounds what it answers at once.
        rows, bytes: fetched from the store.
        rows_written: put or deleted by commits.
        turns: lined up for.
        near_trips: the part of the round trips that went to a near server (reads=near).
    """

    statements: int = 0
    round_trips: int = 0
    waves: int = 0
    rows: int = 0
    bytes: int = 0
    commits: int = 0
    rows_written: int = 0
    conflicts: int = 0
    replays: int = 0
    turns: int = 0
    near_trips: int = 0

    def since(self, before: Stats) -> Stats:
        """The difference to earlier counters."""
        return Stats(*(getattr(self, name) - getattr(before, name) for name in Stats.__slots__))
