"""Apply one bounded piece of a bulk change: in one commit, or, where that is too large, in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from rome.bulk.job import Job
from rome.bulk.progress import Counter
from rome.errors import CommitUnknownError, TransactionTooLargeError
from rome.retry import run_transaction

ROWS_PER_COMMIT = 1_000
"""How many rows a commit takes unless the caller says otherwise. With more, a commit costs less per row and meets more
conflicts; every store takes 1,000 rows of common size."""

_ATTEMPTS_AT_A_LOST_ANSWER = 5

Item = TypeVar("Item")


class Pieces:
    """Applies pieces one after another.

    Args:
        apply: changes the rows of these items; returns how many rows that were.
        position: the position after the last of some items.
    """

    def __init__(
        self,
        engine: Engine,
        job: Job,
        counter: Counter,
        apply: Callable[[Connection, Sequence[Any]], int],
        position: Callable[[Sequence[Any]], object],
    ) -> None:
        self._engine, self._job, self._counter = engine, job, counter
        self._apply, self._position = apply, position

    def run(self, items: Sequence[Item]) -> None:
        """Apply the items in one commit; if it is too large, each half by itself.

        Raises:
            BulkJobError: another process runs the same job.
            DBAPIError: of the database; the commits before stay.
        """
        try:
            rows = self._commit(items)
        except DBAPIError as error:
            if not isinstance(error.orig, TransactionTooLargeError) or len(items) < 2:
                raise
            middle = len(items) // 2
            self.run(items[:middle])
            self.run(items[middle:])
            return
        self._counter.committed(rows)

    def _commit(self, items: Sequence[Item]) -> int:
        position = self._position(items)

        rows = 0

        def work(connection: Connection) -> None:
            nonlocal rows  # it is wanted also if the answer to COMMIT is lost
            self._job.move(connection, position)
            rows = self._apply(connection, items)

        for attempt in range(_ATTEMPTS_AT_A_LOST_ANSWER):
            try:
                run_transaction(self._engine, work)
                break
            except DBAPIError as error:
                # The position tells what became of it; without a job the caller has to find out.
                last = attempt + 1 == _ATTEMPTS_AT_A_LOST_ANSWER
                if not isinstance(error.orig, CommitUnknownError) or not self._job.is_named or last:
                    raise
            if run_transaction(self._engine, lambda connection: self._job.is_at(connection, position)):
                break
        self._job.position = position
        return rows
