"""A database's file: opened once per process, shared by its connections, left alone by a forked child.

LMDB forbids a process to open a file twice (its fcntl locks belong to the process), and to use in a child what the
parent opened. So connections share an Environment, which is closed with the last of them. A fork waits until no
operation is under way; then the child forgets the snapshots without ending them, since that would free the parent's
places in the reader table, closes what is left, and begins with nothing.

The map is as large as the file may become (`max_size`), from the start: address space costs nothing, and nothing has
to be done when the file grows. Alternative: start small and grow on MapFullError. But a new map ends all transactions
of the process, that is, the snapshots of all other connections, and makes every other process map the file anew.

A file is created and deleted under a lock on its folder, so that nobody opens one that is being deleted. A deleted
file is marked in itself, for those who still have it open.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final, NamedTuple, TypeVar
from weakref import ref

import lmdb
from msgspec.structs import replace

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
from rome.store.lmdb import numbers
from rome.store.lmdb.damage import REMEDY, UNDECODABLE, damaged
from rome.store.lmdb.numbers import Numbers
from rome.store.lmdb.ordered import LmdbTransaction
from rome.store.lmdb.pages import check_whole
from rome.store.lmdb.reaper import Reaper
from rome.store.lmdb.state import STATE_KEY, State, transaction_key

Returned = TypeVar("Returned")

DEFAULT_MAX_SIZE: Final = 1 << 40
DEFAULT_MODE: Final = 0o600
MAX_READERS: Final = 1024
_RESERVED_SHARE: Final = 8
"""One part in so many of the file is kept for what deletes and trimming need, and for what snapshots keep."""
BELIEVED_S: Final = 0.1
"""A file that was in its place is believed to be there still for so long."""
_READER_BYTES, _READERS_HEAD_BYTES = 64, 192
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What the system says of a write for which there is no room. LMDB says EIO of a write that was cut short."""
_MAGIC, _MAGIC_AT = b"\xde\xc0\xef\xbe", (16, 24)  # on little-endian machines; the page header is longer in LMDB 1.0

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
"""Everything else is StoreUnavailableError."""

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
        file_bytes: what the file has grown to; what snapshots keep, and pages to be used again, are part of it.
        last_transaction: number of the newest write transaction.
        snapshots: of each snapshot that any process holds, the number of the write transaction that it sees.
    """

    used_bytes: int
    file_bytes: int
    last_transaction: int
    snapshots: list[int]


class Environment:
    """One open file. Whoever calls its methods holds the lock of a pin of it, or the module's.

    Attributes:
        room: bytes that rows may take; the rest of the file is for deletes and trimming.
        gone: why it cannot be used any more, or None.
        stale_readers: how many snapshots of killed processes were found since it was opened.
        pins: of all connections of this process.
        numbers: what its sequences have handed out.
    """

    def __init__(self, path: str, *, max_size: int, sync: bool, mode: int = DEFAULT_MODE) -> None:
        self.path, self.max_size, self.sync = path, max_size, sync
        self.room = max_size - max_size // _RESERVED_SHARE
        self.gone: str | None = None
        self.stale_readers = 0
        self.pins: set[Pin] = set()
        self._decoded: tuple[bytes | None, State | None] = None, None  # the state that was read last
        self._seen_at = -BELIEVED_S
        self._writing = Lock()  # py-lmdb before 3.0 does not let a thread wait for another one's write transaction
        with self.errors():
            self._lmdb = lmdb.open(
                path,
                subdir=False,
                mode=mode,
                map_size=max_size,
                sync=sync,
                metasync=sync,
                max_readers=MAX_READERS,
                max_spare_txns=0,  # a spare one would be given back by a child that closes the file
            )
        try:
            self._identity, self._size = _identity(path), 0
            self.check_readers()
            if self._is_empty():
                self.write(State.new().write)
            with self.errors(), self._lmdb.begin() as txn:
                state = State.read(txn)
            assert state is not None
            self.numbers = Numbers(path, state.incarnation)
        except BaseException:
            self._lmdb.close()
            raise

    def _is_empty(self) -> bool:
        with self.errors(), self._lmdb.begin() as txn:
            if State.read(txn) is not None:
                return False
            if txn.stat()["entries"]:
                raise FormatError(f"{self.path} is an LMDB file, but not one of Rome's")
            return True

    def read(self) -> LmdbTransaction:
        """A read transaction, of the newest version. The caller must abort it."""
        try:
            return self._lmdb.begin()
        except lmdb.ReadersFullError:
            self.check_readers()
        except lmdb.Error as error:
            raise self.translated(error) from error
        with self.errors():
            return self._lmdb.begin()

    def write(self, change: Callable[[LmdbTransaction], Returned], transaction_id: bytes = b"") -> Returned:
        """Do something in the write transaction, of which there is one at a time among all processes.

        It is undone if anything is raised. A function and no context manager: see LmdbStore._round_trip.

        Raises:
            StoreFullError: there is no room for it on the disk; nothing was written.
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
                if _number(error) in _FULL and not self._has(transaction_id):
                    raise StoreFullError(
                        f"{self.path}: {error}: the disk, a quota or a limit on the size of files is full, or the disk "
                        "fails; nothing was written. Make room"
                    ) from error
                raise CommitUnknownError.lost(f"{self.path}: {error}", transaction_id=transaction_id) from error
            return answer

    def _has(self, transaction_id: bytes) -> bool:
        """Whether a commit may be in the file. LMDB writes the page that makes it valid last.

        When that write fails, LMDB refuses to begin a transaction from then on, and so it may be there.
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
            found = StoreFullError if _number(error) in _FULL else StoreUnavailableError
        return found(message)

    def state(self) -> State:
        """As of now.

        Raises:
            StoreUnavailableError: the database was dropped.
        """
        txn = self.read()
        try:
            return self.state_in(txn)
        finally:
            txn.abort()

    def state_in(self, txn: LmdbTransaction) -> State:
        stored = txn.get(STATE_KEY)
        known, state = self._decoded
        if stored != known:
            state = State.read(txn)
            self._decoded = stored, state
        if state is None or state.dropped:
            raise StoreUnavailableError.dropped(self.path)
        return state

    def used_bytes(self) -> int:
        """What the newest version needs; the file may be larger."""
        try:
            stat = self._lmdb.stat()
        except lmdb.Error as error:
            raise self.translated(error) from error
        return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def usage(self) -> Usage:
        with self.errors():
            info = self._lmdb.info()
            readers = [line.split() for line in self._lmdb.readers().splitlines()]
        # A line: process, thread, transaction; "-" where there is no snapshot.
        snapshots = [int(line[2]) for line in readers if len(line) == 3 and line[2].isdigit()]
        return Usage(self.used_bytes(), os.path.getsize(self.path), info["last_txnid"], snapshots)

    def check_readers(self) -> None:
        """Free what snapshots of killed processes hold."""
        with self.errors():
            self.stale_readers += self._lmdb.reader_check()

    def reap(self) -> bool:
        """End the snapshots below the floor; returns whether others are left."""
        if self.has_snapshots():
            with suppress(Error):  # nobody is here to be told; the connections will be
                self.check_readers()
                floor = self.state().floor
                for pin in self.pins:
                    pin.end_below(floor)
        return self.has_snapshots()

    def has_snapshots(self) -> bool:
        return any(pin.txn is not None for pin in self.pins)

    def is_current(self) -> bool:
        """Whether the path still leads to this file, and the file to a database.

        A file that has become shorter is none any more: nobody but LMDB may write to it, and that never cuts it.
        """
        size = _size(self.path)
        if self._identity != _identity(self.path) or size < self._size or self.is_dropped():
            return False
        self._size = size
        self._seen_at = time.monotonic()
        return True

    def seems_current(self) -> bool:
        """Whether it is current, or was a moment ago (BELIEVED_S): a pool asks at every checkout.

        Cost: 0.3 µs, or 15 µs.
        """
        return time.monotonic() < self._seen_at + BELIEVED_S or self.is_current()

    def is_dropped(self) -> bool:
        try:
            self.state()
        except StoreUnavailableError:
            return True
        return False

    def close(self, reason: str) -> None:
        """End all snapshots and close the file. Connections that are left will raise `reason`."""
        for pin in self.pins:
            with pin.lock:
                pin.end()
                self.gone = reason
        self.numbers.close()
        self._lmdb.close()

    def leave_to_parent(self) -> None:
        """In a forked child: close the file, and leave the parent's places in the reader table alone."""
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
        else:  # a traceback somewhere still has one; closing the file would end it
            _inherited.append(self._lmdb)


