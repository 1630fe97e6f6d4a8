"""Keeps the history that this process' long transactions need, by pins in their stores.

A transaction that has lasted for a third of the retention is pinned, and the pin is renewed for as long as it is
open, whether or not it makes statements: by a thread, on a connection of its own. So a transaction itself never waits
for that, and a short one costs nothing: it leaves a note on its connection (`Store.held`), at which the thread looks.

A process has one pin for each database, on the oldest version that it needs; newer ones are covered. A transaction
whose history cannot be kept learns why from the note, and fails at its next statement.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from weakref import ref

from rome.errors import ConflictError, Error, SnapshotTooOldError, TransactionTooLongError
from rome.store.periodic import PeriodicThread
from rome.store.spi import HeldSnapshot, Store, Version

_log = logging.getLogger("rome.pins")

clock: Callable[[], float] = time.monotonic
"""Returns seconds, in which the age of transactions is measured. Tests replace it."""

PINNED_AT = 1 / 3
"""The share of the retention after which a transaction is pinned."""

LOOKS = 12
"""How often the thread looks within a retention."""

PERIOD_S = 0.05, 1.0
"""The shortest and the longest pause between two looks."""

LEAST_LEASE_S = 5.0
"""A pin lasts for the retention, from each renewal on, and at least for so long."""

RENEWED_AT = 1 / 3
"""The share of the lease after which a pin is renewed."""


class _LongTransaction(NamedTuple):
    held: HeldSnapshot
    store: Store


class _Pinned:
    """This process' pin in one database, as far as there is one, and the connection by which it is renewed."""

    def __init__(self) -> None:
        self.ticket = secrets.token_bytes(16)
        self._connection: Store | None = None
        self._beside: ref[Store] | None = None
        self.version: Version | None = None
        self.lease_s = 0.0
        self.renewed_at = 0.0

    def covers(self, version: Version, now: float) -> bool:
        """Whether there is a pin on this version or an older one, and it need not be renewed yet."""
        return (
            self.version is not None and self.version <= version and now < self.renewed_at + RENEWED_AT * self.lease_s
        )

    def pin(self, held: HeldSnapshot, beside: Store, now: float) -> bool:
        """Pin this version, or renew its pin; returns whether its history was still there.

        Args:
            beside: a connection to the database, which its owner may be using.

        Raises:
            Error: see Store.pin.
        """
        connection = self._connected(beside)
        newest = beside if self.version is None else connection  # which has heard of it when it pinned
        lease_s = max(newest.known_retention().seconds, LEAST_LEASE_S)
        version = held.snapshot.version
        try:
            floor = connection.pin(self.ticket, held.snapshot, lease_s, owner=owner(), age_s=max(0.0, now - held.since))
        finally:
            self._disconnect_from_file()
        if floor > version:
            return False
        self.version, self.lease_s, self.renewed_at = version, lease_s, now
        return True

    def unpin(self) -> None:
        """End the pin, as far as that is possible; otherwise it ends at its deadline."""
        with suppress(Error):
            store = None if self._beside is None else self._beside()
            if self.version is not None and (self._connection or store):
                self._connected(self._connection or store).unpin(self.ticket)  # type: ignore[arg-type]  # one is there
        self.version = None
        self.disconnect()

    def _connected(self, beside: Store) -> Store:
        if self._connection is None:
            self._connection = beside.another()
            self._beside = ref(beside)
        return self._connection

    def _disconnect_from_file(self) -> None:
        """Do not keep open what the application closes, so that it may delete it, or open it with other options."""
        if self._connection is not None and not self._connection.capabilities.network:
            self.disconnect()

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Error):
                connection.close()


