"""Several connections to one memory store, one step at a time: every call of the store is a step, and the caller says
whose step comes next, and what becomes of it. Nothing is left to chance, so what fails fails again.

Each client runs in a thread, but only one at a time: a thread that reaches a call of its store waits for its turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from enum import Enum
from threading import Semaphore, Thread
from unittest.mock import patch

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import rome
from rome.dbapi import Connection
from rome.dbapi.url import make_url, parse_url
from rome.engine.session.session import Session
from rome.errors import CommitUnknownError, StoreUnavailableError
from rome.store import memory
from rome.store.memory import MemoryStore
from rome.store.spi import Claim, CommitRequest, ReadResult, Request, Reserve, Snapshot, Version
from rome.testing.isolation import History, RecordedTransaction, Setting, make_history
from rome.testing.isolation import client as clients
from rome.testing.isolation.client import IsolationClient
from rome.testing.isolation.workloads import WORKLOADS, KeyedWorkload, LastRead
from rome.transaction import transaction

_serial = itertools.count(1)


class Event(Enum):
    """What becomes of a client's next step; those that lose something do so to a commit, and nothing to a read."""

    RUN = "it is taken"
    DIE = "its client dies before it"
    DIE_AFTER = "its client dies when it has been taken"
    LOSE_REQUEST = "it does not arrive, or not before DELIVER"
    LOSE_ANSWER = "it is taken, and the answer lost"
    CUT = "as LOSE_REQUEST; and the store cannot be asked what became of it"
    CUT_AFTER = "as LOSE_ANSWER; and the store cannot be asked what became of it"
    DELIVER = "it is taken, after all requests that were lost before"
    TRIM = "it is taken, after all superseded versions were discarded, for so much time has gone by"


Step = tuple[int, Event]


class Killed(BaseException):
    """The client's process has died."""


