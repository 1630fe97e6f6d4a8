"""The user of docs/security.md: it can do all that Rome does, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex

import pytest
import redis

from rome.errors import AuthenticationError
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.spi import BEYOND, Claim, Count, Drop, Get, Reserve, Retention, Scan
from rome.testing.harness import Point, RangeCheck, change_catalog, delete, enter, leave, put
from tests.store.redis.kit import Open, Start, admin_of, with_options
from tests.support.acl import COMMANDS, create_user
from tests.support.cluster_servers import Cluster
from tests.support.redis_command import send
from tests.support.servers import Server

PASSWORD = token_hex(8)
NOT_THE_USERS = {"auth", "config|resetstat", "replconf", "psync", "ping", "client|id"}


def _as(name: str, server: Server, database: str = "nova") -> Location:
    return replace(server.location(database), username=name, password=PASSWORD)


def _do_everything(connect: Open, at: Location) -> None:
    """Whatever a client can ask of the store, in every way that takes another command."""
    client, reader = connect(at), connect(at)
    client.write(
        *(write for key in (b"a", b"b") for write in (put(key), enter(b"k" + key, key), enter(b"m" + key, key, 2))),
        put(b"z", table=2),
        change_catalog(b"first"),
    )
    client.write(put(b"a", b"2"))
    snapshot = reader.begin()
    version = client.begin().version
    row = client.get(b"b")[0]
    assert row
    client.commit(
        Drop(2),
        put(b"a", b"3"),
        put(b"c"),
        delete(b"b"),
        leave(b"kb", b"b"),
        enter(b"kc", b"c"),
        read=[Point(1, b"b", row.version), RangeCheck(1, 1, b"k", BEYOND, version, rows=True)],
        sequences={1: 100},
    )
    reader.store.read(snapshot, [Scan(1, 1, b"k", BEYOND), Count(1, 1, b"", BEYOND), Get(1, (b"a",))], [Reserve(1, 5)])
    client.store.resolve(token_hex(8).encode(), 0)
    client.store.join_queue(client.ticket, [Claim(1, b"a")], 600.0)
    client.store.leave_queue(client.ticket)
    client.store.set_retention(Retention(0.0))
    client.write(put(b"a", b"4"))
    client.store.trim()
    client.store.retention()
    client.store.set_retention(Retention())
    assert at.database in RedisStore.list_databases(at)
    RedisStore.drop_database(at)


def test_user_can_do_everything_and_needs_each_permission(start: Start, connect: Open) -> None:
    server = start({"repl-diskless-sync-delay": "0"})
    start({"replicaof": f"{server.host} {server.port}"})
    with admin_of(server) as admin:
        create_user(admin, "rome", PASSWORD)
        while send(admin, "WAIT", 1, 100) == 0:
            admin.set("try", "again")
        admin.config_resetstat()
        _do_everything(connect, with_options(_as("rome", server), wait_replicas="1", wait_timeout="20", db="1"))
        used = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
        assert used - NOT_THE_USERS == COMMANDS - {"cluster|slots"}
        assert send(admin, "ACL", "LOG") == []


def test_user_can_do_everything_in_a_cluster(cluster: Cluster, connect: Open) -> None:
    name = f"user-{token_hex(4)}"
    for node in cluster.nodes:
        with admin_of(node) as admin:
            create_user(admin, name, PASSWORD)
            admin.script_flush()
            admin.config_resetstat()
            send(admin, "ACL", "LOG", "RESET")
    _do_everything(connect, replace(cluster.location(token_hex(8)), username=name, password=PASSWORD))
    used: set[str] = set()
    for node in cluster.nodes:
        with admin_of(node) as admin:
            used |= {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
            assert send(admin, "ACL", "LOG") == []
            send(admin, "ACL", "DELUSER", name)
    assert used - NOT_THE_USERS - {"acl|log", "client|setinfo", "hello"} == COMMANDS - {"select", "wait"}


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "theirs"),
        ("SET", "theirs", "x"),
        ("DEL", "rome:{nova}:m"),
        ("HGET", "theirs", "x"),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "appendonly", "no"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("KEYS", "*"),
        ("SHUTDOWN",),
        ("DEBUG", "SLEEP", "0"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("SCRIPT", "FLUSH"),
        ("SAVE",),
        ("REPLICAOF", "NO", "ONE"),
        ("PUBLISH", "channel", "x"),
        ("SUBSCRIBE", "channel"),
        ("EVAL", "return redis.call('HGET', KEYS[1], 'x')", "1", "theirs"),
        ("EVAL", "return redis.call('HSET', 'theirs', 'x', 'y')", "0"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
        ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "rome:{nova}:m"),
    ],
    ids=" ".join,
)
def test_user_can_do_nothing_else(admin: redis.Redis, server: Server, command: tuple[str, ...]) -> None:
    name = f"user-{token_hex(4)}"
    create_user(admin, name, PASSWORD)
    try:
        with (
            redis.Redis(server.host, server.port, username=name, password=PASSWORD) as user,
            pytest.raises(
                redis.ResponseError,
                match=r"(?i)no permissions|can't (run|access)|ACL failure|DEBUG command not allowed",
            ),
        ):
            send(user, *command)
    finally:
        send(admin, "ACL", "DELUSER", name)


def test_user_can_be_confined_to_one_database(start: Start, connect: Open) -> None:
    server = start()
    connect(server.location("glance")).write(put(b"a"))
    with admin_of(server) as admin:
        create_user(admin, "nova", PASSWORD, "~rome:{nova}:*")
    _do_everything(connect, _as("nova", server))
    for act in (RedisStore.open, RedisStore.drop_database):
        with pytest.raises(AuthenticationError):
            act(_as("nova", server, "glance"))
    glance = connect(server.location("glance"))
    glance.begin()
    assert glance.keys() == [b"a"]


def test_user_who_may_not_ask_for_info_is_refused(admin: redis.Redis, server: Server) -> None:
    """Without the run id, nobody could tell that the server came back without its last commits."""
    name = f"user-{token_hex(4)}"
    create_user(admin, name, PASSWORD)
    send(admin, "ACL", "SETUSER", name, "-info")
    try:
        with pytest.raises(AuthenticationError, match="'info' command"):
            RedisStore.open(_as(name, server))
    finally:
        send(admin, "ACL", "DELUSER", name)
