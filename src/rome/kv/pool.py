"""A database's connections to its store: each is used by one transaction at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from rome.errors import InterfaceError, StoreUnavailableError
from rome.store.spi import Store
from rome.transaction.commit_turn import CommitTurn

MAX_IDLE = 16


class PooledStore(NamedTuple):
    """One connection, and its part in the commit queue."""

    store: Store
    turn: CommitTurn


class StorePool:
    """Opens connections as they are needed, and keeps some for later transactions. Threads may share it."""

    def __init__(self, open_store: Callable[[], Store], *, commit_turn: bool) -> None:
        self._open_store = open_store
        self._commit_turn = commit_turn
        self._lock = Lock()
        self._idle: list[PooledStore] = []
        self._process = os.getpid()
        self._of_parents: list[PooledStore] = []
        self.is_closed = False

    def _take(self) -> PooledStore:
        """Take a connection.

        Raises:
            InterfaceError: the database is closed.
            StoreUnavailableError, AuthenticationError: see Store.open.
        """
        if self._process != os.getpid():
            self._leave_to_parent()
        while True:
            with self._lock:
                if self.is_closed:
                    raise InterfaceError("this database is closed")
                found = self._idle.pop() if self._idle else None
            if found is None:
                store = self._open_store()
                return PooledStore(store, CommitTurn(store, enabled=self._commit_turn))
            if found.store.is_usable():
                return found
            found.store.close()

    @contextmanager
    def lent(self) -> Iterator[PooledStore]:
        """Lend a connection; one that an exception may have left in the middle of something is not used again."""
        lent, sound = self._take(), False
        try:
            yield lent
            sound = True
        except Exception as error:
            sound = not isinstance(error, StoreUnavailableError)
            raise
        finally:
            self._give(lent, sound=sound)

    def _give(self, used: PooledStore, *, sound: bool) -> None:
        """Take a connection back, and close one that is not sound."""
        if sound:
            used.store.release()
        with self._lock:
            if sound and not self.is_closed and len(self._idle) < MAX_IDLE:
                self._idle.append(used)
                return
        used.store.close()

    def close(self) -> None:
        """Close all connections that nobody uses; the others follow when they are given back. Idempotent."""
        with self._lock:
            idle, self._idle = self._idle, []
            self.is_closed = True
        for each in idle:
            each.store.close()

    def _leave_to_parent(self) -> None:
        """In a forked child: forget the parent's connections, without closing what the parent still uses."""
        self._lock = Lock()
        self._of_parents += self._idle
        self._idle, self._process = [], os.getpid()
