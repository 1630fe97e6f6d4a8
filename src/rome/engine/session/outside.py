"""Operations that run outside of transactions: BEGIN, and copies of the whole committed database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

from rome.engine.attempt import sqlite_file
from rome.engine.attempt.attempt import Attempt, Beginning
from rome.engine.attempt.context import ConnectionContext
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.result import Result
from rome.engine.session.dispatch import Statements
from rome.engine.session.replay import Replay
from rome.errors import NotSupportedError, OperationalError
from rome.planner.parse.statement import Statement, begins_to_write
from rome.sql import vacuum
from rome.store.spi import CATALOG_TABLE, Claim

_WRITERS = (Claim(CATALOG_TABLE, None),)
"""The claim of BEGIN IMMEDIATE. A transaction that changes the schema waits for it, too; others do not."""


class Outside:
    """What one connection does where no transaction is open that holds something.

    Args:
        commit: commits the open transaction.
    """

    def __init__(
        self, context: ConnectionContext, replay: Replay, statements: Statements, commit: Callable[[], object]
    ) -> None:
        self._context, self._replay, self._statements, self._commit = context, replay, statements, commit

    def begin(self, statement: Statement) -> Result:
        """BEGIN, where sqlite3 would have no transaction yet: also after reads, and after DDL, which is committed then.

        With IMMEDIATE or EXCLUSIVE it waits for those that have begun so, as for the lock of SQLite: none of them loses
        a race to another one. What applications bracket so, as Celery does, they do not run again after a conflict.

        Raises:
            OperationalError: a transaction is open; the message is SQLite's.
        """
        if self._context.query_only and begins_to_write(statement):
            raise OperationalError("attempt to write a readonly database")
        replay = self._replay
        replay.leave_if_it_holds_nothing()
        if type(replay.state) is Attempt and replay.state.holds_schema_alone():
            self._commit()
        if type(replay.state) is Attempt:
            implicit = replay.state.beginning is Beginning.STATEMENT
            hint = ": the statements before have begun one, COMMIT or ROLLBACK first" if implicit else ""
            raise OperationalError(f"cannot start a transaction within a transaction{hint}")
        replay.begin().beginning = Beginning.BEGIN
        if begins_to_write(statement):
            replay.turn.claim(_WRITERS)
        return Result()

    def vacuum(self, operation: LoggedOperation) -> Result:
        """VACUUM, which a store does not need; with INTO it writes what is committed to an SQLite file."""
        schema, into = vacuum.parse(operation.statement.text)
        if schema is not None and schema.lower() not in ("main", "temp"):
            raise OperationalError(f"unknown database {schema}")
        with self._newest("VACUUM") as current:
            if into is not None and schema is not None and schema.lower() == "temp":
                raise NotSupportedError("VACUUM temp INTO is not supported: a backup has the tables of the store")
            if into is not None:
                current.refresh()
                path = self._statements.file_name(current, into, operation.parameters)
                sqlite_file.write(current, path, self._context.workspace.equip)
        return Result()

    def copy_into(self, connection: apsw.Connection) -> None:
        """Put what is committed into an empty SQLite database.

        Raises:
            OperationalError: the open transaction has written something.
        """
        with self._newest("backup()") as current:
            current.refresh()
            sqlite_file.fill(current, connection, self._context.workspace.equip)

    @contextmanager
    def _newest(self, what: str) -> Iterator[Attempt]:
        """A transaction of the block's own that reads what is committed now, in the place of one that holds nothing.

        Raises:
            OperationalError: there is one that holds something, as SQLite says it of VACUUM.
        """
        self._replay.leave_if_it_holds_nothing()
        if type(self._replay.state) is Attempt:
            raise OperationalError(f"cannot {what} from within a transaction: COMMIT or ROLLBACK first")
        try:
            yield self._replay.begin()
        finally:
            self._replay.end(committed=False)
            self._replay.turn.leave()
