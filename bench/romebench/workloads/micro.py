"""Small operations through SQLAlchemy, each beside the raw operation of the store on the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from romebench.cases import (
    BY_INDEX,
    BY_KEY,
    COUNTED,
    DELETE,
    GET,
    INSERT,
    INSERT_MANY,
    INSERT_ORM,
    JOIN,
    KEYS,
    LOADED,
    MICRO,
    MICRO_CASES,
    MODIFIED,
    SORTED,
    UPDATE,
    cpu_case,
)
from romebench.peers import STOCK, tune_sqlite
from romebench.stage import Contender, Stage
from romebench.worker import Worker
from romebench.workloads.raw import RAW_CASES, RawLmdb, RawRedis
from romebench.workloads.schema import SERVERS, Base, Flavour, Image, Owner, Server, Tag, Volume, server_values
from romebench.workloads.timing import timed

GROUP = 10
"""Rows that share an index key."""
BATCH = 1_000
_ROWS = 2_000
_LARGE = frozenset({INSERT_MANY})


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
        self._deleted = _ROWS
        self._cases: dict[str, Callable[[int], None]] = {
            BY_KEY: self._by_key,
            KEYS: self._by_keys,
            BY_INDEX: self._by_index,
            SORTED: self._sorted,
            COUNTED: self._counted,
            JOIN: self._join,
            GET: self._get,
            LOADED: self._load,
            INSERT: self._insert,
            INSERT_ORM: self._insert_object,
            INSERT_MANY: self._insert_many,
            UPDATE: self._update,
            MODIFIED: self._modify,
            DELETE: self._delete,
        }

    def seconds(self, case: str, operations: int) -> tuple[float, float]:
        """The mean time of an operation, over this many, and of it this thread's CPU."""
        operation = self._cases[case]
        return timed(lambda number: operation(1 + number * 7 % _ROWS), operations)

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

    def _by_keys(self, number: int) -> None:
        wanted = [1 + (number + 3 * step) % _ROWS for step in range(GROUP)]
        with self._engine.connect() as connection:
            rows = connection.execute(_BY_KEYS, {"wanted": wanted}).all()
        assert len(rows) == GROUP

    def _sorted(self, number: int) -> None:
        marker = server_values(number % (_ROWS - _PAGE), GROUP)["created_at"]
        with self._engine.connect() as connection:
            rows = connection.execute(_AFTER, {"marker": marker}).all()
        assert len(rows) == _PAGE

    def _counted(self, number: int) -> None:
        with self._engine.connect() as connection:
            assert connection.execute(_COUNT, {"wanted": number // GROUP}).scalar_one() <= GROUP

    def _join(self, number: int) -> None:
        with self._engine.connect() as connection:
            rows = connection.execute(_JOINED, {"number": number}).all()
        assert len(rows) == 3

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

    def _insert_object(self, _number: int) -> None:
        with Session(self._engine) as session:
            session.add(Server(**server_values(self._next, GROUP)))
            session.commit()
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

    def _delete(self, _number: int) -> None:
        """A server that was inserted before: there are more of them."""
        self._deleted += 1
        with self._engine.begin() as connection:
            done = connection.execute(_DELETE, {"number": self._deleted})
        assert done.rowcount == 1


_BY_KEY = sa.select(SERVERS).where(Server.id == sa.bindparam("number"))
_BY_GROUP = sa.select(SERVERS).where(Server.reservation == sa.bindparam("wanted"))
_BY_KEYS = sa.select(SERVERS).where(Server.id.in_(sa.bindparam("wanted", expanding=True)))
_PAGE = 20
_AFTER = (
    sa.select(SERVERS)
    .where(Server.created_at > sa.bindparam("marker"))
    .order_by(Server.created_at, Server.id)
    .limit(_PAGE)
)
_COUNT = sa.select(sa.func.count()).select_from(SERVERS).where(Server.reservation == sa.bindparam("wanted"))
_JOINED = (
    sa.select(Server.uuid, Server.hostname, Tag.tag)
    .join(Tag, Tag.server_id == Server.id)
    .where(Server.id == sa.bindparam("number"))
)
_DELETE = sa.delete(SERVERS).where(Server.id == sa.bindparam("number"))
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

    try:
        for case in MICRO_CASES:
            print(f"  {case}", flush=True)
            _measure(stage, workers, case)
    finally:
        for worker in workers.values():
            worker.close()


def _measure(stage: Stage, workers: dict[str, Worker], case: str) -> None:
    operations = max(1, stage.sizes.operations // (50 if case in _LARGE else 1))

    def seconds(key: str) -> tuple[float, float]:
        found: tuple[float, float] = workers[key].call("seconds", case, operations)
        return found

    keys = [key for key in workers if case in RAW_CASES or not key.startswith("raw ")]
    found = stage.attempt(MICRO, keys, seconds)  # fills caches
    runs: dict[str, list[tuple[float, float]]] = {key: [] for key in found}
    for _ in range(stage.sizes.runs):
        found = stage.attempt(MICRO, found, seconds)
        runs = {key: [*runs[key], each] for key, each in found.items()}
    for key, each in runs.items():
        stage.add(MICRO, case, key, "s", [wall for wall, _ in each])
        stage.add(MICRO, cpu_case(case), key, "s", [cpu for _, cpu in each])
