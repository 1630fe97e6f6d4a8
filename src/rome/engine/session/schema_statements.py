"""Statements about the schema: DDL, PRAGMAs that a transaction answers, ANALYZE, and what the mirror answers."""

from __future__ import annotations

from typing import Any

import apsw

from rome.catalog.schema import Catalog
from rome.codec.values import SqlValue
from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.reading.queries import read_plan
from rome.engine.result import Result
from rome.engine.session.full_scan import check_full_scan
from rome.engine.statement.foreign_keys import whole
from rome.engine.statement.parameters import Parameters
from rome.engine.statement.pragma import PragmaKind, answer, function_of_state, integer
from rome.engine.statement.prepared import Prepared
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing import ddl
from rome.errors import NotSupportedError, OperationalError
from rome.planner.parse.statement import Statement, classify
from rome.transaction.read_set import Validation
from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.sqlite_errors import translate


def refuse_if_query_only(context: ConnectionContext) -> None:
    """Refuse what would write.

    Raises:
        OperationalError: PRAGMA query_only is on.
    """
    if context.query_only:
        raise OperationalError("attempt to write a readonly database")


class SchemaStatements:
    """Those of one connection."""

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self._workspace = context.workspace

    def ask_mirror(
        self,
        current: Attempt,
        statement: Statement,
        parameters: Parameters,
        prepared: Prepared | None = None,
    ) -> Result:
        """Let the mirror answer what concerns the schema alone, once it is known to be current."""
        current.reader.refresh()
        if prepared is not None:
            self._refuse_rows(prepared, current.schema.catalog)
            parameters = prepared.bind(parameters)
        try:
            inspection = self._workspace.mirror.inspect(statement.text)
            bound: Any = parameters
            rows: Any = self._workspace.mirror.connection.execute(statement.text, bound).fetchall()
        except apsw.Error as error:
            raise translate(error) from error
        return Result(inspection.columns or None, rows)

    def analyze_nothing(self, current: Attempt, statement: Statement) -> Result:
        """ANALYZE does nothing, since Rome asks the store for sizes. But a wrong name is an error."""
        current.reader.refresh()
        refuse_if_query_only(self._context)
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

    def define(self, current: Attempt, operation: LoggedOperation) -> Result:
        """Run a DDL statement."""
        statement = operation.statement
        ddl.refuse(statement, self._workspace.as_seen(current.schema))
        current.reader.refresh()
        parameters = self._read_source(current, operation)
        before, working_set = current.schema, self._workspace.working_set
        temporary = self._workspace.mirror.temporary()
        try:
            with AllOrNothing(working_set, with_contents=True):
                after = ddl.run(
                    statement,
                    parameters,
                    current.reader,
                    self._workspace.mirror,
                    foreign_keys=self._context.foreign_keys,
                )
                if self._workspace.definitions and after is not before:
                    after.check_stands_alone()
                if after is not before or self._workspace.mirror.temporary() != temporary:
                    refuse_if_query_only(self._context)
        except BaseException:
            current.reader.schema = before
            current.reader.forget_decoded()
            self._workspace.open_mirror(before)
            raise
        if after is not current.base:
            current.log.replayable = False
        self._workspace.note_temporary()
        return Result()

    def _read_source(self, current: Attempt, operation: LoggedOperation) -> tuple[SqlValue, ...]:
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
        check_full_scan(prepared, self._context.options.full_scan)
        parameters = prepared.bind(operation.parameters)
        read_plan(current.reader, prepared, parameters, Validation.ROWS)
        return parameters

    def pragma(self, current: Attempt, statement: Statement) -> Result:
        """Answer a PRAGMA that needs a transaction."""
        match answer(statement):
            case PragmaKind.MIRROR:
                return self.ask_mirror(current, statement, ())
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

    def _header_field(self, current: Attempt, statement: Statement) -> Result:
        """PRAGMA user_version and application_id: part of the schema, as in SQLite's header, and of the transaction."""
        current.reader.refresh()
        name, header = statement.name or "", current.schema.definition.header
        if statement.argument is None:
            return Result(((name, None),), [(getattr(header, name),)])
        refuse_if_query_only(self._context)
        definition = current.schema.definition.with_header(name, integer(statement.argument))
        if definition is not current.schema.definition:
            current.reader.schema = SchemaVersion(definition)
            current.log.replayable = False
        return Result()

    def _version(self, current: Attempt, statement: Statement) -> Result:
        """PRAGMA data_version, which tells of others' commits alone, and schema_version; both as of the snapshot."""
        current.reader.refresh()
        name, snapshot = statement.name or "", current.transaction.snapshot
        assert snapshot is not None
        if name == "data_version":
            return Result(((name, None),), [(snapshot.version - self._context.own_commits,)])
        if statement.argument is not None:
            raise NotSupportedError("PRAGMA schema_version = .. is not supported: it tells of changes of the schema")
        return Result(((name, None),), [(current.schema.catalog.version + (current.schema is not current.base),)])
