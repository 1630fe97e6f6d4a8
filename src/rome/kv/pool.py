"""A database's connections to its store: each is used by one transaction at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from rome.errors import InterfaceError, StoreUnavailableError
from rome.kv.layout import OWN_TABLES, shown_collection
from rome.store.spi import Store
from rome.transaction.commit_turn import CommitTurn
from rome.transaction.totals import CommitDurations, DatabaseLabel, Totals, closed, conflicts_by_table, opened
from rome.transaction.transaction import Transaction

MAX_IDLE = 16


class PooledStore:
    """One connection, its part in the commit queue, and what it has done (see rome.metrics).

    Args:
        names: of the collections that are known, by the ids of their tables; shared by all connections of a database.
    """

    def __init__(self, store: Store, turn: CommitTurn, names: Mapping[int, str]) -> None:
        self.store, self.turn = store, turn
        self._names = names
        self._counts: Counter[str] = Counter()
        self._durations = CommitDurations()

    def count_reads(self, transaction: Transaction) -> None:
        """Count what a transaction has read."""
        self._counts["rows"] += transaction.rows_read
        self._counts["bytes"] += transaction.bytes_read
        self._counts["waves"] += transaction.waves

    def count_commit(self, transaction: Transaction, rows_written: int) -> None:
        """Count the commit of a transaction."""
        self._counts["commits"] += 1
        self._counts["rows_written"] += rows_written
        self._durations.add(transaction.commit_s)

    def totals(self) -> Totals:
        """A copy of the counters; any thread may ask."""
        counts, store = self.turn.counts, self.store
        made: dict[str, float] = dict(self._counts)
        made |= {"round_trips": store.round_trips, "near_trips": store.near_trips, "turns": self.turn.taken}
        made |= {"claims": counts.claims, "queue_wait_s": counts.queue_wait_s, "failures": counts.failures}
        known = dict(self._names) if counts.conflicts else {}
        names = OWN_TABLES | {table_id: shown_collection(name) for table_id, name in known.items()}
        conflicts = conflicts_by_table(counts.conflicts.copy(), names)
        made["conflicts"] = conflicts.total()
        return Totals(made, conflicts, self._durations)

    def close(self) -> None:
        """Close the connection, and keep what it has counted."""
        closed(self)
        self.store.close()


class StorePool:
    """Opens connections as they are needed, and keeps some for later transactions. Threads may share it."""

    def __init__(
        self, open_store: Callable[[], Store], *, commit_turn: bool, label: DatabaseLabel, names: Mapping[int, str]
    ) -> None:
        self._open_store = open_store
        self._label, self._names = label, names
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
                found = PooledStore(store, CommitTurn(store, enabled=self._commit_turn), self._names)
                opened(found, self._label)
                return found
            if found.store.is_usable():
                return found
            found.close()

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
        used.close()

    def close(self) -> None:
        """Close all connections that nobody uses; the others follow when they are given back. Idempotent."""
        with self._lock:
            idle, self._idle = self._idle, []
            self.is_closed = True
        for each in idle:
            each.close()

    def _leave_to_parent(self) -> None:
        """In a forked child: forget the parent's connections, without closing what the parent still uses."""
        self._lock = Lock()
        self._of_parents += self._idle
        self._idle, self._process = [], os.getpid()
