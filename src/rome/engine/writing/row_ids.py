"""Ids for the rows that one transaction inserts, taken from the store's sequences."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rome.catalog.rows import row_key
from rome.catalog.schema import ROWID, Table
from rome.codec.keys import encode_key
from rome.codec.values import Collation
from rome.engine.reading.reader import Reader
from rome.engine.statement.prepared import Prepared
from rome.engine.writing.id_blocks import BLOCK, IDENTIFIERS, IdBlocks
from rome.engine.writing.sequence_marks import Looked
from rome.errors import IdsExhaustedError, NotSupportedError
from rome.planner.plan import PlannedRow
from rome.store.spi import MAX_NUMBER, ORDER_INDEX, Reserve, Snapshot, Store
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest
from rome.workingset.workingset import Event

_BINARY: tuple[Collation] = ("BINARY",)


class Taken(Struct, frozen=True, gc=False):
    """`size` ids handed out of a table's sequence, from `first` on."""

    table_id: int
    table: str
    first: int
    size: int


class RowIds:
    """The ids that one transaction takes from the sequences.

    Attributes:
        taken: ids handed out, in order; a replay hands out the same again.
        given: ids to hand out again, in order, when this transaction is a replay.
    """

    def __init__(self, reader: Reader, store: Store, identifiers: IdBlocks) -> None:
        self._ids = identifiers
        self._reader = reader
        self._store = store
        self._working_set = reader.working_set
        self._looked_beside: Snapshot | None = None
        self._looked: dict[int, Looked] = {}
        self.taken: list[Taken] = []
        self.given: deque[Taken] = deque()
        self._again = False  # were the last ones taken from `given`?

    def begin_statement(self) -> None:
        """Give up ids that the previous statement did not use."""
        if self._ids is not IDENTIFIERS:
            self._ids.retire()

    def give_up(self, mark: int = 0) -> None:
        """Give up the ids taken since `taken` had this length, because what they were for is rolled back.

        The next rows get them again, unless another client has taken later ones since: SQLite goes on after the
        greatest rowid that is left, and its sqlite_sequence is rolled back, too. They stay in `taken`, since a replay
        takes them twice.
        """
        taken = self.taken[mark:]
        if taken and self._ids is not IDENTIFIERS:
            self.begin_statement()
            incarnation = self._incarnation()
            for ids in reversed(taken):
                self._ids.leave(incarnation, ids.table_id, ids.first, ids.first + ids.size)

    def _incarnation(self) -> bytes:
        snapshot = self._reader.transaction.snapshot or self._store.last_snapshot()
        return snapshot.incarnation

    def _is_private(self, table: Table) -> bool:
        """Whether a table's ids need no store: only we know the table, or COMMIT validates that no row was added.

        COMMIT does so once this transaction has written the table's row in sqlite_sequence.
        """
        return table.id >= self._reader.first_new_table or table.id in self._working_set.contents.sequences

    @staticmethod
    def needed(table: Table, rows: Sequence[PlannedRow]) -> int:
        """Return how many ids an INSERT .. VALUES of these rows takes."""
        if table.without_rowid:
            return 0
        if table.rowid_alias is None:
            return len(rows)
        return sum(not row.rowid_given for row in rows)

    def are_from_store(self, table: Table) -> bool:
        """Whether new rows of a table with an INTEGER PRIMARY KEY get ids never handed out before."""
        return not (table.rowid_alias is None or self.given or self._is_private(table))

    def are_reserved(self, table: Table) -> bool:
        """Whether new rows of a table get rowids never handed out before."""
        return not (self.given or self._is_private(table))

    def for_one(self, table: Table) -> Reserve | None:
        """Return what to reserve for one row's id if `are_from_store`; None if ids are at hand."""
        if self._ids.at_hand:
            found = self.reserves(table, 1)
            return found[0] if found else None
        is_empty = table.id not in self._working_set.contents.tables
        return self._reserve(table, 1, 0 if is_empty else self._working_set.max_rowid(table))

    def note_taken(self, table: Table, first: int) -> None:
        """Record as taken an id that was reserved for one row by itself, and was never at hand."""
        self._again = False
        self.taken.append(Taken(table.id, table.name.lower(), first, 1))

    def claim_one(self, table: Table, rowid: int) -> None:
        """Do as `claim`, for one row."""
        key = encode_key((rowid,), _BINARY)
        transaction = self._reader.transaction
        if transaction.cache.claim(table.id, key):
            transaction.read_set.add_point(table.id, key, 0)

    def reserves(self, table: Table, needed: int, *, perhaps_more: bool = False) -> list[Reserve]:
        """Return what to reserve so that `needed` ids are at hand, or a block if the run may need more."""
        if not needed or table.without_rowid or self._is_private(table):
            return []
        above = self._working_set.max_rowid(table)
        first = None if self.given else self._ids.take(self._incarnation(), table.id, needed, above)
        if self.given:
            return []
        if first is not None:
            self._ids.give_back(self._incarnation(), table.id, first, first + needed)
            return []
        return [self._reserve(table, max(needed, BLOCK) if perhaps_more else needed, above)]

    def _reserve(self, table: Table, size: int, above: int) -> Reserve:
        again = self._ids.left(self._incarnation(), table.id)
        if again is not None and again[0] <= above:
            again = None
        return Reserve(table.id, max(self._ids.size, size), above, again)

    @staticmethod
    def guards(table: Table, reserves: Sequence[Reserve]) -> list[ReadRequest]:
        """Return requests for the rows of reused ids: another client may have set one of these ids explicitly."""
        if table.rowid_alias is None and table.key.columns != (ROWID,):
            return []
        keys = [
            encode_key([rowid], ["BINARY"])
            for reserve in reserves
            if reserve.again is not None
            for rowid in range(reserve.again[0], min(reserve.again[1], reserve.again[0] + reserve.size))
        ]
        return [ReadRequest(table.id, ORDER_INDEX, tuple(keys), (), Validation.NOTHING)] if keys else []

    def add_block(self, table: Table, reserves: Sequence[Reserve], reserved: Sequence[int]) -> None:
        """Add blocks of ids that the store has reserved."""
        for reserve, first in zip(reserves, reserved, strict=True):
            size = reserve.size
            if reserve.again is not None and first == reserve.again[0]:
                size = max(size, reserve.again[1] - first)
            self._ids.add(self._incarnation(), table.id, first, size)

    def take(self, table: Table, size: int, above: int) -> int:
        """Take ids for this transaction alone, with a round trip only if the block at hand is too small.

        Raises:
            IdsExhaustedError: fewer ids are left.
        """
        if self._is_private(table):
            row = self._working_set.contents.sequences.get(table.id)
            if row is not None:
                above = max(above, row.seq or 0, row.floor)
            if above + size > MAX_NUMBER:
                raise IdsExhaustedError.of(f"table {table.name}")
            return above + 1
        while self.given:
            again = self.given.popleft()
            if self._fits(again, table, size):
                self.taken.append(again)
                self._again = True
                return again.first
        self._again = False
        incarnation = self._incarnation()
        first_free = self._ids.take(incarnation, table.id, size, above)
        while first_free is None:
            reserve = self._reserve(table, size, above)
            guards = self.guards(table, [reserve])
            (reserved,) = self._reader.read(guards, [reserve])
            incarnation = self._incarnation()
            self.add_block(table, [reserve], [reserved])
            if self._reader.hydrate(guards):
                above = self._working_set.max_rowid(table)
            first_free = self._ids.take(incarnation, table.id, size, above)
        self.taken.append(Taken(table.id, table.name.lower(), first_free, size))
        return first_free

    def come_together(self, table: Table, needed: int, rows: int) -> bool:
        """Whether a batch gives its rows the same ids as inserting them one by one.

        Either all rows must need an id, or none; and a replay must have the ids in one piece, as they were taken.
        """
        if needed not in (0, rows):
            return False
        return not (needed and self.given) or self._fits(self.given[0], table, needed)

    @staticmethod
    def _fits(ids: Taken, table: Table, size: int) -> bool:
        # Compared by name: the table may have been dropped and created again since. Then the ids are not from its
        # sequence, and count as set by the statement: COMMIT validates that they are free, and raises the sequence.
        return ids.table == table.name.lower() and ids.size >= size

    def take_back(self, table: Table) -> None:
        """Undo the last `take`: its rows are going to take their ids one by one."""
        if self._is_private(table):
            return
        last = self.taken.pop()
        if self._again:
            self.given.extendleft(replace(last, first=last.first + n, size=1) for n in reversed(range(last.size)))
        else:
            self._ids.give_back(self._incarnation(), table.id, last.first, last.first + last.size)

    def short(
        self,
        table: Table,
        events: Sequence[Event],
        ids: tuple[int | None, int],
        above: int,
        planned_rows: list[PlannedRow] | None,
    ) -> int | None:
        """Return how many ids the run would have needed if it took some that are not ours; None if it did not.

        SQLite takes the id after the greatest so far; the statement set any other id explicitly. An id that SQLite
        takes after one above ours counts as set, too, since no block would ever reach it; a guard finds a row that has
        it.
        """
        if planned_rows is not None and all(row.rowid_given for row in planned_rows):
            return None
        first, size = ids
        expected = above + 1 if first is None else first
        stop = 0 if first is None else first + size
        inserted = 0
        short = follows_given = False
        for event in events:
            if event.kind != "INSERT" or event.table != table.name.lower():
                continue
            inserted += 1
            if event.rowid_after > expected:
                follows_given = True
            elif event.rowid_after == expected and not follows_given:
                short = short or first is None or not first <= expected < stop
            expected = max(expected, event.rowid_after + 1)
        return max(inserted, size + 1) if short else None

    def claim(self, table: Table, events: Sequence[Event], ids: tuple[int | None, int]) -> None:
        """Assume, without reading, that the store has no rows with the ids of our own block: COMMIT validates it."""
        for rowid in self._used(table, events, ids):
            self._claim_key(table, encode_key([rowid], ["BINARY"]))

    def give_back(self, table: Table, events: Sequence[Event], ids: tuple[int | None, int]) -> None:
        """Give back the ids that a run has not used: `first` (None for none) and how many."""
        first, size = ids
        if first is not None and not self._is_private(table) and not self.given:
            used = max(self._used(table, events, ids), default=first - 1) + 1
            self._ids.give_back(self._incarnation(), table.id, used, first + size)

    def looked_at(self, snapshot: Snapshot | None) -> dict[int, Looked]:
        """What was seen of the sequences outside of this snapshot, by table id; attempt.sequence_table fills it."""
        if snapshot != self._looked_beside:
            self._looked_beside, self._looked = snapshot, {}
        return self._looked

    def follow(self, table: Table, events: Sequence[Event]) -> None:
        """Raise a sqlite_sequence row that this transaction has written, as SQLite does when rows are inserted."""
        sequences, name = self._working_set.contents.sequences, table.name.lower()
        row = sequences.get(table.id)
        new = [event.rowid_after for event in events if event.kind == "INSERT" and event.table == name]
        if row is not None and new:
            sequences[table.id] = replace(row, present=True, seq=max(row.seq or 0, *new))

    @staticmethod
    def _used(table: Table, events: Sequence[Event], ids: tuple[int | None, int]) -> list[int]:
        first, size = ids
        if first is None:
            return []
        name = table.name.lower()
        return [
            event.rowid_after
            for event in events
            if event.kind == "INSERT" and event.table == name and first <= event.rowid_after < first + size
        ]

    def _claim_key(self, table: Table, key: bytes) -> None:
        transaction = self._reader.transaction
        if transaction.cache.claim(table.id, key) and table.id < self._reader.first_new_table:
            transaction.read_set.add_point(table.id, key, 0)

    def renumber(self, table: Table, events: list[Event], above: int, prepared: Prepared) -> list[Event]:
        """Give new rows of a table without INTEGER PRIMARY KEY rowids from its sequence.

        SQLite picks the next rowid in the working set, and another client's row may have that one.
        """
        mine = [event for event in events if event.table == table.name.lower()]
        new = sorted({event.rowid_after for event in mine if event.kind == "INSERT"})
        by_rowid = table.key.columns == (-1,)
        moved = any(e.kind == "UPDATE" and e.rowid_before != e.rowid_after for e in mine)
        if (prepared.traits.sets_rowid and new) or moved:
            if by_rowid:
                return events
            raise NotSupportedError(
                f"setting the rowid of table {table.name} is not supported: its rows are told apart by its PRIMARY KEY"
            )
        if not new:
            return events
        first = self.take(table, len(new), above)
        moves = dict(zip(new, range(first, first + len(new)), strict=True))
        self._working_set.move_rowids(table, list(moves.items()))
        if by_rowid:
            for rowid in moves.values():
                self._claim_key(table, row_key(table, rowid, [None] * len(table.columns)))
        return self._with_rowids(table, events, moves)

    @staticmethod
    def _with_rowids(table: Table, events: Sequence[Event], moves: dict[int, int]) -> list[Event]:
        """Return the events with the new rowids; events before a row's INSERT concern another row with its rowid."""
        name = table.name.lower()
        inserted: set[int] = set()
        changed = []
        for event in events:
            if event.table == name:
                if event.kind == "INSERT":
                    inserted.add(event.rowid_after)
                if event.rowid_after in inserted:
                    rowid = moves[event.rowid_after]
                    event = replace(event, rowid_before=rowid, rowid_after=rowid)
            changed.append(event)
        return changed
