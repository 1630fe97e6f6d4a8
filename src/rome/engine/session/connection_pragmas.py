"""The PRAGMAs that belong to a connection and not to a transaction: its switches and settings."""

from __future__ import annotations

from rome.callers import warn
from rome.engine.attempt.attempt import Attempt, Beginning, Duty
from rome.engine.attempt.context import ConnectionContext
from rome.engine.result import Result
from rome.engine.session.pragma_settings import PragmaSettings, ask
from rome.engine.statement.pragma import PragmaKind, answer, truth
from rome.errors import IgnoredPragmaWarning, NotSupportedError
from rome.planner.parse.statement import Statement


class ConnectionPragmas:
    """One connection's switches and settings."""

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self._workspace = context.workspace
        self._settings = PragmaSettings()

    def answer(self, statement: Statement, current: Attempt | None) -> Result | None:
        """Answer a PRAGMA; None if a transaction must answer it.

        Args:
            current: the open transaction, if any. No PRAGMA begins or ends one here.

        Raises:
            NotSupportedError: it asks for what Rome does not do.
        """
        match answer(statement):
            case PragmaKind.SETTING:
                return self._settings.answer(statement)
            case PragmaKind.PASSED_ON:
                return self._pass_on(statement, current)
            case PragmaKind.SWITCH:
                if statement.argument is None:
                    return Result(((statement.name or "", None),), [(int(self._is_on(statement.name, current)),)])
                self._switch(statement.name, truth(statement.argument), current)
                return Result()
        return None

    def _is_on(self, name: str | None, current: Attempt | None) -> bool:
        if name == "defer_foreign_keys":
            return self._context.defer_foreign_keys if current is None else current.defers_foreign_keys
        return self._context.foreign_keys if name == "foreign_keys" else self._context.query_only

    def _switch(self, name: str | None, on: bool, current: Attempt | None) -> None:
        if name == "query_only":
            self._context.query_only = on
        elif name == "foreign_keys":
            if on is not self._context.foreign_keys:
                self._switch_foreign_keys(on, current)
        elif current is None:
            self._context.defer_foreign_keys = on
        else:
            current.execution.defer_foreign_keys = on

    def _switch_foreign_keys(self, on: bool, current: Attempt | None) -> None:
        """Enforce foreign keys from now on, or no longer.

        In a transaction that the application has begun SQLite ignores this, and so does Rome, but with a warning: keys
        are enforced by default here, so that DROP TABLE deletes children where SQLite's default would leave them.
        A transaction that Rome has begun by itself is not in the way: after DDL sqlite3 has none, and after changes,
        where it has one, a migration that rebuilds a table does not expect to be ignored.
        What was deferred until COMMIT by then is checked there.
        """
        if current is not None and (current.beginning is not Beginning.STATEMENT or current.savepoints):
            warn(
                f"PRAGMA foreign_keys = {int(on)} does nothing inside BEGIN or SAVEPOINT, as in SQLite: COMMIT first",
                IgnoredPragmaWarning,
            )
            return
        if current is not None and current.log.changes_rows:
            if not on:
                current.duties |= {Duty.CHECK_KEYS}
            current.log.replayable = False  # its statements have run under both
        self._context.foreign_keys = on

    def _pass_on(self, statement: Statement, current: Attempt | None) -> Result:
        """One that changes what statements mean: it holds for the mirror and the working set, also for later ones.

        Raises:
            NotSupportedError: an index depends on what LIKE means.
        """
        if statement.argument is not None:
            name = statement.name or ""
            if name == "case_sensitive_like" and truth(statement.argument):
                self._refuse_indexes_with_like()
            if current is not None:
                current.log.replayable = False
            self._workspace.configure(name, statement.text)
        return ask(self._workspace.mirror.connection, statement.text)

    def _refuse_indexes_with_like(self) -> None:
        for table in self._workspace.schema.catalog.tables.values():
            for index in table.computed:
                assert index.computed is not None
                if "LIKE" in " ".join([*index.computed.keys, index.computed.condition or ""]).upper():
                    raise NotSupportedError(
                        f"PRAGMA case_sensitive_like is not supported while index {index.name} depends on LIKE"
                    )

    def close(self) -> None:
        """Close the database that holds the settings."""
        self._settings.close()
