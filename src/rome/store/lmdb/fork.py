"""The files that are open in this process, and how they are handled when it forks.

LMDB forbids a process to open a file twice (its fcntl locks belong to the process), and a child to use what its parent
opened. A fork waits until no operation is under way. The child then forgets the snapshots without ending them, since
ending them would free the parent's slots in the reader table, closes the files, and starts with none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
from typing import Final

import lmdb

from rome.store.keeper import KEEPER
from rome.store.lmdb.environment import Environment
from rome.store.periodic import PeriodicThread

PERIOD_S: Final = 1.0


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

    A read transaction keeps every page that was superseded since it began: one forgotten connection would make the file
    grow without bound, and only its own process can end it. So each process that has a snapshot has a thread that looks
    every PERIOD_S. (To look whenever another connection of the process reads or commits would miss a process with an
    idle transaction and nothing else to do, which is how long transactions come about.)

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
    KEEPER.pause()  # it may be waiting for a lock that is taken here
    OPENED.lock.acquire()
    for environment in OPENED.by_path.values():
        for pin in environment.pins:
            pin.lock.acquire()
            with suppress(lmdb.Error):  # whoever asks for the keys will see it
                pin.read_keys()  # the child may use what transactions share, but not the snapshot


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
reaper = PeriodicThread("rome-lmdb-reaper", _reap, lambda: PERIOD_S)
"""Created after the hooks above, so that its thread is stopped before they take the locks."""
