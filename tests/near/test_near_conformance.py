"""The conformance suite with near reads: within a process nothing differs from reads at the primary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rome.store.etcd import EtcdStore
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.testing.harness import StoreUnderTest
from rome.testing.store_suite import *  # noqa: F403
from rome.testing.store_suite import TestRandomHistories
from tests.support.etcd_servers import Member
from tests.support.replicas import NearReplica


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "etcd")])
def store_under_test(request: pytest.FixtureRequest) -> StoreUnderTest:
    if request.param == "etcd":
        member: Member = request.getfixturevalue("etcd_member")
        return StoreUnderTest(
            EtcdStore, lambda name: member.location(name, reads="near"), machine_runs=5, reads_near=True
        )
    if request.cls is TestRandomHistories:
        pytest.skip("a replica learns later than the model that a snapshot is refused")
    servers: NearReplica = request.getfixturevalue("redis_replica")
    servers.link.delay_s = 0.002
    near = {"reads": "near", "near": f"{servers.server.host}:{servers.server.port}"}

    def locate(name: str) -> Location:
        return replace(servers.primary.location(name), options=near)

    return StoreUnderTest(RedisStore, locate, machine_runs=10, reads_near=True)