class SnapshotKeeper:
    """Looks after the transactions of all connections of this process."""

    def __init__(self) -> None:
        self._thread = PeriodicThread("rome-keeper", self.look, self._pause_s, join_s=1.0)
        self._of_parents: list[_Pinned] = []
        self._forget()
        os.register_at_fork(after_in_child=self._forget_parents)

    def _forget(self) -> None:
        self._stores: dict[int, ref[Store]] = {}
        self._pinned: dict[bytes, _Pinned] = {}
        self._period_s = PERIOD_S[1]
        self._due = clock() + self._period_s
        self._is_registered = False

    def _forget_parents(self) -> None:
        # The parent's connections are not closed here, since it uses them.
        self._of_parents += self._pinned.values()
        for each in self._stores.values():
            if (store := each()) is not None:
                store.watched = False
        self._forget()

    def watch(self, store: Store) -> None:
        """Look at a connection from now on; called at its first transaction, after `held` was set."""
        self._stores[id(store)] = ref(store)
        store.watched = True
        period_s = self._period_of(store)
        if not self._thread.is_running:
            self._period_s = period_s
            self._due = clock() + period_s
        elif period_s < self._period_s:
            self._thread.wake()
        self._thread.watch()

    def stop(self) -> None:
        """Let the thread end, and wait for that for a second."""
        self._thread.stop()

    def pause(self) -> None:
        """Let the thread end before a fork, and wait for that for a second; afterwards it goes on."""
        self._thread.pause()

    def age_s(self, held: HeldSnapshot) -> float:
        """For how long a transaction has been open while this process was running."""
        now = clock()
        paused_s = held.paused_s
        if self._thread.is_running and now - self._due > self._period_s:  # we have not noticed it yet
            paused_s += now - self._due
        return now - held.since - paused_s

    def _pause_s(self) -> float:
        return self._period_s

    @staticmethod
    def _period_of(store: Store) -> float:
        return min(max(store.known_retention().seconds / LOOKS, PERIOD_S[0]), PERIOD_S[1])

    def look(self) -> bool:
        """Look at all transactions once; returns whether there is a connection to look at again."""
        now = clock()
        late_s = now - self._due
        period_s = PERIOD_S[1]
        long: dict[bytes, list[_LongTransaction]] = {}
        for number, each in self._stores.copy().items():
            store = each()
            if store is None:
                del self._stores[number]
                continue
            period_s = min(period_s, self._period_of(store))
            held = store.held
            if held is None:
                continue
            if late_s > max(self._period_s, 1.0):
                held.paused_s += late_s
            if self._is_long(held, store, now):
                long.setdefault(held.snapshot.incarnation, []).append(_LongTransaction(held, store))
        for incarnation, transactions in long.items():
            self._keep(self._pinned.setdefault(incarnation, _Pinned()), transactions)
        for incarnation in self._pinned.keys() - long.keys():
            self._pinned.pop(incarnation).unpin()
        self._period_s = period_s
        self._due = clock() + period_s
        return bool(self._stores)

    @staticmethod
    def _is_long(held: HeldSnapshot, store: Store, now: float) -> bool:
        """Whether a transaction is to be pinned. One that has lasted longer than it may fails."""
        if held.failure is not None or not store.capabilities.pins or not store.max_transaction_s:
            return False
        age_s = now - held.since
        if age_s - held.paused_s >= store.max_transaction_s:
            held.failure = TransactionTooLongError.of_limit(age_s, store.max_transaction_s)
            return False
        return held.pinned or age_s >= PINNED_AT * store.known_retention().seconds

    def _keep(self, pinned: _Pinned, transactions: list[_LongTransaction]) -> None:
        """Pin the oldest snapshot of some transactions of one database. One round trip, or none."""
        left = sorted(transactions, key=lambda each: each.held.snapshot.version)
        now = clock()
        while left and not pinned.covers(left[0].held.snapshot.version, now):
            held, store = left[0]
            try:
                if pinned.pin(held, store, now):
                    self._unpin_at_exit()
                    break
                held.failure = SnapshotTooOldError.of()
            except ConflictError as error:
                held.failure = error
            except Error as error:
                _log.debug("cannot pin version %d: %s", held.snapshot.version, error)
                pinned.disconnect()
                for each in left:
                    each.held.unreachable = True
                return
            del left[0]
        for each in left:
            each.held.pinned, each.held.unreachable = True, False
        if not left:
            pinned.unpin()

    def _unpin_at_exit(self) -> None:
        if not self._is_registered:
            self._is_registered = True
            atexit.register(self._exit, os.getpid())

    def _exit(self, process: int) -> None:
        if process == os.getpid():
            self.stop()
            for pinned in self._pinned.values():
                pinned.unpin()


def owner() -> str:
    """How doctor names this process."""
    return f"{os.getpid()}@{socket.gethostname()}"


KEEPER = SnapshotKeeper()
