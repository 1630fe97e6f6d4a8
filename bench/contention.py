"""Many processes change one row: does each of them make progress, how fast, and at what cost to the server?

There are four workloads:
- `update`: UPDATE .. SET n = n + 1, which Rome can replay;
- `read`: SELECT n, then UPDATE .. SET n = <n+1>, which Rome cannot replay, since the application has seen n; the
  application runs such a transaction again until it is committed;
- `lock`: the same with SELECT n .. FOR UPDATE, which waits for the others first;
- `next`: take the next of many rows, as from a queue of jobs, so that each attempt wants another row.
The time measured is that of a whole transaction, from its first attempt to its commit.

    python bench/contention.py 'rome+redis://127.0.0.1:6379/contention' --clients 32 --seconds 5
    python bench/contention.py ... --options commit_turn=off        the same without the commit turn
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

import rome
from rome.dbapi import Connection
from rome.errors import ConflictError, PersistenceWarning

JOBS = 100

START_DELAY_S = 0.5
"""Until the first transaction begins, so that all clients have connected by then."""


@dataclass
class Report:
    """What one client did.

    Attributes:
        latencies_ms: one per committed transaction.
        failures: how many serialization failures (40001) the application saw.
        longest_row: the most of them in a row, for one transaction.
    """

    latencies_ms: list[float]
    failures: int
    longest_row: int
    conflicts: int
    replays: int
    round_trips: int


def update(connection: Connection) -> None:
    """Add 1 to the row, in one statement."""
    connection.execute("UPDATE counter SET n = n + 1 WHERE id = 1")


def read(connection: Connection) -> None:
    """Read the row and write it back, one greater."""
    [(n,)] = connection.execute("SELECT n FROM counter WHERE id = 1").fetchall()
    assert isinstance(n, int)
    connection.execute("UPDATE counter SET n = ? WHERE id = 1", (n + 1,))


def lock(connection: Connection) -> None:
    """The same as `read`, with the row locked in between."""
    [(n,)] = connection.execute("SELECT n FROM counter WHERE id = 1 FOR UPDATE").fetchall()
    assert isinstance(n, int)
    connection.execute("UPDATE counter SET n = ? WHERE id = 1", (n + 1,))


def take_next(connection: Connection) -> None:
    """Change the row that is next by an index."""
    connection.execute(
        "UPDATE job SET n = n + 1 WHERE id = (SELECT id FROM job ORDER BY n, id LIMIT 1) RETURNING id"
    ).fetchall()


WORKLOADS: dict[str, Callable[[Connection], None]] = {"update": update, "read": read, "lock": lock, "next": take_next}


def run_client(
    url: str, workload: str, start: float, seconds: float, reports: multiprocessing.SimpleQueue[Report]
) -> None:
    """One client's process: run transactions from `start` on, and begin none after `seconds`."""
    report = Report([], 0, 0, 0, 0, 0)
    with closing(rome.connect(url)) as connection:
        connection.execute("SELECT n FROM counter WHERE id = 2")
        connection.commit()
        time.sleep(max(0.0, start - time.monotonic()))
        while (begun := time.monotonic()) < start + seconds:
            failures = 0
            while not _commits(connection, WORKLOADS[workload]):
                failures += 1
            report.latencies_ms.append((time.monotonic() - begun) * 1000)
            report.failures += failures
            report.longest_row = max(report.longest_row, failures)
        stats = connection.rome_stats
        report.conflicts, report.replays, report.round_trips = stats.conflicts, stats.replays, stats.round_trips
    reports.put(report)


def _commits(connection: Connection, work: Callable[[Connection], None]) -> bool:
    try:
        work(connection)
        connection.commit()
    except ConflictError:
        connection.rollback()
        return False
    return True


def server_cpu_s(url: str) -> float | None:
    """Seconds of CPU that the Redis server has used so far; None for a store without a server."""
    parts = urlsplit(url)
    if not parts.scheme.endswith("redis"):
        return None
    import redis  # noqa: PLC0415 (only a Redis URL needs it)

    with redis.Redis(parts.hostname or "127.0.0.1", parts.port or 6379, password=parts.password) as client:
        cpu = client.info("cpu")
    return float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])


def measure(url: str, workload: str, clients: int, seconds: float) -> str:
    """Run one workload and return its line of the table.

    Raises:
        AssertionError: an update was lost.
    """
    with closing(rome.connect(url)) as connection:
        connection.execute("DROP TABLE IF EXISTS counter")
        connection.execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INT)")
        connection.execute("INSERT INTO counter VALUES (1, 0)")
        connection.execute("DROP TABLE IF EXISTS job")
        connection.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, n INT)")
        connection.execute("CREATE INDEX job_order ON job (n, id)")
        connection.executemany("INSERT INTO job VALUES (?, 0)", [(number,) for number in range(JOBS)])
        connection.commit()
    context = multiprocessing.get_context("fork")  # 32 imports of SQLAlchemy would take longer than the measurement
    reports: multiprocessing.SimpleQueue[Report] = context.SimpleQueue()
    start = time.monotonic() + START_DELAY_S
    processes = [
        context.Process(target=run_client, args=(url, workload, start, seconds, reports)) for _ in range(clients)
    ]
    cpu_before = server_cpu_s(url)
    for process in processes:
        process.start()
    found = [reports.get() for _ in processes]
    for process in processes:
        process.join()
    cpu_after = server_cpu_s(url)
    with closing(rome.connect(url)) as connection:
        [(n,)] = connection.execute("SELECT (SELECT n FROM counter WHERE id = 1) + sum(n) FROM job").fetchall()
    latencies = sorted(latency for report in found for latency in report.latencies_ms)
    assert n == len(latencies), f"{len(latencies)} transactions were committed, and {n} are there"
    counts = [len(report.latencies_ms) for report in found]
    cpu = "-" if cpu_before is None or cpu_after is None else f"{(cpu_after - cpu_before) / n * 1e6:.0f}"
    cells = (
        workload,
        f"{n / seconds:.0f}",
        f"{statistics.median(latencies):.1f}",
        f"{latencies[int(len(latencies) * 0.99)]:.0f}",
        f"{latencies[-1]:.0f}",
        f"{min(counts)} to {max(counts)}",
        f"{sum(report.failures for report in found) / n:.2f}",
        f"{max(report.longest_row for report in found)}",
        f"{sum(report.conflicts for report in found) / n:.2f}",
        f"{sum(report.round_trips for report in found) / n:.1f}",
        cpu,
    )
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| workload | commits/s | p50 ms | p99 | max | commits per client | 40001 per commit | most for one"
    " | conflicts per commit | trips per commit | server CPU µs per commit |"
)


def main() -> None:
    """Run all workloads and print their table."""
    parser = argparse.ArgumentParser(description="Many processes change one row.")
    parser.add_argument("url", help="a database whose tables `counter` and `job` may be dropped")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--options", default="", help="more options for the URL, such as commit_turn=off&max_replays=9")
    parsed = parser.parse_args()
    url = parsed.url + (("&" if "?" in parsed.url else "?") + parsed.options if parsed.options else "")
    warnings.simplefilter("ignore", PersistenceWarning)
    print(f"{parsed.clients} clients, {parsed.seconds:g} s each, {os.cpu_count()} cores: {url}\n\n{HEAD}")
    print("|" + "---|" * (HEAD.count("|") - 1))
    for workload in WORKLOADS:
        print(measure(url, workload, parsed.clients, parsed.seconds), flush=True)


if __name__ == "__main__":
    main()
