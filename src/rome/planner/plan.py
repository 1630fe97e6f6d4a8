"""What the planner gives to the engine: the rows that a statement can touch, wave by wave.

Invariant: every stored row that can change the statement's result lies inside some fetch of the plan. The plan may
hold more. A predicate that the planner does not understand widens the plan, never narrows it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from rome.catalog.schema import Index, Table
from rome.codec.values import Collation, SqlValue
from rome.planner.foresight import Foresight
from rome.store.spi import Bounds


class Page(Struct, frozen=True, gc=False):
    """How to read a page: rows of `path` in order, until `rows` of them pass WHERE, and all that tie with the last.

    Attributes:
        ranges: disjoint and sorted; read one after the other, from the end of the last one if `reverse`.
        order: positions and collations of the columns by which the rows are sorted first.
        rows: how many rows that pass WHERE the page needs; LIMIT and OFFSET together.
        first: how many rows to read at first.
        probe: a SELECT that finds the rowids of those rows in the working set that pass WHERE.
        parameters: those of `probe`.
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
    """Stored rows of one table by one access path.

    If `keys` and `ranges` are both empty, no row can matter.

    Attributes:
        keys: row keys, distinct; only if `path` is the order index.
        ranges: of `path`, disjoint and sorted.
        page: what may be read instead, if this transaction has not changed the table.
        instead: other ranges that hold all rows that matter; the one with the fewest entries may be read.
        may_wait: if all of these hold many rows, their number is a sufficient answer (see Many).
        most: if there are more rows than this, that is a sufficient answer: Many, with this fetch.
        decides: if it finds no row, the statement has no result where `FetchPlan.may_be_empty` says so.
    """

    table: Table
    path: Index
    keys: tuple[bytes, ...]
    ranges: tuple[Bounds, ...]
    page: Page | None = None
    instead: tuple[Fetch, ...] = ()
    may_wait: bool = False
    most: int | None = None
    decides: bool = False


class Many(Struct, frozen=True, gc=False):
    """The answer to a fetch that may wait: its best way, `fetch`, finds `rows` rows. None of them were read.

    The answer to a fetch with `most`: there are more than these `rows`.
    """

    rows: int
    fetch: Fetch


Wave = list[Fetch]
Values = Sequence[SqlValue]
"""A row's values, in the order of Table.columns; None for a generated column, which is not stored."""


class FetchedRows(Protocol):
    """For each fetch of a wave, its rows, or how many there are.

    Rows are decoded when they are asked for. A plan asks for those that key another wave.
    """

    def __getitem__(self, number: int, /) -> Sequence[Values] | Many: ...


class PlannedRow(Struct, frozen=True, gc=False):
    """A row that INSERT .. VALUES is going to write, as far as it is known before the run.

    Attributes:
        values: {column position: value after the column's affinity}, for the columns that constraints check
            (Table.guarding). A position is missing if its value is not known: an expression, or a default.
        rowid_given: whether the statement sets the INTEGER PRIMARY KEY, to anything except the constant NULL.
    """

    values: dict[int, SqlValue]
    rowid_given: bool


DirectRows = tuple[int, tuple[bytes, ...], tuple[Bounds, ...], bytes | None, int, int]
"""What a SELECT shows with one set of parameters: (index id, keys, ranges, key, start, stop).

Rows at `keys` of the order index, or in `ranges` of this index. `key` is the one that a row must have in
DirectPlan.compared; None if all rows of the keys and ranges have it. `start` and `stop` are the slice of the remaining
rows that LIMIT and OFFSET show.
"""


class DirectChoice(Struct, frozen=True, gc=False):
    """Which of the rows that a plan reads a SELECT shows.

    Attributes:
        keys: those in DirectPlan.compared of the rows that are shown; None for all rows.
        start, stop: the slice of these rows that LIMIT and OFFSET show.
    """

    keys: frozenset[bytes] | None
    start: int
    stop: int


