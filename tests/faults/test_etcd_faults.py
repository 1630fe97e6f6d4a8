"""What befalls the members of an etcd cluster while clients write: nothing acknowledged is lost, nothing done twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import rome
from rome.testing.proxy import Forwarding
from tests.faults.clients import Clients
from tests.faults.ledger import Told, Verdict
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_servers import Member

CLIENTS = 3

pytestmark = [pytest.mark.timeout(3600), pytest.mark.etcd]


@contextmanager
def writing(cluster: EtcdCluster, folder: Path, **options: str) -> Iterator[Clients]:
    """Clients that each begin at another member."""
    urls = [cluster.url("ledger", first=number, **options) for number in range(CLIENTS)]
    with Clients(urls[0], folder, urls) as clients:
        yield clients


def assert_kept(verdict: Verdict) -> None:
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


@pytest.mark.parametrize("end", [Member.kill, Member.stop], ids=["killed", "stopped in good order"])
def test_leader_ended(etcd_cluster: EtcdCluster, tmp_path: Path, end: Callable[[Member], None]) -> None:
    """In good order it hands over before it ends."""

    def strike(number: int) -> None:
        leader = etcd_cluster.leader()
        end(leader)
        clients.progress()
        leader.start()
        etcd_cluster.await_all()

    with writing(etcd_cluster, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)
    assert not verdict.told[Told.UNKNOWN]


def test_leader_paused_where_clients_have_passwords(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """Each connection to another member logs in, which needs a leader, too."""

    def strike(number: int) -> None:
        leader = etcd_cluster.leader()
        leader.pause()
        clients.progress()
        leader.resume()
        etcd_cluster.await_all()

    etcd_cluster.require_password("ledger")
    with writing(etcd_cluster, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)
    assert not verdict.told[Told.UNKNOWN]


def test_follower_killed(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    def strike(number: int) -> None:
        follower = etcd_cluster.follower(number)
        follower.kill()
        clients.progress()
        follower.start()
        etcd_cluster.await_all()

    with writing(etcd_cluster, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)
    assert not verdict.told[Told.UNKNOWN]


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_member_paused(etcd_cluster: EtcdCluster, tmp_path: Path, role: str) -> None:
    """It keeps requests that it has received, and does them when it goes on, after they were sent to another member."""

    def strike(number: int) -> None:
        member = etcd_cluster.leader() if role == "leader" else etcd_cluster.follower(number)
        member.pause()
        clients.progress()
        member.resume()
        etcd_cluster.await_all()

    with writing(etcd_cluster, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)
    assert not verdict.told[Told.UNKNOWN]


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_minority_cut_off(etcd_cluster: EtcdCluster, tmp_path: Path, role: str) -> None:
    """Clients still reach it, and it can neither commit nor tell what is new."""

    def strike(number: int) -> None:
        member = etcd_cluster.leader() if role == "leader" else etcd_cluster.follower(number)
        etcd_cluster.cut_off(member, (Forwarding.HOLD, Forwarding.CUT)[number % 2])
        clients.progress()
        etcd_cluster.heal()
        etcd_cluster.await_all()

    with writing(etcd_cluster, tmp_path) as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)
    assert not verdict.told[Told.UNKNOWN]


def test_quorum_lost_and_back(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """Longer than clients wait, every other time: they learn that nothing was committed, or ask until they know."""

    def strike(number: int) -> None:
        dead = etcd_cluster.members[number % 3], etcd_cluster.members[(number + 1) % 3]
        for member in dead:
            member.kill()
        time.sleep((0.3, 3.0)[number % 2])
        for member in dead:
            member.start(wait=False)
        etcd_cluster.await_all()

    with writing(etcd_cluster, tmp_path, read_timeout="2") as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)


def test_member_replaced_after_it_has_lost_its_data(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """By etcd's procedure: it is removed, and added again without data, and the others send it a snapshot."""
    etcd_cluster.outgrow_logs()
    with writing(etcd_cluster, tmp_path) as clients:
        verdict = clients.survive(lambda number: etcd_cluster.replace(etcd_cluster.members[number % 3]))
    assert_kept(verdict)
    assert not verdict.told[Told.UNKNOWN]


def test_whole_cluster_restored_from_an_older_copy(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """What came after the copy is lost, and nothing else; no transaction mixes both histories.

    Every other time the operator says so, as docs/etcd.md tells; else the clients find it out.
    """
    sent_before: dict[int, int] = {}

    def strike(number: int) -> None:
        etcd_cluster.kill()
        etcd_cluster.copy(tmp_path / "copy")
        etcd_cluster.start()
        clients.progress()
        etcd_cluster.kill()
        sent_before.update((client, clients.sent(client)) for client in clients.running)
        etcd_cluster.restore(tmp_path / "copy")
        etcd_cluster.start()
        if number % 2:
            rome.mark_restored(clients.url)

    (tmp_path / "notes").mkdir()
    with writing(etcd_cluster, tmp_path / "notes") as clients:
        verdict = clients.survive(strike)
    assert verdict.lost, "the copy had everything: nothing was tested"
    assert all(n <= sent_before[client] for client, n in verdict.lost)
