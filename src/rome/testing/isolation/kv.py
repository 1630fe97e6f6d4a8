"""The checker's workloads on rome.kv: the same kinds of histories, from transactions without SQL.

    python -m rome.testing.isolation.kv URL [--transactions 20000] [--processes 4]

Lists and counters are plain keys, read also by ranges and pages; registers, sets and accounts are objects of
collections, read by their indexes. A transaction is not run again after a conflict, as in
rome.testing.isolation.client.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier as ProcessBarrier
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

import rome
import rome.kv
from rome.errors import CommitUnknownError, IntegrityError, OperationalError
from rome.kv import Collection, KvDatabase, KvTransaction
from rome.testing.isolation.check import IsolationVerdict, check
from rome.testing.isolation.history import (
    History,
    HistoryWriter,
    Outcome,
    RecordedOperation,
    RecordedStatement,
    RecordedTransaction,
    Setting,
    read_history,
)
from rome.testing.isolation.workloads.keyed import PART, part

KV_LEVELS = ("SERIALIZABLE", "SNAPSHOT")
_START_TIMEOUT_S = 120.0

AnyBarrier = threading.Barrier | ProcessBarrier


class KvAttempt:
    """One transaction in progress, with its record."""

    def __init__(self, tr: KvTransaction) -> None:
        self.tr = tr
        self.statements: list[RecordedStatement] = []

    def run(self, ask: Callable[[], Iterable[RecordedOperation]], *, predicate: bool = False) -> None:
        """Do something, and record the operations that it says it was."""
        begin = time.monotonic_ns()
        operations = [*ask()]
        self.statements.append(RecordedStatement(begin, time.monotonic_ns(), predicate, operations))

    def wrote(self, *operations: RecordedOperation) -> None:
        """Record writes."""
        now = time.monotonic_ns()
        self.statements.append(RecordedStatement(now, now, False, [*operations]))


class KvWorkload(ABC):
    """Transactions of one process over numbered keys; as KeyedWorkload."""

    def __init__(self, db: KvDatabase, process: int, keys: int, seed: int) -> None:
        self._db, self._process, self._keys = db, process, keys
        self._random = random.Random(f"kv/{seed}/{process}")
        self._values = 0

    @staticmethod
    def facts(keys: int) -> dict[str, int]:
        """What the setting of a history says besides the names of workload and level."""
        return {}

    def create(self) -> None:  # noqa: B027  # most need nothing
        """Store what must be there before."""

    def window(self, number: int) -> range:
        """The keys in use when a process runs its transaction `number`."""
        first = number // (4 * self._keys) * self._keys
        first += -first % PART
        return range(first, first + self._keys)

    def run(self, attempt: KvAttempt, number: int) -> None:
        """Run a transaction."""
        first = self.window(number)[0]
        for _ in range(self._random.randint(1, 4)):
            self.step(attempt, first + self._random.randrange(self._keys))

    @abstractmethod
    def step(self, attempt: KvAttempt, key: int) -> None:
        """Do something with a key."""

    @abstractmethod
    def read_all(self, attempt: KvAttempt, keys: range) -> None:
        """Read consecutive keys, whether they are there or not."""

    def new_value(self) -> int:
        """A number that no process has used before."""
        self._values += 1
        return self._process * 10_000_000 + self._values


class KvLists(KvWorkload):
    """Lists as plain keys: appended to after a read, read by key, by a range, and by a page from either end."""

    def step(self, attempt: KvAttempt, key: int) -> None:
        """Append to a list, or read one, a range or a page."""
        chance, tr = self._random.random(), attempt.tr
        if chance < 0.4:
            value = self.new_value()
            attempt.run(lambda: [RecordedOperation("read", key, tr.get(("list", key), []))])
            tr.put(("list", key), [*tr.get(("list", key), []), value])
            attempt.wrote(RecordedOperation("append", key, value))
        elif chance < 0.6:
            attempt.run(lambda: [RecordedOperation("read", key, tr.get(("list", key), []))])
        elif chance < 0.8:
            self.read_all(attempt, part(key))
        else:
            self._read_page(attempt, part(key), reverse=chance < 0.9)

    def read_all(self, attempt: KvAttempt, keys: range) -> None:
        """Read a range."""
        tr = attempt.tr

        def ask() -> Iterable[RecordedOperation]:
            found = dict(tr.range(start=("list", keys.start), stop=("list", keys.stop)))
            return [RecordedOperation("read", key, found.get(("list", key), [])) for key in keys]

        attempt.run(ask, predicate=True)

    def _read_page(self, attempt: KvAttempt, keys: range, *, reverse: bool) -> None:
        tr = attempt.tr

        def ask() -> Iterable[RecordedOperation]:
            rows = tr.range(start=("list", keys.start), stop=("list", keys.stop), limit=2, reverse=reverse)
            start, stop = keys.start, keys.stop
            if len(rows) == 2:
                last = rows[-1][0][1]
                assert isinstance(last, int)
                start, stop = (last, stop) if reverse else (start, last + 1)
            found = dict(rows)
            return [RecordedOperation("read", key, found.get(("list", key), [])) for key in range(start, stop)]

        attempt.run(ask, predicate=True)


class KvCounters(KvWorkload):
    """Numbers as plain keys, to which transactions add."""

    def step(self, attempt: KvAttempt, key: int) -> None:
        """Add to a counter, or read it."""
        if self._random.random() < 0.5:
            amount = self._random.randint(1, 5)
            attempt.tr.put(("n", key), attempt.tr.get(("n", key), 0) + amount)
            attempt.wrote(RecordedOperation("increment", key, amount))
        else:
            self.read_all(attempt, range(key, key + 1))

    def read_all(self, attempt: KvAttempt, keys: range) -> None:
        """Read counters together."""
        tr = attempt.tr
        attempt.run(
            lambda: [
                RecordedOperation("read", key, value)
                for key, value in zip(keys, tr.get_many([("n", key) for key in keys], 0), strict=True)
            ]
        )


class KvRegister(Struct):
    """A number that is replaced."""

    id: int
    part: int
    value: int


class KvRegisters(KvWorkload):
    """Registers as objects, read by key and by the index of their parts."""

    def __init__(self, db: KvDatabase, process: int, keys: int, seed: int) -> None:
        super().__init__(db, process, keys, seed)
        self._registers: Collection[KvRegister] = db.collection("register", KvRegister, key="id", indexes=["part"])

    def step(self, attempt: KvAttempt, key: int) -> None:
        """Replace a number after reading it, or read one or a part."""
        chance, tr, registers = self._random.random(), attempt.tr, self._registers

        def read() -> Iterable[RecordedOperation]:
            found = registers.get(tr, key)
            return [RecordedOperation("read", key, None if found is None else found.value)]

        if chance < 0.8:
            attempt.run(read)
            if chance < 0.5:
                value = self.new_value()
                registers.put(tr, KvRegister(key, key // PART, value))
                attempt.wrote(RecordedOperation("write", key, value))
        else:
            self._read_part(attempt, part(key))

    def read_all(self, attempt: KvAttempt, keys: range) -> None:
        """Read the parts."""
        for first in range(keys.start, keys.stop, PART):
            self._read_part(attempt, part(first))

    def _read_part(self, attempt: KvAttempt, keys: range) -> None:
        def ask() -> Iterable[RecordedOperation]:
            found = {each.id: each.value for each in self._registers.find(attempt.tr, part=keys.start // PART)}
            return [RecordedOperation("read", key, found.get(key)) for key in keys]

        attempt.run(ask, predicate=True)


class KvElement(Struct):
    """An element of a set."""

    value: int
    of: int


class KvSets(KvWorkload):
    """Sets of one object per element, read by an index."""

    def __init__(self, db: KvDatabase, process: int, keys: int, seed: int) -> None:
        super().__init__(db, process, keys, seed)
        self._elements: Collection[KvElement] = db.collection("element", KvElement, key="value", indexes=["of"])

    def step(self, attempt: KvAttempt, key: int) -> None:
        """Add an element, or read the set."""
        if self._random.random() < 0.4:
            value = self.new_value()
            self._elements.insert(attempt.tr, KvElement(value, key))
            attempt.wrote(RecordedOperation("append", key, value))
        else:
            self.read_all(attempt, range(key, key + 1))

    def read_all(self, attempt: KvAttempt, keys: range) -> None:
        """Read sets one by one."""
        for key in keys:
            attempt.run(lambda key=key: [self._found(attempt.tr, key)], predicate=True)  # type: ignore[misc]  # bound

    def _found(self, tr: KvTransaction, key: int) -> RecordedOperation:
        return RecordedOperation("read", key, [each.value for each in self._elements.find(tr, of=key)])


class KvAccount(Struct):
    """An account."""

    id: int
    balance: int


class KvBank(KvWorkload):
    """Accounts between which money is moved."""

    _INITIAL = 100

    def __init__(self, db: KvDatabase, process: int, keys: int, seed: int) -> None:
        super().__init__(db, process, keys, seed)
        self._accounts: Collection[KvAccount] = db.collection("account", KvAccount, key="id")

    @staticmethod
    def facts(keys: int) -> dict[str, int]:
        """How many accounts there are, and what they hold together."""
        return {"accounts": keys, "total": keys * KvBank._INITIAL}

    def create(self) -> None:
        """Open the accounts."""
        with self._db.transaction() as tr:
            for key in range(self._keys):
                self._accounts.put(tr, KvAccount(key, self._INITIAL))

    def window(self, number: int) -> range:
        """All accounts, always."""
        return range(self._keys)

    def step(self, attempt: KvAttempt, key: int) -> None:
        """Move money, or read all accounts."""
        if self._random.random() < 0.5:
            self.read_all(attempt, range(self._keys))
            return
        tr, accounts = attempt.tr, self._accounts
        target = (key + self._random.randrange(1, self._keys)) % self._keys
        amount = self._random.randint(1, 30)
        source = accounts.get(tr, key)
        assert source is not None
        if source.balance >= amount:
            into = accounts.get(tr, target)
            assert into is not None
            accounts.patch(tr, key, balance=source.balance - amount)
            accounts.patch(tr, target, balance=into.balance + amount)
            attempt.wrote(RecordedOperation("increment", key, -amount), RecordedOperation("increment", target, amount))

    def read_all(self, attempt: KvAttempt, keys: range) -> None:
        """Read all accounts."""
        attempt.run(
            lambda: [RecordedOperation("read", each.id, each.balance) for each in self._accounts.find(attempt.tr)],
            predicate=True,
        )


KV_WORKLOADS: dict[str, type[KvWorkload]] = {
    "lists": KvLists,
    "registers": KvRegisters,
    "sets": KvSets,
    "counters": KvCounters,
    "bank": KvBank,
}
"""{name in a history's setting: workload}"""


class KvLoad(Struct, frozen=True):
    """One run on a database of its own.

    Attributes:
        keys: how many are in use at a time; the fewer, the hotter.
        transactions: how many all processes together run.
    """

    url: str
    workload: str
    level: str
    keys: int
    transactions: int
    seed: int = 0


def run_load(load: KvLoad, clients: int, *, threads: bool = False) -> IsolationVerdict:
    """Run a load in several processes, read everything at the end, and check what was recorded.

    Args:
        threads: run threads instead, each with its own database object: they start at once.
    """
    kind = KV_WORKLOADS[load.workload]
    setting = Setting(load.workload, load.level, kind.facts(load.keys))
    each = load.transactions // clients
    with rome.kv.open(load.url) as db, TemporaryDirectory(prefix="rome-isolation-") as folder:
        last = kind(db, clients, load.keys, load.seed)
        last.create()
        paths = [Path(folder, f"{client}.jsonl") for client in range(clients)]
        with _executor(clients, threads=threads) as pool:
            done = [pool.submit(_run_client, load, setting, client, each, paths[client]) for client in range(clients)]
            for future in done:
                future.result()
        path = Path(folder, "last.jsonl")
        with closing(HistoryWriter(path, setting)) as writer:
            keys = range(last.window(each).stop)
            _run_one(db, clients, 0, lambda attempt: last.read_all(attempt, keys), writer.add)
        history: History = read_history([*paths, path])
    return check(history)


_barrier: AnyBarrier | None = None
"""In a client: the barrier at which it waits until the others are ready, too."""


def _executor(clients: int, *, threads: bool) -> Executor:
    if threads:
        return ThreadPoolExecutor(clients, initializer=_remember, initargs=(threading.Barrier(clients),))
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(clients, context, initializer=_remember, initargs=(context.Barrier(clients),))


def _remember(barrier: AnyBarrier) -> None:
    global _barrier
    _barrier = barrier


def _run_client(load: KvLoad, setting: Setting, process: int, transactions: int, path: Path) -> None:
    with rome.kv.open(load.url, isolation_level=load.level) as db, closing(HistoryWriter(path, setting)) as writer:
        workload = KV_WORKLOADS[load.workload](db, process, load.keys, load.seed)
        assert _barrier is not None
        _barrier.wait(_START_TIMEOUT_S)
        for number in range(transactions):
            _run_one(db, process, number, lambda attempt, n=number: workload.run(attempt, n), writer.add)  # type: ignore[misc]  # bound


def _run_one(
    db: KvDatabase,
    process: int,
    number: int,
    work: Callable[[KvAttempt], None],
    record: Callable[[RecordedTransaction], None],
) -> Outcome:
    """Run one transaction, and record what it did and saw, and how it ended."""
    begin = time.monotonic_ns()
    statements: Sequence[RecordedStatement] = ()
    outcome: Outcome
    try:
        with db.transaction() as tr:
            attempt = KvAttempt(tr)
            statements = attempt.statements
            work(attempt)
        outcome = "ok"
    except CommitUnknownError:
        outcome = "unknown"
    except (OperationalError, IntegrityError):
        outcome = "fail"
    end = None if outcome == "unknown" else time.monotonic_ns()
    record(RecordedTransaction(process, number, begin, end, outcome, [*statements]))
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loads; returns 1 if a level was broken, otherwise 0."""
    parser = argparse.ArgumentParser(prog="isolation.kv", description="Load a store through rome.kv, and check it.")
    parser.add_argument("url", help="a URL of Rome with {db} in place of the database's name")
    parser.add_argument("--transactions", type=int, default=20_000, help="how many in all; default 20000")
    parser.add_argument("--processes", type=int, default=4)
    chosen = parser.parse_args(arguments)
    if "{db}" not in chosen.url:
        parser.error("the URL must hold {db} in place of the database's name: every run uses a database of its own")
    cases = [(workload, level, keys) for workload in KV_WORKLOADS for level in KV_LEVELS for keys in (4, 100)]
    broken = 0
    for workload, level, keys in cases:
        url = chosen.url.replace("{db}", f"isolation_kv_{os.getpid()}_{workload}_{level.lower()}_{keys}")
        try:
            verdict = run_load(
                KvLoad(url, workload, level, keys, -(-chosen.transactions // len(cases))), chosen.processes
            )
        finally:
            rome.drop_database(url)
        print(
            f"{workload:9} {level:12} {keys:3} keys: {verdict.outcomes}; {len(verdict.forbidden)} forbidden anomalies",
            flush=True,
        )
        for anomaly in verdict.forbidden:
            print(f"  {anomaly}")
        broken += not verdict.valid
    print(f"rome.kv: {broken} of {len(cases)} runs broke their level")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
