"""`python -m tests.isolation [OPTIONS]`: rome.testing.isolation on LMDB, and on servers of its own.

These are Redis, Valkey, one etcd member, and three.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rome.testing.isolation.__main__ import main
from tests.support.etcd_cluster import EtcdCluster
from tests.support.servers import Server

PERSISTENT = {"appendonly": "yes", "appendfsync": "everysec"}


def on_all_stores() -> int:
    """1 when a level was broken on some store, else 0."""
    status = 0
    with TemporaryDirectory(prefix="rome-isolation-") as folder:
        status |= main([f"rome+lmdb:///{folder}/{{db}}.rome", *sys.argv[1:]])
        for flavour in ("redis", "valkey"):
            directory = Path(folder, flavour)
            directory.mkdir()
            server = Server(flavour, directory, PERSISTENT)
            try:
                server.start()
                status |= main([f"rome+redis://{server.host}:{server.port}/{{db}}", *sys.argv[1:]])
            finally:
                server.stop()
        for size in (1, 3):
            directory = Path(folder, f"etcd-{size}")
            directory.mkdir()
            with EtcdCluster(directory, size) as cluster:
                status |= main([cluster.url("{db}"), *sys.argv[1:]])
    return status


if __name__ == "__main__":
    sys.exit(on_all_stores())
