"""What `rome doctor` says of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from rome.store.diagnosis import Diagnosis, Finding, Level
from rome.store.etcd import EtcdStore
from rome.store.location import Location
from tests.support.etcd_servers import Member
from tests.support.servers import free_port

pytestmark = pytest.mark.etcd


def finding(diagnosis: Diagnosis, check: str) -> Finding:
    return next(each for each in diagnosis.findings if each.check == check)


def test_one_member_with_the_defaults(start_member: Callable[..., Member]) -> None:
    member = start_member({"max-txn-ops": "128", "max-request-bytes": "1572864"})
    diagnosis = EtcdStore.diagnose(member.location("never-made"))
    assert "1 member(s)" in diagnosis.subject
    assert finding(diagnosis, "members").level is Level.WARNING
    assert finding(diagnosis, "max-txn-ops").reason == "a commit may write 128 keys at most"
    size = finding(diagnosis, "max-request-bytes")
    assert size.level is Level.WARNING
    assert size.reason == "a commit may have 1,535 KiB, about"
    assert finding(diagnosis, "alarms") == Finding("alarms", Level.OK, "none")
    assert EtcdStore.list_databases(member.location("x")) == [], "it creates nothing"


def test_cluster_with_a_member_down(cluster: Sequence[Member]) -> None:
    location = cluster[0].location("db")
    healthy = EtcdStore.diagnose(location)
    assert finding(healthy, "members").level is Level.OK
    assert finding(healthy, "max-txn-ops").level is Level.OK
    assert sum("leader" in each.reason for each in healthy.findings) == 1
    cluster[2].kill()
    hurt = finding(EtcdStore.diagnose(location), "members")
    assert hurt.level is Level.WARNING
    assert hurt.reason.startswith("2 of 3 answer: m2")


def test_nobody_there() -> None:
    location = Location("etcd", "db", host="127.0.0.1", port=free_port())
    assert EtcdStore.diagnose(location).level is Level.PROBLEM
