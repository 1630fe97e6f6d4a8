"""Runs one statement on the working set so that its result is the one it would have on the whole database.

A query: read its plan, hydrate, run. A change: the same, then the guard loop. It runs inside a savepoint; from the
rows it wrote, guards are derived; those not yet known are read in one trip; if they bring rows, the run is undone,
the rows are hydrated, and it runs again, until no guard is unknown. So SQLite itself raises its usual error, at the
statement, in the same words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from rome.catalog.rows import row_key
from rome.catalog.schema import Table
from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.engine import guards
from rome.engine.conflict_clause import ConflictClause, rolls_back, with_conflict_clause
from rome.engine.identifiers import BLOCK, IDENTIFIERS
from rome.engine.prepared import Prepared
from rome.engine.reader import Reader
from rome.engine.streaming import stream
from rome.engine.summary import answer
from rome.engine.waves import gather
from rome.errors import (
    DataError,
    ForeignKeyViolation,
    IntegrityError,
    NotSupportedError,
    UniqueViolation,
    WorkingSetFullError,
)
from rome.planner.plan import PlannedRow
from rome.store.spi import Reserve, Store
from rome.transaction.read_set import Check
from rome.transaction.transaction import Want
from rome.workingset.workingset import Event, Row, Run

Answer = TypeVar("Answer")


class Taken(NamedTuple):
    """Ids handed out: `size` of them, from `first` on, of a table's sequence."""

    table_id: int
    table: str
    first: int
    size: int


