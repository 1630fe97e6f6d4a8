"""What befalls a Redis or Valkey Cluster while clients write: no acknowledged commit is lost, none is torn.

The ledger is in slot 0, on the first shard, which alone has replicas: the other primaries vote.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.clients import ROUNDS, Clients
from tests.faults.ledger import Told
from tests.support import network
from tests.support.cluster_servers import (
    Cluster,
    SlotMove,
    await_that,
    move_slot_at_once,
    running,
)
from tests.support.network import Network, NodeOfNetwork
from tests.support.servers import Flavour

CLIENTS = 3
SLOT = 0
NODE_TIMEOUT_MS, NO_FAILOVER_MS = 1000, 30_000

pytestmark = pytest.mark.timeout(3600)


FLAVOURS = ("redis", "valkey") if ROUNDS > 2 else ("redis",)
"""With few rounds, as in `make test`, one of them will do: a cluster takes seconds to start and to fail over."""


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in FLAVOURS])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    flavour: Flavour = request.param
    return flavour


@contextmanager
def writing(cluster: Cluster, folder: Path, **options: str) -> Iterator[Clients]:
    """Only the clients have the options: what prepares and judges the ledger must not fail of them."""
    notes = folder / "notes"
    notes.mkdir()
    url = cluster.url("ledger", slot=str(SLOT), connect_timeout="1", read_timeout="4")
    urls = ["&".join([url, *(f"{name}={value}" for name, value in options.items())])] * CLIENTS
    with Clients(url, notes, urls) as clients:
        yield clients


def complaints(folder: Path) -> set[str]:
    """The kinds of errors that clients met."""
    lines = (line for path in (folder / "notes").glob("*.errors") for line in path.read_text().splitlines())
    return {line.split(maxsplit=1)[1].partition("(")[0] for line in lines}


EXPECTED = {"StoreBusyError", "StoreUnavailableError", "SnapshotLostError", "ConflictError", "CommitAbortedError"}


def test_primary_killed(flavour: Flavour, tmp_path: Path) -> None:
    """The replica has every commit that was acknowledged. The old primary comes back as the new one's replica."""

    def strike(number: int) -> None:
        primary = cluster.owner(SLOT)
        assert primary is not None
        primary.kill()
        await_that(lambda: cluster.owner(SLOT, asked=cluster.nodes[1]) is not primary)
        primary.start()
        clients.progress()
        await_that(cluster.is_healthy)

    with (
        running(Cluster(flavour, tmp_path, 3, [1], NODE_TIMEOUT_MS)) as cluster,
        writing(cluster, tmp_path, wait_replicas="1", wait_timeout="1") as clients,
    ):
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
    assert complaints(tmp_path) <= EXPECTED


def test_slot_moved_key_by_key(flavour: Flavour, tmp_path: Path) -> None:
    """Meanwhile nothing can be written, and everything that is read is right."""

    def strike(number: int) -> None:
        source, target = cluster.nodes[number % 2], cluster.nodes[(number + 1) % 2]
        move = SlotMove(cluster, SLOT, source, target).begin()
        keys = move.keys()
        for first in range(0, len(keys), 5):
            move.move(*keys[first : first + 5])
            time.sleep(0.02)
        move.finish()

    with running(Cluster(flavour, tmp_path, 3, 0, NO_FAILOVER_MS)) as cluster, writing(cluster, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
    assert not verdict.told[Told.UNKNOWN]
    assert complaints(tmp_path) <= EXPECTED


@pytest.mark.valkey
def test_slot_moved_at_once(tmp_path: Path) -> None:
    def strike(number: int) -> None:
        move_slot_at_once(cluster, SLOT, cluster.nodes[(number + 1) % 2])

    with (
        running(Cluster("valkey", tmp_path, 3, [1, 1], NO_FAILOVER_MS)) as cluster,
        writing(cluster, tmp_path, wait_replicas="1", wait_timeout="1") as clients,
    ):
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
    assert complaints(tmp_path) <= EXPECTED


def test_primary_cut_off_from_the_other_nodes(flavour: Flavour, tmp_path: Path) -> None:
    """Clients go on reaching it: what it takes, no replica acknowledges, and the failover discards it."""
    reason = network.why_not()
    if reason:
        pytest.skip(reason)

    def strike(number: int) -> None:
        primary = cluster.owner(SLOT, asked=cluster.nodes[1])
        assert isinstance(primary, NodeOfNetwork)
        others = [node for node in cluster.nodes if node is not primary]
        before = clients.told(Told.NOT_REPLICATED)
        primary.cut_off(others)
        await_that(lambda: cluster.owner(SLOT, asked=cluster.nodes[1]) is not primary)
        await_that(lambda: clients.told(Told.NOT_REPLICATED) > before)
        primary.heal(others)
        clients.progress()
        await_that(cluster.is_healthy)

    with (
        Network() as net,
        running(Cluster(flavour, tmp_path, 3, [1], NODE_TIMEOUT_MS, make_node=net.node)) as cluster,
        writing(cluster, tmp_path, wait_replicas="1", wait_timeout="0.3") as clients,
    ):
        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]
    assert complaints(tmp_path) <= EXPECTED
