"""A database's open file, shared by the connections of this process.

The map is as large as the file may become (`max_size`), from the start: address space costs nothing, and nothing has
to be done when the file grows. Alternative: start small and grow on MapFullError. But a new map ends all transactions
of the process, that is, the snapshots of all other connections, and makes every other process map the file anew.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final, NamedTuple, TypeVar
from weakref import ref

import lmdb

from rome.errors import (
    CommitUnknownError,
    CorruptRecordError,
    Error,
    FormatError,
    StoreBusyError,
    StoreConfigError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from rome.store.lmdb.damage import REMEDY, UNDECODABLE, damaged
from rome.store.lmdb.numbers import Numbers
from rome.store.lmdb.ordered import LmdbTransaction
from rome.store.lmdb.pin import Pin
from rome.store.lmdb.state import STATE_KEY, State, transaction_key

Returned = TypeVar("Returned")

MAX_READERS: Final = 1024
_RESERVED_SHARE: Final = 8
"""One part in this many of the file is kept free for deletes, trimming, and pages that snapshots need."""
BELIEVED_S: Final = 0.1
"""For this long after a check, a file is assumed to be in its place."""
_LARGE: Final = 4 << 30
"""Half of a file of this size is more than LMDB writes in BELIEVED_S."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""The system's errors for a write for which there is no room. LMDB reports EIO for an incomplete write."""

_ERRORS: Final[dict[type[lmdb.Error], type[Error]]] = {
    lmdb.MapFullError: StoreFullError,
    lmdb.TxnFullError: StoreFullError,
    lmdb.DiskError: StoreFullError,
    lmdb.MemoryError: StoreConfigError,
    lmdb.MapResizedError: StoreConfigError,
    lmdb.ReadersFullError: StoreBusyError,
    lmdb.LockError: StoreBusyError,
    lmdb.ReadonlyError: StoreReadOnlyError,
    lmdb.InvalidError: FormatError,
    lmdb.VersionMismatchError: FormatError,
    lmdb.CorruptedError: CorruptRecordError,
    lmdb.PageNotFoundError: CorruptRecordError,
}
"""{LMDB's error: Rome's}; every other error is a StoreUnavailableError."""

FAILURES: Final = (lmdb.Error, *UNDECODABLE)
"""What `Environment.translated` understands."""

_HINTS: Final = {
    lmdb.MapFullError: "raise the option max_size",
    lmdb.DiskError: "make room on the disk; nothing was written",
    lmdb.CorruptedError: REMEDY,
    lmdb.PageNotFoundError: REMEDY,
    lmdb.MemoryError: "lower the option max_size, or the limit on address space (ulimit -v)",
    lmdb.MapResizedError: "the file has outgrown this process's option max_size: raise it, and restart",
    lmdb.ReadersFullError: "too many snapshots on this file at once",
}


class Usage(NamedTuple):
    """How full the file and its table of readers are.

    Attributes:
        file_bytes: size of the file, including pages that snapshots need and pages that can be used again.
        last_transaction: number of the newest write transaction.
        snapshots: for each snapshot of any process, the number of the write transaction that it sees.
    """

    used_bytes: int
    file_bytes: int
    last_transaction: int
    snapshots: list[int]


