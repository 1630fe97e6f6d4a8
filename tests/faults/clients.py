"""Client processes of the ledger, and the rounds of faults that they live through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from tests.faults import ledger, pauses
from tests.faults.ledger import Told, Verdict

ROUNDS = int(os.environ.get("ROUNDS", "2"))
"""How often each fault strikes."""
POLL_S, POLLS = 0.01, 12_000
"""How long to wait, two minutes and more: it is only ever used up by what hangs. Counted in polls, since a clock also
runs on while a machine stands still, clients and all."""


def comes(condition: Callable[[], bool]) -> bool:
    """Wait until something holds; returns False when it does not come to it."""
    for _ in range(POLLS):
        if condition():
            return True
        time.sleep(POLL_S)
    return False


class Clients:
    """Processes that write the ledger of one database.

    Args:
        urls: where each client finds the database; through a proxy of its own, perhaps.
    """

    def __init__(self, url: str, folder: Path, urls: list[str]) -> None:
        self.url = url
        self._folder = folder
        self._urls = urls
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._next = 1
        self._strikes: list[float] = []
        self._files: dict[int, _Known] = {}

    def __enter__(self) -> Self:
        ledger.create(self.url)
        for url in self._urls:
            self.start(url)
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._processes):
            self.end(number)

    @property
    def running(self) -> list[int]:
        return list(self._processes)

    def start(self, url: str) -> int:
        """Start one more client; returns its number."""
        number, self._next = self._next, self._next + 1
        ledger.join(self.url, number)
        command = [sys.executable, "-m", "tests.faults.client", url, str(self._notes(number)), str(number)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with self._errors(number).open("ab") as errors:
            self._processes[number] = subprocess.Popen(command, env=environment, stderr=errors)
        return number

    def pid(self, number: int) -> int:
        return self._processes[number].pid

    def end(self, number: int) -> None:
        """Kill a client, in the middle of whatever it does."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def committed(self, number: int) -> int:
        """How many commits a client was told of."""
        return self._known(number).counts[Told.COMMITTED]

    def sent(self, number: int) -> int:
        """The number of a client's last entry so far."""
        return self._known(number).last

    def told(self, what: Told) -> int:
        """How often all clients were told this."""
        return sum(self._known(number).counts[what] for number in self.running)

    def progress(self, commits: int = 3, of: Iterable[int] | None = None) -> None:
        """Wait until every client has committed some more, or every one of these.

        Raises:
            AssertionError: one does not, or has ended.
        """
        wanted = {number: self.committed(number) + commits for number in (self.running if of is None else of)}

        def has_come() -> bool:
            for number in list(wanted):
                if self.committed(number) >= wanted[number]:
                    del wanted[number]
                elif self._processes[number].poll() is not None:
                    raise AssertionError(f"client {number} has ended: {self._last_words(number)}")
            return not wanted

        if not comes(has_come):
            for number in wanted:  # it answers by a traceback
                os.kill(self.pid(number), signal.SIGUSR1)
            time.sleep(1)
            words = "\n".join(f"{number}: {self._last_words(number)}" for number in wanted)
            raise AssertionError(f"clients {list(wanted)} make no progress\n{words}")

    def survive(self, strike: Callable[[int], object]) -> Verdict:
        """Let the fault strike ROUNDS times, with progress in between; then end all clients, and judge."""
        for number in range(ROUNDS):
            self.progress()
            self._strikes.append(time.monotonic())
            strike(number)
        self.progress()
        return self.stop_and_judge()

    def stop_and_judge(self) -> Verdict:
        for number in self.running:
            self.end(number)
        verdict = ledger.judge(self.url, self._folder.glob("*.notes"))
        waited = pauses.after(self._strikes, self._folder.glob("*.notes"))
        print(f"\n{os.environ['PYTEST_CURRENT_TEST'].rpartition(' ')[0]}: {ROUNDS} rounds, {verdict}; {waited}")
        return verdict

    def _notes(self, number: int) -> Path:
        return self._folder / f"{number}.notes"

    def _errors(self, number: int) -> Path:
        return self._folder / f"{number}.errors"

    def _last_words(self, number: int) -> str:
        return self._errors(number).read_text()[-4000:]

    def _known(self, number: int) -> _Known:
        """What stands in a client's file."""
        known = self._files.setdefault(number, _Known())
        path = self._notes(number)
        if path.exists():
            with path.open("rb") as file:
                file.seek(known.size)
                known.take(file.read())
        return known


class _Known:
    """What was read of a client's file so far: it is asked for a hundred times a second."""

    def __init__(self) -> None:
        self.size = 0
        self.counts: Counter[Told] = Counter()
        self.last = 0

    def take(self, data: bytes) -> None:
        """Take what follows, up to the last whole line."""
        whole = data[: data.rfind(b"\n") + 1]
        self.size += len(whole)
        for line in whole.decode().splitlines():
            told, number, *_ = line.split()
            self.counts[Told(told)] += 1
            self.last = max(self.last, int(number))
