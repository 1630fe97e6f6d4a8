"""One connection's place in an open file, and the snapshot that it reads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from threading import Lock
from typing import Final
from weakref import ref

from rome.errors import SnapshotTooOldError
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
        unread: keys that are read when they are asked for, when the snapshot ends, or before a fork.
    """

    def __init__(self, watch: Callable[[], None]) -> None:
        self.lock = Lock()
        self.txn: LmdbTransaction | None = None
        self.version = 0
        self.watch = watch
        self.unread: list[ref[UnreadKeys]] = []

    def end(self) -> None:
        """End the snapshot, if there is one."""
        txn = self.txn
        if txn is not None:
            try:
                if self.unread:
                    self.read_keys()
            finally:
                self.txn = None
                txn.abort()

    def read_keys(self) -> None:
        """Read the unread keys of the blocks that are left; with the lock held."""
        if self.txn is not None:
            for reference in self.unread:
                keys = reference()
                if keys is not None:
                    keys.read_in(self.txn)
        self.unread.clear()

    def end_below(self, floor: int) -> None:
        """End the snapshot if it is older than this; skip one in use, which the reaper will find again next time."""
        if self.version < floor and self.lock.acquire(blocking=False):
            try:
                if self.version < floor:
                    self.end()
            finally:
                self.lock.release()


_UNREAD: Final = 64
"""From so many on a pin looks which are gone, as a long transaction may make any number."""


class UnreadKeys:
    """The keys of a scan's rows in the file, of which most often nobody asks for more than the records.

    A key costs as much to read as a record. So they are left in the file until somebody asks, or the snapshot ends.
    """

    __slots__ = ("__weakref__", "_count", "_first", "_keys", "_pin", "_skip")

    def __init__(self, pin: Pin, first: bytes, count: int, skip: int) -> None:
        """`count` keys of the pin's snapshot, from `first` on, without a header of `skip` bytes; with the lock held."""
        self._pin, self._first, self._count, self._skip = pin, first, count, skip
        self._keys: list[bytes] | None = None
        if len(pin.unread) >= _UNREAD:
            pin.unread[:] = [reference for reference in pin.unread if reference() is not None]
        pin.unread.append(ref(self))

    def read(self) -> list[bytes]:
        """The keys.

        Raises:
            SnapshotTooOldError: the snapshot is gone, and they could not be read before, because of an error.
        """
        if self._keys is None:
            with self._pin.lock:
                if self._keys is None:
                    if self._pin.txn is None:
                        raise SnapshotTooOldError.of()
                    self.read_in(self._pin.txn)
        assert self._keys is not None
        return self._keys

    def read_in(self, txn: LmdbTransaction) -> None:
        """Read the keys in the snapshot's transaction, unless they have been."""
        if self._keys is None:
            with txn.cursor() as cursor:
                cursor.set_range(self._first)
                skip, keys = self._skip, islice(cursor.iternext(values=False), self._count)
                self._keys = [key[skip:] for key in keys]
