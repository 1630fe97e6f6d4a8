"""Does a cluster carry more commits with more shards? The same databases on one shard, on two, and on three.

Each database has a client process, which updates one row after the other of its own. A cluster scales by databases, so
what counts is the busiest server: how many commits it carries for each second of its processor's time. (Clients need
several times as much, and share a machine with the servers here, so that commits per second would measure them.)

    python -m bench.shards [--databases 3] [--seconds 3] [--rounds 3] [--flavour valkey]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
import warnings
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import rome
from tests.support.cluster_servers import SLOTS, Cluster, facts_of, running
from tests.support.servers import Server

SHARDS = 3


def write(url: str, seconds: float, begin: float) -> int:
    """Update rows until the time is over; returns how many commits that made."""
    warnings.simplefilter("ignore")
    with closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?, 0)", [(number,) for number in range(100)])
        connection.commit()
        time.sleep(max(0.0, begin - time.monotonic()))
        count = 0
        while time.monotonic() < begin + seconds:
            connection.execute("UPDATE t SET n = n + 1 WHERE id = ?", (count % 100,))
            connection.commit()
            count += 1
    return count


def cpu_s(server: Server) -> float:
    """The time of the processor that a server has used."""
    facts = facts_of(server, "INFO", "cpu")
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


def measure(cluster: Cluster, databases: int, shards: int, seconds: float, label: str) -> tuple[float, float]:
    """Commits per second, and per second of the busiest server's processor."""
    urls = [
        cluster.url(f"bench_{label}_{number}", slot=str(SLOTS * (number % shards) // SHARDS + 100 + number))
        for number in range(databases)
    ]
    with multiprocessing.Pool(databases) as pool:
        begin = time.monotonic() + 2
        running_ = [pool.apply_async(write, (url, seconds, begin)) for url in urls]
        time.sleep(max(0.0, begin - time.monotonic()))
        before = [cpu_s(node) for node in cluster.nodes]
        commits = sum(each.get() for each in running_)
        busiest = max(cpu_s(node) - earlier for node, earlier in zip(cluster.nodes, before, strict=True))
    for url in urls:
        rome.drop_database(url)
    return commits / seconds, commits / busiest


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="shards", description="Commits on one, two and three shards of a cluster.")
    parser.add_argument("--databases", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flavour", choices=("redis", "valkey"), default="redis")
    chosen = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {shards: [] for shards in range(1, SHARDS + 1)}
    with (
        TemporaryDirectory(prefix="rome-shards-") as folder,
        running(Cluster(chosen.flavour, Path(folder), SHARDS, node_timeout_ms=30_000)) as cluster,
    ):
        for number in range(chosen.rounds):
            for shards, results in found.items():
                label = f"{number}_{shards}"
                results.append(measure(cluster, chosen.databases, shards, chosen.seconds, label))
    print(f"{chosen.flavour}, {chosen.databases} databases, median of {chosen.rounds} rounds in alternation")
    for shards, results in found.items():
        per_second, per_cpu_second = (statistics.median(values) for values in zip(*results, strict=True))
        print(f"{shards} shards: {per_second:,.0f} commits/s; {per_cpu_second:,.0f} per second of the busiest server")


if __name__ == "__main__":
    main()
