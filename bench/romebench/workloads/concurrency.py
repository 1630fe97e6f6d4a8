"""Many processes at once: reads and read-modify-writes of a few hot rows, or of many."""

from __future__ import annotations

import multiprocessing
import random
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from romebench import usage
from romebench.cases import CONCURRENCY, MODIFY, READ, cell_case
from romebench.peers import tune_sqlite
from romebench.stage import Contender, Stage
from romebench.worker import Worker, WorkerError

_ROWS = 10_000
_HOT = 4
_START_TIMEOUT_S = 60.0

_metadata = sa.MetaData()
_counters = sa.Table(
    "bench_counters",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Integer, nullable=False),
    sa.Column("filler", sa.String(200), nullable=False),
)
_wanted = sa.bindparam("wanted", type_=sa.Integer)
_SELECT = sa.select(_counters).where(_counters.c.id == _wanted)
_UPDATE = sa.update(_counters).where(_counters.c.id == _wanted).values(value=sa.bindparam("now"))


@dataclass(frozen=True, slots=True)
class Tally:
    """What one client did in one cell, or all clients together."""

    done: int
    conflicts: int
    replays: int


class Crowd:
    """The client processes of a peer; runs in its worker. All are forked before it opens a connection."""

    def __init__(self, url: str, durable: bool, clients: int) -> None:
        context = multiprocessing.get_context("fork")
        self._barriers = {size: context.Barrier(size) for size in range(1, clients + 1)}
        self._pipes: list[Connection] = []
        for number in range(clients):
            ours, theirs = context.Pipe()
            context.Process(target=_client, args=(theirs, url, durable, number, self._barriers), daemon=True).start()
            self._pipes.append(ours)
        tune_sqlite(durable=durable)
        self._engine = sa.create_engine(url)
        _metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            for start in range(0, _ROWS, 1_000):
                rows = [{"id": number, "value": 0, "filler": "x" * 200} for number in range(start, start + 1_000)]
                connection.execute(sa.insert(_counters), rows)

    def work(self, clients: int, kind: str, hot: bool, seconds: float) -> Tally:
        """Let this many clients work at once.

        Raises:
            RuntimeError: a client failed, or an acknowledged increment was lost.
        """
        before = self._sum()
        pipes = self._pipes[:clients]
        for pipe in pipes:
            pipe.send((clients, kind, hot, seconds))
        answers: list[Any] = []
        for pipe in pipes:
            if not pipe.poll(_START_TIMEOUT_S + 10 * seconds):
                raise RuntimeError("a client does not answer")
            answers.append(pipe.recv())
        failed = [answer for answer in answers if isinstance(answer, str)]
        if failed:
            raise RuntimeError(failed[0])
        tally = Tally(*(sum(getattr(each, name) for each in answers) for name in Tally.__slots__))
        added = self._sum() - before
        if added != (tally.done if kind == MODIFY else 0):
            raise RuntimeError(f"{tally.done} increments were acknowledged, and {added} are there")
        return tally

    def _sum(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.sum(_counters.c.value))).scalar_one())


def _client(pipe: Connection, url: str, durable: bool, number: int, barriers: dict[int, Barrier]) -> None:
    """One client's process."""
    random.seed(number)
    tune_sqlite(durable=durable)
    engine: sa.Engine | None = None
    while True:
        try:
            clients, kind, hot, seconds = pipe.recv()
        except EOFError:
            return
        try:
            if engine is None:
                engine = _engine(url)
            _add_one(engine, 0, kind) if kind == READ else engine.connect().close()
            barriers[clients].wait(_START_TIMEOUT_S)
            pipe.send(_work(engine, kind, hot, seconds))
        except Exception as error:  # noqa: BLE001 (the caller is told)
            pipe.send(f"{type(error).__name__}: {error}")


def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite" and engine.dialect.driver != "rome":
        # As SQLAlchemy's documentation recommends: otherwise two readers that both want to write fail each other
        # forever.
        sa.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _work(engine: sa.Engine, kind: str, hot: bool, seconds: float) -> Tally:
    done = conflicts = 0
    replays = _replays(engine)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        wanted = random.randrange(_HOT if hot else _ROWS)
        try:
            _add_one(engine, wanted, kind)
        except OperationalError:  # a conflict, a deadlock, or SQLite's lock: an application tries again
            conflicts += 1
        else:
            done += 1
    return Tally(done, conflicts, _replays(engine) - replays)


def _add_one(engine: sa.Engine, wanted: int, kind: str) -> None:
    with engine.begin() as connection:
        select = _SELECT if kind == READ else _SELECT.with_for_update()
        row = connection.execute(select, {"wanted": wanted}).one()
        if kind == MODIFY:
            connection.execute(_UPDATE, {"wanted": wanted, "now": row.value + 1})


def _replays(engine: sa.Engine) -> int:
    """How often the client's one connection replayed a transaction; 0 for all except Rome."""
    with engine.connect() as connection:
        stats = getattr(connection.connection.dbapi_connection, "rome_stats", None)
        return 0 if stats is None else int(stats.replays)


def run(stage: Stage) -> None:
    """Measure each cell, the peers in alternation; reads at one durability only, since it does not affect them."""
    contenders = {contender.key: contender for contender in stage.contenders}
    most = max(stage.sizes.clients)

    def start(key: str) -> Worker:
        return Worker(Crowd, contenders[key].fresh_database(CONCURRENCY), stage.durable, most)

    crowds = stage.attempt(CONCURRENCY, contenders, start)
    try:
        for kind in (READ, MODIFY) if stage.durable else (MODIFY,):
            for hot in (False, True):
                for clients in stage.sizes.clients:
                    alive = _cell(stage, contenders, crowds, (clients, kind, hot))
                    crowds = {key: crowd for key, crowd in crowds.items() if key in alive}
    finally:
        for crowd in crowds.values():
            crowd.close()


def _cell(
    stage: Stage,
    contenders: dict[str, Contender],
    crowds: dict[str, Worker],
    cell: tuple[int, str, bool],
) -> list[str]:
    """Measure one number of clients, kind of work and choice of rows; returns the peers that did not fail."""
    clients, kind, hot = cell
    print(f"  {kind}, {'hot' if hot else 'uniform'} rows, {clients} clients", flush=True)
    found: dict[str, dict[str, list[float]]] = {
        key: {"throughput": [], "conflicts": [], "replays": [], "server CPU": []} for key in crowds
    }

    def work(key: str) -> None:
        server = contenders[key].server
        before = 0.0 if server is None else usage.cpu_s(server.pid)
        seconds = stage.sizes.seconds
        try:
            tally = crowds[key].call("work", *cell, seconds)
        except WorkerError:
            crowds[key].close()
            raise
        found[key]["throughput"].append(tally.done / seconds)
        found[key]["conflicts"].append(tally.conflicts / max(1, tally.done))
        found[key]["replays"].append(tally.replays / max(1, tally.done))
        if server is not None:
            found[key]["server CPU"].append((usage.cpu_s(server.pid) - before) / max(1, tally.done))

    alive = list(crowds)
    for _ in range(stage.sizes.runs):
        alive = list(stage.attempt(CONCURRENCY, alive, work))
    units = {"throughput": "1/s", "conflicts": "per commit", "replays": "per commit", "server CPU": "s"}
    for key in alive:
        for what, runs in found[key].items():
            stage.add(CONCURRENCY, cell_case(kind, hot, clients, what), key, units[what], runs)
    return alive
