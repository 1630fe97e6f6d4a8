"""A savepoint of the working set to which a block of code returns, whatever is raised in it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rome.workingset.workingset import WorkingSet


class AllOrNothing:
    """A context manager: what its block does to the working set stands if it ends normally, or is undone as a whole.

    Rows, temporary tables and last_insert_rowid() are restored. With `with_contents` so are `contents` and the
    counters; a run of one statement does without, and avoids the copies, since it notes what it touched only once it
    stands.

    If SQLite ends the transaction inside the block, as INSERT OR ROLLBACK does, there is nothing left to return to.
    """

    __slots__ = ("_contents", "_counters", "_last_rowid", "_working_set")

    def __init__(self, working_set: WorkingSet, *, with_contents: bool = False) -> None:
        self._working_set = working_set
        self._contents = working_set.contents.copy() if with_contents else None
        self._counters = working_set.counters if with_contents else None
        self._last_rowid = 0

    def __enter__(self) -> Self:
        connection = self._working_set.connection
        self._last_rowid = connection.last_insert_rowid()
        connection.execute("SAVEPOINT rome_block")
        return self

    def back(self) -> None:
        """Undo what the block has done until now; the block goes on."""
        working_set = self._working_set
        working_set.connection.execute("ROLLBACK TO rome_block")
        working_set.connection.set_last_insert_rowid(self._last_rowid)
        if self._contents is not None and self._counters is not None:
            working_set.contents, working_set.counters = self._contents.copy(), self._counters

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._working_set.connection.in_transaction:
            if kind is not None:
                self.back()
            self._working_set.connection.execute("RELEASE rome_block")
