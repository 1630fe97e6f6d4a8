"""A connection to a database in an LMDB file."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Self, TypedDict

from msgspec.structs import replace

from rome.errors import (
    CommitAbortedError,
    CommitUnknownError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreFullError,
    StoreUnavailableError,
    URLError,
)
from rome.store import spi
from rome.store.commit_queue import CommitQueue
from rome.store.diagnosis import Diagnosis
from rome.store.lmdb import commit, files
from rome.store.lmdb.diagnosis import diagnose
from rome.store.lmdb.environment import FAILURES, Environment
from rome.store.lmdb.files import DEFAULT_MAX_SIZE, DEFAULT_MODE
from rome.store.lmdb.ordered import LmdbTransaction
from rome.store.lmdb.pin import Pin
from rome.store.lmdb.read import answer
from rome.store.lmdb.state import State
from rome.store.location import Location
from rome.store.spi import (
    Capabilities,
    Claim,
    CommitRequest,
    PinnedSnapshot,
    ReadResult,
    Request,
    Reserve,
    Retention,
    Snapshot,
    StoreUsage,
    Version,
)

_MAX_SIZES: Final = range(1 << 20, (1 << 46) + 1)
_COMMITS_TRIMMED_AT_ONCE: Final = 1_000
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class LmdbStore(spi.Store):
    """A connection to a database in an LMDB file. No call waits for a network; one call counts as one round trip.

    Options:
        sync: "on": a commit is on the disk when it returns. "off": the operating system writes it later; only if the
            machine crashes it is lost, or the file damaged.
        max_size: the largest size of the file in bytes, also with a unit (512M, 20G). All processes should agree.
        file_mode: permissions of a new file and of its lock file, in octal; the umask is respected.
    """

    capabilities = Capabilities(durable=True, shared=True, network=False, pins=True)
    options = frozenset({"sync", "max_size", "file_mode"})

    def __init__(self, opened: Environment, pin: Pin, location: Location) -> None:
        self.round_trips = 0
        self._closed = False
        self._environment, self._pin = opened, pin
        self._trimming = commit.Trimming()
        self._location = location
        self._snapshot: Snapshot | None = None
        with pin.lock:
            state = opened.state()
        self._last_snapshot = Snapshot(state.incarnation, state.version)

    @classmethod
    def open(cls, location: Location) -> Self:
        pin = files.new_pin()
        try:
            return cls(files.acquire(location.database, pin, **_options(location)), pin, location)
        except BaseException:
            files.release(pin)
            raise

    def __del__(self) -> None:
        pin = getattr(self, "_pin", None)
        if pin is not None and not self._closed:
            files.release_later(pin)

    @classmethod
    def list_databases(cls, location: Location) -> list[str]:
        """Paths of the databases in the folder of `location.database`, absolute or relative as that is."""
        folder = os.path.dirname(location.database)
        try:
            names = os.listdir(folder or os.curdir)
        except OSError as error:
            raise StoreUnavailableError(f"cannot list {folder!r}: {error.strerror}") from error
        paths = sorted(os.path.join(folder, name) for name in names)
        return [path for path in paths if os.path.isfile(path) and files.is_database(path)]

    @classmethod
    def database_exists(cls, location: Location) -> bool:
        # By the file itself, since its folder may not exist, and a path can be written in several ways.
        return os.path.isfile(location.database) and files.is_database(location.database)

    @classmethod
    def drop_database(cls, location: Location) -> None:
        files.drop(location.database)

    @classmethod
    def diagnose(cls, location: Location) -> Diagnosis:
        return diagnose(location.database, **_options(location))

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        with self._pin.lock:
            opened = self._begin_round_trip()
            try:
                if snapshot is None:
                    self._snapshot = None
                    state = opened.renew(self._pin)
                    snapshot = self._snapshot = self._heard_of(state, state.version)
                elif snapshot != self._snapshot:
                    raise SnapshotLostError.of_another(snapshot.version)
                elif self._pin.txn is None:
                    raise SnapshotTooOldError.of()
                else:
                    state = opened.state()
                    commit.check_snapshot(state, snapshot)
                answers = answer(self._pin, snapshot, requests)
                reserved = self._reserve(opened, reserves) if reserves else []
            except FAILURES as error:
                raise opened.translated(error) from error
        return ReadResult(snapshot, state.catalog_version, answers, reserved)

    @staticmethod
    def _reserve(opened: Environment, reserves: Sequence[Reserve]) -> list[int]:
        txn = opened.read()  # not the snapshot's, since later commits count, too
        try:
            committed = [commit.committed_number(txn, reserve.sequence) for reserve in reserves]
        finally:
            txn.abort()
        return [opened.numbers.take(reserve, last) for reserve, last in zip(reserves, committed, strict=True)]

    def release(self) -> None:
        self._snapshot = self.held = None
        with self._pin.lock:
            self._pin.end()

    def last_snapshot(self) -> Snapshot:
        return self._last_snapshot

    def commit(self, request: CommitRequest) -> Version:
        with self._pin.lock:
            opened = self._begin_round_trip()
            try:
                self._snapshot = None
                self._pin.end()
                if request.writes():
                    state, version = self._applied(opened, request)
                else:
                    state, version = self._validated(opened, request)
                self._heard_of(state, version)
                return version
            except FAILURES as error:
                raise opened.translated(error) from error

    def _validated(self, opened: Environment, request: CommitRequest) -> tuple[State, Version]:
        txn = opened.read()
        try:
            state = opened.state_in(txn)
            version = commit.outcome(txn, request.transaction_id)
            if version is None:
                commit.validate(txn, state, request)
                version = state.version
            return state, version
        finally:
            txn.abort()

    def _applied(self, opened: Environment, request: CommitRequest) -> tuple[State, Version]:
        def apply(txn: LmdbTransaction) -> tuple[State, Version]:
            state = opened.state_in(txn)
            version = commit.claim_id(txn, state, request.transaction_id)
            if version is None:
                found = commit.validate(txn, state, request)
                queue = commit.read_queue(txn)
                if queue is not None:
                    queue.check(request)
                    if queue.leave(request.ticket) or not queue.places:
                        commit.write_queue(txn, queue)
                self._check_room(opened, request)
                state = commit.apply(txn, state, request, found)
                version = state.version
                if self._trimming.is_due(state):
                    limit = commit.COMMITS_TRIMMED_PER_COMMIT
                    state, _ = commit.trim(txn, state, limit, opened.garbage_bytes, self._trimming)
                opened.know(state.write(txn), state)
            return state, version

        applied = opened.write(apply, request.transaction_id)
        if request.settings:
            opened.numbers.set(request.settings)
        return applied

    def _check_room(self, opened: Environment, request: CommitRequest) -> None:
        """Deletes may use the whole file; everything else must leave a part of it for them."""
        if opened.has_room():
            return
        used, room = opened.used_bytes(), opened.room
        if used > room and (
            any(record is not None for rows in request.rows.values() for record in rows.values())
            or any(present for entries in request.entries.values() for present in entries.values())
        ):
            raise StoreFullError(f"{opened.path} uses {used} of {room} bytes: delete rows, or raise max_size")

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        with self._pin.lock, self._round_trip() as opened:

            def outcome(txn: LmdbTransaction) -> Version | None:
                state = opened.state_in(txn)
                try:
                    version = commit.outcome(txn, transaction_id)
                except CommitAbortedError:
                    return None
                if version is None:
                    if snapshot < state.floor:
                        raise CommitUnknownError.trimmed(transaction_id, snapshot)
                    commit.abort(txn, state, transaction_id).write(txn)
                return version

            return opened.write(outcome)

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        def take(txn: LmdbTransaction) -> CommitQueue:
            queue = commit.read_queue(txn) or commit.new_queue()
            queue.take(ticket, claims, lease_s)
            commit.write_queue(txn, queue)
            return queue

        with self._pin.lock, self._round_trip() as opened:
            txn = opened.read()  # read first: most often the entry stays as it is, and a write costs an fsync
            try:
                queue = commit.read_queue(txn)
            finally:
                txn.abort()
            if queue is None or queue.take(ticket, claims, lease_s):
                queue = opened.write(take)
            return queue.ahead(ticket)

    def leave_queue(self, ticket: bytes) -> None:
        def leave(txn: LmdbTransaction) -> None:
            queue = commit.read_queue(txn)
            if queue is not None and queue.leave(ticket):
                commit.write_queue(txn, queue)

        with self._pin.lock, self._round_trip() as opened:
            opened.write(leave)

    def trim(self) -> int:
        count = 0
        while True:
            with self._pin.lock, self._round_trip() as opened:
                opened.check_readers()
                trimmed = opened.write(self._trimmed)
            count += trimmed
            if trimmed < _COMMITS_TRIMMED_AT_ONCE:
                return count

    def _trimmed(self, txn: LmdbTransaction) -> int:
        opened = self._environment
        before, limit = opened.state_in(txn), _COMMITS_TRIMMED_AT_ONCE
        state, trimmed = commit.trim(txn, before, limit, opened.garbage_bytes, self._trimming)
        state.write(txn)
        return trimmed

    def retention(self) -> Retention:
        with self._pin.lock, self._round_trip() as opened:
            return opened.state().retention

    def set_retention(self, retention: Retention) -> None:
        with self._pin.lock, self._round_trip() as opened:
            opened.write(lambda txn: replace(opened.state_in(txn), retention=retention).write(txn))

    def usage(self, recent: int = 0) -> StoreUsage:
        with self._pin.lock, self._round_trip() as opened:
            txn = opened.read()
            try:
                state = opened.state_in(txn)
                queue = commit.read_queue(txn)
                oldest_s, commits = commit.history(txn, recent)
                sequences = commit.committed_numbers(txn)
                pins = commit.read_pins(txn).shown()
            finally:
                txn.abort()
            for sequence, last in opened.numbers.all().items():
                sequences[sequence] = max(last, sequences.get(sequence, 0))
            size = opened.usage()
            return StoreUsage(
                version=state.version,
                commits=state.version - state.floor,
                history_bytes=state.kept_bytes,
                oldest_s=oldest_s,
                newest_s=commits[0].age_s if commits else None,
                retention=state.retention,
                queue=[] if queue is None else [place.claims for place in queue.places],
                sequences=sequences,
                used_bytes=size.used_bytes,
                max_bytes=opened.room,
                live_snapshots=len(size.snapshots),
                pins=pins,
                recent=commits[:recent],
            )

    def known_retention(self) -> Retention:
        state = self._environment.known_state()
        return Retention() if state is None else state.retention

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        def put(txn: LmdbTransaction) -> Version:
            state = opened.state_in(txn)
            with suppress(SnapshotTooOldError):
                commit.check_snapshot(state, snapshot)
                pins = commit.read_pins(txn)
                pins.put(ticket, snapshot.version, lease_s, age_s=age_s, owner=owner)
                commit.write_pins(txn, pins, opened.garbage_bytes())
            return state.floor

        with self._pin.lock, self._round_trip() as opened:
            return opened.write(put)

    def unpin(self, ticket: bytes) -> None:
        def remove(txn: LmdbTransaction) -> None:
            pins = commit.read_pins(txn)
            if pins.remove(ticket):
                commit.write_pins(txn, pins, opened.garbage_bytes())

        with self._pin.lock, self._round_trip() as opened:
            opened.write(remove)

    def pins(self) -> list[PinnedSnapshot]:
        with self._pin.lock, self._round_trip() as opened:
            txn = opened.read()
            try:
                return commit.read_pins(txn).shown()
            finally:
                txn.abort()

    def another(self) -> Self:
        if not self.database_exists(self._location):
            raise StoreUnavailableError.dropped(self._environment.path)
        return type(self).open(self._location)

    def is_usable(self) -> bool:
        with self._pin.lock:
            return not self._closed and not self._environment.gone and self._environment.seems_current()

    def close(self) -> None:
        self._closed = True
        self._snapshot = self.held = None
        files.release(self._pin)

    def _begin_round_trip(self) -> Environment:
        """Before what is done with the lock of the pin held. Whoever does it translates FAILURES."""
        opened = self._environment
        if self._closed:
            raise StoreUnavailableError.closed()
        if opened.gone is not None:
            raise StoreUnavailableError(opened.gone)
        self.round_trips += 1
        return opened

    @contextmanager
    def _round_trip(self) -> Iterator[Environment]:
        """Around what is seldom done with the lock of the pin held; reads and commits need no generator.

        The lock is not taken in here: an exception from outside that comes while this one begins leaves it suspended
        for as long as somebody keeps the traceback. `with lock` itself cannot be interrupted.
        """
        opened = self._begin_round_trip()
        try:
            yield opened
        except FAILURES as error:
            raise opened.translated(error) from error

    def _heard_of(self, state: State, version: Version) -> Snapshot:
        last = self._last_snapshot
        if version != last.version or state.incarnation != last.incarnation:
            last = self._last_snapshot = Snapshot(state.incarnation, max(version, last.version))
        return last


class _FileOptions(TypedDict):
    max_size: int
    sync: bool
    mode: int


def _options(location: Location) -> _FileOptions:
    sync = location.options.get("sync", "on")
    if sync not in ("on", "off"):
        raise URLError(f"option sync={sync}: write on or off")
    return {
        "max_size": _max_size(location.options.get("max_size")),
        "sync": sync == "on",
        "mode": _mode(location.options.get("file_mode")),
    }


def _max_size(text: str | None) -> int:
    if text is None:
        return DEFAULT_MAX_SIZE
    size = re.fullmatch(r"([0-9]{1,18})([KMGT]?)B?", text.upper())
    if size is None or (max_size := int(size[1]) << _UNITS[size[2]]) not in _MAX_SIZES:
        raise URLError(f"option max_size={text}: write a number of bytes from 1M to 64T, such as 20G")
    return max_size & -mmap.PAGESIZE


def _mode(text: str | None) -> int:
    if text is None:
        return DEFAULT_MODE
    if re.fullmatch(r"0?[67][0-7][0-7]", text) is None:
        raise URLError(
            f"option file_mode={text}: write permissions in octal that let the owner read and write, such as 0640"
        )
    return int(text, 8)
