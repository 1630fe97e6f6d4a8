"""A client of a database at one site, in its own process: transactions one by one, or load while a site is lost."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from romebench.sites.network import Site

ROWS = 100
_READ_EVERY_S = 0.01
_WRITE_EVERY_S = 0.01
_AFTER_ERROR_S = 0.05

_metadata = sa.MetaData()
_counters = sa.Table(
    "counters", _metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("value", sa.Integer, nullable=False)
)
_ledger = sa.Table("ledger", _metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
_LEDGER_OF_A_SITE = 1_000_000


class Moment(NamedTuple):
    """When one transaction went on; times are of time.perf_counter, the same for all sites."""

    begun_s: float
    read_s: float
    ended_s: float


@dataclass
class Watched:
    """What a client saw while it read and wrote.

    Attributes:
        reads, commits: when each successful one ended.
        acknowledged: the rows of the ledger whose commit was acknowledged.
        errors: {the beginning of an error's text: how often}.
    """

    reads: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


class SiteClient:
    """One engine at a site, and its database."""

    def __init__(self, site: Site, url: str) -> None:
        site.enter()
        warnings.simplefilter("ignore")
        logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)  # a lost node is what is looked for, not news
        self._number = site.number
        self._engine = sa.create_engine(url, pool_size=3)
        self._serial = itertools.count(1)
        self._watching = threading.Event()
        self._watched = Watched()
        self._threads: list[threading.Thread] = []

    def prepare(self) -> None:
        """Make the tables and their rows."""
        _metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            connection.execute(_counters.insert(), [{"id": number, "value": 0} for number in range(1, ROWS + 1)])

    def sees_tables(self) -> bool:
        """Whether what `prepare` did has arrived at this site."""
        try:
            with self._engine.connect() as connection:
                return connection.scalar(sa.select(sa.func.count()).select_from(_counters)) == ROWS
        except sa.exc.DBAPIError:
            return False

    def transactions(self, count: int, write: bool) -> list[Moment]:
        """Run so many: read a row by its key, and if `write`, change it. Each is of another row."""
        moments = []
        for _ in range(count):
            key = {"id": next(self._serial) % ROWS + 1}
            begun = time.perf_counter()
            with self._engine.begin() as connection:
                connection.execute(_SELECT, key)
                read = time.perf_counter()
                if write:
                    connection.execute(_UPDATE, {"key": key["id"]})
            moments.append(Moment(begun, read, time.perf_counter()))
            time.sleep(_WRITE_EVERY_S)
        return moments

    def watch(self) -> None:
        """Begin to read in one thread and to write in another."""
        self._watched = Watched()
        self._watching.set()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._write)]
        for thread in self._threads:
            thread.start()

    def watched(self) -> Watched:
        """End it; returns what was seen."""
        self._watching.clear()
        for thread in self._threads:
            thread.join(60)
        return self._watched

    def _read(self) -> None:
        def read(connection: sa.Connection) -> None:
            connection.execute(_SELECT, {"id": 1})

        self._repeat(read, lambda: self._watched.reads.append(time.perf_counter()), _READ_EVERY_S)

    def _write(self) -> None:
        row = 0

        def write(connection: sa.Connection) -> None:
            nonlocal row
            row = self._number * _LEDGER_OF_A_SITE + next(self._serial)
            connection.execute(_INSERT, {"id": row})

        def note() -> None:
            self._watched.commits.append(time.perf_counter())
            self._watched.acknowledged.append(row)

        self._repeat(write, note, _WRITE_EVERY_S)

    def _repeat(self, run: Callable[[sa.Connection], None], note: Callable[[], None], every_s: float) -> None:
        while self._watching.is_set():
            try:
                with self._engine.begin() as connection:
                    run(connection)
            except Exception as error:  # noqa: BLE001 (whatever a lost site does to a client, it goes on)
                name = f"{type(error).__name__}: {error}"[:120]
                self._watched.errors[name] = self._watched.errors.get(name, 0) + 1
                time.sleep(_AFTER_ERROR_S)
            else:
                note()
                time.sleep(every_s)

    def ledger(self) -> set[int]:
        """The rows that are there."""
        with self._engine.connect() as connection:
            return set(connection.scalars(sa.select(_ledger.c.id)))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


_SELECT: Any = sa.select(_counters.c.value).where(_counters.c.id == sa.bindparam("id"))
_UPDATE: Any = _counters.update().where(_counters.c.id == sa.bindparam("key")).values(value=_counters.c.value + 1)
_INSERT: Any = _ledger.insert()
