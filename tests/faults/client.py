"""A client that writes the ledger until it is ended: python -m tests.faults.client URL NOTES NUMBER.

It knows nothing of what breaks. On an error it notes what it was told, and goes on; when it was told that the outcome
is unknown, it asks until it knows. What it was told in full, and on SIGUSR1 where it stands, is on stderr.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import rome
from rome.dbapi import Connection
from rome.errors import CommitUnknownError, NotReplicatedError, OperationalError
from tests.faults.ledger import ALL, SHARED, Told

PAUSE_S = 0.01


class Client:
    """Attributes:

    least, most: of its own total, what it must be now, and with those commits whose outcome is not known.
    """

    def __init__(self, url: str, notes: Path, number: int) -> None:
        self.url = url
        self.number = number
        self.notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.least = self.most = 0
        self.connection: Connection | None = None

    def note(self, told: Told, n: int) -> None:
        os.write(self.notes, f"{told} {n} {time.monotonic():.3f}\n".encode())

    def run(self) -> None:
        n = 0
        while True:
            n += 1
            self.note(Told.SENT, n)
            try:
                self.add(n)
            except CommitUnknownError as error:
                self.ask(error, n)
            except NotReplicatedError:
                self.learn(Told.NOT_REPLICATED, n)
            except OperationalError as error:  # whatever it is: nothing was committed
                complain(error)
                self.learn(Told.NOT_COMMITTED, n)
                time.sleep(PAUSE_S)
            else:
                self.learn(Told.COMMITTED, n)
            if self.connection is not None and not self.connection.is_usable():
                self.connection.close()
                self.connection = None

    def add(self, n: int) -> None:
        """One transaction."""
        if self.connection is None:
            self.connection = rome.connect(self.url)
        connection = self.connection
        try:
            [(total,)] = connection.execute("SELECT n FROM total WHERE client = ?", (self.number,)).fetchall()
            assert isinstance(total, int)
            if not self.least <= total <= self.most:
                self.note(Told.MISSED, n)
                self.least = min(self.least, total)
            connection.execute("INSERT INTO entry VALUES (?, ?)", (self.number, n))
            connection.execute("UPDATE total SET n = ? WHERE client = ?", (total + 1, self.number))
            if n % SHARED == 0:
                connection.execute("UPDATE total SET n = n + 1 WHERE client = ?", (ALL,))
            connection.commit()
        finally:
            connection.rollback()

    def ask(self, error: CommitUnknownError, n: int) -> None:
        """Ask the store what became of a commit, until it answers."""
        while True:
            try:
                committed = rome.was_committed(self.url, error)
            except CommitUnknownError:
                self.learn(Told.UNKNOWN, n)
            except NotReplicatedError:
                self.learn(Told.NOT_REPLICATED, n)
            except OperationalError as failure:
                complain(failure)
                time.sleep(PAUSE_S)
                continue
            else:
                self.learn(Told.COMMITTED if committed else Told.NOT_COMMITTED, n)
            return

    def learn(self, told: Told, n: int) -> None:
        self.note(told, n)
        self.least += told is Told.COMMITTED
        self.most += told is not Told.NOT_COMMITTED


def complain(error: OperationalError) -> None:
    print(f"{time.strftime('%T')} {error!r}", file=sys.stderr)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    warnings.simplefilter("ignore")  # what a server may lose is said by the test
    Client(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])).run()
