"""Near reads on etcd: at one member of three, which is killed, paused, or cut off from the others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rome.dbapi import Connection
from rome.dbapi.url import make_url, parse_url
from rome.store.etcd import client
from rome.store.etcd.settings import read_settings
from tests.near.conftest import MoveClock, Open
from tests.near.processes import Elsewhere
from tests.near.test_near_redis import Trips, await_near, cost, read, write
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_servers import Member
from tests.support.replicas import await_that

pytestmark = pytest.mark.etcd


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    try:
        cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"))
    except FileNotFoundError as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing))
    with cluster:
        yield cluster


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a machine that does much else."""
    monkeypatch.setattr(client, "FIRST_ATTEMPT_S", (2.0, 4.0))


@pytest.fixture
def member(cluster: EtcdCluster) -> Iterator[Member]:
    """A follower, which is near."""
    found = cluster.follower()
    yield found
    found.resume()
    cluster.heal()
    if not found.is_running():
        found.start()
    cluster.await_all()


@pytest.fixture
def url(cluster: EtcdCluster, member: Member, database: str) -> str:
    return cluster.url(database, cluster.members.index(member), reads="near")


@pytest.fixture
def near(url: str, open_url: Open) -> Connection:
    """A connection that reads at the member; there is a table t with a row."""
    connection = open_url(url)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
    connection.execute("INSERT INTO t VALUES (1, 10)")
    connection.commit()
    assert read(connection) == {1: 10}
    return connection


def test_a_transaction_that_reads_asks_nobody_else_and_one_that_writes_once(near: Connection) -> None:
    assert cost(near, lambda: read(near)) == Trips(0, 1)
    assert cost(near, lambda: write(near, 11)) == Trips(1, 1)
    assert cost(near, lambda: read(near)) == Trips(0, 1)


def test_option_names_the_member(cluster: EtcdCluster, near: Connection, member: Member, database: str) -> None:
    url = f"{cluster.url(database)}&reads=near&near={member.host}:{member.port}"
    addresses = read_settings(parse_url(make_url(url)).location).addresses
    assert addresses[0] == (member.host, member.port)
    assert len(addresses) == 3


def test_member_that_is_cut_off_shows_what_it_has_until_it_is_too_old(
    cluster: EtcdCluster,
    near: Connection,
    member: Member,
    url: str,
    database: str,
    elsewhere: Elsewhere,
    open_url: Open,
    move_clock: MoveClock,
) -> None:
    other = cluster.url(database, cluster.members.index(cluster.leader()))
    cluster.cut_off(member)
    elsewhere.set(other, 11)
    assert cost(near, lambda: read(near)) == Trips(0, 1)
    assert read(near) == {1: 10}
    strict = open_url(f"{url}&near_max_lag=5")

    def has_left() -> bool:
        move_clock(2)
        return read(strict) == {1: 11}

    await_that(has_left, "a member without a leader is read for more than five seconds")


def test_process_sees_its_own_commits_when_its_member_does_not_get_them(
    cluster: EtcdCluster, near: Connection, member: Member, database: str, open_url: Open
) -> None:
    other = open_url(cluster.url(database, cluster.members.index(cluster.leader())))
    cluster.cut_off(member)
    write(other, 11)
    assert read(near) == {1: 11}


def test_reads_go_on_without_a_leader(cluster: EtcdCluster, near: Connection, member: Member) -> None:
    leader = cluster.leader()
    leader.kill()
    try:
        for _ in range(20):
            assert cost(near, lambda: read(near)) == Trips(0, 1)
    finally:
        leader.start()


def test_killed_member_costs_no_error_and_is_used_again_later(
    near: Connection, member: Member, move_clock: MoveClock
) -> None:
    member.kill()
    assert read(near) == {1: 10}
    assert cost(near, lambda: read(near)) == Trips(1, 0)
    write(near, 11)
    member.start()
    move_clock(60)
    await_near(near)
    assert read(near) == {1: 11}


def test_paused_member_is_not_waited_for_twice(near: Connection, member: Member, move_clock: MoveClock) -> None:
    member.pause()
    assert read(near) == {1: 10}
    assert cost(near, lambda: read(near)) == Trips(1, 0)
    move_clock(60)
    assert cost(near, lambda: read(near)) == Trips(1, 0)  # a probe is sent, and is not waited for
    member.resume()
    await_near(near)