class DirectPlan(ABC):
    """How a SELECT shows stored rows of one table as they are: what does not depend on its parameters.

    Attributes:
        reads_plan: what is read is the plan's only wave, and `choice` says what is shown; otherwise `rows` says both.
        compared: an index of all the columns in WHERE. No store has it; it only defines a key.
        pick, pick_from_record: make a row of the result from a stored row's values, or from its record
            (rome.catalog.rows.records_of).
        decode: the table's (Table.decode_whole).
        order: (position, whether descending, collation) of each term of ORDER BY, which leaves no ties; empty: rows are
            shown in rowid order, or nothing is known.
        by_rowid: whether several rows are shown in rowid order.
        reverse: whether that order is descending.
    """

    reads_plan: bool
    table: Table
    order: tuple[tuple[int, bool, Collation], ...]
    reverse: bool
    compared: Index
    pick: Callable[[Values], tuple[SqlValue, ...]]
    pick_from_record: Callable[[Values], tuple[SqlValue, ...]]
    decode: Callable[[bytes], tuple[Any, ...]] | None
    by_rowid: bool

    @abstractmethod
    def rows(self, parameters: Sequence[SqlValue]) -> DirectRows | None:
        """What to read and to show; None if SQLite must say, with the values of this run."""

    @abstractmethod
    def choice(self, parameters: Sequence[SqlValue]) -> DirectChoice | None:
        """Which rows to show, where `reads_plan`; None if SQLite must say, with the values of this run."""

    @abstractmethod
    def key(self, parameters: Sequence[SqlValue]) -> bytes | None:
        """The key in `compared` of all rows that are shown, where `rows` has found some; None if there is no WHERE."""


class JoinedPlan(ABC):
    """How a SELECT shows columns of joined rows: what does not depend on its parameters.

    Attributes:
        tables: of its leaves, in the order of mention.
    """

    tables: tuple[Table, ...]

    @abstractmethod
    def join(
        self, parameters: Sequence[SqlValue], rows: Sequence[Sequence[Values]]
    ) -> list[tuple[SqlValue, ...]] | None:
        """The result; None if SQLite must say it.

        Args:
            rows: of each leaf, in the order in which several are shown. At least those that matter.
        """


class InsertedRowPlan(ABC):
    """The rows of INSERT .. VALUES, which are made alike: what does not depend on the parameters.

    Attributes:
        offsets: where each row's parameters begin.
        shown: what RETURNING makes of a row's values; None if there is no RETURNING.
    """

    offsets: tuple[int, ...]
    shown: Callable[[Values], tuple[SqlValue, ...]] | None

    @abstractmethod
    def values(self, parameters: Sequence[SqlValue], rowid: int, offset: int) -> tuple[SqlValue, ...] | None:
        """The values of all columns, with this id; None if SQLite must say, or would refuse the row."""


class AssignmentPlan(ABC):
    """How an UPDATE or DELETE by what equals its columns changes a row: what does not depend on its parameters.

    Attributes:
        rows: which rows it changes, as a SELECT with its WHERE would show them.
        deletes: it deletes them, and `after` is not asked.
        positions: the columns that it sets; none of the row's key.
        indexes: those in which a row may have another entry afterwards, or none.
    """

    rows: DirectPlan
    deletes: bool
    positions: tuple[int, ...]
    indexes: tuple[Index, ...]

    @abstractmethod
    def sets(self, parameters: Sequence[SqlValue]) -> dict[int, SqlValue]:
        """The values that columns are given whatever the row is, by position, as far as they are known."""

    @abstractmethod
    def after(self, values: Values, parameters: Sequence[SqlValue]) -> tuple[SqlValue, ...] | None:
        """A row's values after the change; None if SQLite must say, or would refuse it."""


AggregateKind = Literal["count", "least", "greatest"]


class AggregateRequest(Struct, frozen=True, gc=False):
    """A question about the rows in `ranges` of `path`, which the store answers without sending them.

    It asks how many rows there are, or for the least or greatest value of the column at `position`. For these two the
    column is NULL in none of the rows, there is at most one range, and its order is that of the column.
    """

    kind: AggregateKind
    table: Table
    path: Index
    ranges: tuple[Bounds, ...]
    position: int


class Cut(Struct, frozen=True, gc=False):
    """How a SELECT is run part by part, with one set of parameters: each part has some rows of one table.

    Attributes:
        ways: any of them holds all rows of that table that matter. Their ranges are read one after the other, from the
            end of the last one if `reverse`.
        limit, offset: how many rows of all parts' results are shown, after how many; None for all.
        sql: the statement without its LIMIT, which each part runs.
        parameters: those of `sql`.
    """

    ways: tuple[Fetch, ...]
    reverse: bool
    limit: int | None
    offset: int
    sql: str
    parameters: tuple[SqlValue, ...]


