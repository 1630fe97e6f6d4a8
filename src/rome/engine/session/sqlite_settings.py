"""What users of sqlite3 define and set on a connection, and ask of its SQLite."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.context import ConnectionContext
from rome.engine.session.replay import Replay
from rome.engine.session.use import Use
from rome.engine.statement.definitions import Definitions, Install
from rome.errors import ProgrammingError


class SqliteSettings:
    """Those of one connection. None of it is an operation of a transaction."""

    def __init__(self, context: ConnectionContext, replay: Replay, use: Use) -> None:
        self._context, self._replay, self._use = context, replay, use
        self._workspace = context.workspace

    @property
    def definitions(self) -> Definitions:
        """What the application has defined; `define` is to be called with what a change of it gives."""
        return self._use.alone(lambda: self._workspace.definitions)

    def define(self, install: Install) -> None:
        """Define something on this connection, or take it away. A transaction that has something is not replayed."""
        self._use.alone(lambda: self._workspace.define(install))

    def interrupt(self) -> None:
        """End the statement that is being run, if SQLite runs it; may be called by any thread."""
        self._workspace.interruption.asked = True  # not the working set's: that may be another connection's soon

    def set_progress_handler(self, handler: Callable[[], object] | None, steps: int) -> None:
        """Call `handler` after this many of SQLite's steps, to ask whether to end the statement; None stops that."""

        def attach() -> None:
            working_set = self._workspace.working_set
            working_set.interruption.set_handler(handler, steps)
            working_set.interruption.attach(working_set.connection)

        self._use.alone(attach)

    @property
    def total_changes(self) -> int:
        """How many rows were inserted, changed or deleted on this connection, those of foreign key actions included."""

        def look() -> int:
            state = self._replay.state
            if type(state) is Attempt:  # it tells how many rows each statement has changed
                state.log.show_numbers()
            return self._workspace.working_set.total_changes

        return self._use.alone(look)

    def limit(self, category: int) -> int:
        """One of SQLite's limits.

        Raises:
            ProgrammingError: there is none of this number.
        """
        if category not in apsw.mapping_limits:
            raise ProgrammingError("'category' is out of bounds")
        return self._use.alone(lambda: self._workspace.working_set.connection.limit(category))

    def config(self, number: int) -> bool:
        """One of SQLite's settings (SQLITE_DBCONFIG_..), as the application sees it.

        Raises:
            ProgrammingError: there is none of this number that is on or off.
        """
        if number == apsw.SQLITE_DBCONFIG_ENABLE_FKEY:
            return self._context.foreign_keys
        try:
            return self._use.alone(lambda: bool(self._workspace.working_set.connection.config(number, -1)))
        except (apsw.Error, ValueError, TypeError) as error:
            raise ProgrammingError(f"unknown config 'op': {number}") from error
