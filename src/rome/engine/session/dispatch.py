"""Run one operation of the application in an open transaction, whatever kind of statement it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rome.codec.values import SqlValue
from rome.engine.attempt import savepoints
from rome.engine.attempt.attempt import Attempt, Duty
from rome.engine.attempt.claims import claims
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.attempt.sequence_table import SequenceTable
from rome.engine.observing.analysis import MeasuredPlan
from rome.engine.observing.explain import as_result, as_streamed, plan_lines
from rome.engine.options import AUTOCOMMIT, SERIALIZABLE, Isolation
from rome.engine.reading.queries import aggregate, query
from rome.engine.reading.row_stream import open_stream
from rome.engine.result import Result
from rome.engine.session.full_scan import check_full_scan
from rome.engine.session.schema_statements import SchemaStatements, refuse_if_query_only
from rome.engine.statement.parameters import Parameters
from rome.engine.statement.prepared import SEQUENCE_TABLE, Prepared
from rome.errors import NotSupportedError, OperationalError, WorkingSetFullError
from rome.planner.parse.statement import Statement, StatementKind, classify
from rome.store.spi import Claim
from rome.transaction.read_set import NOTHING, ROWS, Validation
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.workingset import SqlRow, StatementRun


class Statements:
    """How one connection runs statements."""

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self._workspace = context.workspace
        self._schema_statements = SchemaStatements(context)

    def run(self, current: Attempt, operation: LoggedOperation, isolation: Isolation) -> Result:
        """Run one operation in the open transaction.

        Raises:
            CatalogMoved: the first read found another schema.
            rome.errors.Error: the statement is wrong, or the store failed.
        """
        statement = operation.statement
        check = ROWS if isolation is SERIALIZABLE or isolation is AUTOCOMMIT else NOTHING
        if not statement.reads_or_writes_rows and (result := self._run_special(current, operation, check)) is not None:
            return result
        schema, prepared = current.reader.schema, None
        if not self._workspace.temporary_names:  # as most often; `prepare` would find it, too
            prepared = schema.prepared.get(statement.text)
        if prepared is None:
            prepared = self._workspace.prepare(schema, statement)
        if prepared.on_mirror:
            if prepared.on_sequences:
                return self._on_sequences(current, operation, prepared, check)
            return self._schema_statements.ask_mirror(current, statement, operation.parameters, prepared)
        if statement.for_update:
            check = ROWS
            current.duties |= {Duty.VALIDATE}
        if prepared.writes:
            if self._context.options.full_scan != "allow":
                check_full_scan(prepared, self._context.options.full_scan)
            if operation.batch is None:
                return self._change(current, prepared, [prepared.bind(operation.parameters)], check)
            return self._change(current, prepared, prepared.bind_all(operation.batch), check)
        if operation.streams and not statement.for_update:
            streamed = self._stream(current, prepared, prepared.bind(operation.parameters), check)
            if streamed is not None:
                return streamed
        bound = prepared.bind(operation.parameters)
        if prepared.plan.asks_aggregates or self._context.options.full_scan != "allow":
            return self._query(current, prepared, bound, check, operation.streams)
        return query(current.reader, prepared, bound, check, operation.streams)

    def claims(self, current: Attempt, operation: LoggedOperation, isolation: Isolation) -> list[Claim]:
        """The rows that nobody else is to change from this statement on until the transaction ends.

        Those of SELECT .. FOR UPDATE, and at READ COMMITTED of UPDATE and DELETE, which act on the newest version of a
        row. (Where a transaction has one snapshot, a row that changes between that and the statement is a conflict in
        any case.) None for a transaction that has changed the schema, as it has no newer snapshot to go on with.
        """
        statement = operation.statement
        changes = isolation is Isolation.READ_COMMITTED and statement.kind in (
            StatementKind.UPDATE,
            StatementKind.DELETE,
        )
        if not (changes or (statement.for_update and not statement.nowait)) or current.schema is not current.base:
            return []
        prepared = self._workspace.prepare(current.schema, statement)
        if prepared.on_mirror:
            return []
        batch = [operation.parameters] if operation.batch is None else operation.batch
        return claims(current, prepared, [prepared.bind(parameters) for parameters in batch])

    def _run_special(self, current: Attempt, operation: LoggedOperation, check: Validation) -> Result | None:
        """The result of a statement that is not about rows; None for any other statement."""
        statement = operation.statement
        self._workspace.working_set.begin()
        match statement.kind:
            case StatementKind.SAVEPOINT | StatementKind.RELEASE | StatementKind.ROLLBACK_TO:
                savepoints.run(current, statement)
                return Result()
            case StatementKind.DDL | StatementKind.CREATE_TRIGGER:
                return self._schema_statements.define(current, operation)
            case StatementKind.PRAGMA:
                return self._schema_statements.pragma(current, statement)
            case StatementKind.EXPLAIN | StatementKind.REINDEX:
                # Of REINDEX there is nothing to rebuild, but a wrong name is an error.
                return self._schema_statements.ask_mirror(current, statement, operation.parameters)
            case StatementKind.ANALYZE:
                return self._schema_statements.analyze_nothing(current, statement)
            case StatementKind.EXPLAIN_ROME:
                return self._explain(current, statement, operation.parameters)
            case StatementKind.EXPLAIN_ROME_ANALYZE:
                return self._analyze(current, statement, operation.parameters, check)
        return None

    def _query(
        self,
        current: Attempt,
        prepared: Prepared,
        parameters: Sequence[SqlValue],
        check: Validation,
        in_steps: bool = False,
    ) -> Result:
        if prepared.plan.asks_aggregates and not (prepared.statement.for_update or self._workspace.definitions):
            rows = aggregate(current.reader, prepared, parameters, check)
            if rows is not None:
                return Result(prepared.columns, rows, description=prepared.description)
        if self._context.options.full_scan != "allow":
            check_full_scan(prepared, self._context.options.full_scan)
        return query(current.reader, prepared, parameters, check, in_steps)

    def _stream(
        self, current: Attempt, prepared: Prepared, parameters: tuple[SqlValue, ...], check: Validation
    ) -> Result | None:
        """The first rows of a query, and the stream of the others; None if it must be run as a whole."""
        if self._context.options.full_scan != "allow":
            check_full_scan(prepared, self._context.options.full_scan)
        stream = open_stream(current.reader, prepared, parameters, check)
        if stream is None:
            return None
        rows: list[SqlRow] = []
        try:
            while not (rows or stream.is_finished):
                rows += stream.next_rows()
        except WorkingSetFullError:  # of the other tables; as a whole, it may use a temporary file
            return None
        return Result(prepared.columns, rows, more=None if stream.is_finished else stream)

    def _change(
        self, current: Attempt, prepared: Prepared, bound: list[tuple[SqlValue, ...]], check: Validation
    ) -> Result:
        if self._context.query_only:
            self._refuse_change()
        current.log.changes_rows = True
        if not bound:  # executemany with nothing runs nothing, so changes() still tells of the statement before
            return Result(prepared.columns, [], 0, None)
        read_set = current.transaction.read_set
        before = read_set.mark() if check is NOTHING else None
        execution, foreign_keys = current.execution, self._context.foreign_keys
        if prepared.target is not None:
            execution.ids.begin_statement()
        runs: Iterable[StatementRun]
        if len(bound) == 1:
            runs = (execution.change(prepared, bound[0], check, foreign_keys=foreign_keys),)
        elif run := execution.change_all(prepared, bound, check, foreign_keys=foreign_keys):
            runs = (run,)
        else:
            runs = (execution.change(prepared, each, check, foreign_keys=foreign_keys) for each in bound)
        rows, changes, last_rowid = [], 0, None
        for run in runs:
            self._workspace.working_set.changes = run.last_changes
            self._workspace.working_set.total_changes += run.all_changes
            if run.error is not None:
                # What a statement that left nothing was told is worth validating only where all that was seen is.
                if before is not None and not (changes or run.changes):
                    read_set.forget_since(before)
                raise run.error
            rows += run.rows
            changes += run.changes
            if prepared.statement.kind is StatementKind.INSERT:
                last_rowid = run.last_rowid
        return Result(prepared.columns, rows, changes, last_rowid, description=prepared.description)

    def _refuse_change(self) -> None:
        self._workspace.working_set.changes = 0  # as of any statement that failed
        refuse_if_query_only(self._context)

    def _on_sequences(
        self, current: Attempt, operation: LoggedOperation, prepared: Prepared, check: Validation
    ) -> Result:
        """Run a statement about sqlite_sequence."""
        table = SequenceTable(current, check)
        names = prepared.inspection.read | prepared.inspection.temporary_read
        if any(name.startswith(("sqlite_", "pragma_")) for name in names - {SEQUENCE_TABLE}):
            with table.filled(self._workspace.mirror.connection):
                return self._schema_statements.ask_mirror(current, operation.statement, operation.parameters, prepared)
        if prepared.writes:
            if self._context.query_only:
                self._refuse_change()
            current.log.changes_rows = True
        check_full_scan(prepared, self._context.options.full_scan)
        self._workspace.working_set.begin()
        batch = [operation.parameters] if operation.batch is None else operation.batch
        return table.run(prepared, [prepared.bind(parameters) for parameters in batch])

    def _prepare_explained(self, current: Attempt, statement: Statement) -> Prepared:
        explained = classify(statement.text)
        if explained.kind is StatementKind.EMPTY:
            raise OperationalError("incomplete input")
        return self._workspace.prepare(current.schema, explained)

    def _explain(self, current: Attempt, statement: Statement, parameters: Parameters) -> Result:
        prepared = self._prepare_explained(current, statement)
        bound = prepared.bind(parameters) if parameters or not prepared.inspection.parameter_count else None
        lines = plan_lines(prepared, bound, current.schema, foreign_keys=self._context.foreign_keys)
        whole = prepared.statement.for_update or prepared.on_mirror
        streamed = "" if whole else as_streamed(current.schema.cut_plan(prepared))
        return as_result(lines, writes=prepared.writes, streamed=streamed)

    def _analyze(self, current: Attempt, statement: Statement, parameters: Parameters, check: Validation) -> Result:
        """Run a statement, and report what that cost. What it changed is undone; ids that it took are lost."""
        prepared = self._prepare_explained(current, statement)
        if not prepared.statement.reads_or_writes_rows or prepared.on_mirror:
            raise NotSupportedError("EXPLAIN ROME ANALYZE runs statements on rows: SELECT, INSERT, UPDATE and DELETE")
        current.log.replayable = False  # it never shows the same again
        bound = prepared.bind(parameters)
        lines = plan_lines(prepared, bound, current.schema, foreign_keys=self._context.foreign_keys)
        plan = MeasuredPlan(prepared.plan, lines, current.transaction)
        prepared = replace(prepared, plan=plan)
        if not prepared.writes:
            outcome = f"rows of the result: {len(self._query(current, prepared, bound, check).rows)}"
        else:
            # Its reads stay in the read set, for they were shown.
            with AllOrNothing(self._workspace.working_set, with_contents=True) as block:
                outcome = f"rows changed, and undone: {self._change(current, prepared, [bound], check).rowcount}"
                if not self._workspace.working_set.was_ended:  # by OR ROLLBACK
                    block.back()
        return as_result(lines, writes=prepared.writes, measured=plan.measured(outcome))

    def file_name(self, current: Attempt, expression: str, parameters: Parameters) -> str:
        """The value of the expression after VACUUM INTO.

        Raises:
            rome.errors.Error: as SQLite's.
            NotSupportedError: the expression reads a table.
        """
        prepared = self._workspace.prepare(current.schema, classify(f"SELECT {expression}"))
        if prepared.inspection.read or prepared.inspection.temporary_read:
            raise NotSupportedError("VACUUM INTO takes a file's name that no table is asked for: read it first")
        ((name, *_),) = self._workspace.working_set.query(prepared.statement.text, prepared.bind(parameters))
        if not isinstance(name, str):
            raise OperationalError("non-text filename")
        if name in ("", ":memory:"):
            raise OperationalError(f"VACUUM INTO {name!r} would write no file")
        return name
