"""Measure the first row, all rows and the memory of a query over many rows, fetched as a whole and streamed.

    python bench/streaming.py 'rome+lmdb:////tmp/streaming.rome?sync=off'
    python bench/streaming.py 'rome+redis://127.0.0.1:6379/streaming' --rows 100000 --runs 3

The tables are filled up to --rows and kept. Each measurement is a process of its own; both ways take turns, so that the
ratios are of one run. `memory` is how much the process's peak memory has grown since before the query.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from rome.errors import PersistenceWarning

BATCH = 2_500
PLAIN, STREAMED = "whole", "streamed"


class Base(DeclarativeBase):
    """The tables' base."""


class Host(Base):
    """One of a thousandth as many rows as there are servers."""

    __tablename__ = "hosts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Server(Base):
    """One of many rows."""

    __tablename__ = "servers"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    note: Mapped[str]
    host_id: Mapped[int] = mapped_column(sa.ForeignKey("hosts.id"))
    host: Mapped[Host] = relationship()


SERVERS = Server.__table__
QUERIES = {
    "Core": sa.select(SERVERS),
    "Core, WHERE and ORDER BY key": sa.select(SERVERS).where(SERVERS.c.state != "ERROR").order_by(SERVERS.c.id.desc()),
    "ORM": sa.select(Server),
    "ORM, joinedload": sa.select(Server).options(joinedload(Server.host)).order_by(Server.id),
}


def fill(engine: sa.Engine, rows: int) -> None:
    """Create the tables unless they exist, and insert rows until there are this many."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        present = session.scalar(sa.select(sa.func.count()).select_from(Server)) or 0
        hosts = session.scalar(sa.select(sa.func.count()).select_from(Host)) or 0
        missing = range(hosts + 1, rows // 1000 + 2)
        if missing:
            session.execute(sa.insert(Host), [{"id": n, "name": f"host {n}"} for n in missing])
            session.commit()
        for start in range(present + 1, rows + 1, BATCH):
            numbers = range(start, min(start + BATCH, rows + 1))
            values = [
                {"id": n, "state": "ACTIVE", "note": f"note {n} {'x' * 60}", "host_id": n // 1000 + 1} for n in numbers
            ]
            session.execute(sa.insert(Server), values)
            session.commit()


def measure(url: str, name: str, way: str) -> dict[str, float]:
    """Run a query in this process; returns rows, and seconds and MB to the first row and to the last."""
    options = {"yield_per": 500} if way == STREAMED else {}
    with opened(url) as engine, Session(engine) as session:
        session.execute(sa.select(Server).limit(1)).all()  # the schema, and what is imported with the first query
        session.rollback()
        before, began = peak_mb(), time.perf_counter()
        found = session.execute(QUERIES[name], execution_options=options)
        next(found)
        first, rows = time.perf_counter() - began, 1
        for _ in found:
            rows += 1
        return {"rows": rows, "first": first, "all": time.perf_counter() - began, "memory": peak_mb() - before}


@contextmanager
def opened(url: str) -> Iterator[sa.Engine]:
    """An engine for the block."""
    engine = sa.create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def peak_mb() -> float:
    """The process's peak memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(url: str, name: str, way: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, url, "--query", name, "--way", way]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--query", choices=QUERIES, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=(PLAIN, STREAMED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", PersistenceWarning)
    if arguments.way:
        print(json.dumps(measure(arguments.url, arguments.query, arguments.way)))
        return
    with opened(arguments.url) as engine:
        fill(engine, arguments.rows)
    print(f"{'':40} {'rows':>8} {'first s':>9} {'all s':>7} {'MB':>7}   streamed: first row, all, memory")
    for name in QUERIES:
        runs = [{way: in_process(arguments.url, name, way) for way in (PLAIN, STREAMED)} for _ in range(arguments.runs)]
        figures = {way: {key: median(run[way][key] for run in runs) for key in found} for way, found in runs[0].items()}
        whole, streamed = figures[PLAIN], figures[STREAMED]
        ratios = ", ".join(f"{streamed[key] / max(whole[key], 1e-9):.4f}" for key in ("first", "all", "memory"))
        for way, each in figures.items():
            line = f"{each['rows']:8,.0f} {each['first']:9.3f} {each['all']:7.1f} {each['memory']:7.1f}"
            print(f"{f'{name}, {way}':40} {line}   {ratios if way == STREAMED else ''}", flush=True)


if __name__ == "__main__":
    main()
