"""Loads: several processes run one workload on one database, and the recorded history is checked."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from rome.testing.isolation.check import IsolationVerdict, check
from rome.testing.isolation.client import IsolationClient
from rome.testing.isolation.history import History, HistoryWriter, Setting, read_history
from rome.testing.isolation.workloads import WORKLOADS, KeyedWorkload, LastRead

_START_TIMEOUT_S = 120.0
_CONNECT_TRIES = _LAST_READ_TRIES = 30
"""How long to wait until all processes are ready; it passes only if one of them has died."""


@dataclass(frozen=True)
class Load:
    """One run.

    Attributes:
        url: a database without the workload's tables.
        keys: how many keys are in use at a time.
        transactions: how many all processes together run.
        near: how many processes read near; Clients.run sets it if the URL says `reads=near`.
    """

    url: str
    workload: str
    level: str
    keys: int
    transactions: int
    seed: int = 0
    near: int = 0

    @property
    def setting(self) -> Setting:
        """The setting that its history begins with."""
        return Setting(self.workload, self.level, WORKLOADS[self.workload].facts(self.keys), near=self.near)

    def of_process(self, process: int) -> KeyedWorkload:
        """The workload of one process."""
        return WORKLOADS[self.workload](process, self.keys, single=self.level == "AUTOCOMMIT", seed=self.seed)


@dataclass(frozen=True)
class LoadRun:
    """A load that was run and checked.

    Attributes:
        seconds: from the beginning of the first transaction to the end of the last.
        conflicts: how many conflicts connections met. Replays resolved some; the others are transactions that failed.
        replays: how many transactions Rome replayed. Both counts are 0 for other databases.
    """

    load: Load
    verdict: IsolationVerdict
    seconds: float
    conflicts: int
    replays: int


class Clients:
    """Processes that are started once and run one load after the other.

    They are spawned, so the program's main module must be importable without running it.
    """

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes = processes
        self._pool = ProcessPoolExecutor(
            processes, context, initializer=_remember, initargs=(context.Barrier(processes),)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, load: Load) -> LoadRun:
        """Create the tables, run the transactions, read everything at the end, and check what was recorded."""
        if reads_near(load.url):
            load = replace(load, near=self._processes)
        engine = sa.create_engine(load.url)
        with engine.connect() as connection:
            WORKLOADS[load.workload].create(connection, load.keys)
        engine.dispose()
        with TemporaryDirectory(prefix="rome-isolation-") as folder:
            each = load.transactions // self._processes
            done = [
                self._pool.submit(_run_process, load, process, each, Path(folder, f"{process}.jsonl"))
                for process in range(self._processes)
            ]
            counts = [future.result() for future in done]
            _read_all(load, self._processes, each, Path(folder, "last.jsonl"))
            history = read_history(sorted(Path(folder).iterdir()))
        return LoadRun(
            load,
            check(history),
            _duration(history),
            sum(conflicts for conflicts, _ in counts),
            sum(replays for _, replays in counts),
        )


def reads_near(url: str) -> bool:
    """Whether a URL says `reads=near`."""
    return sa.make_url(url).query.get("reads") == "near"


_barrier: Barrier | None = None
"""In a client process: the barrier at which it waits until the others are ready, too."""


def _remember(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _run_process(load: Load, process: int, transactions: int, path: Path) -> tuple[int, int]:
    """Run one process's part; returns how many conflicts and replays its connection counted."""
    engine = sa.create_engine(load.url, isolation_level=load.level)
    with closing(HistoryWriter(path, load.setting)) as writer, _connected(engine) as connection:
        client = IsolationClient(connection, load.of_process(process), process, writer.add)
        assert _barrier is not None
        _barrier.wait(_START_TIMEOUT_S)
        for number in range(transactions):
            client.run(number)
        stats = getattr(connection.connection.dbapi_connection, "rome_stats", None)
    engine.dispose()
    return (0, 0) if stats is None else (stats.conflicts, stats.replays)


def _connected(engine: sa.Engine) -> sa.Connection:
    """A connection, for which one may have to wait while servers fail: the other processes wait for this one."""
    for _ in range(_CONNECT_TRIES - 1):
        try:
            return engine.connect()
        except sa.exc.OperationalError:
            time.sleep(1)
    return engine.connect()


def _read_all(load: Load, process: int, transactions: int, path: Path) -> None:
    """Read every key at the end, which shows whether everything that was acknowledged is there; never near.

    Where servers fail during the load, it may take a while until one answers.
    """
    url = sa.make_url(load.url).difference_update_query(("reads", "near", "near_timeout", "near_max_lag"))
    engine = sa.create_engine(url)
    last = LastRead(load.of_process(process), transactions)
    with closing(HistoryWriter(path, load.setting)) as writer:
        for _ in range(_LAST_READ_TRIES):
            with _connected(engine) as connection:
                if IsolationClient(connection, last, process, writer.add).run(0) == "ok":
                    break
            time.sleep(1)  # of transactions with the same number, the last one counts
        else:
            raise AssertionError("a read-only transaction failed")
    engine.dispose()


def _duration(history: History) -> float:
    """Seconds from the first beginning to the end of the last transaction of the load, which is the last but one."""
    ends = [each.end for each in history.transactions[:-1] if each.end is not None]
    return (max(ends) - history.transactions[0].begin) / 1e9
