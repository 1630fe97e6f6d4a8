"""What `rome doctor` says of a cluster."""

from __future__ import annotations

from secrets import token_hex

import pytest

from rome.cli.existing import check_exists
from rome.errors import OperationalError
from rome.store.diagnosis import Diagnosis, Finding, Level
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.redis.names import meta_key
from tests.store.redis.kit import Open, StartCluster, with_options
from tests.support.acl import as_minimal_user
from tests.support.cluster_servers import Cluster, SlotMove, await_that, facts_of, send_to
from tests.support.servers import free_port


def found(diagnosis: Diagnosis, check: str) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.check == check]


@pytest.fixture
def place(cluster: Cluster) -> Location:
    return cluster.location(f"test-{token_hex(8)}", slot="12000")


def test_database_is_said_to_be_where_it_is(cluster: Cluster, connect: Open, place: Location) -> None:
    connect(place)
    diagnosis = RedisStore.diagnose(place)
    owner = cluster.nodes[2]
    assert diagnosis.subject.startswith(f"{owner.host}:{owner.port}: ")
    [role], [state], [moves], [nodes] = (found(diagnosis, check) for check in ("role", "cluster", "moves", "nodes"))
    assert [each.level for each in (role, state, moves, nodes)] == [Level.OK] * 4
    assert "3, which all can be reached" in nodes.reason
    on_owner = next(each for each in found(diagnosis, "databases") if str(owner.port) in each.reason)
    assert f"{place.database} (slot 12000)" in on_owner.reason
    [shards] = found(diagnosis, "shards")
    assert shards.level is Level.WARNING
    assert f"127.0.0.1:{owner.port}: 0" in shards.reason
    RedisStore.drop_database(place)


@pytest.mark.parametrize(
    ("setting", "value", "check", "level"),
    [
        ("cluster-node-timeout", "15000", "node timeout", Level.WARNING),
        ("cluster-node-timeout", "2000", "node timeout", Level.OK),
        ("cluster-require-full-coverage", "yes", "coverage", Level.WARNING),
        ("cluster-allow-reads-when-down", "yes", "stale reads", Level.WARNING),
    ],
)
def test_settings(cluster: Cluster, place: Location, setting: str, value: str, check: str, level: Level) -> None:
    node = cluster.nodes[0]
    _, before = send_to(node, "CONFIG", "GET", setting)
    send_to(node, "CONFIG", "SET", setting, value)
    try:
        [finding] = found(RedisStore.diagnose(place), check)
    finally:
        send_to(node, "CONFIG", "SET", setting, before)
    assert finding.level is level
    assert value in finding.reason
    assert (setting in finding.remedy) == (level is Level.WARNING)


def test_slot_that_is_being_moved_is_a_problem(cluster: Cluster, connect: Open, place: Location) -> None:
    connect(place)
    _, target, source = cluster.nodes
    move = SlotMove(cluster, 12000, source, target).begin()
    try:
        [finding] = found(RedisStore.diagnose(place), "moves")
    finally:
        move.undo()
    assert finding.level is Level.PROBLEM
    assert f"127.0.0.1:{source.port}: slot 12000 to 127.0.0.1:{target.port}" in finding.reason
    assert "--cluster fix" in finding.remedy
    RedisStore.drop_database(place)


def test_database_that_is_in_two_slots_is_a_problem(cluster: Cluster, connect: Open, place: Location) -> None:
    """Two processes may create it at the same moment: neither sees the other's."""
    connect(place)
    send_to(cluster.nodes[0], "HSET", meta_key(place.database, 5), "format", 1)
    problems = [each for each in found(RedisStore.diagnose(place), "databases") if each.level is Level.PROBLEM]
    assert RedisStore.list_databases(place).count(place.database) == 2
    RedisStore.drop_database(with_options(place, slot="5"))
    RedisStore.drop_database(place)
    [problem] = problems
    assert f"{place.database!r} is in the slots 5, 12000" in problem.reason


def test_what_the_user_may_not_ask_is_unknown(cluster: Cluster, connect: Open, place: Location) -> None:
    connect(place)
    diagnosis = RedisStore.diagnose(as_minimal_user(place, *cluster.nodes))
    for check in ("cluster", "moves", "nodes", "shards", "node timeout"):
        [finding] = found(diagnosis, check)
        assert finding.level is Level.UNKNOWN
    RedisStore.drop_database(place)


@pytest.mark.parametrize("of_database", [True, False])
def test_primary_that_is_down(start_cluster: StartCluster, connect: Open, of_database: bool) -> None:
    cluster: Cluster = start_cluster(3, 0, 1000, {"cluster-require-full-coverage": "no"})
    at = cluster.location("nova", slot="7" if of_database else "12000", host=f"127.0.0.1:{cluster.nodes[1].port}")
    connect(at)
    dead = cluster.nodes[0]
    dead.kill()
    await_that(lambda: "fail" in _flags(cluster, dead.port))
    diagnosis = RedisStore.diagnose(at)
    reasons = " ".join(each.reason for each in found(diagnosis, "nodes"))
    assert f"do not reach 127.0.0.1:{dead.port} (primary)" in reasons
    assert f"127.0.0.1:{dead.port} cannot be reached from here" in reasons
    assert [each.level for each in found(diagnosis, "connection")] == [Level.PROBLEM] * of_database
    assert facts_of(cluster.nodes[1], "CLUSTER", "INFO")["cluster_state"] == "ok"
    [state] = found(diagnosis, "cluster")
    assert state.level is Level.PROBLEM
    assert "10923 of 16384 slots have a primary that is up" in state.reason


def _flags(cluster: Cluster, port: int) -> list[str]:
    view = cluster.view(cluster.nodes[1])
    return next(line.split()[2].split(",") for line in view if f":{port}@" in line)


def test_node_without_the_option_is_told_to_add_it(cluster: Cluster, connect: Open, place: Location) -> None:
    connect(place)
    node = cluster.nodes[2]
    [role] = found(RedisStore.diagnose(node.location(place.database)), "role")
    assert role.level is Level.WARNING
    assert "cluster=on" in role.remedy
    RedisStore.drop_database(place)


def test_no_node_of_the_url_answers() -> None:
    at = Location("redis", "nova", "127.0.0.1", free_port(), options={"cluster": "on"})
    diagnosis = RedisStore.diagnose(at)
    assert [each.level for each in diagnosis.findings] == [Level.PROBLEM, Level.PROBLEM]


def test_command_says_that_a_database_is_in_another_slot(cluster: Cluster, connect: Open, place: Location) -> None:
    connect(place)
    with pytest.raises(OperationalError, match=f"database {place.database} is in another slot of the cluster"):
        check_exists(cluster.url(place.database, slot="77"))
    RedisStore.drop_database(place)
