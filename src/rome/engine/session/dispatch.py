"""Runs one operation of the application in an open transaction, whatever kind of statement it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import apsw

from rome.callers import warn
from rome.catalog.schema import Catalog
from rome.codec.values import SqlValue
from rome.engine.attempt.claims import claims
from rome.engine.attempt.deferred_keys import check_deferred
from rome.engine.attempt.open_transaction import OpenTransaction, Savepoint
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.attempt.sequence_table import SequenceTable
from rome.engine.observing.analysis import MeasuredPlan
from rome.engine.observing.explain import as_result, plan_lines
from rome.engine.options import Isolation
from rome.engine.reading import queries
from rome.engine.result import Result
from rome.engine.statement.foreign_keys import whole
from rome.engine.statement.parameters import Parameters
from rome.engine.statement.pragma import PragmaKind, answer, function_of_state, integer
from rome.engine.statement.prepared import SEQUENCE_TABLE, Prepared
from rome.engine.statement.schema import SchemaVersion
from rome.engine.statement.workspace import Workspace
from rome.engine.writing import ddl
from rome.errors import FullScanError, FullScanWarning, NotSupportedError, OperationalError
from rome.planner.parse.statement import Statement, StatementKind, classify
from rome.store.spi import Claim
from rome.transaction.read_set import Validation
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.sqlite_errors import translate


class Statements:
    """How one connection runs statements.

    Attributes:
        foreign_keys: whether they are enforced.
        query_only: nothing may be written, as PRAGMA query_only has it.
        own_commits: how many of the store's versions this connection has made.
    """

    def __init__(
        self, workspace: Workspace, *, foreign_keys: bool, full_scan: Literal["allow", "warn", "error"]
    ) -> None:
        self._workspace = workspace
        self.foreign_keys = foreign_keys
        self.query_only = False
        self.own_commits = 0
        self._full_scan = full_scan

    def run(self, current: OpenTransaction, operation: LoggedOperation, isolation: Isolation) -> Result:
        """Run one operation in the open transaction.

        Raises:
            CatalogMoved: the first read found another schema.
            rome.errors.Error: what the statement gets wrong, or the store.
        """
        statement = operation.statement
        check = Validation.ROWS if isolation in (Isolation.SERIALIZABLE, Isolation.AUTOCOMMIT) else Validation.NOTHING
        if not statement.reads_or_writes_rows and (result := self._run_special(current, operation, check)) is not None:
            return result
        prepared = self._workspace.prepare(current.schema, statement)
        if prepared.on_sequences:
            return self._on_sequences(current, operation, prepared, check)
        if prepared.on_mirror:
            return self._ask_mirror(current, statement, operation.parameters, prepared)
        if statement.for_update:
            check, current.validated = Validation.ROWS, True
        if prepared.writes:
            self._check_full_scan(prepared)
            self._workspace.working_set.begin()
            batch = [operation.parameters] if operation.batch is None else operation.batch
            bound = [prepared.bind(parameters) for parameters in batch]
            return self._change(current, prepared, bound, check)
        return self._query(current, prepared, prepared.bind(operation.parameters), check)

    def claims(self, current: OpenTransaction, operation: LoggedOperation, isolation: Isolation) -> list[Claim]:
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

    def _run_special(self, current: OpenTransaction, operation: LoggedOperation, check: Validation) -> Result | None:
        """The result of a statement that is not about rows; None: it runs like one that is."""
        statement = operation.statement
        self._workspace.working_set.begin()
        match statement.kind:
            case StatementKind.SAVEPOINT | StatementKind.RELEASE | StatementKind.ROLLBACK_TO:
                return self._savepoint(current, statement)
            case StatementKind.DDL | StatementKind.CREATE_TRIGGER:
                return self._ddl(current, operation)
            case StatementKind.PRAGMA:
                return self._pragma(current, statement)
            case (
                StatementKind.EXPLAIN | StatementKind.REINDEX
            ):  # there is nothing to rebuild, but a wrong name is an error
                return self._ask_mirror(current, statement, operation.parameters)
            case StatementKind.ANALYZE:
                return self._analyze_nothing(current, statement)
            case StatementKind.EXPLAIN_ROME:
                return self._explain(current, statement, operation.parameters)
            case StatementKind.EXPLAIN_ROME_ANALYZE:
                return self._analyze(current, statement, operation.parameters, check)
        return None

    def _query(
        self, current: OpenTransaction, prepared: Prepared, parameters: Sequence[SqlValue], check: Validation
    ) -> Result:
        if not (prepared.statement.for_update or self._workspace.definitions):
            rows = queries.aggregate(current.reader, prepared, parameters, check)
            if rows is not None:
                return Result(prepared.inspection.columns, rows)
        self._check_full_scan(prepared)
        return Result(prepared.inspection.columns or None, queries.query(current.reader, prepared, parameters, check))

    def _change(
        self, current: OpenTransaction, prepared: Prepared, bound: list[tuple[SqlValue, ...]], check: Validation
    ) -> Result:
        self._begin_change(current)
        read_set = current.transaction.read_set
        before = read_set.mark() if check is Validation.NOTHING else None
        execution, runs = current.execution, None
        execution.ids.begin_statement()
        if len(bound) > 1 and (run := execution.change_all(prepared, bound, check, foreign_keys=self.foreign_keys)):
            runs = iter([run])
        if runs is None:
            runs = (execution.change(prepared, each, check, foreign_keys=self.foreign_keys) for each in bound)
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
        return Result(prepared.inspection.columns or None, rows, changes, last_rowid)

    def _begin_change(self, current: OpenTransaction) -> None:
        if self.query_only:
            self._workspace.working_set.changes = 0  # as of any statement that failed
            self._refuse_if_query_only()
        current.log.changes_rows = True

    def _refuse_if_query_only(self) -> None:
        if self.query_only:
            raise OperationalError("attempt to write a readonly database")

    def _check_full_scan(self, prepared: Prepared) -> None:
        if self._full_scan == "allow" or not prepared.plan.full_scans:
            return
        names = ", ".join(table.name for table in prepared.plan.full_scans)
        message = (
            f"this statement reads the whole of {names}; bound it by an indexed column, or add an index "
            f"(EXPLAIN ROME shows the plan): {prepared.statement.text}"
        )
        if self._full_scan == "error":
            raise FullScanError(message)
        warn(message, FullScanWarning)

    def _on_sequences(
        self, current: OpenTransaction, operation: LoggedOperation, prepared: Prepared, check: Validation
    ) -> Result:
        """Run a statement about sqlite_sequence."""
        table = SequenceTable(current, check)
        names = prepared.inspection.read | prepared.inspection.temporary_read
        if any(name.startswith(("sqlite_", "pragma_")) for name in names - {SEQUENCE_TABLE}):
            with table.filled(self._workspace.mirror.connection):
                return self._ask_mirror(current, operation.statement, operation.parameters, prepared)
        if prepared.writes:
            self._begin_change(current)
        self._check_full_scan(prepared)
        self._workspace.working_set.begin()
        batch = [operation.parameters] if operation.batch is None else operation.batch
        return table.run(prepared, [prepared.bind(parameters) for parameters in batch])

    def _ask_mirror(
        self,
        current: OpenTransaction,
        statement: Statement,
        parameters: Parameters,
        prepared: Prepared | None = None,
    ) -> Result:
        """What concerns the schema alone is answered by the mirror, once it is known to be current."""
        current.reader.refresh()
        if prepared is not None:
            self._refuse_rows(prepared, current.schema.catalog)
            parameters = prepared.bind(parameters)
        try:
            inspection = self._workspace.mirror.inspect(statement.text)
            rows = self._workspace.mirror.connection.execute(statement.text, parameters).fetchall()
        except apsw.Error as error:
            raise translate(error) from error
        return Result(inspection.columns or None, rows)

    def _analyze_nothing(self, current: OpenTransaction, statement: Statement) -> Result:
        """ANALYZE: Rome asks the store for sizes, and keeps no statistics. But a wrong name is an error."""
        current.reader.refresh()
        self._refuse_if_query_only()
        try:
            self._workspace.mirror.inspect(statement.text)
        except apsw.Error as error:
            raise translate(error) from error
        return Result()

    def _refuse_rows(self, prepared: Prepared, catalog: Catalog) -> None:
        """Raise for a statement about the schema that is also about rows: the mirror has none."""
        found = prepared.inspection
        for name in found.read | found.temporary_read:
            if (pragma := function_of_state(name)) is not None:
                raise NotSupportedError(f"{name} is not supported as a table: ask by PRAGMA {pragma}")
        temporary = {item.name.lower() for item in self._workspace.mirror.temporary() if item.type == "table"}
        tables = sorted((found.read & catalog.tables.keys()) | (found.temporary_read & temporary))
        if tables:
            raise NotSupportedError(
                f"one statement cannot read both the schema and rows of {', '.join(tables)}: ask twice"
            )
        if prepared.writes:
            raise NotSupportedError("one statement cannot read the schema and write rows: ask first, then write")

    def _prepare_explained(self, current: OpenTransaction, statement: Statement) -> Prepared:
        explained = classify(statement.text)
        if explained.kind is StatementKind.EMPTY:
            raise OperationalError("incomplete input")
        return self._workspace.prepare(current.schema, explained)

    def _explain(self, current: OpenTransaction, statement: Statement, parameters: Parameters) -> Result:
        prepared = self._prepare_explained(current, statement)
        bound = prepared.bind(parameters) if parameters or not prepared.inspection.parameter_count else None
        lines = plan_lines(prepared, bound, current.schema, foreign_keys=self.foreign_keys)
        return as_result(lines, writes=prepared.writes)

    def _analyze(
        self, current: OpenTransaction, statement: Statement, parameters: Parameters, check: Validation
    ) -> Result:
        """Run a statement, and say what that did cost; what it changed is undone. Ids that it took are gone."""
        prepared = self._prepare_explained(current, statement)
        if not prepared.statement.reads_or_writes_rows or prepared.on_mirror:
            raise NotSupportedError("EXPLAIN ROME ANALYZE runs statements on rows: SELECT, INSERT, UPDATE and DELETE")
        current.log.replayable = False  # it never shows the same again
        bound = prepared.bind(parameters)
        lines = plan_lines(prepared, bound, current.schema, foreign_keys=self.foreign_keys)
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

    def file_name(self, current: OpenTransaction, expression: str, parameters: Parameters) -> str:
        """What the expression behind VACUUM INTO says.

        Raises:
            rome.errors.Error: as SQLite; NotSupportedError: it reads a table.
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

    # ------------------------------------------------------------ savepoints
    def _savepoint(self, current: OpenTransaction, statement: Statement) -> Result:
        name = (statement.name or "").lower()
        if statement.kind is StatementKind.SAVEPOINT:
            contents = self._workspace.working_set.contents.copy()
            self._workspace.working_set.query(statement.text, ())
            current.savepoints.append(Savepoint(name, contents, current.schema))
            return Result()
        if statement.kind is StatementKind.RELEASE and current.by_savepoint:
            self._check_before_last_release(current, name)
        self._workspace.working_set.query(statement.text, ())  # SQLite says so when there is none of this name
        position = max(i for i, savepoint in enumerate(current.savepoints) if savepoint.name == name)
        if statement.kind is StatementKind.RELEASE:
            del current.savepoints[position:]
            return Result()
        savepoint = current.savepoints[position]
        del current.savepoints[position + 1 :]
        self._workspace.working_set.contents = savepoint.contents.copy()
        if current.schema is not savepoint.schema:
            current.reader.schema = savepoint.schema
            self._workspace.open_mirror(savepoint.schema)
            current.reader.forget_decoded()
        elif self._workspace.working_set.temporary_changed:
            self._workspace.undo_temporary(savepoint.schema)
        return Result()

    def _check_before_last_release(self, current: OpenTransaction, name: str) -> None:
        """The release that commits checks deferred foreign keys first: where one is violated, the savepoint stays."""
        if [at for at, savepoint in enumerate(current.savepoints) if savepoint.name == name][-1:] == [0]:
            if self.foreign_keys:
                self._workspace.working_set.check_temporary_keys()
            check_deferred(current, self.foreign_keys or current.keys_to_check)

    # ------------------------------------------------------------ schema
    def _ddl(self, current: OpenTransaction, operation: LoggedOperation) -> Result:
        statement = operation.statement
        ddl.refuse(statement, self._workspace.as_seen(current.schema))
        current.reader.refresh()
        parameters = self._read_source(current, operation)
        before, working_set = current.schema, self._workspace.working_set
        temporary = self._workspace.mirror.temporary()
        try:
            with AllOrNothing(working_set, with_contents=True):
                after = ddl.run(
                    statement, parameters, current.reader, self._workspace.mirror, foreign_keys=self.foreign_keys
                )
                if self._workspace.definitions and after is not before:
                    after.check_stands_alone()
                if after is not before or self._workspace.mirror.temporary() != temporary:
                    self._refuse_if_query_only()
        except BaseException:
            current.reader.schema = before
            current.reader.forget_decoded()
            self._workspace.open_mirror(before)
            raise
        if after is not current.base:
            current.log.replayable = False
        self._workspace.note_temporary()
        return Result()

    def _read_source(self, current: OpenTransaction, operation: LoggedOperation) -> tuple[SqlValue, ...]:
        """Read what CREATE TABLE .. AS selects from; returns the query's parameters."""
        query = ddl.source(operation.statement)
        if query is None:
            return ()
        try:
            if not self._workspace.mirror.makes_table(operation.statement.text):  # IF NOT EXISTS, and it does
                return ()
        except apsw.Error as error:
            raise translate(error) from error
        prepared = self._workspace.prepare(current.schema, classify(query))
        if prepared.on_mirror:
            raise NotSupportedError("CREATE TABLE .. AS cannot read the schema: read it, and insert what it says")
        self._check_full_scan(prepared)
        parameters = prepared.bind(operation.parameters)
        queries.read_plan(current.reader, prepared, parameters, Validation.ROWS)
        return parameters

    def _pragma(self, current: OpenTransaction, statement: Statement) -> Result:
        match answer(statement):
            case PragmaKind.MIRROR:
                return self._ask_mirror(current, statement, ())
            case PragmaKind.HEADER:
                return self._header_field(current, statement)
            case PragmaKind.VERSION:
                return self._version(current, statement)
            case PragmaKind.FOREIGN_KEY_CHECK:
                wants = [whole(table) for table in current.schema.catalog.tables.values()]
                current.reader.read(wants)
                current.reader.hydrate(wants)
                rows = self._workspace.working_set.query(statement.text, ())
                return Result(tuple((name, None) for name in ("table", "rowid", "parent", "fkid")), rows)
        return Result()

    def _header_field(self, current: OpenTransaction, statement: Statement) -> Result:
        """PRAGMA user_version and application_id: part of the schema, as in SQLite's header, and of the transaction."""
        current.reader.refresh()
        name, header = statement.name or "", current.schema.definition.header
        if statement.argument is None:
            return Result(((name, None),), [(getattr(header, name),)])
        self._refuse_if_query_only()
        definition = current.schema.definition.with_header(name, integer(statement.argument))
        if definition is not current.schema.definition:
            current.reader.schema = SchemaVersion(definition)
            current.log.replayable = False
        return Result()

    def _version(self, current: OpenTransaction, statement: Statement) -> Result:
        """PRAGMA data_version, which tells of others' commits alone, and schema_version; both as of the snapshot."""
        current.reader.refresh()
        name, snapshot = statement.name or "", current.transaction.snapshot
        assert snapshot is not None
        if name == "data_version":
            return Result(((name, None),), [(snapshot.version - self.own_commits,)])
        if statement.argument is not None:
            raise NotSupportedError("PRAGMA schema_version = .. is not supported: it tells of changes of the schema")
        return Result(((name, None),), [(current.schema.catalog.version + (current.schema is not current.base),)])
