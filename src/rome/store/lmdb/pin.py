"""One connection's place in an open file, and the snapshot that it reads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from rome.store.lmdb.ordered import LmdbTransaction


class Pin:
    """The read transaction that is a connection's snapshot, and what guards it.

    Nobody keeps `txn` in a variable beyond the time that the lock is held: a thread that did so in the middle of a fork
    would keep it alive in the child.

    Attributes:
        lock: held during every operation of the connection; without it, the reaper may end the snapshot at any time.
        txn: None when there is no snapshot. version: which one it is.
        watch: to be called after a snapshot has begun, so that the reaper ends it when it has become too old.
    """

    def __init__(self, watch: Callable[[], None]) -> None:
        self.lock = Lock()
        self.txn: LmdbTransaction | None = None
        self.version = 0
        self.watch = watch

    def end(self) -> None:
        """End the snapshot, if there is one."""
        if self.txn is not None:
            self.txn.abort()
            self.txn = None

    def end_below(self, floor: int) -> None:
        """End a snapshot that is older; not one that is being used, which the next look will find again."""
        if self.version < floor and self.lock.acquire(blocking=False):
            try:
                if self.version < floor:
                    self.end()
            finally:
                self.lock.release()
