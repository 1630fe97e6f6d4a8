"""Fixtures of the redis store's tests: every one of them runs on Redis and on Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from secrets import token_hex
from typing import Any

import pytest
import redis

from rome.store.location import Location
from rome.store.redis import RedisStore, scripts
from rome.testing.harness import SnapshotClient
from tests.store.redis.kit import Open, Start, StartCluster, admin_of
from tests.support.cluster_servers import Cluster, running
from tests.support.servers import Flavour, Server, StartServer


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey")])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    name: Flavour = request.param
    return name


@pytest.fixture
def server(request: pytest.FixtureRequest, flavour: Flavour) -> Server:
    """The server that the whole run shares."""
    running: Server = request.getfixturevalue(f"{flavour}_server")
    with admin_of(running) as client:
        for script in vars(scripts).values():
            if isinstance(script, scripts.Script):
                client.script_load(script.text)  # so that round trips can be counted
    return running


@pytest.fixture
def start(start_server: StartServer, flavour: Flavour) -> Start:
    """Starts a server of the test's own: start(options, environment)."""
    return lambda options=None, environment=None: start_server(flavour, options, environment)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, flavour: Flavour) -> Cluster:
    """The cluster that the whole run shares: three primaries."""
    shared: Cluster = request.getfixturevalue(f"{flavour}_cluster")
    return shared


@pytest.fixture
def start_cluster(tmp_path_factory: pytest.TempPathFactory, flavour: Flavour) -> Iterator[StartCluster]:
    """Starts a cluster of the test's own, which it may break: start_cluster(shards, replicas, ..)."""
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> Cluster:
            folder = tmp_path_factory.mktemp(f"{flavour}-cluster")
            return stack.enter_context(running(Cluster(flavour, folder, *arguments, **options)))

        yield start


@pytest.fixture
def location(server: Server) -> Location:
    """A database of the test's own."""
    return server.location(f"test-{token_hex(8)}")


@pytest.fixture
def connect(location: Location) -> Iterator[Open]:
    with ExitStack() as opened:

        def open_client(at: Location | None = None) -> SnapshotClient:
            store = RedisStore.open(at or location)
            opened.callback(store.close)
            return SnapshotClient(store)

        yield open_client


@pytest.fixture
def admin(server: Server) -> Iterator[redis.Redis]:
    """redis-py's own client of the shared server."""
    with admin_of(server) as client:
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The servers of these tests persist nothing, save where a test wants them to."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.filterwarnings("ignore::rome.errors.PersistenceWarning"))