class Execution:
    """Runs the statements of one transaction.

    Attributes:
        taken: ids handed out, in order; a replay hands out the same again.
        given: ids to hand out again, in order, when this transaction is a replay.
    """

    def __init__(self, reader: Reader, store: Store) -> None:
        self.reader = reader
        self._store = store
        self._working_set = reader.working_set
        self.taken: list[Taken] = []
        self.given: deque[Taken] = deque()
        self.defer_foreign_keys = False

    # ------------------------------------------------------------ queries
    def read(self, prepared: Prepared, parameters: Sequence[SqlValue], check: Check) -> None:
        """Read what a SELECT needs, for somebody else to run it.

        Raises:
            WorkingSetFullError: that is too much.
        """
        self._with_room(prepared, lambda: gather(self.reader, prepared.plan.waves(parameters), check))

    def query(self, prepared: Prepared, parameters: Sequence[SqlValue], check: Check) -> list[Row]:
        """Read what a SELECT needs, and run it.

        Raises:
            WorkingSetFullError: that is too much.
        """

        def run() -> list[Row]:
            gather(self.reader, prepared.plan.waves(parameters), check)
            return self._working_set.query(prepared.statement.text, parameters)

        try:
            return self._with_room(prepared, run)
        except WorkingSetFullError:
            rows = stream(self.reader, prepared, parameters, check)
            if rows is None:
                raise
            return rows

    def _with_room(self, prepared: Prepared, run: Callable[[], Answer]) -> Answer:
        """Run a statement; if its rows find no room, once more without the rows that earlier ones brought.

        Raises:
            WorkingSetFullError: it needs too many by itself; nothing of it is left, and none of its rows.
        """
        held = self.reader.transaction.room.used_bytes
        for last in (held == 0, True):
            try:
                return run()
            except WorkingSetFullError as error:
                self.reader.evict()
                if last:
                    message = f"{error}. {self._advice(prepared, error.table)}"
                    raise WorkingSetFullError(message, table=error.table, rows=error.rows) from None
        raise AssertionError("unreachable")

    @staticmethod
    def _advice(prepared: Prepared, table: str) -> str:
        """What would let a statement read less of a table."""
        columns = prepared.plan.unindexed_columns(table)
        less = f"An index that begins with {' or '.join(columns)}" if columns else "A narrower condition on an index"
        return f"{less} would let it read less (EXPLAIN ROME shows what it reads); or raise max_working_set"

    def summary(self, prepared: Prepared, parameters: Sequence[SqlValue], check: Check) -> list[Row] | None:
        """The row of a SELECT whose answer the store knows without showing rows; None: it is another one."""
        questions = prepared.plan.questions(parameters)
        row = None if questions is None else answer(self.reader, questions, check)
        return None if row is None else [row]

    # ------------------------------------------------------------ changes
    def prefetch(self, prepared: Prepared, batch: Sequence[Sequence[SqlValue]], *, foreign_keys: bool) -> None:
        """Read the guards of a whole batch of INSERT .. VALUES in one trip."""
        if prepared.target is None:
            return
        rows = [row for parameters in batch for row in prepared.plan.planned_rows(parameters) or ()]
        wants = guards.planned(self.reader.schema.catalog, prepared.target, rows, foreign_keys=foreign_keys)
        needed = self._ids_needed(prepared.target, rows)
        reserves = self._reserves(prepared.target, needed)
        target = prepared.target

        def run() -> None:
            self._add_block(target, reserves, self.reader.read(wants, reserves))
            self.reader.hydrate(wants)

        self._with_room(prepared, run)

    def change(
        self,
        prepared: Prepared,
        parameters: Sequence[SqlValue],
        check: Check,
        *,
        foreign_keys: bool,
        prefetched: bool = False,
    ) -> Run:
        """Run INSERT, UPDATE or DELETE; its error is in what is returned.

        Args:
            prefetched: it is one of a batch that `prefetch` has seen, so that its guards need not be read before it
                runs. What became of them since shows after it has run, as for every other guard.

        Raises:
            DataError: it made a text that is not UTF-8; nothing of it is left.
            WorkingSetFullError: it needs too many rows; the same.
        """

        def run() -> Run:
            return self._change(prepared, parameters, check, foreign_keys=foreign_keys, prefetched=prefetched)

        return self._with_room(prepared, run)

    def _change(
        self,
        prepared: Prepared,
        parameters: Sequence[SqlValue],
        check: Check,
        *,
        foreign_keys: bool,
        prefetched: bool,
    ) -> Run:
        foreign_keys = foreign_keys and prepared.foreign_keys
        if prepared.inspection.temporary_written:
            self._working_set.temporary_changed = True
        catalog = self.reader.schema.catalog
        target, planned_rows = prepared.target, None
        wants: list[Want] = []
        reserves: list[Reserve] = []
        needed = 0
        if target is not None:
            planned_rows = prepared.plan.planned_rows(parameters)
            if not prefetched:
                wants = guards.planned(catalog, target, planned_rows or (), foreign_keys=foreign_keys)
            needed = 1 if planned_rows is None else self._ids_needed(target, planned_rows)
            reserves = self._reserves(target, needed)
        reserved = gather(self.reader, prepared.plan.waves(parameters), check, wants, reserves)
        if target is not None:
            self._add_block(target, reserves, reserved)
        parents_known = (
            foreign_keys
            and target is not None
            and prepared.only_adds
            and not prefetched  # for one of many rows SQLite's own look is cheaper
            and planned_rows is not None
            and self._have_parents(target, planned_rows)
        )
        first: int | None = None
        while True:
            if target is not None and target.rowid_alias is not None and needed:
                above = self._working_set.max_rowid(target)
                if first is None or first <= above:
                    first = self._take(target, needed, above)
            last_rowid = self._working_set.connection.last_insert_rowid()
            try:
                run, missing = self._attempt(
                    prepared, parameters, (first, needed), planned_rows, foreign_keys, parents_known
                )
            except (DataError, WorkingSetFullError):  # a text that is not UTF-8; a guard that is too large
                self._undo(last_rowid)
                raise
            if missing is None:
                return run
            if missing != needed:
                if target is not None and first is not None:
                    self._give_back(target, (), (first, needed))
                first, needed = None, missing

    def _attempt(
        self,
        prepared: Prepared,
        parameters: Sequence[SqlValue],
        ids: tuple[int | None, int],
        planned_rows: list[PlannedRow] | None,
        foreign_keys: bool,
        parents_known: bool,
    ) -> tuple[Run, int | None]:
        """One run; the second value is None when it stands, else how many ids the next attempt needs.

        Args:
            ids: the first id that is ours (None: none), and how many are.
            parents_known: no foreign key can be violated.
        """
        working_set, target = self._working_set, prepared.target
        connection = working_set.connection
        last_rowid = connection.last_insert_rowid()
        first, needed = ids
        above = working_set.max_rowid(target) if target is not None and not target.without_rowid else 0
        connection.execute("SAVEPOINT rome_run")
        ends_transaction = rolls_back(prepared.statement.text)
        careful: ConflictClause | None = "ABORT" if ends_transaction else None
        enforced = None if parents_known else foreign_keys
        run = self._run(prepared, parameters, first, foreign_keys=enforced, clause=careful)
        if isinstance(run.error, IntegrityError):
            unknown = self._guards_of_failure(run.error, prepared, parameters, first)
            connection.execute("ROLLBACK TO rome_run")
            if unknown:
                self._undo(last_rowid)
                self.reader.hydrate(unknown)
                return run, needed
            if run.changes or ends_transaction:  # INSERT OR FAIL keeps the rows before the failure
                connection.set_last_insert_rowid(last_rowid)
                run = self._run(prepared, parameters, first, foreign_keys=enforced)
                if not connection.in_transaction:
                    return run, None
        events = run.events
        if target is not None and not target.without_rowid:
            if target.rowid_alias is None:
                if run.error is None or run.changes:
                    events = self._renumber(target, events, above, prepared)
                    run = run._replace(events=events, last_rowid=connection.last_insert_rowid())
            elif target.id < self.reader.first_new_table:
                short = self._ids_short(target, events, ids, above, planned_rows)
                if short is not None:
                    self._undo(last_rowid)
                    return run, short
                self._claim(target, events, ids)
        unknown = self._unknown_guards(events, foreign_keys=foreign_keys)
        if unknown:
            self._undo(last_rowid)
            self.reader.hydrate(unknown)
            return run, needed
        connection.execute("RELEASE rome_run")
        connection.set_last_insert_rowid(run.last_rowid)
        if first is not None and target is not None:
            self._give_back(target, events, ids)
        working_set.touch(dict(self.reader.schema.catalog.tables), events)
        return run, None

    def _undo(self, last_rowid: int) -> None:
        connection = self._working_set.connection
        connection.execute("ROLLBACK TO rome_run")
        connection.execute("RELEASE rome_run")
        connection.set_last_insert_rowid(last_rowid)

    def _run(
        self,
        prepared: Prepared,
        parameters: Sequence[SqlValue],
        first: int | None,
        *,
        foreign_keys: bool | None,
        deferred: bool = False,
        clause: ConflictClause | None = None,
    ) -> Run:
        """Run the statement, its ids from `first` on; perhaps with foreign keys deferred, or a conflict clause.

        Args:
            foreign_keys: enforce them; None: none can be violated, so that it does not matter.
        """
        working_set, text = self._working_set, prepared.statement.text
        if first is not None and prepared.target is not None:
            working_set.set_next_rowid(prepared.target, first)
        if clause is not None:
            text = with_conflict_clause(text, clause)
        if clause is not None or (prepared.foreign_keys and foreign_keys is not None):
            working_set.enforce_foreign_keys(bool(foreign_keys))  # by REPLACE any change may delete other rows
        with working_set.deferred(deferred or self.defer_foreign_keys):
            return working_set.run(text, parameters, self.reader.schema.with_generated)

    # ------------------------------------------------------------ guards
    def _have_parents(self, table: Table, rows: Sequence[PlannedRow]) -> bool:
        """Are the rows that new ones refer to in the working set? Then SQLite need not enforce foreign keys."""
        tables = self.reader.schema.catalog.tables
        for key in table.foreign_keys:
            parent = tables.get(key.parent.lower())
            positions = () if parent is None else guards.parent_positions(parent, key)
            if parent is None or len(positions) != len(key.columns):
                return False
            for row in rows:
                if any(position not in row.values for position in key.columns):
                    return False
                values = [row.values[position] for position in key.columns]
                if None not in values and not self._working_set.has_row(parent, positions, values):
                    return False
        return True

    def _guards_of_failure(
        self, error: IntegrityError, prepared: Prepared, parameters: Sequence[SqlValue], first: int | None
    ) -> list[Want]:
        """The unknown guards of a statement that failed; what it leaves in the working set is to be undone.

        The hook sees no row that breaks a constraint. A foreign key shows it when it is deferred; a unique key when
        the rows in its way are replaced: on all rows another key may come first than on the rows known so far. And
        of rows with generated columns the hook gives no values, and they are gone unless the failure keeps them.
        """
        if isinstance(error, ForeignKeyViolation):
            self._working_set.connection.execute("ROLLBACK TO rome_run")
            run = self._run(prepared, parameters, first, foreign_keys=True, deferred=True)
            return self._unknown_guards(run.events, foreign_keys=True, failed=True)
        clauses: list[ConflictClause] = []
        if not self.reader.schema.with_generated.isdisjoint(prepared.inspection.written):
            clauses.append("FAIL")
        if isinstance(error, UniqueViolation):
            clauses.append("REPLACE")
        unknown: list[Want] = []
        for clause in clauses:
            self._working_set.connection.execute("ROLLBACK TO rome_run")
            run = self._run(prepared, parameters, first, foreign_keys=False, clause=clause)
            unknown += self._unknown_guards(run.events, foreign_keys=False)
        return unknown

    def _unknown_guards(self, events: Sequence[Event], *, foreign_keys: bool, failed: bool = False) -> list[Want]:
        """Read the guards of these events; they are returned if they bring rows that the run did not have."""
        working_set = self._working_set

        def old_values(table: Table, rowid: int) -> Row | None:
            stored = working_set.contents.of(table.id).hydrated.get(rowid)
            return None if stored is None else tuple(stored.values)

        def new_values(table: Table, rowid: int) -> Row | None:
            found = working_set.final_row(table, (rowid,))
            return None if found is None else found[1]

        found = guards.of_events(
            self.reader.schema.catalog,
            events,
            foreign_keys=foreign_keys,
            old_values=old_values,
            new_values=new_values,
            computed_keys=working_set.computed_keys,
            failed=failed,
        )
        wants = list(dict.fromkeys(found))
        self.reader.read(wants)
        return wants if self.reader.brings_new(wants) else []

    # ------------------------------------------------------------ ids
    def _incarnation(self) -> bytes:
        snapshot = self.reader.transaction.snapshot or self._store.last_snapshot()
        return snapshot.incarnation

    @staticmethod
    def _ids_needed(table: Table, rows: Sequence[PlannedRow]) -> int:
        if table.without_rowid:
            return 0
        if table.rowid_alias is None:
            return len(rows)
        return sum(not row.rowid_given for row in rows)

    def _reserves(self, table: Table, needed: int) -> list[Reserve]:
        """What to ask of the store so that so many ids are at hand."""
        if not needed or table.without_rowid or table.id >= self.reader.first_new_table:
            return []
        above = self._working_set.max_rowid(table)
        first = None if self.given else IDENTIFIERS.take(self._incarnation(), table.id, needed, above)
        if self.given:
            return []
        if first is not None:
            IDENTIFIERS.give_back(self._incarnation(), table.id, first, first + needed)
            return []
        return [Reserve(table.id, max(BLOCK, needed), above)]

    def _add_block(self, table: Table, reserves: Sequence[Reserve], reserved: Sequence[int]) -> None:
        for reserve, first in zip(reserves, reserved, strict=True):
            IDENTIFIERS.add(self._incarnation(), table.id, first, reserve.size)

    def _take(self, table: Table, size: int, above: int) -> int:
        """Ids for this transaction alone; a trip only when the block at hand is too small."""
        if table.id >= self.reader.first_new_table:
            return above + 1  # nobody else knows the table yet
        while self.given:
            # By name: the table may have been dropped and made anew since. Then the ids are not from its sequence, and
            # count as set by the statement: COMMIT validates that they are free, and raises the sequence.
            again = self.given.popleft()
            if again.table == table.name.lower() and again.size >= size:
                self.taken.append(again)
                return again.first
        incarnation = self._incarnation()
        first_free = IDENTIFIERS.take(incarnation, table.id, size, above)
        while first_free is None:
            block = max(BLOCK, size)
            (reserved,) = self.reader.read([], [Reserve(table.id, block, above)])
            incarnation = self._incarnation()
            IDENTIFIERS.add(incarnation, table.id, reserved, block)
            first_free = IDENTIFIERS.take(incarnation, table.id, size, above)
        self.taken.append(Taken(table.id, table.name.lower(), first_free, size))
        return first_free

    def _ids_short(
        self,
        table: Table,
        events: Sequence[Event],
        ids: tuple[int | None, int],
        above: int,
        planned_rows: list[PlannedRow] | None,
    ) -> int | None:
        """How many ids the run would have needed, when it took some that are not ours; None when it did not.

        SQLite takes the next id after the greatest so far; whatever is not that was set by the statement. What it takes
        after one above ours counts as set, too: no block would ever reach there. A guard finds who has it.
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

    def _claim(self, table: Table, events: Sequence[Event], ids: tuple[int | None, int]) -> None:
        """Take the rows of ids from our own block as absent in the store, unread: COMMIT validates it."""
        for rowid in self._used(table, events, ids):
            self._claim_key(table, encode_key([rowid], ["BINARY"]))

    def _give_back(self, table: Table, events: Sequence[Event], ids: tuple[int | None, int]) -> None:
        first, size = ids
        if first is not None and table.id < self.reader.first_new_table and not self.given:
            used = max(self._used(table, events, ids), default=first - 1) + 1
            IDENTIFIERS.give_back(self._incarnation(), table.id, used, first + size)

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
        transaction = self.reader.transaction
        if not transaction.cache.knows(table.id, key):
            transaction.cache.add_rows(table.id, [(key, None)])
        if transaction.cache.row(table.id, key) is None and table.id < self.reader.first_new_table:
            transaction.read_set.add_point(table.id, key, 0)

    def _renumber(self, table: Table, events: list[Event], above: int, prepared: Prepared) -> list[Event]:
        """Give new rows of a table without INTEGER PRIMARY KEY rowids from its sequence.

        SQLite picks the next one in the working set, which another client's row may have.
        """
        mine = [event for event in events if event.table == table.name.lower()]
        new = sorted({event.rowid_after for event in mine if event.kind == "INSERT"})
        by_rowid = table.key.columns == (-1,)
        moved = any(e.kind == "UPDATE" and e.rowid_before != e.rowid_after for e in mine)
        if (prepared.sets_rowid and new) or moved:
            if by_rowid:
                return events
            raise NotSupportedError(
                f"setting the rowid of table {table.name} is not supported: its rows are told apart by its PRIMARY KEY"
            )
        if not new:
            return events
        first = self._take(table, len(new), above)
        moves = dict(zip(new, range(first, first + len(new)), strict=True))
        self._working_set.move_rowids(table, list(moves.items()))
        if by_rowid:
            for rowid in moves.values():
                self._claim_key(table, row_key(table, rowid, [None] * len(table.columns)))
        return self._with_rowids(table, events, moves)

    @staticmethod
    def _with_rowids(table: Table, events: Sequence[Event], moves: dict[int, int]) -> list[Event]:
        """The events after the moves; an event before its row's INSERT is of another row, which had that rowid."""
        name = table.name.lower()
        inserted: set[int] = set()
        changed = []
        for event in events:
            if event.table == name:
                if event.kind == "INSERT":
                    inserted.add(event.rowid_after)
                if event.rowid_after in inserted:
                    rowid = moves[event.rowid_after]
                    event = event._replace(rowid_before=rowid, rowid_after=rowid)
            changed.append(event)
        return changed
