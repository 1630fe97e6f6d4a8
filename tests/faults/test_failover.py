"""A replica takes the primary's place: with wait_replicas nothing acknowledged is lost, without it some may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from rome.testing.proxy import Proxy
from tests.faults.clients import Clients, comes
from tests.faults.ledger import Told
from tests.support.servers import SentinelServer, Server, StartServer

OPTIONS = {"appendonly": "yes", "appendfsync": "no", "repl-diskless-sync-delay": "0"}
CLIENTS = 3

pytestmark = [pytest.mark.timeout(1800), pytest.mark.redis]


class Pair:
    """A primary and its replica, and a proxy that leads to the primary as a virtual address does."""

    def __init__(self, start_server: StartServer) -> None:
        self.primary: Server = start_server("redis", OPTIONS)
        self.replica: Server = start_server("redis", OPTIONS)
        self.proxy = Proxy(self.primary.host, self.primary.port)
        self.follow()

    def follow(self) -> None:
        """Make the replica follow the primary, and wait until it has caught up."""
        with redis.Redis(self.replica.host, self.replica.port) as replica:
            replica.replicaof(self.primary.host, self.primary.port)
            wait_for(lambda: replica.info("replication")["master_link_status"] == "up")

    def fail_over(self) -> None:
        """Kill the primary, promote the replica, lead clients to it, and bring the old primary back as its replica."""
        self.primary.kill()
        with redis.Redis(self.replica.host, self.replica.port) as replica:
            replica.replicaof("NO", "ONE")
        self.proxy.target = (self.replica.host, self.replica.port)
        self.proxy.cut()
        self.primary, self.replica = self.replica, self.primary.start()
        self.follow()


@pytest.fixture
def pair(start_server: StartServer) -> Iterator[Pair]:
    pair = Pair(start_server)
    with pair.proxy:
        yield pair


def test_sentinel_promotes_the_replica(pair: Pair, tmp_path: Path) -> None:
    directory = tmp_path / "sentinel"
    directory.mkdir()
    sentinel = SentinelServer(directory, pair.primary, down_after_ms=1000).start()

    def strike(number: int) -> None:
        """Kill the primary; it comes back as the new one's replica, as the Sentinel tells it after 8 s, or we do."""
        wait_for(lambda: len(admin.sentinel_slaves("main")) == 1)
        pair.primary.kill()
        wait_for(lambda: admin.sentinel_get_master_addr_by_name("main") == (pair.replica.host, pair.replica.port))
        pair.primary, pair.replica = pair.replica, pair.primary.start()
        if number:
            pair.follow()
        clients.progress()

    admin = redis.Redis(sentinel.host, sentinel.port, decode_responses=True)
    url = f"rome+redis:///ledger?host={sentinel.host}:{sentinel.port}&sentinel=main&wait_replicas=1&wait_timeout=1"
    try:
        with admin, Clients(url, tmp_path, [url] * CLIENTS) as clients:
            verdict = clients.survive(strike)
    finally:
        sentinel.stop()
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


def wait_for(condition: Callable[[], bool]) -> None:
    assert comes(condition), "it does not happen"


@contextmanager
def writing(pair: Pair, folder: Path, options: str) -> Iterator[Clients]:
    """Only the clients have the options: what prepares and judges the ledger must not fail of them."""
    url = f"rome+redis://127.0.0.1:{pair.proxy.port}/ledger?connect_timeout=2"
    with Clients(url, folder, [url + options] * CLIENTS) as clients:
        yield clients


def test_replica_promoted_with_wait_replicas(pair: Pair, tmp_path: Path) -> None:
    with writing(pair, tmp_path, "&wait_replicas=1&wait_timeout=1") as clients:
        verdict = clients.survive(lambda number: pair.fail_over())
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


def test_replica_promoted_without(pair: Pair, tmp_path: Path) -> None:
    """What the replica had not received is lost; all else is there, and nothing is torn."""
    sent: dict[int, int] = {}

    def strike(number: int) -> None:
        with redis.Redis(pair.replica.host, pair.replica.port) as replica:
            replica.replicaof("NO", "ONE")  # the network between them breaks
        clients.progress()
        pair.fail_over()
        sent.update((client, clients.sent(client)) for client in clients.running)

    with writing(pair, tmp_path, "") as clients:
        verdict = clients.survive(strike)
    assert verdict.lost, "the replica had everything: nothing was tested"
    assert all(n <= sent[client] for client, n in verdict.lost)


def test_primary_says_when_no_replica_follows(pair: Pair, tmp_path: Path) -> None:

    def strike(number: int) -> None:
        with redis.Redis(pair.replica.host, pair.replica.port) as replica:
            replica.replicaof("NO", "ONE")
        before = clients.told(Told.NOT_REPLICATED)
        wait_for(lambda: clients.told(Told.NOT_REPLICATED) > before)
        pair.follow()

    with writing(pair, tmp_path, "&wait_replicas=1&wait_timeout=0.1") as clients:
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
