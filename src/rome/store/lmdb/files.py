"""Opens a database's file for a connection, once per process; creates, deletes and identifies files.

A file is created and deleted under a lock on its folder, so that nobody opens one that is being deleted. A deleted file
contains a mark, for processes that still have it open.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import lmdb
from msgspec.structs import replace

from rome.errors import (
    FormatError,
    StoreConfigError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from rome.store.lmdb import numbers
from rome.store.lmdb.environment import FULL, MAX_READERS, Environment
from rome.store.lmdb.fork import OPENED, reaper
from rome.store.lmdb.pages import check_whole
from rome.store.lmdb.pin import Pin
from rome.store.lmdb.state import State

DEFAULT_MAX_SIZE: Final = 1 << 40
DEFAULT_MODE: Final = 0o600
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
"""Flags for opening a folder in order to lock it among processes. The lock is not a context manager: if interrupted
while it begins, it would hold the lock for as long as the traceback lives, and every process that opens a file there
would wait."""
_READER_BYTES, _READERS_HEAD_BYTES = 64, 192
_MAGIC, _MAGIC_AT = b"\xde\xc0\xef\xbe", (16, 24)  # on little-endian machines; the page header is longer in LMDB 1.0


_left: deque[Pin] = deque()
"""Pins of stores that were dropped without being closed; released when the next file is opened."""


def new_pin() -> Pin:
    """Return a pin of no file yet, for `acquire`. The caller must call `release`, whatever is raised in between."""
    return Pin(reaper.watch)


def acquire(path: str, pin: Pin, *, max_size: int, sync: bool, mode: int = DEFAULT_MODE) -> Environment:
    """Open a file, or share it with other connections of this process; `pin` is one of its pins afterwards.

    Args:
        mode: permissions of a new file, less those that the umask removes.

    Raises:
        StoreConfigError: the file is already open with other options.
        StoreUnavailableError, StoreReadOnlyError, FormatError, StoreFullError
    """
    path = os.path.realpath(path)
    while _left:
        release(_left.popleft())
    with OPENED.lock, _system_errors(path):
        environment = _current(path)
        if environment is None:
            environment = Environment(path, max_size=max_size, sync=sync)
            try:
                _open(environment, mode)
                environment.pins.add(pin)
                OPENED.by_path[path] = environment
            except BaseException:
                OPENED.by_path.pop(path, None)
                environment.close("the connection is closed")
                raise
        elif (environment.max_size, environment.sync) != (max_size, sync):
            raise StoreConfigError(f"{path} is open in this process with other options (max_size, sync)")
        else:
            environment.pins.add(pin)
        return environment


def release(pin: Pin) -> None:
    """Give up a pin, and close the file with the last one. Idempotent."""
    with OPENED.lock:
        for path, environment in OPENED.by_path.items():
            if pin in environment.pins:
                with pin.lock:
                    pin.end()
                environment.pins.discard(pin)
                if not environment.pins:
                    environment.close("the connection is closed")
                    del OPENED.by_path[path]
                return


def release_later(pin: Pin) -> None:
    """Release a pin later; for finalizers, which may run in a thread that holds the locks, so it takes none."""
    _left.append(pin)


def drop(path: str) -> None:
    """Delete a file. Connections to it will raise StoreUnavailableError."""
    path = os.path.realpath(path)
    with OPENED.lock, _system_errors(path):
        if not os.path.exists(path):
            return
        in_use = _current(path)
        environment = in_use or Environment(path, max_size=DEFAULT_MAX_SIZE, sync=True)
        try:
            if in_use is None:
                _open(environment, DEFAULT_MODE)
            folder = os.open(os.path.dirname(path), _FOLDER)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                with suppress(StoreFullError):  # this lets a full file be deleted, too
                    environment.write(lambda txn: replace(environment.state_in(txn), dropped=True).write(txn))
                _unlink(path)
            finally:
                os.close(folder)
        finally:
            if in_use is None:
                environment.close("")
            else:
                _current(path)


def _current(path: str) -> Environment | None:
    """Return the open file of this path; if it was dropped or replaced, close it and return None."""
    environment = OPENED.by_path.get(path)
    if environment is not None and not environment.is_current():
        del OPENED.by_path[path]
        environment.close(f"{path} was dropped")
        environment = None
    return environment


def is_database(path: str) -> bool:
    """Whether a file is a database of Rome. Creates nothing, and takes no lock that a closing file would lose."""
    path = os.path.realpath(path)
    with OPENED.lock:
        if _current(path) is not None:
            return True
        # A copy that was restored has no lock file yet. Without one, a file that we may not read is somebody else's.
        if not (os.path.isfile(path + "-lock") or os.access(path, os.R_OK)) or not _is_lmdb(path):
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


def _open(environment: Environment, mode: int) -> None:
    """Open a file, and create it if there is none."""
    path = environment.path
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise StoreUnavailableError(f"{path}: there is no folder {directory}; create it first")
    if os.path.isdir(path):
        raise StoreUnavailableError(f"{path} is a folder; name a file in it")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise StoreReadOnlyError(f"{path}: no permission to write; LMDB's readers need it, too, for the lock file")
    folder = os.open(os.path.dirname(path), _FOLDER)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.exists(path) and os.path.getsize(path) and not _is_lmdb(path):
            raise FormatError(f"{path} is not an LMDB file")
        _prepare(path, mode)
        environment.open(mode)
        if environment.is_dropped():
            # The process that dropped it died before deleting it.
            environment.close("dropped")
            _unlink(path)
            _prepare(path, mode)
            environment.open(mode)
    finally:
        os.close(folder)


def _prepare(path: str, mode: int) -> None:
    """Check that the file is whole, and reserve disk space for its table of readers.

    LMDB creates that table as a hole in a file and maps it: on a full disk, a process that takes a slot gets SIGBUS.
    """
    lock = path + "-lock"
    if os.path.exists(path) and os.path.getsize(path):
        check_whole(path)
        mode = stat.S_IMODE(os.stat(path).st_mode)  # a user who may open the file must be able to open the other one
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
    """Raise the system's errors about a file as Rome's errors."""
    try:
        yield
    except PermissionError as error:
        raise StoreReadOnlyError(f"{path}: {error.strerror}: the file and its folder must be writable") from error
    except OSError as error:
        kind = StoreFullError if error.errno in FULL else StoreUnavailableError
        raise kind(f"{path}: {error.strerror}") from error


def _unlink(path: str) -> None:
    for name in (path + "-lock", path + numbers.SUFFIX, path):
        with suppress(FileNotFoundError):
            os.unlink(name)


def _is_lmdb(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(64)
    return any(head[at : at + 4] == _MAGIC for at in _MAGIC_AT)
