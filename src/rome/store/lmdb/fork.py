"""The files that are open in this process, and how they are handled when it forks.

LMDB forbids a process to open a file twice (its fcntl locks belong to the process), and a child to use what its parent
opened. A fork waits until no operation is under way. The child then forgets the snapshots without ending them, since
ending them would free the parent's slots in the reader table, closes the files, and starts with none.
"""

from __future__ import annotations

import os
from threading import Lock

from rome.store.lmdb.environment import Environment
from rome.store.lmdb.reaper import Reaper


class OpenedFiles:
    """The open files of this process.

    Attributes:
        by_path: the open files, by resolved path.
        lock: held to open and close files; taken before the lock of any pin.
    """

    def __init__(self) -> None:
        self.by_path: dict[str, Environment] = {}
        self.lock = Lock()


OPENED = OpenedFiles()


def _reap() -> bool:
    """End snapshots that have become too old; returns whether there are others.

    It never waits, since `watch` may wait for the reaper while holding a pin's lock, and a holder of OPENED's lock for
    that pin.
    """
    if not OPENED.lock.acquire(blocking=False):
        return True
    try:
        return sum(environment.reap() for environment in OPENED.by_path.values()) > 0
    finally:
        OPENED.lock.release()


def _before_fork() -> None:
    OPENED.lock.acquire()
    for environment in OPENED.by_path.values():
        for pin in environment.pins:
            pin.lock.acquire()


def _after_fork_in_parent() -> None:
    for environment in OPENED.by_path.values():
        for pin in environment.pins:
            pin.lock.release()
    OPENED.lock.release()


def _after_fork_in_child() -> None:
    for environment in OPENED.by_path.values():
        environment.leave_to_parent()
    OPENED.by_path.clear()
    OPENED.lock = Lock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
reaper = Reaper(_reap)
"""Created after the hooks above, so that its thread is stopped before they take the locks."""
