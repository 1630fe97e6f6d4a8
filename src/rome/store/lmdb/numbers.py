"""The last numbers that sequences have handed out, in a file beside the database that is written without fsync.

Every INSERT takes a number, and a write in LMDB costs an fsync. (Writes without fsync are not possible there: with
MDB_NOSYNC a power cut may leave a meta page whose data is not on the disk, so that the whole file is lost.) So the file
`<database>-ids` says which numbers were handed out, and the database says which were committed: a commit raises the
sequences of the ids that it inserts (`S` in rome.store.lmdb.state). A number is taken above both.

The file survives the end of every process, through the kernel's cache. After a power cut it may be older, or gone: then
numbers are handed out again, but none that a commit contains, and the processes that had been told them ended with the
machine. The file always holds numbers that were written there, since each lies within one sector. Deleting it, or
replacing it by an older one, does no more harm than a power cut.

    offset 0: `rome ids`, the database's incarnation, 8 zero bytes; 32 + 8 n: the last number of sequence n, big-endian
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping
from threading import Lock
from types import TracebackType
from typing import Final

from rome.errors import Error, IdsExhaustedError, StoreFullError, StoreReadOnlyError, StoreUnavailableError
from rome.store.spi import MAX_NUMBER, Reserve

SUFFIX: Final = "-ids"
_MAGIC: Final = b"rome ids"
_FIRST: Final = 32
_BYTES: Final = 8
MAX_TOLD: Final = 1 << 17
"""More sequences than a schema has: one for each table that was ever made."""


class Numbers:
    """The open file. Threads of a process share it; a forked child closes its copy."""

    _file = -1

    def __init__(self, path: str, incarnation: bytes) -> None:
        """Open the file, or create it with the permissions of the database. The caller holds the lock on the folder.

        Raises:
            StoreReadOnlyError, StoreFullError, StoreUnavailableError: it cannot be opened or created.
        """
        self.path = path + SUFFIX
        self._lock = Lock()  # the system's lock belongs to the open file, so threads share it
        self._errors = _Errors(self.path)
        mode = os.stat(path).st_mode & 0o777
        head = (_MAGIC + incarnation).ljust(_FIRST, b"\0")
        with self._errors:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
            if os.pread(self._file, _FIRST, 0) != head:  # it is new, belongs to a dropped database, or lost its end
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, head, 0)

    def take(self, wanted: Reserve, committed: int) -> int:
        """Take numbers above `committed` and above all that were taken before; returns the first. Size 0 takes none.

        Raises:
            IdsExhaustedError: there are not that many left.

        Cost: 3 µs.
        """
        if not wanted.size:
            return wanted.first_after(max(self._read(wanted.sequence), committed))
        with self._lock, self._errors:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                last = max(self._read(wanted.sequence), committed)
                first = wanted.first_after(last)
                if first + wanted.size - 1 > MAX_NUMBER:
                    raise IdsExhaustedError.of(f"sequence {wanted.sequence}")
                self._write(wanted.sequence, max(last, first + wanted.size - 1))
                return first
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def set(self, values: Mapping[int, int]) -> None:
        """Lower these sequences to these last numbers, where greater ones were taken."""
        with self._lock, self._errors:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                for sequence, value in values.items():
                    if self._read(sequence) > value:
                        self._write(sequence, value)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def all(self) -> dict[int, int]:
        """{sequence: the last number that was taken}, without those at 0; of the first MAX_TOLD sequences."""
        with self._errors:
            stored = os.pread(self._file, _BYTES * MAX_TOLD, _FIRST)
        numbers = (int.from_bytes(stored[at : at + _BYTES], "big") for at in range(0, len(stored), _BYTES))
        return {sequence: number for sequence, number in enumerate(numbers) if number}

    def close(self) -> None:
        """Close the file. Idempotent, since another file may have its number by now."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def _read(self, sequence: int) -> int:
        return int.from_bytes(os.pread(self._file, _BYTES, _FIRST + _BYTES * sequence), "big")

    def _write(self, sequence: int, number: int) -> None:
        os.pwrite(self._file, number.to_bytes(_BYTES, "big"), _FIRST + _BYTES * sequence)


class _Errors:
    """Raises the system's errors about the file as Rome's. No generator: an exception would leave it suspended."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError) and error.errno:  # a signal handler may raise a TimeoutError of its own
            raise _ERRORS.get(error.errno, StoreUnavailableError)(f"{self._path}: {error.strerror}") from error


_ERRORS: Final[dict[int, type[Error]]] = {
    errno.ENOSPC: StoreFullError,
    errno.EDQUOT: StoreFullError,
    errno.EACCES: StoreReadOnlyError,
    errno.EPERM: StoreReadOnlyError,
    errno.EROFS: StoreReadOnlyError,
}
