"""One connection's place in an open file, and the snapshot that it reads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from rome.store.lmdb.ordered import LmdbTransaction


class Pin:
    """The read transaction that is a connection's snapshot, and what guards it.

    No code may keep `txn` in a variable after releasing the lock: during a fork, that thread would keep it alive in the
    child.

    Attributes:
        lock: held during every operation of the connection; while it is free, the reaper may end the snapshot at any
            time.
        txn: None when there is no snapshot. version: which one it is.
        watch: called after a snapshot has begun, so that the reaper ends it when it has become too old.
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
        """End the snapshot if it is older than this; skip one in use, which the reaper will find again next time."""
        if self.version < floor and self.lock.acquire(blocking=False):
            try:
                if self.version < floor:
                    self.end()
            finally:
                self.lock.release()
