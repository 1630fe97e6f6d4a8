"""Every store that comes with Rome, opened for the conformance suite.

A store's module is imported when its turn comes, so that one that is broken does not hide what the others do.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from importlib import import_module
from pathlib import Path

import pytest
import redis

from rome.store import memory
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import EtcdDriver
from rome.store.location import Location
from rome.store.ordered.driver import DriverTransaction, Range
from rome.testing.harness import StoreUnderTest
from tests.support.acl import as_minimal_user
from tests.support.cluster_servers import Cluster
from tests.support.etcd_servers import Member, settings
from tests.support.servers import Server

STORES = ("memory", "lmdb", "redis", "valkey", "valkey cluster", "etcd")


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name.split()[0])) for name in STORES])
def store_under_test(request: pytest.FixtureRequest) -> StoreUnderTest:
    match request.param:
        case "memory":
            return _memory(request.getfixturevalue("monkeypatch"))
        case "lmdb":
            return _lmdb(request.getfixturevalue("tmp_path"))
        case "etcd":
            return _etcd(request.getfixturevalue("etcd_member"))
        case "redis" | "valkey" as flavour:
            server: Server = request.getfixturevalue(f"{flavour}_server")
            return _redis(server.location, server)
        case name:
            cluster: Cluster = request.getfixturevalue(name.replace(" ", "_"))
            return _redis(cluster.location, *cluster.nodes)


def _memory(monkeypatch: pytest.MonkeyPatch) -> StoreUnderTest:
    """Time stands still for it, save when the suite waits."""
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(memory, "clock", lambda: now)
    return StoreUnderTest(
        memory.MemoryStore, lambda name: Location("memory", name), wait=wait, residue=lambda: {*memory._databases}
    )


def _lmdb(directory: Path) -> StoreUnderTest:
    return StoreUnderTest(
        import_module("rome.store.lmdb").LmdbStore,
        lambda name: Location("lmdb", str(directory / f"{name}.rome")),
        residue=lambda: {*directory.iterdir()},
    )


def _etcd(member: Member) -> StoreUnderTest:
    def all_keys() -> Set[object]:
        driver = EtcdDriver(EtcdClient(settings(member)))
        [outcome] = driver.run([DriverTransaction(then=[Range(b"\x00", b"\xff", keys_only=True)])])
        driver.close()
        return {pair.key for pair in outcome.found[0].pairs}

    return StoreUnderTest(
        import_module("rome.store.etcd").EtcdStore, member.location, residue=all_keys, machine_runs=20
    )


def _redis(locate: Callable[[str], Location], *servers: Server) -> StoreUnderTest:
    """As the user of docs/security.md, who may do no more than is needed."""

    def all_keys() -> Set[object]:
        found: set[object] = set()
        for server in servers:
            with redis.Redis(server.host, server.port) as client:
                found.update(client.scan_iter(count=1000))
        return found

    return StoreUnderTest(
        import_module("rome.store.redis").RedisStore,
        lambda name: as_minimal_user(locate(name), *servers),
        residue=all_keys,
    )
