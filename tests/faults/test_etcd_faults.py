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


def kill(cluster: EtcdCluster, member: Member) -> Callable[[], object]:
    member.kill()
    return member.start


def stop(cluster: EtcdCluster, member: Member) -> Callable[[], object]:
    """In good order: a leader hands over before it ends."""
    member.stop()
    return member.start


def pause(cluster: EtcdCluster, member: Member) -> Callable[[], object]:
    """It keeps requests that it has received, and does them when it goes on, after they were sent to another member."""
    member.pause()
    return member.resume


def hold(cluster: EtcdCluster, member: Member) -> Callable[[], object]:
    """Clients still reach it, and it can neither commit nor tell what is new."""
    cluster.cut_off(member, Forwarding.HOLD)
    return cluster.heal


def cut(cluster: EtcdCluster, member: Member) -> Callable[[], object]:
    """The same, and its connections to the other members end."""
    cluster.cut_off(member, Forwarding.CUT)
    return cluster.heal


Outage = Callable[[EtcdCluster, Member], Callable[[], object]]
"""Begins; what it returns ends it."""


def outlive(cluster: EtcdCluster, folder: Path, role: str, *outages: Outage) -> Verdict:
    """Let one member fail after the other, in one way after the other, while clients write and go on writing."""

    def strike(number: int) -> None:
        member = cluster.leader() if role == "leader" else cluster.follower(number)
        end = outages[number % len(outages)](cluster, member)
        clients.progress()
        end()
        cluster.await_all()

    with writing(cluster, folder) as clients:
        verdict = clients.survive(strike)
    assert_kept(verdict)
    return verdict


@pytest.mark.parametrize(
    ("role", "outages"),
    [
        pytest.param("leader", [kill], id="leader killed"),
        pytest.param("leader", [stop], id="leader stopped"),
        pytest.param("follower", [kill], id="follower killed"),
        pytest.param("leader", [pause], id="leader paused"),
        pytest.param("follower", [pause], id="follower paused"),
        pytest.param("leader", [hold, cut], id="leader cut off"),
        pytest.param("follower", [hold, cut], id="follower cut off"),
    ],
)
def test_one_member_fails(etcd_cluster: EtcdCluster, tmp_path: Path, role: str, outages: list[Outage]) -> None:
    assert not outlive(etcd_cluster, tmp_path, role, *outages).told[Told.UNKNOWN]


def test_leader_paused_where_clients_have_passwords(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """Each connection to another member logs in, which needs a leader, too."""
    etcd_cluster.require_password("ledger")
    assert not outlive(etcd_cluster, tmp_path, "leader", pause).told[Told.UNKNOWN]


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
