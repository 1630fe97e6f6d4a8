"""Isolation while a Redis or Valkey Cluster fails over and moves slots: the checker over what clients saw then."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import sqlalchemy as sa

from rome.testing.isolation.load import Clients, Load
from rome.testing.isolation.workloads import WORKLOADS
from tests.faults.clients import ROUNDS
from tests.faults.strikes import Strikes
from tests.support.cluster_servers import Cluster, await_that, move_slot, move_slot_at_once, running, send_to
from tests.support.servers import Flavour

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
PROCESSES, TRANSACTIONS, KEYS = 3, 300, 4
RECOVERY_S = 5.0
SLOT = 0

pytestmark = pytest.mark.timeout(3600)


def strikes_at(cluster: Cluster, *, at_once: bool) -> Iterator[Callable[[], None]]:
    """The slot moves to the next primary, and the primary that has it fails, by turns."""
    move: Callable[[Cluster, int], object] = move_slot_at_once if at_once else move_slot

    def strike(way: Callable[[Cluster, int], object]) -> None:
        way(cluster, SLOT)
        await_that(cluster.is_healthy)

    for way in itertools.cycle((hand_over, move, kill)):
        yield partial(strike, way)


def kill(cluster: Cluster, slot: int) -> None:
    primary = cluster.owner(slot)
    assert primary is not None
    primary.kill()
    witness = next(node for node in cluster.nodes if node is not primary)
    await_that(lambda: cluster.owner(slot, asked=witness) not in (None, primary))
    primary.start()


def hand_over(cluster: Cluster, slot: int) -> None:
    """A failover in good order: the replica first takes all that the primary has."""
    primary = cluster.owner(slot)
    assert primary is not None
    replicas = [line for line in cluster.view(primary) if line.split()[3] == cluster.id_of(primary)]
    address = replicas[0].split()[1].partition("@")[0]
    replica = next(node for node in cluster.nodes if f"{node.host}:{node.port}" == address)
    send_to(replica, "CLUSTER", "FAILOVER")
    await_that(lambda: cluster.owner(slot, asked=replica) is replica)


@pytest.mark.parametrize(
    "flavour",
    [
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("valkey", marks=[pytest.mark.valkey, pytest.mark.skipif(ROUNDS <= 2, reason="in `make faults`")]),
    ],
)
def test_no_level_is_broken_while_shards_fail_and_slots_move(
    flavour: Flavour, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With wait_replicas=1 and one replica for each primary, so that no failover loses what a client has seen."""
    outcomes: Counter[str] = Counter()
    unmade = 0
    folder = tmp_path_factory.mktemp("cluster")
    with (
        running(Cluster(flavour, folder, 3, 1)) as cluster,
        Clients(PROCESSES) as clients,
        Strikes(strikes_at(cluster, at_once=flavour == "valkey"), RECOVERY_S) as strikes,
    ):
        for number, (workload, level) in enumerate(itertools.cycle(itertools.product(WORKLOADS, LEVELS))):
            if strikes.have_ended or (strikes.count >= ROUNDS and outcomes):
                break
            url = cluster.url(f"load{number}", slot=str(SLOT), wait_replicas="1", connect_timeout="1", read_timeout="4")
            try:
                run = clients.run(Load(url, workload, level, KEYS, TRANSACTIONS, seed=number))
            except sa.exc.OperationalError:  # while it made its tables, or opened its connections
                unmade += 1
                continue
            assert run.verdict.valid, f"{run.load}:\n" + "\n".join(map(str, run.verdict.forbidden))
            outcomes.update(run.verdict.outcomes)
    print(f"\n{flavour}: {strikes.count} strikes, {number - unmade} loads: {dict(outcomes)}")
    assert outcomes["ok"] > outcomes["fail"]
