"""Fixtures of the whole test tree: servers, and a database with connections and engines, closed after the test."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, create_engine

import rome
from rome.dbapi import Connection
from tests.support.cluster_servers import Cluster, running
from tests.support.databases import Connect, database
from tests.support.etcd_servers import Member
from tests.support.replicas import NearReplica
from tests.support.servers import Flavour, Server, StartServer
from tests.support.strict_memory import make_memory_strict

PERSISTENT = {"appendonly": "yes", "appendfsync": "no"}
"""As applications should run theirs, and so that the store has nothing to warn about."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is in the background of a script; the programs that tests start and interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _memory_is_strict() -> Iterator[None]:
    """Whatever is tested, every commit to a memory store keeps the rules of requests."""
    with pytest.MonkeyPatch.context() as patch:
        make_memory_strict(patch)
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis server shared by the whole run. Tests use databases of their own, and leave it running."""
    yield from _running(Server("redis", tmp_path_factory.mktemp("redis"), PERSISTENT))


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey server shared by the whole run. Tests use databases of their own, and leave it running."""
    yield from _running(Server("valkey", tmp_path_factory.mktemp("valkey"), PERSISTENT))


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three Redis primaries in a cluster, shared by the whole run. Tests leave nodes and slots as they were."""
    with running(Cluster("redis", tmp_path_factory.mktemp("redis-cluster"))) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three Valkey primaries in a cluster, shared by the whole run. Tests leave nodes and slots as they were."""
    with running(Cluster("valkey", tmp_path_factory.mktemp("valkey-cluster"))) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NearReplica]:
    """A Redis primary and its replica, for near reads. Tests that do something to them put them in order again."""
    yield from _pair("redis", tmp_path_factory)


@pytest.fixture(scope="session")
def valkey_replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NearReplica]:
    """The same of Valkey."""
    yield from _pair("valkey", tmp_path_factory)


def _pair(flavour: Flavour, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NearReplica]:
    with ExitStack() as started:

        def start(options: Mapping[str, str]) -> Server:
            server = Server(flavour, tmp_path_factory.mktemp(flavour), options).start()
            started.callback(server.stop)
            return server

        pair = NearReplica(start({**PERSISTENT, "repl-diskless-sync-delay": "0"}), start)
        started.callback(pair.link.close)
        yield pair


@pytest.fixture(scope="session")
def etcd_member() -> Iterator[Member]:
    """An etcd cluster of one, shared by the whole run. Tests use databases of their own, and leave it running.

    Its files are in memory where there is such a folder: nobody looks at what a crash would leave, and fsync is slow.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="rome-etcd-", dir=memory if memory.is_dir() else None) as directory:
        member = Member(Path(directory))
        try:
            yield member.start()
        finally:
            member.stop()


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts servers for one test, which may kill them: start_server(flavour, options, environment)."""
    with ExitStack() as servers:

        def start(
            flavour: Flavour,
            options: Mapping[str, str] | None = None,
            environment: Mapping[str, str] | None = None,
        ) -> Server:
            server = Server(flavour, tmp_path_factory.mktemp(flavour), options, environment)
            servers.callback(server.stop)
            return server.start()

        yield start


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database: in memory, where a folder does not choose its own stores."""
    with database("memory", request) as url:
        yield url


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    """Opens a connection to `url`; takes connect's options."""
    with ExitStack() as connections:

        def open_one(**options: object) -> Connection:
            connection = rome.connect(url, **options)
            connections.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def connection(connect: Connect) -> Connection:
    return connect()


@pytest.fixture
def two(one: Connection, connect: Connect) -> Connection:
    """A second connection to the database that the test's module has prepared by its own fixture `one`."""
    return connect()


@pytest.fixture
def make_engine(url: str) -> Iterator[Callable[..., Engine]]:
    """Makes an engine on `url`; takes create_engine's options."""
    with ExitStack() as engines:

        def make(**options: object) -> Engine:
            engine = create_engine(url, **options)
            engines.callback(engine.dispose)
            return engine

        yield make


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine()
