"""Watching keys and collections: what has been changed since a position, in the order of the commits.

Stores have nothing that tells a client of a commit by itself (etcd has, of single keys, and not as of one version); so
a watch asks for new entries of the feed, in one round trip that costs the store little while nothing has happened.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from rome.errors import InterfaceError, SnapshotLostError, SnapshotTooOldError
from rome.kv.feed import STATE_KEY, FeedState, decode_entry, entries_from, state_of
from rome.kv.keys import Key, encode_parts
from rome.kv.layout import FEED
from rome.store.spi import BEYOND, Get, Request, Row, ScanResult, Snapshot, Store, Version

POLL_S = 0.2
"""How often a watch asks."""


class FeedPosition(NamedTuple):
    """A place in the order of all commits of a database. Its text is what applications store.

    Attributes:
        incarnation: names the history, in which versions never ran backwards.
        epoch: an epoch of the feed that was current at this version or before.
    """

    incarnation: bytes
    epoch: int
    version: Version

    def __str__(self) -> str:
        return f"{self.incarnation.hex()}:{self.epoch}:{self.version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of str().

        Raises:
            InterfaceError: it is no position.
        """
        found = re.fullmatch(r"([0-9a-f]{32}):(\d+):(\d+)", text)
        if found is None:
            raise InterfaceError(f"{text!r} is no position: take it from KvDatabase.position or KeyChange.position")
        return cls(bytes.fromhex(found[1]), int(found[2]), int(found[3]))


class KeyChange(NamedTuple):
    """A commit has put or deleted a key.

    Attributes:
        collection: its name; None for a plain key.
        key: its parts; of an object's key as they are in indexes (a UUID as 16 bytes).
        deleted: whether it was deleted; else it was put. What it is now, `get` tells.
        version: of the commit.
        position: a watch that goes on from here gives the later commits.
    """

    collection: str | None
    key: Key
    deleted: bool
    version: Version
    position: str


Wanted = Callable[[int, Key], bool]


def wanted(table_id: int, prefix: Key) -> Wanted:
    """What asks whether a change is to be shown: one of this table, whose key begins with these parts."""
    encode_parts(prefix)
    length = len(prefix)
    return lambda table, key: table == table_id and key[:length] == prefix


class Watch:
    """Changes since a position, as an iterator that waits for more; made by `KvDatabase.watch`.

    Every change is given at least once, in the order of commits; in one Watch exactly once. It has a connection of its
    own; one thread may use it at a time, and another one may close it.

    Attributes:
        position: from which a new Watch would go on.
    """

    def __init__(
        self,
        store: Store,
        since: FeedPosition | None,
        wanted: Wanted,
        name_of: Callable[[int], str | None],
        poll_s: float,
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._name_of = name_of
        self._poll_s = poll_s
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._known: Snapshot | None = None
        self._position = since
        if since is None:
            self.poll()

    @property
    def position(self) -> str:
        """The place of the last commit that was looked at, as text to be stored."""
        return str(self._position)

    def poll(self) -> list[KeyChange]:
        """Return the changes since the last call, without waiting for any.

        Raises:
            SnapshotTooOldError: changes after the position have been discarded: they are kept for the database's
                retention. Read everything, and watch from there.
            SnapshotLostError: the store lost commits that were given here, or after which the position was taken.
            InterfaceError: the watch is closed.

        Cost: one round trip.
        """
        with self._lock:
            if self._closed.is_set():
                raise InterfaceError("this watch is closed")
            return self._poll()

    def _poll(self) -> list[KeyChange]:
        before = self._position
        scan = entries_from(0 if before is None else before.epoch, self._known)
        requests: list[Request] = [Get(FEED, (STATE_KEY,))]
        if before is not None:
            requests.append(scan)
        if before is not None:  # a replica close by may not have it yet (reads=near)
            self._store.at_least = Snapshot(before.incarnation, before.version)
        result = self._store.read(None, requests)
        snapshot = result.snapshot
        first = result.answers[0]
        assert isinstance(first, list)
        state = state_of(snapshot.incarnation, first[0]).state
        here = FeedPosition(snapshot.incarnation, state.epoch, snapshot.version)
        if before is None:
            self._store.release()
            self._position = here
            return []
        answer = result.answers[1]
        assert isinstance(answer, ScanResult)
        _check(before, snapshot, state)
        rows = self._rest(answer, snapshot, before)
        self._store.release()
        self._known = snapshot
        found = self._changes(rows, before, here)
        self._position = here
        return found

    def _rest(self, answer: ScanResult, snapshot: Snapshot, before: FeedPosition) -> list[Row]:
        """All rows of a scan, however the store has cut it."""
        rows = list(answer.rows)
        while answer.resume is not None:
            scan = entries_from(before.epoch)
            more = self._store.read(snapshot, [type(scan)(scan.table_id, scan.index_id, answer.resume, BEYOND)])
            (found,) = more.answers
            assert isinstance(found, ScanResult)
            answer = found
            rows += answer.rows
        return rows

    def _changes(self, rows: list[Row], before: FeedPosition, here: FeedPosition) -> list[KeyChange]:
        new = sorted((row for row in rows if row.version > before.version), key=lambda row: row.version)
        found: list[KeyChange] = []
        for row in new:
            position = str(here._replace(epoch=before.epoch, version=row.version))
            for table_id, parts, deleted in decode_entry(row).changes:
                key = tuple(parts)
                if self._wanted(table_id, key):
                    found.append(KeyChange(self._name_of(table_id), key, deleted, row.version, position))
        return found

    def __iter__(self) -> Iterator[KeyChange]:
        """Give changes, and wait for more, until the watch is closed."""
        while not self._closed.is_set():
            try:
                yield from self.poll()
            except InterfaceError:
                if self._closed.is_set():
                    return
                raise
            self._closed.wait(self._poll_s)

    def wait(self, timeout_s: float) -> list[KeyChange]:
        """Return the next changes as soon as there are any; an empty list after `timeout_s` seconds without one."""
        until = time.monotonic() + timeout_s
        while not (found := self.poll()):
            left = until - time.monotonic()
            if left <= 0 or self._closed.wait(min(left, self._poll_s)):
                return []
        return found

    def close(self) -> None:
        """End the watch; an iteration in another thread ends. Idempotent."""
        self._closed.set()
        with self._lock:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _check(before: FeedPosition, snapshot: Snapshot, state: FeedState) -> None:
    if before.incarnation != snapshot.incarnation or before.version > snapshot.version:
        raise SnapshotLostError.of_watch(before.version)
    if before.version < state.floor:
        raise SnapshotTooOldError.of_watch(before.version)
