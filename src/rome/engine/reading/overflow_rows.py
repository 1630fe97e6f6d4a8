"""The rows of a query that runs on a temporary file, for a caller that asks for them as they come.

All that the query needs has been read before, so neither its snapshot nor its transaction need last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import apsw

from rome.codec.values import SqlValue
from rome.engine.result import UnreadRows
from rome.errors import Error, InterruptedTransactionError
from rome.transaction.transaction import Transaction
from rome.workingset.interruption import Interruption
from rome.workingset.overflow import Overflow
from rome.workingset.sqlite_errors import not_unicode, translate
from rome.workingset.workingset import SqlRow

STEPS = 1_000
"""How many rows SQLite is asked for at once."""


class OverflowRows(UnreadRows):
    """The rows of one query, as SQLite makes them.

    Args:
        database: has what the query needs, and is closed with the rows.
    """

    def __init__(
        self, database: Overflow, interruption: Interruption, sql: str, parameters: Sequence[SqlValue]
    ) -> None:
        self.is_finished = False
        self._database, self._interruption = database, interruption
        self._sql, self._parameters = sql, parameters
        self._rows: Iterator[SqlRow] | None = None
        self._error: Error | None = None

    @property
    def reads(self) -> bool:
        """No: everything has been read."""
        return False

    def is_of(self, transaction: Transaction) -> bool:
        """No: the rows outlast it."""
        return False

    def next_rows(self) -> Sequence[SqlRow]:
        """The next rows.

        Raises:
            rome.errors.Error: SQLite's error; and again, whenever there are more rows to be asked for.
        """
        if self._error is not None:
            raise self._error
        if self.is_finished:
            return ()
        self._interruption.running = True
        try:
            if self._rows is None:
                self._rows = iter(
                    cast("Iterator[SqlRow]", self._database.connection.execute(self._sql, self._parameters))
                )
            found = list(islice(self._rows, STEPS))
        except apsw.Error as error:
            raised: Error = translate(error)
            self.refuse(raised)
            raise raised from error
        except UnicodeDecodeError as error:
            raised = not_unicode(error)
            self.refuse(raised)
            raise raised from error
        except BaseException:
            self.refuse(InterruptedTransactionError("an exception from outside came while rows were read"))
            raise
        finally:
            self._interruption.running = False
        if len(found) < STEPS:
            self.close()
        return found

    def read_rest(self) -> None:
        """Do nothing: everything has been read."""

    def refuse(self, error: Error) -> None:
        """Let whoever asks for more rows get this error."""
        self._error = error
        self._database.close()

    def close(self) -> None:
        """Forget the rest."""
        self.is_finished = True
        self._rows = None
        self._database.close()
