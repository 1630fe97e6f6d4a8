"""Isolation while members of an etcd cluster fail: the checker of rome.testing.isolation over what clients saw then."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from typing import Self

import pytest

from rome.testing.isolation.load import Clients, Load
from rome.testing.isolation.workloads import WORKLOADS
from rome.testing.proxy import Forwarding
from tests.faults.clients import ROUNDS
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_servers import Member

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
PROCESSES, TRANSACTIONS, KEYS = 4, 400, 4
RECOVERY_S = 0.5

pytestmark = [pytest.mark.timeout(3600), pytest.mark.etcd]


class Failures:
    """A thread in which one member after the other fails and comes back, in one way after the other."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self.strikes = 0
        self._cluster = cluster
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="failures")

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
        ways = (self._kill, self._pause, self._cut_off, self._stop)
        roles: tuple[Callable[[], Member], ...] = self._cluster.leader, self._cluster.follower
        try:
            for way, role in itertools.cycle((way, role) for way in ways for role in roles):
                if self._over.wait(RECOVERY_S):
                    return
                way(role())
                self._cluster.await_all()
                self.strikes += 1
        except BaseException as error:  # noqa: BLE001  # raised where the thread is joined
            self._error = error

    def _wait(self) -> None:
        """As long as an election takes, and somewhat longer."""
        self._over.wait(2.0)

    def _kill(self, member: Member) -> None:
        member.kill()
        self._wait()
        member.start()

    def _stop(self, member: Member) -> None:
        member.stop()
        self._wait()
        member.start()

    def _pause(self, member: Member) -> None:
        member.pause()
        self._wait()
        member.resume()

    def _cut_off(self, member: Member) -> None:
        self._cluster.cut_off(member, Forwarding.HOLD)
        self._wait()
        self._cluster.heal()


def test_no_level_is_broken_while_members_fail(etcd_cluster: EtcdCluster) -> None:
    outcomes: Counter[str] = Counter()
    with Clients(PROCESSES) as clients, Failures(etcd_cluster) as failures:
        for number, (workload, level) in enumerate(itertools.cycle(itertools.product(WORKLOADS, LEVELS))):
            run = clients.run(Load(etcd_cluster.url(f"load{number}"), workload, level, KEYS, TRANSACTIONS, seed=number))
            assert run.verdict.valid, f"{run.load}:\n" + "\n".join(map(str, run.verdict.forbidden))
            outcomes.update(run.verdict.outcomes)
            if failures.strikes >= ROUNDS or failures.have_ended:
                break
    print(f"\n{failures.strikes} strikes, {number + 1} loads: {dict(outcomes)}")
    assert outcomes["ok"] > outcomes["fail"]