class Pin:
    """One connection's place in an Environment, and the read transaction that is its snapshot.

    `lock` is held during every operation of the connection; without it, the reaper may end the snapshot at any time.
    `txn` is None when there is none. Nobody keeps it in a variable beyond the time that the lock is held: a thread that
    did so in the middle of a fork would keep it alive in the child.
    """

    def __init__(self, environment: Environment) -> None:
        self.lock = Lock()
        self.txn: LmdbTransaction | None = None
        self._environment = environment
        self._version = 0

    def begin(self) -> State:
        """End the one before, and begin with the newest version."""
        self.end()
        txn = self._environment.read()
        try:
            state = self._environment.state_in(txn)
        except BaseException:
            txn.abort()
            raise
        self.txn, self._version = txn, state.version
        _reaper.watch()
        return state

    def end(self) -> None:
        if self.txn is not None:
            self.txn.abort()
            self.txn = None

    def end_below(self, floor: int) -> None:
        """Leaves a snapshot alone that is being used: the next look will find it again."""
        if self._version < floor and self.lock.acquire(blocking=False):
            try:
                if self._version < floor:
                    self.end()
            finally:
                self.lock.release()


_environments: dict[str, Environment] = {}
"""By resolved path."""
_inherited: list[lmdb.Environment] = []
"""Never given back."""
_lock = Lock()
"""Held to open and close files; taken before the lock of any pin."""


