"""A cluster for the faults of etcd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_servers import find_etcd

MEMORY = Path("/dev/shm")


@pytest.fixture
def etcd_cluster() -> Iterator[EtcdCluster]:
    """Three members for one test, which may kill them.

    Their files are in memory where there is such a folder: a process that is killed loses nothing that it has written,
    and fsync is slow.
    """
    try:
        find_etcd(to_kill=True)
    except FileNotFoundError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    folder = TemporaryDirectory(prefix="rome-etcd-", dir=MEMORY if MEMORY.is_dir() else None)
    with folder as directory, EtcdCluster(Path(directory)) as cluster:
        yield cluster
