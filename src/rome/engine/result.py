"""What a statement returns, and what the engine counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter, sub

from msgspec import Struct, field

from rome.codec.values import SqlValue
from rome.errors import Error
from rome.transaction.transaction import Transaction


class UnreadRows(ABC):
    """The rows of a result that its caller has not asked for yet.

    Attributes:
        is_finished: there are no more rows, or nobody wants them.
    """

    is_finished: bool

    @property
    @abstractmethod
    def reads(self) -> bool:
        """Whether more has to be read, for which the snapshot must last."""

    @abstractmethod
    def is_of(self, transaction: Transaction) -> bool:
        """Whether this transaction is the one that reads them, and has the same snapshot still."""

    @abstractmethod
    def next_rows(self) -> Sequence[tuple[SqlValue, ...]]:
        """The next rows; there may be none although there are more.

        Raises:
            rome.errors.Error: as the statement's; and again, whenever more rows are asked for.
        """

    @abstractmethod
    def read_rest(self) -> None:
        """Read all that is left, before the snapshot ends. An error is for whoever asks for the rows."""

    @abstractmethod
    def refuse(self, error: Error) -> None:
        """Let whoever asks for more rows get this error."""

    @abstractmethod
    def close(self) -> None:
        """Forget the rest."""


ResultColumns = tuple[tuple[str, str | None], ...]
"""Name and declared type of each column; None for the type of an expression."""

ColumnDescription = tuple[str, None, None, None, None, None, None]


def describe(columns: ResultColumns) -> tuple[ColumnDescription, ...]:
    """PEP 249's description of columns."""
    return tuple([(name, None, None, None, None, None, None) for name, _ in columns])


class Result(Struct, gc=False):
    """All rows of one statement, so that nothing later in the transaction can change them; or the first of a stream.

    Its two numbers stay open until the application asks for one of them: a replay may change them until then.

    Attributes:
        columns: None when the statement has no result set.
        rowcount: rows changed by INSERT, UPDATE or DELETE; -1 for everything else, as sqlite3 has it.
        lastrowid: rowid of the last row inserted, or None.
        numbers_shown: the application has asked for one of the two.
        more: the rows that follow, if the caller has asked for a stream, and they do not end with these.
        description: of the columns, if it was made when the statement was prepared.
    """

    columns: ResultColumns | None = None
    rows: list[tuple[SqlValue, ...]] = field(default_factory=list)
    rowcount: int = -1
    lastrowid: int | None = None
    numbers_shown: bool = False
    more: UnreadRows | None = None
    description: tuple[ColumnDescription, ...] | None = None

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

    def copy(self) -> Stats:
        """The same counters as of now."""
        return Stats(*_counters(self))

    def since(self, before: Stats) -> Stats:
        """The difference to earlier counters."""
        return Stats(*map(sub, _counters(self), _counters(before)))


_counters = attrgetter(*Stats.__slots__)