def acquire(path: str, *, max_size: int, sync: bool, mode: int = DEFAULT_MODE) -> tuple[Environment, Pin]:
    """Open a file, or share it with other connections of this process.

    Args:
        mode: permissions of a file that is made; the umask takes some of them away.

    Raises:
        StoreConfigError: it is open with other options.
        StoreUnavailableError, StoreReadOnlyError, FormatError, StoreFullError
    """
    path = os.path.realpath(path)
    with _lock, _system_errors(path):
        environment = _current(path)
        if environment is None:
            environment = _environments[path] = _open(path, max_size=max_size, sync=sync, mode=mode)
        elif (environment.max_size, environment.sync) != (max_size, sync):
            raise StoreConfigError(f"{path} is open in this process with other options (max_size, sync)")
        pin = Pin(environment)
        environment.pins.add(pin)
        return environment, pin


def release(environment: Environment, pin: Pin) -> None:
    """Close the file with its last connection."""
    with _lock:
        if environment.gone is None:
            with pin.lock:
                pin.end()
            environment.pins.discard(pin)
            if not environment.pins:
                environment.close("the connection is closed")
                _environments.pop(environment.path, None)


def drop(path: str) -> None:
    """Delete a file. Connections to it will raise StoreUnavailableError."""
    path = os.path.realpath(path)
    with _lock, _system_errors(path):
        if not os.path.exists(path):
            return
        in_use = _current(path)
        environment = in_use or _open(path, max_size=DEFAULT_MAX_SIZE, sync=True, mode=DEFAULT_MODE)
        try:
            with _folder_locked(path):
                with suppress(StoreFullError):  # a full file can be deleted, too
                    environment.write(lambda txn: replace(environment.state_in(txn), dropped=True).write(txn))
                _unlink(path)
        finally:
            if in_use is None:
                environment.close("")
            else:
                _current(path)


def _current(path: str) -> Environment | None:
    """The open file of this path, unless it was dropped or replaced: then it is closed."""
    environment = _environments.get(path)
    if environment is not None and not environment.is_current():
        del _environments[path]
        environment.close(f"{path} was dropped")
        environment = None
    return environment


