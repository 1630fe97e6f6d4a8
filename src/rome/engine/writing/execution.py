"""Runs INSERT, UPDATE and DELETE on the working set so that they do what they would do on the whole database.

A change reads its plan, as a query does (rome.engine.reading.queries). Then the guard loop runs it inside a savepoint;
from the rows it wrote, guards are derived; those not yet known are read in one trip; if they bring rows, the run is
undone, the rows are hydrated, and it runs again, until no guard is unknown. So SQLite itself raises its usual error, at
the statement, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from msgspec.structs import replace

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.values import SqlValue
from rome.engine.reading.budget import within_budget
from rome.engine.reading.reader import Reader
from rome.engine.reading.waves import gather, gather_first
from rome.engine.statement.conflict_clause import ConflictClause, with_conflict_clause
from rome.engine.statement.foreign_keys import whole
from rome.engine.statement.prepared import Prepared
from rome.engine.writing.id_blocks import IdBlocks
from rome.engine.writing.row_ids import RowIds
from rome.errors import (
    DataError,
    Error,
    ForeignKeyViolation,
    IdsExhaustedError,
    IntegrityError,
    OperationalError,
    UniqueViolation,
    WorkingSetFullError,
)
from rome.planner.plan import PlannedRow
from rome.sql.create_trigger import ROLLED_BACK
from rome.store.spi import Reserve, Store
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, merged
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.workingset import Event, SqlRow, StatementRun

_TELLS_CHOSEN = 0x5AFE_1D00_0000_0001
"""No application names this id: if a new row has it, SQLite has chosen it, and no id is left that it could have."""

_nothing = nullcontext()


class Execution:
    """Runs the changes of one transaction.

    Attributes:
        ids: of the rows that it inserts.
    """

    def __init__(self, reader: Reader, store: Store, identifiers: IdBlocks) -> None:
        self.reader = reader
        self._working_set = reader.working_set
        self.ids = RowIds(reader, store, identifiers)
        self.defer_foreign_keys = False

    # ------------------------------------------------------------ changes
    def change_all(
        self, prepared: Prepared, batch: Sequence[Sequence[SqlValue]], check: Validation, *, foreign_keys: bool
    ) -> StatementRun | None:
        """Run INSERT, UPDATE or DELETE with many sets of parameters as if that were one statement: all or nothing.

        Returns:
            None: each has to run by itself, as one of them fails, or what it needs is known only once the others have
            run. What they need is read, as far as it is known, and nothing else of it is left.

        Cost: a round trip; for a row of 24 columns a third of the time that a run by itself takes.
        """
        foreign_keys = foreign_keys and prepared.foreign_keys
        target = prepared.target
        rows = [row for parameters in batch for row in prepared.plan.planned_rows(parameters) or ()]
        needed = 0 if target is None else self.ids.needed(target, rows)
        together = prepared.in_batches and (
            self.ids.come_together(target, needed, len(rows))
            if target is not None
            else not foreign_keys  # SQLite would count what their actions do
        )

        def run() -> StatementRun | None:
            reserves = [] if target is None else self.ids.reserves(target, needed)
            if not (together and self._guards_can_wait(prepared, reserves, foreign_keys=foreign_keys)):
                found = (
                    [] if target is None else self.reader.schema.guards.planned(target, rows, foreign_keys=foreign_keys)
                )
                requests = [*_as_reads(found, prepared, check)]
                if target is not None:
                    requests += self.ids.guards(target, reserves)
                plans = [prepared.plan.waves(parameters) for parameters in batch]
                all_is_known, reserved = gather_first(self.reader, plans, check, requests, reserves)
                if target is not None:
                    self.ids.add_block(target, reserves, reserved)
                if not (together and all_is_known):
                    return None
            ran = self._until_it_stands(prepared, batch, check, needed, rows, foreign_keys=foreign_keys)
            return ran if ran.error is None or self._working_set.was_ended else None

        try:
            return within_budget(self.reader, prepared, run)
        except (DataError, IdsExhaustedError, WorkingSetFullError):
            return None

    @staticmethod
    def _guards_can_wait(prepared: Prepared, reserves: Sequence[Reserve], *, foreign_keys: bool) -> bool:
        """Whether nothing need be read before an INSERT runs.

        Its guards show when it has run, and most often bring nothing: so they are derived once, and not before it runs,
        too. With ids or parents to be read that would be a second trip; and a conflict clause expects rows.
        """
        return prepared.target is not None and prepared.in_batches and not (reserves or foreign_keys)

    def change(
        self, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation, *, foreign_keys: bool
    ) -> StatementRun:
        """Run INSERT, UPDATE or DELETE; its error is in what is returned.

        Raises:
            DataError: it made a text that is not UTF-8; nothing of it is left.
            WorkingSetFullError, IdsExhaustedError: it needs too many rows, or ids; the same.
        """

        def run() -> StatementRun:
            with _naming(prepared.target):
                return self._change(prepared, parameters, check, foreign_keys=foreign_keys and prepared.foreign_keys)

        return within_budget(self.reader, prepared, run)

    def _change(
        self, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation, *, foreign_keys: bool
    ) -> StatementRun:
        if prepared.inspection.temporary_written:
            self._working_set.temporary_changed = True
        target, planned_rows = prepared.target, None
        requests: list[ReadRequest] = []
        reserves: list[Reserve] = []
        needed = 0
        first: int | None = None
        if target is not None:
            planned_rows = prepared.plan.planned_rows(parameters)
            needed = 1 if planned_rows is None else self.ids.needed(target, planned_rows)
            reserves = self.ids.reserves(target, needed, perhaps_more=planned_rows is None)
            requests += self.ids.guards(target, reserves)
            if not self._guards_can_wait(prepared, reserves, foreign_keys=foreign_keys):
                found = self.reader.schema.guards.planned(target, planned_rows or (), foreign_keys=foreign_keys)
                requests += merged(_as_reads(found, prepared, check))
            if prepared.rewrites_unseen and (planned_rows is None or len(planned_rows) > 1):
                requests.append(replace(whole(target), check=check))
            elif planned_rows is None and prepared.upserts:
                # Guards show what is in the way of rows that come in. One that meets a known row by one key does not
                # come in, whatever is in its way by another key, which may be what it should have met first.
                if any(index.unique for index in target.indexes):
                    requests.append(replace(whole(target), check=check))
                elif check is Validation.ROWS:
                    self._validate_known(target)
        try:
            reserved = gather(self.reader, prepared.plan.waves(parameters), check, requests, reserves)
        except IdsExhaustedError:
            if planned_rows is not None:
                raise
            needed, reserves = 0, []  # it may set all of its ids, or have no rows: the run will show
            reserved = gather(self.reader, prepared.plan.waves(parameters), check, requests)
            if target is not None and target.rowid_alias is not None:
                first = _TELLS_CHOSEN
        if target is not None:
            self.ids.add_block(target, reserves, reserved)
        return self._until_it_stands(
            prepared, [parameters], check, needed, planned_rows, foreign_keys=foreign_keys, first=first
        )

    def _validate_what_kept_rows_out(self, prepared: Prepared) -> None:
        """No guard shows by which key a known row kept another one out, so all of those known must stay as they are."""
        tables = self.reader.schema.catalog.tables
        for name in prepared.inspection.written:
            if name in tables:
                self._validate_known(tables[name])

    def _validate_known(self, table: Table) -> None:
        """Validate the rows in the working set: guards show those that are missing, and an upsert looks at any."""
        for stored in self._working_set.contents.of(table.id).hydrated.values():
            self.reader.transaction.read_set.add_point(table.id, stored.key, stored.version)

    def _until_it_stands(
        self,
        prepared: Prepared,
        batch: Sequence[Sequence[SqlValue]],
        check: Validation,
        needed: int,
        planned_rows: list[PlannedRow] | None,
        *,
        foreign_keys: bool,
        first: int | None = None,
    ) -> StatementRun:
        """Run a statement until no guard is unknown. If one of several runs fails, none of them is left.

        Args:
            needed: how many ids it is going to take, at first sight.
            first: what to tell SQLite for the next id, where none is ours.
        """
        target = prepared.target
        # Of many rows SQLite's own look is cheaper.
        parents_known = (
            foreign_keys
            and target is not None
            and prepared.only_adds
            and len(batch) == 1
            and planned_rows is not None
            and self._have_parents(target, planned_rows)
        )
        while True:
            if target is not None and target.rowid_alias is not None and needed:
                above = self._working_set.max_rowid(target)
                if first is None or first <= above:
                    first = self.ids.take(target, needed, above)
            run = self._attempt(prepared, batch, check, (first, needed), planned_rows, foreign_keys, parents_known)
            if isinstance(run, StatementRun):
                if prepared.ignores and check is Validation.ROWS and not _are_keys_planned(target, planned_rows):
                    self._validate_what_kept_rows_out(prepared)
                if run.error is not None and len(batch) > 1 and target is not None and first is not None:
                    self.ids.take_back(target)
                return run
            if run != needed:
                if target is not None and first is not None:
                    self.ids.give_back(target, (), (first, needed))
                first, needed = None, run

    def _attempt(
        self,
        prepared: Prepared,
        batch: Sequence[Sequence[SqlValue]],
        check: Validation,
        ids: tuple[int | None, int],
        planned_rows: list[PlannedRow] | None,
        foreign_keys: bool,
        parents_known: bool,
    ) -> StatementRun | int:
        """One run, if it stands; else how many ids the next attempt needs.

        Args:
            ids: the first id that is ours (None: none), and how many are.
            parents_known: no foreign key can be violated.
        """
        with AllOrNothing(self._working_set) as block:
            found = self._tried(block, prepared, batch, check, ids, planned_rows, foreign_keys, parents_known)
        if isinstance(found, list):
            self.reader.hydrate(found)
            return ids[1]
        return found

    def _tried(
        self,
        block: AllOrNothing,
        prepared: Prepared,
        batch: Sequence[Sequence[SqlValue]],
        check: Validation,
        ids: tuple[int | None, int],
        planned_rows: list[PlannedRow] | None,
        foreign_keys: bool,
        parents_known: bool,
    ) -> StatementRun | list[ReadRequest] | int:
        """As `_attempt`, in its block; wants whose rows the next attempt needs have been read."""
        working_set, target = self._working_set, prepared.target
        connection = working_set.connection
        first = ids[0]
        above = working_set.max_rowid(target) if target is not None and not target.without_rowid else 0
        if prepared.leaves_out:
            unseen = self._explore(prepared, batch, check, first)
            if isinstance(unseen, StatementRun):
                return unseen
            block.back()
            if unseen:
                return unseen
        careful: ConflictClause | None = "ABORT" if prepared.may_end_transaction else None
        enforced = None if parents_known else foreign_keys
        run = self._run(prepared, batch, first, foreign_keys=enforced, clause=careful)
        if isinstance(run.error, IdsExhaustedError) and not connection.in_transaction:
            return run  # SQLite has ended the transaction, as it does for AUTOINCREMENT
        if run.error is not None and len(batch) > 1:
            block.back()
            return run
        if isinstance(run.error, IntegrityError):
            unknown = self._guards_of_failure(block, run.error, prepared, batch, check, first)
            block.back()
            if unknown:
                return unknown
            # INSERT OR FAIL keeps the rows before the failure, and RAISE(FAIL) also what foreign keys have done.
            if run.changes or prepared.may_end_transaction or self._fires(prepared):
                run = self._run(prepared, batch, first, foreign_keys=enforced)
                if not connection.in_transaction:
                    return run
        if run.error is not None and target is not None and target.computed and planned_rows:
            # SQLite may have failed to compute a key before it came to a row in the way, which it does not know.
            requests = merged(self.reader.schema.guards.planned(target, planned_rows, foreign_keys=False))
            self.reader.read(requests)
            if self.reader.brings_new(requests):
                block.back()
                return requests
        events = run.events
        if target is not None and not target.without_rowid:
            if target.rowid_alias is None:
                if run.error is None or run.changes:
                    events = self.ids.renumber(target, events, above, prepared)
                    run = replace(run, events=events, last_rowid=connection.last_insert_rowid())
            elif target.id < self.reader.first_new_table:
                short = self.ids.short(target, events, ids, above, planned_rows)
                if short is not None:
                    block.back()
                    return short
                self.ids.claim(target, events, ids)
        unknown, failed = self._unknown_guards(events, prepared, check, foreign_keys=foreign_keys)
        if unknown or failed is not None:
            block.back()
            return unknown or StatementRun([], 0, 0, 0, connection.last_insert_rowid(), [], failed)
        if run.error is not None and str(run.error).startswith(ROLLED_BACK):
            connection.execute("ROLLBACK")
            connection.set_last_insert_rowid(run.last_rowid)
            error = IntegrityError(str(run.error).removeprefix(ROLLED_BACK))
            error.__cause__ = run.error.__cause__
            return replace(run, error=error)
        connection.set_last_insert_rowid(run.last_rowid)
        if first is not None and target is not None:
            self.ids.give_back(target, events, ids)
        if working_set.contents.sequences and target is not None:
            self.ids.follow(target, events)
        working_set.touch(self.reader.schema.catalog.tables, events)
        return run

    def _run(
        self,
        prepared: Prepared,
        batch: Sequence[Sequence[SqlValue]],
        first: int | None,
        *,
        foreign_keys: bool | None,
        deferred: bool = False,
        clause: ConflictClause | None = None,
        triggers: bool = True,
    ) -> StatementRun:
        """Run the statement, its ids from `first` on; perhaps with foreign keys deferred, or a conflict clause.

        Args:
            foreign_keys: enforce them; None: none can be violated, so that it does not matter.
            triggers: let them fire. Without them more rows come in, whose guards are wanted.
        """
        working_set, text = self._working_set, prepared.statement.text
        if first is not None and prepared.target is not None:
            working_set.set_next_rowid(prepared.target, first)
        if clause is not None:
            text = with_conflict_clause(text, clause)
        if clause is not None or (prepared.foreign_keys and foreign_keys is not None):
            working_set.enforce_foreign_keys(bool(foreign_keys))  # by REPLACE any change may delete other rows
        fires = triggers and self._fires(prepared)
        with working_set.deferred(deferred or self.defer_foreign_keys), working_set.firing() if fires else _nothing:
            return working_set.run(text, batch, self.reader.schema.with_generated)

    def _fires(self, prepared: Prepared) -> bool:
        """Whether the statement may fire a trigger."""
        return not self.reader.schema.firing.isdisjoint(prepared.inspection.written)

    # ------------------------------------------------------------ guards
    def _have_parents(self, table: Table, rows: Sequence[PlannedRow]) -> bool:
        """Are the rows that new ones refer to in the working set? Then SQLite need not enforce foreign keys."""
        for way in self.reader.schema.guards.of(table.name.lower()).parent_ways:
            for row in rows:
                if any(position not in row.values for position in way.columns):
                    return False
                values = [row.values[position] for position in way.columns]
                if None not in values and not self._working_set.has_row(way.parent, way.positions, values):
                    return False
        return True

    def _guards_of_failure(
        self,
        block: AllOrNothing,
        error: IntegrityError,
        prepared: Prepared,
        batch: Sequence[Sequence[SqlValue]],
        check: Validation,
        first: int | None,
    ) -> list[ReadRequest]:
        """The unknown guards of a statement that failed; what it leaves in the working set is to be undone.

        The hook sees no row that breaks a constraint. A foreign key shows it when it is deferred; a unique key when
        the rows in its way are replaced: on all rows another key may come first than on the rows known so far. And
        of rows with generated columns the hook gives no values, and they are gone unless the failure keeps them.
        """
        if isinstance(error, ForeignKeyViolation):
            block.back()
            run = self._run(prepared, batch, first, foreign_keys=True, deferred=True)
            return self._unknown_guards(run.events, prepared, check, foreign_keys=True, failed=True)[0]
        clauses: list[ConflictClause] = []
        if not self.reader.schema.with_generated.isdisjoint(prepared.inspection.written):
            clauses.append("FAIL")
        if isinstance(error, UniqueViolation):
            clauses.append("REPLACE")
        unknown: list[ReadRequest] = []
        for clause in clauses:
            block.back()
            run = self._run(prepared, batch, first, foreign_keys=False, clause=clause, triggers=False)
            unknown += self._unknown_guards(run.events, prepared, check, foreign_keys=False)[0]
        return unknown

    def _explore(
        self, prepared: Prepared, batch: Sequence[Sequence[SqlValue]], check: Validation, first: int | None
    ) -> list[ReadRequest] | StatementRun:
        """The unknown guards of a statement in which a constraint's own ON CONFLICT IGNORE may leave rows out.

        The hook sees no row that is left out; and one that a known row keeps out may have an unknown one in its way by
        another key, of which SQLite would say more. So the rows replace what is in their way, for once. If the hook may
        not have seen all of them, the table is read whole. What it leaves in the working set is to be undone.

        Returns:
            a run: it has ended the transaction.
        """
        run = self._run(prepared, batch, first, foreign_keys=False, clause="REPLACE", triggers=False)
        if not self._working_set.connection.in_transaction:
            return run
        replaces_its_own = bool(prepared.inspection.updated) and any(event.kind == "DELETE" for event in run.events)
        if run.error is None and not replaces_its_own:
            return self._unknown_guards(run.events, prepared, check, foreign_keys=False)[0]
        tables = self.reader.schema.catalog.tables
        written = [tables[name] for name in prepared.inspection.written if name in tables]
        requests = [replace(whole(table), check=check) for table in written]
        self.reader.read(requests)
        return requests if self.reader.brings_new(requests) else []

    def _unknown_guards(
        self,
        events: Sequence[Event],
        prepared: Prepared,
        check: Validation,
        *,
        foreign_keys: bool,
        failed: bool = False,
    ) -> tuple[list[ReadRequest], Error | None]:
        """Read the guards of these events.

        Returns:
            the guards, if they bring rows that the run did not have; what SQLite says when it cannot compute the key of
            a row in an index. (With the rows that are missing it may say something else before it comes to that.)
        """
        working_set = self._working_set

        def old_values(table: Table, rowid: int) -> SqlRow | None:
            stored = working_set.contents.of(table.id).hydrated.get(rowid)
            return None if stored is None else tuple(stored.values)

        def new_values(table: Table, rowid: int) -> SqlRow | None:
            found = working_set.final_row(table, (rowid,))
            return None if found is None else found[1]

        failures: list[Error] = []

        def known_keys(table: Table, rowid: int, values: Sequence[SqlValue]) -> Iterable[tuple[Index, SqlRow]]:
            try:
                return list(working_set.computed_keys(table, rowid, values))
            except (OperationalError, DataError) as error:
                failures.append(error)
                return ()

        found = self.reader.schema.guards.of_events(
            events,
            foreign_keys=foreign_keys,
            old_values=old_values,
            new_values=new_values,
            computed_keys=known_keys,
            failed=failed,
        )
        requests = merged(_as_reads(found, prepared, check))
        self.reader.read(requests)
        return requests if self.reader.brings_new(requests) else [], failures[0] if failures else None


def _are_keys_planned(target: Table | None, rows: Sequence[PlannedRow] | None) -> bool:
    """Whether all unique keys of the new rows are known before the run, and so are guards."""
    if target is None or rows is None or target.computed:
        return False
    positions = {*target.guarding} - {target.rowid_alias, ROWID}
    return all(position in row.values for row in rows for position in positions)


def _as_reads(requests: Sequence[ReadRequest], prepared: Prepared, check: Validation) -> Sequence[ReadRequest]:
    """Guards, validated as what ON CONFLICT DO UPDATE reads: its WHERE and CHECK may say no to the row in the way."""
    if check is not Validation.ROWS or prepared.target is None or not prepared.upserts:
        return requests
    return [
        replace(request, check=check) if request.table_id == prepared.target.id else request for request in requests
    ]


@contextmanager
def _naming(target: Table | None) -> Iterator[None]:
    """Say of which table the ids are at an end: a store knows numbers only."""
    try:
        yield
    except IdsExhaustedError as error:
        if target is None:
            raise
        raise IdsExhaustedError.of(f"table {target.name}") from error
