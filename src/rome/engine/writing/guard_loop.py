"""Runs one change on the working set until no guard of it is unknown.

The change runs inside a savepoint, and guards are derived from the rows that it wrote. Guards that are not known yet
are read in one trip. If they bring rows, the run is undone, the rows are hydrated, and the change runs again. So SQLite
itself raises its usual error, at the statement, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext

from msgspec import Struct
from msgspec.structs import replace

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.values import SqlValue
from rome.engine.reading.lookups import provide_lookups
from rome.engine.reading.reader import Reader
from rome.engine.statement.conflict_clause import ConflictClause, with_conflict_clause
from rome.engine.statement.foreign_keys import whole
from rome.engine.statement.prepared import Prepared
from rome.engine.writing.row_ids import RowIds
from rome.errors import (
    DataError,
    Error,
    ForeignKeyViolation,
    IdsExhaustedError,
    IntegrityError,
    OperationalError,
    UniqueViolation,
)
from rome.planner.plan import PlannedRow
from rome.sql.create_trigger import ROLLED_BACK
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, merged
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.workingset import Event, SqlRow, StatementRun

_nothing = nullcontext()


class Change(Struct, frozen=True, gc=False):
    """A statement that changes rows, with what is known of it before it runs.

    Attributes:
        batch: its sets of parameters; it runs once with each, as if all runs were one statement.
        check: which changes by others to what it reads make COMMIT fail.
        planned: the rows of INSERT .. VALUES, for all runs; None for any other statement.
        foreign_keys: whether it may concern foreign keys that are enforced.
        deferred: whether those keys wait for COMMIT.
    """

    prepared: Prepared
    batch: Sequence[Sequence[SqlValue]]
    check: Validation
    planned: list[PlannedRow] | None
    foreign_keys: bool
    deferred: bool = False

    def as_reads(self, requests: Sequence[ReadRequest]) -> Sequence[ReadRequest]:
        """Return guards to be validated as reads of ON CONFLICT DO UPDATE, whose WHERE or CHECK may refuse a row."""
        target = self.prepared.target
        if self.check is not Validation.ROWS or target is None or not self.prepared.traits.upserts:
            return requests
        return [
            replace(request, check=self.check) if request.table_id == target.id else request for request in requests
        ]

    @property
    def has_planned_keys(self) -> bool:
        """Whether all unique keys of the new rows are known before the run, and so are guards."""
        target = self.prepared.target
        if target is None or self.planned is None or target.computed:
            return False
        positions = {*target.guarding} - {target.rowid_alias, ROWID}
        return all(position in row.values for row in self.planned for position in positions)


class GuardLoop:
    """The runs of one change, from the first to the one that stands.

    Args:
        needed: how many ids the change seems to need.
        first: the next id to give SQLite when no reserved id is at hand.
    """

    def __init__(self, reader: Reader, ids: RowIds, change: Change, needed: int, first: int | None = None) -> None:
        self._reader = reader
        self._working_set = reader.working_set
        self._ids = ids
        self._change = change
        self._prepared = change.prepared
        self._target = change.prepared.target
        self._needed = needed
        self._first = first
        self._above = 0
        """The greatest rowid of the target before the run."""
        self._unknown: Sequence[ReadRequest] = ()
        """Guards that were read and brought rows that the run did not have."""
        # If no parent is missing, SQLite need not enforce foreign keys; for many rows, its own check is cheaper.
        parents_known = (
            change.foreign_keys and change.prepared.traits.only_adds and len(change.batch) == 1 and self._have_parents()
        )
        self._enforced = None if parents_known else change.foreign_keys
        """Whether SQLite must enforce foreign keys; None if it does not matter because none can be violated."""

    def run(self) -> StatementRun:
        """Run until no guard is unknown. If one run of a batch fails, all of them are undone."""
        change, target = self._change, self._target
        while True:
            if target is not None and target.rowid_alias is not None and self._needed:
                above = self._working_set.max_rowid(target)
                if self._first is None or self._first <= above:
                    self._first = self._ids.take(target, self._needed, above)
            run = self._attempt()
            if run is not None:
                break
        if self._prepared.traits.ignores and change.check is Validation.ROWS and not change.has_planned_keys:
            self._validate_what_kept_rows_out()
        if run.error is not None and len(change.batch) > 1 and target is not None and self._first is not None:
            self._ids.take_back(target)
        return run

    def _attempt(self) -> StatementRun | None:
        """Run once; return the run if it stands, or None if it was undone and the next one can begin."""
        self._unknown = ()
        if self._working_set.contents.large:
            provide_lookups(self._reader, self._prepared, foreign_keys=self._change.foreign_keys)
        with AllOrNothing(self._working_set) as block:
            run = self._tried(block)
            if run is None:
                block.back()
        if run is None:
            self._reader.hydrate(self._unknown)
        return run

    def _tried(self, block: AllOrNothing) -> StatementRun | None:
        """Do the work of `_attempt` inside its savepoint; the caller undoes a run that does not stand."""
        target = self._target
        self._above = self._working_set.max_rowid(target) if target is not None and not target.without_rowid else 0
        if self._prepared.traits.leaves_out:
            ended = self._explore()
            if ended is not None or self._unknown:
                return ended
            block.back()
        run: StatementRun | None = self._run(self._enforced, clause="ABORT" if self._may_end_transaction else None)
        assert run is not None
        if run.error is not None:
            run = self._after_failure(block, run, run.error)
        if run is None or not self._working_set.connection.in_transaction:
            return run  # SQLite ends the transaction by itself when no id is left, and for OR ROLLBACK
        if run.error is not None and len(self._change.batch) > 1:
            return run
        events = self._with_ids(run)
        if events is None:
            return None
        if events is not run.events:
            run = replace(run, events=events, last_rowid=self._working_set.connection.last_insert_rowid())
        failed = self._read_guards(events, foreign_keys=self._change.foreign_keys)
        if self._unknown:
            return None
        if failed is not None:
            block.back()
            return StatementRun([], 0, 0, 0, self._working_set.connection.last_insert_rowid(), [], failed)
        return self._stands(run)

    @property
    def _may_end_transaction(self) -> bool:
        return self._prepared.traits.may_end_transaction

    def _stands(self, run: StatementRun) -> StatementRun:
        """Record what a run has done, now that no guard contradicts it."""
        working_set, connection = self._working_set, self._working_set.connection
        if run.error is not None and str(run.error).startswith(ROLLED_BACK):
            connection.execute("ROLLBACK")
            connection.set_last_insert_rowid(run.last_rowid)
            error = IntegrityError(str(run.error).removeprefix(ROLLED_BACK))
            error.__cause__ = run.error.__cause__
            return replace(run, error=error)
        connection.set_last_insert_rowid(run.last_rowid)
        if self._target is not None:
            if self._first is not None:
                self._ids.give_back(self._target, run.events, (self._first, self._needed))
            if working_set.contents.sequences:
                self._ids.follow(self._target, run.events)
        working_set.touch(self._reader.schema.catalog.tables, run.events)
        return run

    def _run(
        self,
        foreign_keys: bool | None,
        *,
        deferred: bool = False,
        clause: ConflictClause | None = None,
        triggers: bool = True,
    ) -> StatementRun:
        """Run the statement with ids from `first` on, if asked with foreign keys deferred or with a conflict clause.

        Args:
            foreign_keys: whether to enforce them; None if it does not matter because none can be violated.
            triggers: whether they may fire. Without triggers, more rows are written, whose guards are needed.
        """
        working_set, text = self._working_set, self._prepared.statement.text
        if self._first is not None and self._target is not None:
            working_set.set_next_rowid(self._target, self._first)
        if clause is not None:
            text = with_conflict_clause(text, clause)
        if clause is not None or (self._prepared.traits.foreign_keys and foreign_keys is not None):
            working_set.enforce_foreign_keys(bool(foreign_keys))  # with REPLACE, any change may delete other rows
        fires = triggers and self._fires
        with working_set.deferred(deferred or self._change.deferred), working_set.firing() if fires else _nothing:
            return working_set.run(text, self._change.batch, self._reader.schema.with_generated)

    @property
    def _fires(self) -> bool:
        """Whether the statement may fire a trigger."""
        return not self._reader.schema.firing.isdisjoint(self._prepared.inspection.written)

    # ------------------------------------------------------------ ids
    def _with_ids(self, run: StatementRun) -> list[Event] | None:
        """Return a run's events, with the new rows under ids from the store; None if it took other ids and needs
        more."""
        target, events = self._target, run.events
        if target is None or target.without_rowid:
            return events
        if target.rowid_alias is None:
            if run.error is None or run.changes:
                return self._ids.renumber(target, events, self._above, self._prepared)
        elif target.id < self._reader.first_new_table:
            ids = self._first, self._needed
            short = self._ids.short(target, events, ids, self._above, self._change.planned)
            if short is not None:
                if self._first is not None:
                    self._ids.give_back(target, (), (self._first, self._needed))
                self._first, self._needed = None, short
                return None
            self._ids.claim(target, events, ids)
        return events

    # ------------------------------------------------------------ guards
    def _have_parents(self) -> bool:
        """Whether the rows that new ones refer to are in the working set."""
        target, planned = self._target, self._change.planned
        if target is None or planned is None:
            return False
        for way in self._reader.schema.guards.of(target.name.lower()).parent_ways:
            for row in planned:
                if any(position not in row.values for position in way.columns):
                    return False
                values = [row.values[position] for position in way.columns]
                if None not in values and not self._working_set.has_row(way.parent, way.positions, values):
                    return False
        return True

    def _after_failure(self, block: AllOrNothing, run: StatementRun, error: Exception) -> StatementRun | None:
        """Return the result of a failed run if everything that its error depends on is known; otherwise None."""
        if isinstance(error, IdsExhaustedError) and not self._working_set.connection.in_transaction:
            return run
        if len(self._change.batch) > 1:
            block.back()
            return run
        if isinstance(error, IntegrityError):
            self._read_guards_of_failure(block, error)
            if self._unknown:
                return None
            block.back()
            # INSERT OR FAIL keeps the rows before the failure, and RAISE(FAIL) also what foreign keys have done.
            if run.changes or self._may_end_transaction or self._fires:
                run = self._run(self._enforced)
                if not self._working_set.connection.in_transaction:
                    return run
        target, planned = self._target, self._change.planned
        if (
            run.error is not None
            and target is not None
            and planned
            and (target.computed or type(error) is IntegrityError)
        ):
            # SQLite may have failed to compute a key before it reached a conflicting row that is not in the working
            # set. In a STRICT table it looks at the types, whose error has no class of its own, after the unique keys.
            requests = merged(self._reader.schema.guards.planned(target, planned, foreign_keys=False))
            self._reader.read(requests)
            if self._reader.brings_new(requests):
                self._unknown = requests
                return None
        return run

    def _read_guards_of_failure(self, block: AllOrNothing, error: IntegrityError) -> None:
        """Read the guards of a failed statement; the caller must undo what this leaves in the working set.

        The hook does not see a row that breaks a constraint. If the constraint is a foreign key, deferring the key
        makes the row visible; if it is a unique key, replacing the conflicting rows does: with all rows present, a
        different key may be violated first than with those known so far. For rows with generated columns the hook gives
        no values, and these rows are gone unless the failure keeps them.
        """
        if isinstance(error, ForeignKeyViolation):
            block.back()
            run = self._run(True, deferred=True)
            self._read_guards(run.events, foreign_keys=True, failed=True)
            return
        clauses: list[ConflictClause] = []
        if not self._reader.schema.with_generated.isdisjoint(self._prepared.inspection.written):
            clauses.append("FAIL")
        if isinstance(error, UniqueViolation):
            clauses.append("REPLACE")
        for clause in clauses:
            block.back()
            run = self._run(False, clause=clause, triggers=False)
            self._read_guards(run.events, foreign_keys=False)

    def _explore(self) -> StatementRun | None:
        """Read the guards of a statement from which a constraint's own ON CONFLICT IGNORE may leave rows out.

        The hook does not see a row that is left out. A row that conflicts with a known row may also conflict with an
        unknown one through another key, for which SQLite would raise an error. So in this run the new rows replace
        those that they conflict with. If the hook may have missed some, the table is read whole. The caller must undo
        what this leaves in the working set.

        Returns:
            A run if it has ended the transaction.
        """
        prepared = self._prepared
        run = self._run(False, clause="REPLACE", triggers=False)
        if not self._working_set.connection.in_transaction:
            return run
        replaces_its_own = bool(prepared.inspection.updated) and any(event.kind == "DELETE" for event in run.events)
        if run.error is None and not replaces_its_own:
            self._read_guards(run.events, foreign_keys=False)
            return None
        tables = self._reader.schema.catalog.tables
        written = [tables[name] for name in prepared.inspection.written if name in tables]
        requests = [replace(whole(table), check=self._change.check) for table in written]
        self._reader.read(requests)
        if self._reader.brings_new(requests):
            self._unknown = requests
        return None

    def _read_guards(self, events: Sequence[Event], *, foreign_keys: bool, failed: bool = False) -> Error | None:
        """Read the guards of these events, and note as unknown those that bring rows which the run did not have.

        Returns:
            SQLite's error if it cannot compute a row's key in an index. (With the missing rows present, it may raise a
            different error first.)
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

        found = self._reader.schema.guards.of_events(
            events,
            foreign_keys=foreign_keys,
            old_values=old_values,
            new_values=new_values,
            computed_keys=known_keys,
            failed=failed,
        )
        requests = merged(self._change.as_reads(found))
        self._reader.read(requests)
        if self._reader.brings_new(requests):
            self._unknown = [*self._unknown, *requests]
        return failures[0] if failures else None

    def _validate_what_kept_rows_out(self) -> None:
        """Validate all known rows: no guard shows through which key one of them kept a new row out."""
        tables = self._reader.schema.catalog.tables
        for name in self._prepared.inspection.written:
            if name in tables:
                validate_hydrated(self._reader, tables[name])


def validate_hydrated(reader: Reader, table: Table) -> None:
    """Validate the rows in the working set: guards show only missing rows, and an upsert may look at any row."""
    for stored in reader.working_set.contents.of(table.id).hydrated.values():
        reader.transaction.read_set.add_point(table.id, stored.key, stored.version)
