"""`python -m tests.isolation [OPTIONS]`: rome.testing.isolation on LMDB, and on servers of its own.

These are Redis, Valkey, one etcd member, and three; and, with near reads, a replica that is 10 ms behind its primary,
and a follower of etcd.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from rome.testing.isolation.__main__ import main
from tests.support.databases import LAG_S
from tests.support.etcd_cluster import EtcdCluster
from tests.support.replicas import NearReplica
from tests.support.servers import Flavour, Server

FLAVOURS: tuple[Flavour, ...] = ("redis", "valkey")

PERSISTENT = {"appendonly": "yes", "appendfsync": "everysec"}


def on_all_stores() -> int:
    """1 when a level was broken on some store, else 0."""
    status = 0
    with TemporaryDirectory(prefix="rome-isolation-") as folder:
        status |= main([f"rome+lmdb:///{folder}/{{db}}.rome", *sys.argv[1:]])
        for flavour in FLAVOURS:
            directory = Path(folder, flavour)
            directory.mkdir()
            server = Server(flavour, directory, PERSISTENT)
            try:
                server.start()
                status |= main([f"rome+redis://{server.host}:{server.port}/{{db}}", *sys.argv[1:]])
            finally:
                server.stop()
            status |= _with_near_reads(flavour, Path(folder, f"{flavour}-near"))
        for size in (1, 3):
            directory = Path(folder, f"etcd-{size}")
            directory.mkdir()
            with EtcdCluster(directory, size) as cluster:
                status |= main([cluster.url("{db}"), *sys.argv[1:]])
                if size > 1:
                    leader = cluster.leader()
                    follower = next(member for member in cluster.members if member is not leader)
                    near = f"reads=near&near={follower.host}:{follower.port}"
                    status |= main([f"{cluster.url('{db}')}&{near}", *sys.argv[1:]])
    return status


def _with_near_reads(flavour: Flavour, folder: Path) -> int:
    with ExitStack() as started:

        def start(options: Mapping[str, str]) -> Server:
            directory = folder / str(len(options))
            directory.mkdir(parents=True)
            server = Server(flavour, directory, options).start()
            started.callback(server.stop)
            return server

        pair = NearReplica(start(PERSISTENT), start)
        started.callback(pair.link.close)
        pair.link.delay_s = LAG_S
        return main([pair.url("{db}"), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(on_all_stores())