class CutPlan(ABC):
    """How a SELECT can be run part by part: what does not depend on its parameters.

    Attributes:
        table: the one whose rows are divided. The statement mentions it once.
        path: along which its rows are read.
    """

    table: Table
    path: Index
    reverse: bool

    @abstractmethod
    def cut(self, parameters: tuple[SqlValue, ...]) -> Cut | None:
        """What to read and to run; None if these values do not allow it."""


class PlanLine(NamedTuple):
    """One access of a plan, in words, for EXPLAIN ROME.

    Attributes:
        wave: from 1.
        access: how the rows are found: key, key range, index .. or whole table.
        bounds: the condition that limits the access, in SQL; empty if nothing does.
        remark: where the keys come from, or why the table is read whole.
        most_rows: an upper bound of the rows found, from unique keys; None if there is none.
    """

    wave: int
    table: str
    access: str
    bounds: str = ""
    remark: str = ""
    most_rows: int | None = None


class FetchPlan(ABC):
    """How to fetch what one statement needs. Made once per text and catalog version, then cached."""

    tables: tuple[Table, ...]
    """Every base table that the statement reads, in the order of first mention."""
    full_scans: tuple[Table, ...]
    """The tables that are read whole whatever the parameters are."""
    inserts_only: bool
    """Whether the statement is INSERT .. VALUES of parameters and constants, which reads nothing."""
    direct: DirectPlan | None = None
    """How the statement shows stored rows as they are; None if SQLite must run it."""
    joined: JoinedPlan | None = None
    """How the statement shows joined rows, if it `decides` and is not `direct`; None if SQLite must run it."""
    assignment: AssignmentPlan | None = None
    """How the statement changes rows one by one; None if SQLite must make the change."""
    inserted_row: InsertedRowPlan | None = None
    """The rows of INSERT .. VALUES; None if SQLite must say what they will be, or what RETURNING shows."""
    reads_points: bool = False
    """Whether it reads one wave, of one key or range of each table that its parameters give: that of `points`."""
    decides: bool = False
    """Whether `may_be_empty` may say so."""
    asks_aggregates: bool = False
    """Whether `questions` may have some."""
    foresight: Foresight | None = None
    """What its later waves read the last time; None until a run has had one."""

    @abstractmethod
    def waves(self, parameters: Sequence[SqlValue]) -> Generator[Wave, FetchedRows, None]:
        """Yield one wave of fetches at a time. The caller sends back its rows, which may key the next wave.

        The rows sent back for a fetch are the stored ones that it covers, and every row of that table that this
        transaction has written (whose keys may differ from the stored ones).

        Args:
            parameters: bound values in the order in which the statement numbers them (a named one once).
        """

    @abstractmethod
    def points(self, parameters: Sequence[SqlValue]) -> Wave:
        """The only wave, if it `reads_points`; what it brings need not be shown."""

    @abstractmethod
    def may_be_empty(self, parameters: Sequence[SqlValue]) -> bool:
        """Whether the statement has no result if a fetch that `decides` finds no row, and fails in no way."""

    @abstractmethod
    def questions(self, parameters: Sequence[SqlValue]) -> list[AggregateRequest] | None:
        """The questions whose answers are the columns of the only result row; None if rows must be read."""

    @abstractmethod
    def only_fetch(self, parameters: Sequence[SqlValue]) -> Fetch | None:
        """All that the statement reads, if it mentions one table once and reads ranges of one path; otherwise None."""

    @abstractmethod
    def independent(self, parameters: Sequence[SqlValue]) -> list[Fetch]:
        """Fetches of ranges that hold every row that matters, and none of which needs the rows of another.

        Those of one table may overlap.
        """

    @abstractmethod
    def planned_rows(self, parameters: Sequence[SqlValue]) -> list[PlannedRow] | None:
        """The rows of INSERT .. VALUES; None for every other statement."""

    @abstractmethod
    def unindexed_columns(self, table: str) -> list[str]:
        """Names of the table's columns that the statement compares with something and that begin no index."""

    def index_candidates(self, table: Table) -> list[list[tuple[str, ...]]]:
        """Guesses of indexes (the names of their columns) with which the statement would not read the table whole.

        Each guess is a list of indexes that it needs together; the best one is the first. Cost: as `explain`.
        """
        return []

    @abstractmethod
    def explain(self, parameters: Sequence[SqlValue] | None) -> list[PlanLine]:
        """One line per fetch, in the order of the waves.

        Args:
            parameters: shown in place of `?1`; None to show the placeholders.

        Cost: no I/O; up to a millisecond, since it works out anew why no index bounds a table that is read whole.
        """
