"""Isolation while members of an etcd cluster fail: the checker of rome.testing.isolation over what clients saw then."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from rome.testing.isolation.load import Clients, Load
from rome.testing.isolation.workloads import WORKLOADS
from rome.testing.proxy import Forwarding
from tests.faults.clients import ROUNDS
from tests.faults.strikes import Strikes
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_servers import Member

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
PROCESSES, TRANSACTIONS, KEYS = 4, 400, 4
RECOVERY_S = 0.5

pytestmark = [pytest.mark.timeout(3600), pytest.mark.etcd]


DOWN_S = 2.0
"""As long as an election takes, and somewhat longer."""


def strikes_at(cluster: EtcdCluster) -> Iterator[Callable[[], None]]:
    """One member after the other fails and comes back, in one way after the other."""

    def strike(begin: Callable[[Member], None], end: Callable[[Member], object], role: Callable[[], Member]) -> None:
        member = role()
        begin(member)
        time.sleep(DOWN_S)
        end(member)
        cluster.await_all()

    def cut_off(member: Member) -> None:
        cluster.cut_off(member, Forwarding.HOLD)

    def heal(member: Member) -> None:
        cluster.heal()

    ways: tuple[tuple[Callable[[Member], None], Callable[[Member], object]], ...] = (
        (Member.kill, Member.start),
        (Member.pause, Member.resume),
        (cut_off, heal),
        (Member.stop, Member.start),
    )
    for (begin, end), role in itertools.cycle(itertools.product(ways, (cluster.leader, cluster.follower))):
        yield partial(strike, begin, end, role)


def test_no_level_is_broken_while_members_fail(etcd_cluster: EtcdCluster) -> None:
    outcomes: Counter[str] = Counter()
    with Clients(PROCESSES) as clients, Strikes(strikes_at(etcd_cluster), RECOVERY_S) as strikes:
        for number, (workload, level) in enumerate(itertools.cycle(itertools.product(WORKLOADS, LEVELS))):
            run = clients.run(Load(etcd_cluster.url(f"load{number}"), workload, level, KEYS, TRANSACTIONS, seed=number))
            assert run.verdict.valid, f"{run.load}:\n" + "\n".join(map(str, run.verdict.forbidden))
            outcomes.update(run.verdict.outcomes)
            if strikes.count >= ROUNDS or strikes.have_ended:
                break
    print(f"\n{strikes.count} strikes, {number + 1} loads: {dict(outcomes)}")
    assert outcomes["ok"] > outcomes["fail"]
