"""Isolation while a Redis or Valkey Cluster fails over and moves slots: the checker over what clients saw then."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from typing import Self

import pytest
import sqlalchemy as sa

from rome.testing.isolation.load import Clients, Load
from rome.testing.isolation.workloads import WORKLOADS
from tests.faults.clients import ROUNDS
from tests.support.cluster_servers import Cluster, await_that, move_slot, move_slot_at_once, running, send_to
from tests.support.servers import Flavour

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
PROCESSES, TRANSACTIONS, KEYS = 3, 300, 4
RECOVERY_S = 5.0
SLOT = 0

pytestmark = pytest.mark.timeout(3600)


class Strikes:
    """A thread in which the slot moves to the next primary, and the primary that has it fails, by turns."""

    def __init__(self, cluster: Cluster, *, at_once: bool) -> None:
        self.count = 0
        self._cluster = cluster
        move: Callable[[Cluster, int], object] = move_slot_at_once if at_once else move_slot
        self._ways: tuple[Callable[[Cluster, int], object], ...] = self._hand_over, move, self._kill
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="strikes")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def have_ended(self) -> bool:
        """Whether the thread has failed; leaving its context raises the error."""
        return self._error is not None

    def _run(self) -> None:
        try:
            for way in itertools.cycle(self._ways):
                if self._over.wait(RECOVERY_S):
                    return
                way(self._cluster, SLOT)
                await_that(self._cluster.is_healthy)
                self.count += 1
        except BaseException as error:  # noqa: BLE001  # raised where the thread is joined
            self._error = error

    def _kill(self, cluster: Cluster, slot: int) -> None:
        primary = cluster.owner(slot)
        assert primary is not None
        primary.kill()
        witness = next(node for node in cluster.nodes if node is not primary)
        await_that(lambda: cluster.owner(slot, asked=witness) not in (None, primary))
        primary.start()

    def _hand_over(self, cluster: Cluster, slot: int) -> None:
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
        Strikes(cluster, at_once=flavour == "valkey") as strikes,
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
