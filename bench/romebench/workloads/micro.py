"""Small operations through SQLAlchemy, each beside the raw operation of the store on the same bytes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from romebench.cases import MICRO, MICRO_CASES
from romebench.peers import STOCK, tune_sqlite
from romebench.stage import Contender, Stage
from romebench.worker import Worker
from romebench.workloads.raw import RawLmdb, RawRedis
from romebench.workloads.schema import SERVERS, Base, Flavour, Image, Owner, Server, Tag, Volume, server_values

GROUP = 10
"""Rows that share an index key."""
BATCH = 1_000
_ROWS = 2_000
_LARGE = frozenset({"insert 1,000"})


class Client:
    """One connection and a table of servers with what belongs to them; runs in the peer's worker."""

    def __init__(self, url: str, durable: bool) -> None:
        tune_sqlite(durable=durable)
        options = {"poolclass": sa.StaticPool} if url == "sqlite://" else {}
        self._engine = sa.create_engine(url, **options)
        Base.metadata.create_all(self._engine)
        self._next = _ROWS + 1
        self._serial = itertools.count(1)  # new values, since an update that changes nothing costs nothing
        with Session(self._engine) as session:
            session.add_all(Flavour(id=number, name=f"flavour {number}") for number in range(1, 6))
            session.add_all(Image(id=number, name=f"image {number}") for number in range(1, 6))
            session.add_all(Owner(id=number, name=f"owner {number}") for number in range(1, 6))
            session.commit()
            session.execute(sa.insert(Server), [server_values(number, GROUP) for number in range(1, _ROWS + 1)])
            session.execute(sa.insert(Volume), [{"server_id": n, "size": n} for n in range(1, _ROWS + 1)])
            tags = [{"server_id": n, "tag": f"tag {t}"} for n in range(1, _ROWS + 1) for t in range(3)]
            session.execute(sa.insert(Tag), tags[: len(tags) // 2])
            session.execute(sa.insert(Tag), tags[len(tags) // 2 :])
            session.commit()
        self._cases = dict(
            zip(
                MICRO_CASES,
                (
                    self._by_key,
                    self._by_index,
                    self._get,
                    self._load,
                    self._insert,
                    self._insert_many,
                    self._update,
                    self._modify,
                ),
                strict=True,
            )
        )

    def seconds(self, case: str, operations: int) -> float:
        """The mean time of an operation, over this many."""
        operation = self._cases[case]
        started = time.perf_counter()
        for number in range(operations):
            operation(1 + number * 7 % _ROWS)
        return (time.perf_counter() - started) / operations

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def _by_key(self, number: int) -> None:
        with self._engine.connect() as connection:
            connection.execute(_BY_KEY, {"number": number}).one()

    def _by_index(self, number: int) -> None:
        with self._engine.connect() as connection:
            rows = connection.execute(_BY_GROUP, {"wanted": number // GROUP}).all()
        assert len(rows) <= GROUP

    def _get(self, number: int) -> None:
        with Session(self._engine) as session:
            session.get_one(Server, number)

    def _load(self, number: int) -> None:
        with Session(self._engine) as session:
            server = session.execute(_WITH_JOINS, {"number": number}).unique().scalar_one()
            assert None not in (server.flavour, server.image, server.owner, server.volume)
            assert len(server.tags) == 3

    def _insert(self, _number: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.insert(Server), server_values(self._next, GROUP))
        self._next += 1

    def _insert_many(self, _number: int) -> None:
        rows = [server_values(number, GROUP) for number in range(self._next, self._next + BATCH)]
        with self._engine.begin() as connection:
            connection.execute(sa.insert(Server), rows)
        self._next += BATCH

    def _update(self, number: int) -> None:
        with self._engine.begin() as connection:
            done = connection.execute(_UPDATE, {"number": number, "progress": next(self._serial)})
        assert done.rowcount == 1

    def _modify(self, number: int) -> None:
        with Session(self._engine) as session:
            server = session.get_one(Server, number, with_for_update=True)
            server.launch_index = (server.launch_index or 0) + 1
            session.commit()


_BY_KEY = sa.select(SERVERS).where(Server.id == sa.bindparam("number"))
_BY_GROUP = sa.select(SERVERS).where(Server.reservation == sa.bindparam("wanted"))
_WITH_JOINS = (
    sa.select(Server)
    .where(Server.id == sa.bindparam("number"))
    .options(*(joinedload(getattr(Server, name)) for name in ("flavour", "image", "owner", "volume", "tags")))
)
_UPDATE = (
    sa.update(SERVERS)
    .where(Server.id == sa.bindparam("number"))
    .values(progress=sa.bindparam("progress", type_=sa.Integer))
)


def raw_client(contender: Contender, *, durable: bool) -> Worker | None:
    """A worker with the contender's store without Rome; None if it has no such store."""
    if contender.key == "rome-lmdb":
        return Worker(RawLmdb, str(contender.folder / "raw.lmdb"), durable, _ROWS, GROUP, BATCH)
    if contender.key.startswith("rome-"):
        port = urlsplit(contender.template).port
        return Worker(RawRedis, port, _ROWS, GROUP, BATCH)
    return None


def run(stage: Stage) -> None:
    """Measure the cases in order, the peers of each in alternation."""
    contenders = {contender.key: contender for contender in stage.contenders}
    workers: dict[str, Worker] = {}

    def start(key: str) -> Worker:
        url = STOCK.template if key == STOCK.key else contenders[key].fresh_database(MICRO)
        return Worker(Client, url, stage.durable)

    workers.update(stage.attempt(MICRO, [*contenders, STOCK.key], start))

    def start_raw(key: str) -> Worker | None:
        return raw_client(contenders[key.removeprefix("raw ")], durable=stage.durable)

    raw = stage.attempt(MICRO, [f"raw {key}" for key in contenders], start_raw)
    workers.update({key: worker for key, worker in raw.items() if worker is not None})

    def timed(case: str) -> Callable[[str], float]:
        operations = max(1, stage.sizes.operations // (50 if case in _LARGE else 1))

        def seconds(key: str) -> float:
            found: float = workers[key].call("seconds", case, operations)
            return found

        return seconds

    try:
        for case in MICRO_CASES:
            print(f"  {case}", flush=True)
            seconds = timed(case)
            fit = stage.attempt(MICRO, list(workers), seconds)  # fills caches
            stage.measure(MICRO, case, "s", list(fit), seconds)
    finally:
        for worker in workers.values():
            worker.close()
