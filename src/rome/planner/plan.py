"""What the planner hands to the engine: which rows a statement can touch, wave by wave.

Invariant: every stored row that can change the statement's result lies inside some fetch of the plan. The plan may
hold more. A predicate that is not understood widens the plan, never narrows it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from rome.catalog.schema import Index, Table
from rome.codec.values import Collation, SqlValue
from rome.store.spi import Bounds


class Page(Struct, frozen=True, gc=False):
    """How to read less than a fetch: rows of `path` in order, until `rows` of them are found that pass WHERE, and all
    those that sort with the last of them.

    Attributes:
        ranges: disjoint and sorted; read one after the other, from the last one's end when `reverse`.
        order: positions and collations of the columns that the rows are sorted by first.
        first: how many rows to read at first.
        probe: finds the rowids of the rows in the working set that pass WHERE; `parameters` are its own.
    """

    path: Index
    ranges: tuple[Bounds, ...]
    order: tuple[tuple[int, Collation], ...]
    reverse: bool
    rows: int
    first: int
    probe: str
    parameters: tuple[SqlValue, ...]


class Fetch(Struct, frozen=True, gc=False):
    """Stored rows of one table by one access path: row `keys` (of the order index only), and `ranges` of `path`.

    Ranges are disjoint and sorted; keys are distinct. Both empty: no row can matter.

    Attributes:
        page: what may be read instead, if this transaction has not changed the table.
        instead: other ranges in which all rows lie that matter: whichever hold the fewest may be read.
        may_wait: if all of them hold many, their number is answer enough.
    """

    table: Table
    path: Index
    keys: tuple[bytes, ...]
    ranges: tuple[Bounds, ...]
    page: Page | None = None
    instead: tuple[Fetch, ...] = ()
    may_wait: bool = False


class Many(Struct, frozen=True, gc=False):
    """The answer to a fetch that may wait: so many `rows` are found by the best way, `fetch`. None were read."""

    rows: int
    fetch: Fetch


Wave = list[Fetch]
Values = Sequence[SqlValue]
"""A row's values, in the order of Table.columns (a generated column's is None: it is not stored)."""

FetchedRows = Iterable[list[Values] | Many]
"""For each fetch of the wave, the rows in it, or how many they are.

Made when it is iterated: a plan does not look at its last wave.
"""


class PlannedRow(Struct, frozen=True, gc=False):
    """A row that INSERT .. VALUES is going to write: column position -> value, as far as known before the run.

    Only of the columns by which it is checked (Table.guarding). A value has the column's affinity applied. A position
    that is missing is not known (an expression, a default).
    `rowid_given`: the INTEGER PRIMARY KEY is set by the statement, to something that is not the constant NULL.
    """

    values: dict[int, SqlValue]
    rowid_given: bool


class DirectRows(Struct, frozen=True, gc=False):
    """All that a SELECT shows: columns `shown` of those rows of `fetch` whose key in the index `compared` is `key`.

    Attributes:
        compared: an index of all columns that WHERE speaks of; no store has it.
        key: None: all rows of the fetch have the same.
        by_rowid: several of them are shown in the order of their rowids; else it is not known in which.
        start, stop: of the rows that remain, only these are shown.
    """

    fetch: Fetch
    compared: Index
    key: bytes | None
    shown: tuple[int, ...]
    by_rowid: bool
    start: int
    stop: int


AggregateKind = Literal["count", "least", "greatest"]


class AggregateRequest(Struct, frozen=True, gc=False):
    """What the store can tell of the rows in `ranges` of `path`, in the place of showing them.

    How many there are, or the least or greatest value of the column at `position`, which is not NULL in any of them;
    then there is at most one range, and its order is that of the column.
    """

    kind: AggregateKind
    table: Table
    path: Index
    ranges: tuple[Bounds, ...]
    position: int


class PlanLine(NamedTuple):
    """One access of a plan, in words, for EXPLAIN ROME.

    Attributes:
        wave: from 1.
        access: the way to the rows; `bounds` limits it, in SQL's terms.
        remark: where the keys come from; why a table is read whole.
        most_rows: no more are found than these, since a key is unique; None: that is not known.
    """

    wave: int
    table: str
    access: str
    bounds: str = ""
    remark: str = ""
    most_rows: int | None = None


class FetchPlan(ABC):
    """How to fetch what one statement needs; made once per statement text and catalog version, then cached."""

    tables: tuple[Table, ...]
    """Every base table that the statement reads, in the order of their first mention."""
    full_scans: tuple[Table, ...]
    """Those of them that are read whole whatever the parameters are."""
    inserts_only: bool
    """It is INSERT .. VALUES of parameters and constants, and reads nothing."""

    @abstractmethod
    def waves(self, parameters: Sequence[SqlValue]) -> Generator[Wave, FetchedRows, None]:
        """Yield one wave of fetches at a time; what it brought is sent back, and keys the next wave.

        The rows sent back for a fetch are those stored that it covers, and every row of that table that this
        transaction has written (their keys may differ from what is stored).

        Args:
            parameters: bound values in the order in which the statement numbers them (a named one once).
        """

    @abstractmethod
    def questions(self, parameters: Sequence[SqlValue]) -> list[AggregateRequest] | None:
        """Whose answers are the columns of the statement's only row; None: it needs its rows read."""

    @abstractmethod
    def direct_rows(self, parameters: Sequence[SqlValue]) -> DirectRows | None:
        """What the statement shows, if that is stored rows as they are; None: SQLite has to find out."""

    @abstractmethod
    def only_fetch(self, parameters: Sequence[SqlValue]) -> Fetch | None:
        """All that a statement reads, if it mentions one table, once, and reads ranges of one path of it."""

    @abstractmethod
    def planned_rows(self, parameters: Sequence[SqlValue]) -> list[PlannedRow] | None:
        """The rows of INSERT .. VALUES; None for every other statement."""

    @abstractmethod
    def unindexed_columns(self, table: str) -> list[str]:
        """Names of the columns of a table that the statement compares with something, and that begin no index."""

    @abstractmethod
    def explain(self, parameters: Sequence[SqlValue] | None) -> list[PlanLine]:
        """One line per fetch, in the order of the waves; `parameters` are shown in the place of `?1` if they are given.

        Cost: no I/O; up to a millisecond, as it finds out anew why no index bounds what is read whole.
        """