class Actor:
    """A client's thread, which runs when it is told to."""

    def __init__(self, run: Callable[[Actor], None]) -> None:
        self._mine, self._others = Semaphore(0), Semaphore(0)
        self._event = Event.RUN
        self._run = run
        self._error: BaseException | None = None
        self._thread = Thread(target=self._body, daemon=True)
        self.done = False
        self._thread.start()

    def _body(self) -> None:
        self._mine.acquire()
        try:
            self._run(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # raised again in the scheduler's thread
            self._error = error
        finally:
            self.done = True
            self._others.release()

    def wait(self) -> Event:
        """In its own thread: let the others run; returns what becomes of the step that is to come."""
        self._others.release()
        self._mine.acquire()
        return self._event

    def step(self, event: Event) -> None:
        """Let it run up to its next step."""
        self._event = event
        self._mine.release()
        self._others.acquire()
        if self._error is not None:
            raise self._error


class SteppingStore(MemoryStore):
    """A memory store that waits for its turn."""

    actor: Actor
    undelivered: list[CommitRequest]
    pass_time: Callable[[], None]
    cut = dead = False

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        event = self._wait()
        self.cut = False
        result = super().read(snapshot, requests, reserves)
        if event is Event.DIE_AFTER:
            raise Killed
        return result

    def commit(self, request: CommitRequest) -> Version:
        event = self._wait()
        lost = CommitUnknownError(
            "the connection broke", transaction_id=request.transaction_id, snapshot=request.snapshot.version
        )
        self.cut = event in (Event.CUT, Event.CUT_AFTER)
        if event in (Event.LOSE_REQUEST, Event.CUT):
            self.undelivered.append(request)
            raise lost
        version = super().commit(request)
        if event is Event.DIE_AFTER:
            raise Killed
        if event in (Event.LOSE_ANSWER, Event.CUT_AFTER):
            raise lost
        return version

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        self._wait()
        if self.cut:
            raise StoreUnavailableError("nobody there")
        return super().resolve(transaction_id, snapshot)

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        self._wait()
        self.pass_time()  # else the place of a client that has died would be there for ever
        return super().join_queue(ticket, claims, lease_s)

    def leave_queue(self, ticket: bytes) -> None:
        if not self.dead:
            super().leave_queue(ticket)

    def _wait(self) -> Event:
        event = self.actor.wait()
        self.dead = event in (Event.DIE, Event.DIE_AFTER)
        if event is Event.DIE:
            raise Killed
        return event


class Simulation:
    """Clients of one workload on one database in memory.

    Args:
        store: the class; a broken one shows what the checker finds.
        transactions: of each client.
    """

    def __init__(
        self,
        workload: str,
        level: str,
        *,
        processes: int = 3,
        transactions: int = 6,
        keys: int = 3,
        seed: int = 0,
        store: type[SteppingStore] = SteppingStore,
    ) -> None:
        self._name, self._level, self._keys, self._seed = workload, level, keys, seed
        self._processes, self._transactions, self._store = processes, transactions, store
        self._url = f"rome+memory:///simulation{next(_serial)}"
        self._undelivered: list[CommitRequest] = []
        self._recorded: list[RecordedTransaction] = []
        self._workloads: dict[int, KeyedWorkload] = {}
        self._now = itertools.count(1)
        self._seconds = 0.0

    def run(self, steps: Iterable[Step]) -> History:
        """Take the steps, then all that remain, in turns; returns what was recorded, and a read of everything."""
        with ExitStack() as stack:
            stack.enter_context(patch.object(clients, "clock", lambda: next(self._now)))
            stack.enter_context(patch.object(memory, "clock", lambda: self._seconds))
            stack.enter_context(patch.object(transaction, "RESOLVE_PAUSES_S", (0.0, 0.0)))
            stack.callback(rome.drop_database, self._url)
            plain = sa.create_engine(self._url, poolclass=NullPool)
            with plain.connect() as connection:
                WORKLOADS[self._name].create(connection, self._keys)
                progress = [itertools.count() for _ in range(self._processes)]
                actors = [self._start(process, progress[process]) for process in range(self._processes)]
                for process, event in steps:
                    if not actors[process].done:
                        self._prepare(event)
                        actors[process].step(event)
                        if actors[process].done and event in (Event.DIE, Event.DIE_AFTER):
                            actors[process] = self._start(process, progress[process])
                while not all(actor.done for actor in actors):
                    for actor in actors:
                        if not actor.done:
                            actor.step(Event.RUN)
                self._prepare(Event.DELIVER)
                last = LastRead(self._workload(self._processes), self._transactions)
                IsolationClient(connection, last, self._processes, self._recorded.append).run(0)
        facts = WORKLOADS[self._name].facts(self._keys)
        return make_history(Setting(self._name, self._level, facts), self._recorded)

    def _prepare(self, event: Event) -> None:
        """Do what an event says of the database."""
        if event is Event.TRIM:
            self._seconds += 1000.0
            rome.trim(self._url)
        elif event is Event.DELIVER:
            location, _ = parse_url(make_url(self._url), {})
            store = MemoryStore.open(location)
            for request in self._undelivered:
                with suppress(rome.dbapi.OperationalError):  # nobody waits for the answer
                    store.commit(request)
            self._undelivered.clear()
            store.close()

    def _pass_time(self) -> None:
        self._seconds += 0.1

    def _workload(self, process: int) -> KeyedWorkload:
        return WORKLOADS[self._name](process, self._keys, single=self._level == "AUTOCOMMIT", seed=self._seed)

    def _start(self, process: int, progress: Iterable[int]) -> Actor:
        """A client that goes on where the process's last one has died."""
        workload = self._workloads.setdefault(process, self._workload(process))

        def run(actor: Actor) -> None:
            engine = sa.create_engine(
                self._url, poolclass=NullPool, creator=lambda: self._open(actor), isolation_level=self._level
            )
            with engine.connect() as connection:
                client = IsolationClient(connection, workload, process, self._recorded.append, announce=True)
                for number in progress:
                    if number >= self._transactions:
                        return
                    client.run(number)

        return Actor(run)

    def _open(self, actor: Actor) -> Connection:
        location, options = parse_url(make_url(self._url), {"isolation_level": self._level, "max_replays": 2})
        store = self._store.open(location)
        store.actor, store.undelivered, store.pass_time = actor, self._undelivered, self._pass_time
        return Connection(Session(store, options))
