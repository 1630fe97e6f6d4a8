"""Writes what a process records into a file, while it runs.

Each line is a Part (rome.insights.entries): the entries that have changed since the line before, with their figures
since the process began; so the last line of an entry counts. Lines are appended in one write each, so that several
processes can write the same file. Whoever reads it may do so at any time.

The file grows by what changes. After each 8 MB of a process its lines come half as often, so that the file of one that
runs for weeks does not fill the disk.
"""

from __future__ import annotations

import logging
import os
from threading import Event, Lock, Thread

from rome.insights.collected import Collected

LOG = logging.getLogger("rome.insights")

INTERVAL_S = 2.0
SLOWER_AFTER_BYTES = 8 << 20
_MOST_INTERVAL_S = 3600.0


class Journal:
    """One process's lines in a file.

    Attributes:
        path: the file.
        interval_s: how often a line is written if anything has changed.
    """

    def __init__(self, path: str, collected: Collected) -> None:
        """Open the file, or create it for its owner alone.

        Raises:
            OSError: the file cannot be written.
        """
        self.path = path
        self.interval_s = INTERVAL_S
        self._collected = collected
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written = 0
        self._lock = Lock()
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to write, in a thread. Not before a connection is opened: a server that is going to fork opens none."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="rome.insights", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write a line now, if anything has changed."""
        with self._lock:
            if self._file < 0 or not self._collected.has_changed:
                return
            line = self._collected.part(changed_only=True) + b"\n"
            try:
                rest = line
                while rest:  # all at once, unless the disk is full
                    rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                LOG.warning("%s: %s; statement insights are not written any more", self.path, error)
                self._close()
                return
            self._written += len(line)
            if self._written > SLOWER_AFTER_BYTES:
                self._written = 0
                self.interval_s = min(2 * self.interval_s, _MOST_INTERVAL_S)

    def close(self) -> None:
        """Write what is left, and end."""
        self._ended.set()
        self.flush()
        with self._lock:
            self._close()

    def abandon(self) -> None:
        """In a forked child: close the file, and leave what is recorded to the parent."""
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _run(self) -> None:
        while not self._ended.wait(self.interval_s):
            self.flush()