class Environment:
    """One open file. Callers of its methods hold the lock of one of its pins, or the lock of the open files.

    Attributes:
        room: bytes that rows may take; the rest of the file is for deletes and trimming.
        gone: why the file can no longer be used, or None.
        stale_readers: how many snapshots of killed processes were found since the file was opened.
        pins: the pins of all connections of this process.
        numbers: the numbers that its sequences have handed out.
    """

    def __init__(self, path: str, *, max_size: int, sync: bool) -> None:
        self.path, self.max_size, self.sync = path, max_size, sync
        self.room = max_size - max_size // _RESERVED_SHARE
        self.gone: str | None = None
        self.stale_readers = 0
        self.pins: set[Pin] = set()
        self._decoded: tuple[bytes | None, State | None] = None, None  # the last state that was read
        self._seen_at = -BELIEVED_S
        self._roomy_until = 0.0
        self._writing = Lock()  # py-lmdb before 3.0 does not let a thread wait for another one's write transaction
        self._lmdb: lmdb.Environment
        self.numbers: Numbers

    def open(self, mode: int) -> None:
        """Open the file, and create a database in it if it is empty. Even after an error, `close` must be called."""
        with self.errors():
            self._lmdb = lmdb.open(
                self.path,
                subdir=False,
                mode=mode,
                map_size=self.max_size,
                sync=self.sync,
                metasync=self.sync,
                max_readers=MAX_READERS,
                max_spare_txns=0,  # a child that closes the file would give a spare one back
            )
        self._identity, self._size = _identity(self.path), 0
        self.check_readers()
        if self._is_empty():
            self.write(State.new().write)
        with self.errors(), self._lmdb.begin() as txn:
            state = State.read(txn)
        assert state is not None
        self.numbers = Numbers(self.path, state.incarnation)

    def _is_empty(self) -> bool:
        with self.errors(), self._lmdb.begin() as txn:
            if State.read(txn) is not None:
                return False
            if txn.stat()["entries"]:
                raise FormatError(f"{self.path} is an LMDB file, but not one of Rome's")
            return True

    def read(self) -> LmdbTransaction:
        """A read transaction of the newest version. The caller must abort it."""
        try:
            return self._lmdb.begin()
        except lmdb.ReadersFullError:
            self.check_readers()
        except lmdb.Error as error:
            raise self.translated(error) from error
        with self.errors():
            return self._lmdb.begin()

    def renew(self, pin: Pin) -> State:
        """End a pin's snapshot, and begin with the newest version."""
        if pin.txn is not None:
            pin.end()
        try:
            txn = self._lmdb.begin()
        except lmdb.Error:
            txn = self.read()  # which knows what to do about it
        try:
            state = self.state_in(txn)
        except BaseException:
            txn.abort()
            raise
        pin.txn, pin.version = txn, state.version
        pin.watch()
        return state

    def write(self, change: Callable[[LmdbTransaction], Returned], transaction_id: bytes = b"") -> Returned:
        """Run `change` in the write transaction; among all processes, there is one at a time.

        If anything is raised, the transaction is undone. For why this is not a context manager see
        LmdbStore._round_trip.

        Raises:
            StoreFullError: there is no room on the disk; nothing was written.
            CommitUnknownError: the disk failed while the transaction was being committed.
        """
        with self._writing:
            txn: LmdbTransaction | None = None
            try:
                txn = self._lmdb.begin(write=True)
                answer = change(txn)
            except lmdb.Error as error:
                if txn is not None:
                    txn.abort()
                raise self.translated(error) from error
            except BaseException:
                if txn is not None:
                    txn.abort()
                raise
            try:
                txn.commit()
            except (lmdb.MapFullError, lmdb.DiskError) as error:
                # Raised before the page that makes the commit valid is written.
                raise self.translated(error) from error
            except lmdb.Error as error:
                if _number(error) in FULL and not self._has(transaction_id):
                    raise StoreFullError(
                        f"{self.path}: {error}: the disk, a quota or a limit on the size of files is full, or the disk "
                        "fails; nothing was written. Make room"
                    ) from error
                raise CommitUnknownError.lost(f"{self.path}: {error}", transaction_id=transaction_id) from error
            return answer

    def _has(self, transaction_id: bytes) -> bool:
        """Whether a commit may be in the file. LMDB writes the page that makes a commit valid last.

        If that write fails, LMDB refuses to begin transactions from then on, so the commit may be there.
        """
        try:
            with self._lmdb.begin() as txn:
                return bool(transaction_id) and txn.get(transaction_key(transaction_id)) is not None
        except lmdb.Error:
            return True

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise LMDB's errors as Rome's."""
        try:
            yield
        except lmdb.Error as error:
            raise self.translated(error) from error

    def translated(self, error: Exception) -> Error:
        """Rome's error for one of FAILURES."""
        if not isinstance(error, lmdb.Error):
            return damaged(f"{self.path}: something that is stored", error)
        hint = _HINTS.get(type(error))
        message = f"{self.path}: {error}" + (f" ({hint})" if hint else "")
        found = _ERRORS.get(type(error))
        if found is None:
            found = StoreFullError if _number(error) in FULL else StoreUnavailableError
        return found(message)

    def state(self) -> State:
        """The newest state.

        Raises:
            StoreUnavailableError: the database was dropped.
        """
        txn = self.read()
        try:
            return self.state_in(txn)
        finally:
            txn.abort()

    def state_in(self, txn: LmdbTransaction) -> State:
        """The state that a transaction sees."""
        stored = txn.get(STATE_KEY)
        known, state = self._decoded
        if stored != known:
            state = State.read(txn)
            self._decoded = stored, state
        if state is None or state.dropped:
            raise StoreUnavailableError.dropped(self.path)
        return state

    def know(self, stored: bytes, state: State) -> None:
        """Take note of a state that was written, so that it need not be decoded when it is read."""
        self._decoded = stored, state

    def used_bytes(self) -> int:
        """How many bytes the newest version takes; the file may be larger."""
        try:
            stat = self._lmdb.stat()
        except lmdb.Error as error:
            raise self.translated(error) from error
        return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def has_room(self) -> bool:
        """Whether the file was not half full BELIEVED_S ago, and is so large that it cannot have filled up since.

        Cost: 0.2 µs; once in BELIEVED_S that of `used_bytes`, 3 µs.
        """
        if self.room < _LARGE:
            return False
        now = time.monotonic()
        if now >= self._roomy_until:
            self._roomy_until = now + BELIEVED_S if self.used_bytes() < self.room // 2 else 0.0
        return now < self._roomy_until

    def garbage_bytes(self) -> int:
        """How many bytes of the file the newest version does not take: a snapshot needs them, or they are free."""
        try:
            info, stat = self._lmdb.info(), self._lmdb.stat()
        except lmdb.Error as error:
            raise self.translated(error) from error
        used = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(stat["psize"] * (info["last_pgno"] + 1 - used))

    def known_state(self) -> State | None:
        """The state that was read last, by whatever connection; no transaction."""
        return self._decoded[1]

    def usage(self) -> Usage:
        """How full the file and its reader table are."""
        with self.errors():
            info = self._lmdb.info()
            readers = [line.split() for line in self._lmdb.readers().splitlines()]
        # Each line has process, thread and transaction; "-" without a snapshot.
        snapshots = [int(line[2]) for line in readers if len(line) == 3 and line[2].isdigit()]
        return Usage(self.used_bytes(), os.path.getsize(self.path), info["last_txnid"], snapshots)

    def check_readers(self) -> None:
        """Free the snapshots of killed processes."""
        with self.errors():
            self.stale_readers += self._lmdb.reader_check()

    def reap(self) -> bool:
        """End the snapshots below the floor; returns whether others are left."""
        if self.has_snapshots():
            with suppress(Error):  # no caller can be told here, but the connections will be
                self.check_readers()
                floor = self.state().floor
                for pin in self.pins:
                    pin.end_below(floor)
        return self.has_snapshots()

    def has_snapshots(self) -> bool:
        """Whether a connection of this process has a snapshot."""
        return any(pin.txn is not None for pin in self.pins)

    def is_current(self) -> bool:
        """Whether the path still leads to this file, and the file holds a database.

        A file that has become shorter does not: only LMDB may write to it, and LMDB never makes it shorter.
        """
        size = _size(self.path)
        if self._identity != _identity(self.path) or size < self._size or self.is_dropped():
            return False
        self._size = size
        self._seen_at = time.monotonic()
        return True

    def seems_current(self) -> bool:
        """Whether the file is current, or was less than BELIEVED_S ago, since a pool asks at every checkout.

        Cost: 0.3 µs, or 15 µs.
        """
        return time.monotonic() < self._seen_at + BELIEVED_S or self.is_current()

    def is_dropped(self) -> bool:
        """Whether the database was dropped."""
        try:
            self.state()
        except StoreUnavailableError:
            return True
        return False

    def close(self, reason: str) -> None:
        """End all snapshots and close the file. Remaining connections will raise `reason`."""
        for pin in self.pins:
            with pin.lock:
                pin.end()
                self.gone = reason
        for opened in ("numbers", "_lmdb"):  # an exception from outside may have arrived before they were opened
            if hasattr(self, opened):
                getattr(self, opened).close()

    def leave_to_parent(self) -> None:
        """In a forked child: close the file without touching the parent's slots in the reader table."""
        self.gone = f"{self.path} was opened by the parent process; a child must open its own connection"
        inherited = []
        for pin in self.pins:
            if pin.txn is not None:
                inherited.append(ref(pin.txn))
                pin.txn = None  # py-lmdb does not end a transaction that is collected in a child
            pin.lock = Lock()
        self.numbers.close()
        if all(transaction() is None for transaction in inherited):
            self._lmdb.close()
        else:  # a traceback still refers to a transaction; closing the file would end it
            _inherited.append(self._lmdb)


_inherited: list[lmdb.Environment] = []
"""Never closed."""


def _number(error: lmdb.Error) -> int | None:
    """The system's number of an error; before 3.0 py-lmdb has only its text."""
    number: int | None = getattr(error, "code", None)
    if number is None:
        number = next((each for each in FULL if str(error).endswith(os.strerror(each))), None)
    return number


def _size(path: str) -> int:
    with suppress(FileNotFoundError):
        return os.stat(path).st_size
    return 0


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None
