"""Runs INSERT, UPDATE and DELETE on the working set so that they do what they would do on the whole database.

A change reads its plan (as a query does: rome.engine.reading.queries), the guards that are known before it runs, and
ids for its new rows. One trip is enough if the plan needs no more. Then rome.engine.writing.guard_loop runs it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.reading.budget import once_more, within_budget
from rome.engine.reading.reader import Reader
from rome.engine.reading.waves import gather, gather_first
from rome.engine.statement.foreign_keys import whole
from rome.engine.statement.prepared import Prepared
from rome.engine.writing.guard_loop import Change, GuardLoop, validate_hydrated
from rome.engine.writing.id_blocks import IdBlocks
from rome.engine.writing.many_rows import add_many_plainly
from rome.engine.writing.row_ids import RowIds
from rome.engine.writing.short_ways import (
    add_plainly,
    change_naming_parents,
    change_no_row,
    change_unguarded,
    holds_row,
)
from rome.errors import DataError, IdsExhaustedError, WorkingSetFullError
from rome.store.spi import Reserve, Store
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, merged
from rome.workingset.workingset import StatementRun

_TELLS_CHOSEN = 0x5AFE_1D00_0000_0001
"""An id that no application sets: if a new row has it, SQLite chose it, and the store has no id left for the row."""


class Execution:
    """Runs the changes of one transaction.

    Attributes:
        ids: the ids for rows that it inserts.
    """

    def __init__(self, reader: Reader, store: Store, identifiers: IdBlocks) -> None:
        self.reader = reader
        self._working_set = reader.working_set
        self.ids = RowIds(reader, store, identifiers)
        self.defer_foreign_keys = False

    def change_all(
        self, prepared: Prepared, batch: Sequence[Sequence[SqlValue]], check: Validation, *, foreign_keys: bool
    ) -> StatementRun | None:
        """Run INSERT, UPDATE or DELETE with many sets of parameters as if that were one statement: all or nothing.

        Returns:
            None if each has to run by itself, because one of them fails or because its needs are known only after the
            others have run. Then what they need has been read, as far as it is known, and nothing else remains.

        Cost: one round trip; a row of 24 columns takes a third of the time of a separate run.
        """
        foreign_keys = foreign_keys and prepared.traits.foreign_keys
        target = prepared.target
        rows = [row for parameters in batch for row in prepared.plan.planned_rows(parameters) or ()]
        needed = 0 if target is None else self.ids.needed(target, rows)
        together = prepared.traits.in_batches and (
            self.ids.come_together(target, needed, len(rows))
            if target is not None
            else not foreign_keys  # SQLite would count the rows that their actions change
        )
        change = Change(prepared, batch, check, rows, foreign_keys, self.defer_foreign_keys)

        def run() -> StatementRun | None:
            added = add_many_plainly(self.reader, self.ids, change, needed)
            if added is not None:
                return added
            self._working_set.begin()
            reserves = [] if target is None else self.ids.reserves(target, needed)
            if not (together and self._guards_can_wait(change, reserves)):
                requests = self._planned_guards(change)
                if target is not None:
                    requests += self.ids.guards(target, reserves)
                plans = [prepared.plan.waves(parameters) for parameters in batch]
                all_is_known, reserved = gather_first(self.reader, plans, check, requests, reserves)
                if target is not None:
                    self.ids.add_block(target, reserves, reserved)
                if not (together and all_is_known):
                    return None
            ran = GuardLoop(self.reader, self.ids, change, needed).run()
            return ran if ran.error is None or self._working_set.was_ended else None

        try:
            return within_budget(self.reader, prepared, run)
        except (DataError, IdsExhaustedError, WorkingSetFullError):
            return None

    def change(
        self, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation, *, foreign_keys: bool
    ) -> StatementRun:
        """Run INSERT, UPDATE or DELETE; return its result, or its error as part of that.

        Raises:
            DataError: it made a text that is not UTF-8; the change is undone.
            WorkingSetFullError, IdsExhaustedError: it needs too many rows or ids; the change is undone.
        """

        foreign_keys = foreign_keys and prepared.traits.foreign_keys
        held = self.reader.transaction.budget.used_bytes
        try:
            try:
                return self._change(prepared, parameters, check, foreign_keys)
            except WorkingSetFullError as error:
                full = error
            return once_more(
                self.reader, prepared, lambda: self._change(prepared, parameters, check, foreign_keys), held, full
            )
        except IdsExhaustedError as error:
            if prepared.target is None:
                raise
            # A store knows numbers only.
            raise IdsExhaustedError.of(f"table {prepared.target.name}") from error

    def _change(
        self, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation, foreign_keys: bool
    ) -> StatementRun:
        if prepared.inspection.temporary_written:
            self._working_set.temporary_changed = True
        target = prepared.target
        planned = None if target is None else prepared.plan.planned_rows(parameters)
        change = Change(prepared, [parameters], check, planned, foreign_keys, self.defer_foreign_keys)
        if prepared.traits.unguarded:
            return change_unguarded(self.reader, self.ids, change)
        if prepared.traits.names_parents and (run := change_naming_parents(self.reader, change)) is not None:
            return run
        added = len(planned) if planned is not None and prepared.traits.adds_plainly else 0
        if added == 1 and (run := add_plainly(self.reader, self.ids, change)) is not None:
            return run
        if target is None:
            self._working_set.begin()
            needs_rows, plan = prepared.traits.needs_rows, prepared.plan
            finds_rows = not needs_rows or plan.reads_points or next(plan.waves(parameters), None) is not None
            if finds_rows:
                gather(self.reader, plan, parameters, check, self._parents_set(change))
                finds_rows = not needs_rows or holds_row(self.reader, change)
            if not finds_rows and (run := change_no_row(self.reader, change)) is not None:
                return run
            return GuardLoop(self.reader, self.ids, change, 0).run()
        needed = 1 if planned is None else self.ids.needed(target, planned)
        if added > 1 and (run := add_many_plainly(self.reader, self.ids, change, needed)) is not None:
            return run
        self._working_set.begin()
        reserves = self.ids.reserves(target, needed, perhaps_more=planned is None)
        requests = self.ids.guards(target, reserves)
        if not self._guards_can_wait(change, reserves):
            requests += merged(self._planned_guards(change))
        requests += self._whole_target(change, target)
        first: int | None = None
        try:
            reserved = gather(self.reader, prepared.plan, parameters, check, requests, reserves)
        except IdsExhaustedError:
            if planned is not None:
                raise
            needed, reserves = 0, []  # it may set all of its ids itself, or have no rows: the run will show
            reserved = gather(self.reader, prepared.plan, parameters, check, requests)
            if target.rowid_alias is not None:
                first = _TELLS_CHOSEN
        self.ids.add_block(target, reserves, reserved)
        return GuardLoop(self.reader, self.ids, change, needed, first).run()

    @staticmethod
    def _guards_can_wait(change: Change, reserves: Sequence[Reserve]) -> bool:
        """Whether nothing need be read before an INSERT runs.

        The guards are known after the run and usually bring nothing, so they need not be derived before it as well. If
        ids or parents must be read first, waiting would cost a second trip; and with a conflict clause, rows are likely
        to be found.
        """
        prepared = change.prepared
        return prepared.target is not None and prepared.traits.in_batches and not (reserves or change.foreign_keys)

    def _planned_guards(self, change: Change) -> list[ReadRequest]:
        """Return the guards that are known before the statement runs."""
        target = change.prepared.target
        if target is None or change.planned is None:
            return []
        found = self.reader.schema.guards.planned(target, change.planned, foreign_keys=change.foreign_keys)
        return [*change.as_reads(found)]

    def _parents_set(self, change: Change) -> list[ReadRequest]:
        """Return requests for the rows that an UPDATE will refer to, as far as it sets the columns: one trip less."""
        assignment = change.prepared.plan.assignment
        if assignment is None or assignment.deletes or not change.foreign_keys:
            return []
        guards = self.reader.schema.guards.of(assignment.rows.table.name.lower())
        return guards.parents_set(assignment.sets(change.batch[0])) if guards.parent_ways else []

    def _whole_target(self, change: Change, target: Table) -> list[ReadRequest]:
        """Return a request for the whole table, if an upsert may look at rows that no guard shows."""
        prepared, planned = change.prepared, change.planned
        if prepared.traits.rewrites_unseen and (planned is None or len(planned) > 1):
            return [replace(whole(target), check=change.check)]
        if planned is None and prepared.traits.upserts:
            # Guards show what conflicts with rows that were inserted. A row that conflicts with a known row through one
            # key is not inserted, so a row that conflicts through another key stays hidden, although it may be the one
            # to find first.
            if any(index.unique for index in target.indexes):
                return [replace(whole(target), check=change.check)]
            if change.check is Validation.ROWS:
                validate_hydrated(self.reader, target)
        return []
