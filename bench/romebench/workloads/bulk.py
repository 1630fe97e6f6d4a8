"""Load many rows, count them, and measure the space that they take."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import sqlalchemy as sa

from romebench import usage
from romebench.cases import BULK, COUNT, LOAD
from romebench.peers import tune_sqlite
from romebench.stage import Stage
from romebench.worker import Worker
from romebench.workloads.schema import SERVERS, server_values

GROUP = 10
_TRANSACTION_ROWS = 2_500
_SLICES = 10


class Table:
    """One table, which is filled and read; runs in the peer's worker."""

    def __init__(self, url: str, durable: bool) -> None:
        tune_sqlite(durable=durable)
        self._engine = sa.create_engine(url)
        self._table = SERVERS
        self._table.create(self._engine)

    def load(self, first: int, count: int) -> float:
        """Insert rows with executemany, in transactions of a few thousand; returns rows per second."""
        rows = [server_values(number, GROUP) for number in range(first, first + count)]
        insert = sa.insert(self._table)
        started = time.perf_counter()
        for start in range(0, count, _TRANSACTION_ROWS):
            with self._engine.begin() as connection:
                connection.execute(insert, rows[start : start + _TRANSACTION_ROWS])
        return count / (time.perf_counter() - started)

    def count(self) -> float:
        """Seconds that counting all rows takes."""
        started = time.perf_counter()
        with self._engine.connect() as connection:
            connection.execute(sa.select(sa.func.count()).select_from(self._table)).scalar_one()
        return time.perf_counter() - started

    def page(self, number: int, size: int) -> float:
        """Seconds that reading a page (from 1) takes, by its marker, as OpenStack's services read it."""
        marker = server_values((number - 1) * size, GROUP)
        columns = self._table.c
        after = sa.or_(
            columns.created_at > marker["created_at"],
            sa.and_(columns.created_at == marker["created_at"], columns.id > marker["id"]),
        )
        query = sa.select(self._table).order_by(columns.created_at, columns.id).limit(size)
        started = time.perf_counter()
        with self._engine.connect() as connection:
            rows = connection.execute(query.where(after) if number > 1 else query).all()
        seconds = time.perf_counter() - started
        assert rows[0].id == (number - 1) * size + 1
        assert len(rows) == size
        return seconds

    def pid(self) -> int:
        """The id of this process."""
        return os.getpid()


_loaded: dict[int, dict[str, Worker]] = {}
"""The tables of each stage, since two workloads use the same ones."""


def loaded(stage: Stage) -> dict[str, Worker]:
    """The peers' tables with all rows. The first call loads them and notes how fast that was.

    A peer that would take longer than its budget is reported and left out.
    """
    if id(stage) in _loaded:
        return _loaded[id(stage)]
    contenders = {contender.key: contender for contender in stage.contenders}
    slices = max(_SLICES, stage.sizes.runs)
    size = stage.sizes.rows // slices
    tables = stage.attempt(
        BULK, contenders, lambda key: Worker(Table, contenders[key].fresh_database(BULK), stage.durable)
    )
    for table in tables.values():
        stage.on_exit(table.close)
    at_first = {key: _used(stage, key, table) for key, table in tables.items()}
    speeds: dict[str, list[float]] = {key: [] for key in tables}

    def load(key: str) -> None:
        spent = sum(size / speed for speed in speeds[key])
        if spent > stage.sizes.budget_s:
            raise RuntimeError(f"{len(speeds[key]) * size:,} rows took {spent:.0f} s: the rest is left out")
        speeds[key].append(tables[key].call("load", 1 + len(speeds[key]) * size, size))

    print(f"  loading {slices * size:,} rows, in {slices} turns", flush=True)
    alive = list(tables)
    for _ in range(slices):
        alive = list(stage.attempt(BULK, alive, load))
    for key, found in speeds.items():
        stage.add(BULK, LOAD, key, "rows/s", found)
    for key in alive:
        for what, before, after in zip(_USED, at_first[key], _used(stage, key, tables[key]), strict=True):
            stage.add(BULK, f"{what} per row", key, "bytes", [(after - before) / (slices * size)])
    _loaded[id(stage)] = {key: tables[key] for key in alive}
    return _loaded[id(stage)]


_USED = ("memory of the client", "memory of the server", "disk")


def _used(stage: Stage, key: str, table: Worker) -> Sequence[int]:
    [contender] = [each for each in stage.contenders if each.key == key]
    return (
        usage.memory_bytes(table.pid),
        0 if contender.server is None else usage.memory_bytes(contender.server.pid),
        usage.disk_bytes(contender.folder),
    )


def run(stage: Stage) -> None:
    """Measure loading, then counting."""
    tables = loaded(stage)
    print("  counting", flush=True)
    stage.measure(BULK, COUNT, "s", tables, lambda key: tables[key].call("count"))