def is_database(path: str) -> bool:
    """Whether a file is a database of Rome. Creates nothing, and takes no lock that a closing file would lose."""
    path = os.path.realpath(path)
    with _lock:
        if _current(path) is not None:
            return True
        if not os.path.isfile(path + "-lock") or not _is_lmdb(path):
            return False
        try:
            check_whole(path)
            with lmdb.open(path, subdir=False, readonly=True, lock=False, create=False) as file, file.begin() as txn:
                state = State.read(txn)
        except FormatError:
            return True
        except lmdb.Error:
            return False
        return state is not None and not state.dropped


def _open(path: str, *, max_size: int, sync: bool, mode: int) -> Environment:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise StoreUnavailableError(f"{path}: there is no folder {folder}; create it first")
    if os.path.isdir(path):
        raise StoreUnavailableError(f"{path} is a folder; name a file in it")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise StoreReadOnlyError(f"{path}: no permission to write; LMDB's readers need it, too, for the lock file")
    with _folder_locked(path):
        if os.path.exists(path) and os.path.getsize(path) and not _is_lmdb(path):
            raise FormatError(f"{path} is not an LMDB file")
        _prepare(path, mode)
        environment = Environment(path, max_size=max_size, sync=sync, mode=mode)
        if not environment.is_dropped():
            return environment
        # Whoever dropped it died before deleting it.
        environment.close("dropped")
        _unlink(path)
        _prepare(path, mode)
        return Environment(path, max_size=max_size, sync=sync, mode=mode)


def _prepare(path: str, mode: int) -> None:
    """See that the file is whole, and that its table of readers has its place on the disk.

    LMDB makes that table as a hole in a file and maps it: on a full disk a process that takes a place gets SIGBUS.
    """
    lock = path + "-lock"
    if os.path.exists(path) and os.path.getsize(path):
        check_whole(path)
        mode = stat.S_IMODE(os.stat(path).st_mode)  # who may open the one must open the other
    if os.path.exists(lock) and os.path.getsize(lock):
        return
    size = _READERS_HEAD_BYTES + (MAX_READERS - 1) * _READER_BYTES
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if os.write(file, bytes(size)) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.unlink(lock)
        raise
    finally:
        os.close(file)


@contextmanager
def _system_errors(path: str) -> Iterator[None]:
    """Raise what the system says of a file as Rome's errors."""
    try:
        yield
    except PermissionError as error:
        raise StoreReadOnlyError(f"{path}: {error.strerror}: the file and its folder must be writable") from error
    except OSError as error:
        kind = StoreFullError if error.errno in _FULL else StoreUnavailableError
        raise kind(f"{path}: {error.strerror}") from error


@contextmanager
def _folder_locked(path: str) -> Iterator[None]:
    """Among processes. The caller need not hold it for long: opening takes a millisecond."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _unlink(path: str) -> None:
    for name in (path + "-lock", path + numbers.SUFFIX, path):
        with suppress(FileNotFoundError):
            os.unlink(name)


def _is_lmdb(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(64)
    return any(head[at : at + 4] == _MAGIC for at in _MAGIC_AT)


def _number(error: lmdb.Error) -> int | None:
    """The system's number of an error; py-lmdb before 3.0 has its text only."""
    number: int | None = getattr(error, "code", None)
    if number is None:
        number = next((each for each in _FULL if str(error).endswith(os.strerror(each))), None)
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


def _reap() -> bool:
    # Never waits: `watch` may be waiting for the reaper with a pin's lock held, and whoever has _lock for that pin.
    if not _lock.acquire(blocking=False):
        return True
    try:
        return sum(environment.reap() for environment in _environments.values()) > 0
    finally:
        _lock.release()


def _before_fork() -> None:
    _lock.acquire()
    for environment in _environments.values():
        for pin in environment.pins:
            pin.lock.acquire()


def _after_fork_in_parent() -> None:
    for environment in _environments.values():
        for pin in environment.pins:
            pin.lock.release()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    for environment in _environments.values():
        environment.leave_to_parent()
    _environments.clear()
    _lock = Lock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
_reaper = Reaper(_reap)
"""After the hooks above, so that its thread is stopped before they take the locks."""
