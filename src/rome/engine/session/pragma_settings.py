"""What PRAGMAs have set on one connection, for those that change nothing in Rome.

An SQLite database that holds nothing else reads their values and answers them, so that result sets, synonyms and limits
are SQLite's. It is opened when it is first asked.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import apsw

from rome.engine.result import Result
from rome.engine.statement.pragma import FIXED
from rome.errors import NotSupportedError
from rome.planner.parse.statement import Statement
from rome.workingset.sqlite_errors import translate

_JOURNAL_MODES = frozenset({"delete", "truncate", "persist", "memory", "wal", "off"})


class PragmaSettings:
    """The settings of one connection."""

    def __init__(self) -> None:
        self._database: apsw.Connection | None = None
        self._journal_mode = "delete"
        # SQLite keeps these two for all of a process, or not at all for a database in memory.
        self._numbers = {"mmap_size": 0, "soft_heap_limit": 0}

    def answer(self, statement: Statement) -> Result:
        """Set what is set, and answer as SQLite does.

        Raises:
            NotSupportedError: the value promises what Rome does not do. OperationalError: SQLite's.
        """
        name, argument = statement.name or "", statement.argument
        if name in FIXED:
            return _answer_fixed(statement)
        if name == "auto_vacuum":  # where there are tables, SQLite does not change it before VACUUM
            return Result() if argument is not None else Result(((name, None),), [(0,)])
        if name == "journal_mode":
            if argument is not None and argument.lower() in _JOURNAL_MODES:
                self._journal_mode = argument.lower()
            return Result(((name, None),), [(self._journal_mode,)])
        if name in self._numbers:
            if argument is not None and (number := _number(argument)) >= 0:
                self._numbers[name] = number
            return Result(((name, None),), [(self._numbers[name],)])
        if self._database is None:
            self._database = _open()
        result = ask(self._database, statement.text)
        if name == "wal_checkpoint" and self._journal_mode == "wal":
            return Result(result.columns, [(0, 0, 0)])
        return result

    def close(self) -> None:
        """Close the database that holds the settings, if it was opened."""
        if self._database is not None:
            self._database.close()


def _answer_fixed(statement: Statement) -> Result:
    """Answer a PRAGMA of which only one value is accepted.

    Raises:
        NotSupportedError: the value is another one.
    """
    name, argument = statement.name or "", statement.argument
    refusal = NotSupportedError(f"PRAGMA {name} = {argument} is not supported: {FIXED[name]}")
    if name == "hard_heap_limit":  # SQLite would keep it for all of the process
        if argument is not None and _number(argument) > 0:
            raise refusal
        return Result(((name, None),), [(0,)])
    if name == "locking_mode":  # of a database in memory it is always exclusive
        if argument is not None and argument.lower() == "exclusive":
            raise refusal
        return Result(((name, None),), [("normal",)])
    if name == "encoding" and argument is not None and argument.upper() not in ("UTF-8", "UTF8"):
        raise refusal  # SQLite ignores it where there are tables, and nobody could tell
    with closing(_open()) as trial:
        before = ask(trial, f"PRAGMA {name}").rows
        result = ask(trial, statement.text)
        if argument is not None and ask(trial, f"PRAGMA {name}").rows != before:
            raise refusal
    return result


def _open() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute("PRAGMA secure_delete=OFF; CREATE TABLE something (a)")  # what is empty can change its page size
    return connection


def ask(connection: apsw.Connection, text: str) -> Result:
    """Run a PRAGMA; if its result set is empty, it still has columns, as in sqlite3.

    Raises:
        rome.errors.Error: SQLite's error.
    """
    columns: list[tuple[str, str | None]] = []

    def describe(cursor: apsw.Cursor, *_: object) -> bool:
        columns.extend((name, None) for name, *_ in cursor.get_description())
        return True

    cursor = connection.cursor()
    cursor.exec_trace = describe
    try:
        rows: Any = cursor.execute(text).fetchall()
    except apsw.Error as error:
        raise translate(error) from error
    return Result(tuple(columns) or None, rows)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0
