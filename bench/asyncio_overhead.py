"""What asyncio costs per statement: Rome's driver with and without `await`, in turns, in one run.

    python bench/asyncio_overhead.py URL [--rounds 30] [--statements 200]

Prints the median time of a statement with its rows, and the ratio to the driver without asyncio. On Redis a third way
is measured, which Rome does not offer: the same code in a greenlet whose socket waits in the event loop, without a
thread. It shows what a driver without threads could gain.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from sqlalchemy.util import await_only, greenlet_spawn

import rome
import rome.aio

KEY = "SELECT id, n FROM overhead WHERE id = ?"
MANY = "SELECT id, n FROM overhead WHERE id > ?"
Way = Callable[[str], Awaitable[object]]


async def readable(socket: Any) -> None:
    """Wait in the event loop until the socket has something to read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(socket, note)
    try:
        await ready
    finally:
        loop.remove_reader(socket)


def in_greenlets(connection: rome.dbapi.Connection) -> Way:
    """The connection's answers are waited for in the event loop; for a connection that is open."""
    from redis.connection import Connection  # noqa: PLC0415  # for Redis only

    read = Connection.read_response

    def patient(link: Any, *arguments: Any, **options: Any) -> Any:
        if not link.can_read(timeout=0):
            await_only(readable(link._sock))
        return read(link, *arguments, **options)

    def run(sql: str) -> object:
        Connection.read_response = patient  # type: ignore[assignment, method-assign]
        try:
            return connection.execute(sql, (1,)).fetchall()
        finally:
            Connection.read_response = read  # type: ignore[method-assign]

    return lambda sql: greenlet_spawn(run, sql)


async def measure(url: str, rounds: int, statements: int) -> None:
    """Measure each way in turns, and print medians and ratios."""
    connection = rome.connect(url)
    connection.executescript("DROP TABLE IF EXISTS overhead; CREATE TABLE overhead (id INTEGER PRIMARY KEY, n INT)")
    connection.executemany("INSERT INTO overhead VALUES (?, ?)", [(n, n) for n in range(1, 102)])
    connection.commit()

    async def plainly(sql: str) -> object:
        return connection.execute(sql, (1,)).fetchall()

    async with await rome.aio.connect(url) as other:
        cursor = other.cursor()
        ways: dict[str, Way] = {"sync": plainly, "thread": lambda sql: cursor.execute_and_fetch(sql, (1,))}
        if url.startswith("rome+redis"):
            ways["greenlet"] = in_greenlets(connection)
        for what, sql in (("1 row by key", KEY), ("100 rows", MANY)):
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    begun = time.perf_counter()
                    for _ in range(statements):
                        await way(sql)
                        if name == "thread":
                            await other.rollback()
                        else:
                            connection.rollback()
                    seconds[name].append((time.perf_counter() - begun) / statements)
            base = median(seconds["sync"])
            shown = ", ".join(f"{n} {median(s) * 1e6:.0f} us ({median(s) / base:.2f})" for n, s in seconds.items())
            print(f"{what}, with its transaction: {shown}")
    connection.close()
    rome.drop_database(url)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--statements", type=int, default=200)
    options = parser.parse_args()
    asyncio.run(measure(options.url, options.rounds, options.statements))


if __name__ == "__main__":
    main()
