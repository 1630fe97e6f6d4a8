"""commit.lua: an error at any step, a key of the wrong type, a missing permission: nothing is written."""

from __future__ import annotations

import re
import time
from hashlib import sha1
from secrets import token_hex

import pytest
import redis

from rome.errors import AuthenticationError, CorruptRecordError, InternalError, StoreFullError
from rome.store.location import Location
from rome.store.redis import scripts
from rome.store.redis.names import meta_key
from rome.store.redis.scripts import Script
from rome.store.spi import BEYOND, Claim, Drop, Reserve, Retention
from rome.testing.harness import Point, RangeCheck, SnapshotClient, change_catalog, delete, enter, leave, put
from tests.store.redis.kit import Open, Start, admin_of, dump
from tests.support.redis_command import send

STEP = re.compile(r"^-- (?:Step|Last step)", re.MULTILINE)
STEPS = len(STEP.findall(scripts.COMMIT.text))
WRITES = ("hset", "hdel", "zadd", "zrem", "rpush", "unlink")


def _everything(client: SnapshotClient) -> None:
    """A commit of which every part does something, from data that _fill() made."""
    version = client.begin().version
    row_b = client.get(b"b")[0]
    assert row_b
    client.commit(
        Drop(2),
        Drop(1, 2),
        put(b"a", b"new"),
        put(b"c"),
        delete(b"b"),
        leave(b"kb", b"b"),
        enter(b"kc", b"c"),
        change_catalog(),
        read=[Point(1, b"b", row_b.version), Point(1, b"c", 0), RangeCheck(1, 1, b"k", BEYOND, version, rows=True)],
        sequences={1: 100},
    )


def _fill(client: SnapshotClient) -> None:
    client.write(
        *(write for key in (b"a", b"b") for write in (put(key), enter(b"k" + key, key), enter(b"m" + key, key, 2))),
        put(b"z", table=2),
        change_catalog(b"first"),
    )
    client.write(put(b"a", b"2"))
    client.ticket = b"t" * 16
    client.store.join_queue(client.ticket, [Claim(1, b"y")], 600.0)


@pytest.mark.parametrize("step", range(STEPS))
def test_error_at_any_step_leaves_nothing_written(
    connect: Open, admin: redis.Redis, location: Location, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    client = connect()
    _fill(client)
    client.store.set_retention(Retention(0.0))  # so that this commit trims, too
    before = dump(admin, location)
    place = [match.start() for match in STEP.finditer(scripts.COMMIT.text)][step]
    text = scripts.COMMIT.text[:place] + "error('injected')\n" + scripts.COMMIT.text[place:]
    with monkeypatch.context() as patch:
        patch.setattr(scripts, "COMMIT", Script(text, sha1(text.encode()).hexdigest()))
        with pytest.raises(InternalError, match="injected"):
            _everything(client)
    assert dump(admin, location) == before
    _everything(client)
    assert dump(admin, location) != before


def test_all_steps_are_marked() -> None:
    assert STEPS > 10


@pytest.mark.parametrize("suffix", ["x", "q", "s", "r1", "h1", "u1", "e1.0", "l1.0", "e1.1", "l1.1"])
def test_key_of_the_wrong_type_leaves_nothing_written(
    connect: Open, admin: redis.Redis, location: Location, suffix: str
) -> None:
    client = connect()
    _fill(client)
    client.begin()
    a, b = client.get(b"a", b"b")
    assert a
    assert b
    key = meta_key(location.database)[:-1] + suffix.encode()
    admin.delete(key)
    admin.set(key, b"not ours")
    before = dump(admin, location)
    client.begin()
    with pytest.raises(CorruptRecordError, match="WRONGTYPE"):
        client.commit(
            put(b"a", b"3", was=a.version), delete(b"b", was=b.version), put(b"c", was=0),
            enter(b"kc", b"c"), leave(b"kb", b"b"), sequences={1: 100},
        )  # fmt: skip
    assert dump(admin, location) == before


@pytest.mark.parametrize("command", WRITES)
def test_missing_permission_leaves_nothing_written(
    connect: Open, admin: redis.Redis, location: Location, command: str
) -> None:
    client = connect()
    _fill(client)
    user, password = f"user-{token_hex(8)}", token_hex(16)
    send(admin, "ACL", "SETUSER", user, "on", f">{password}", "~rome:*", "+@all", f"-{command}")
    try:
        limited = connect(Location("redis", location.database, location.host, location.port, user, password))
        before = dump(admin, location)
        with pytest.raises(AuthenticationError, match=command.upper()):
            _everything(limited)
        assert dump(admin, location) == before
    finally:
        send(admin, "ACL", "DELUSER", user)


def test_line_takes_no_room_when_nobody_is_in_it(connect: Open, admin: redis.Redis, location: Location) -> None:
    """So that commits pay for it only while somebody waits."""
    first, dead, other = connect(), connect(), connect()
    meta = meta_key(location.database)
    first.ticket = b"t" * 16
    first.store.join_queue(first.ticket, [Claim(1, b"a")], 600.0)
    first.write(put(b"a"))
    assert not admin.hexists(meta, "line")
    first.store.join_queue(first.ticket, [Claim(1, b"a")], 600.0)
    first.store.leave_queue(first.ticket)
    assert not admin.hexists(meta, "line")
    dead.store.join_queue(b"d" * 16, [Claim(1, b"a")], 0.02)
    assert admin.hexists(meta, "line")
    time.sleep(0.03)
    other.write(put(b"a"))
    assert not admin.hexists(meta, "line")


def test_commit_of_more_values_than_lua_can_unpack(connect: Open) -> None:
    client = connect()
    keys = [b"%05d" % number for number in range(9_000)]
    client.write(*map(put, keys))
    client.begin()
    rows = client.scan()
    assert [row.key for row in rows] == keys
    client.commit(*map(delete, keys), read=[Point(1, row.key, row.version) for row in rows])
    client.begin()
    assert client.count() == 0


def test_full_server_refuses_writes_and_takes_deletes(start: Start, connect: Open) -> None:
    server = start({"maxmemory": "12mb", "maxmemory-policy": "noeviction"})
    client = connect(server.location("full"))
    with admin_of(server) as admin:
        admin.hset(meta_key("full"), "run_id", "as if it had been restarted")
    keys: list[bytes] = []

    def fill() -> None:
        while True:
            key = b"%05d" % len(keys)
            client.write(put(key, b"x" * 20_000))
            keys.append(key)

    with pytest.raises(StoreFullError):
        fill()
    client.begin()
    assert client.count() == len(keys), "the refused commit wrote nothing"
    with pytest.raises(StoreFullError):
        fill()  # not one row: what the server's buffers have given back may have room for it
    with pytest.raises(StoreFullError):
        client.store.read(None, (), [Reserve(1, 1)])
    client = connect(server.location("full"))
    client.write(*map(delete, keys))
    client.begin()
    assert client.count() == 0
    # What was deleted is kept for the retention. The next write finds it expired, has it trimmed, and goes through.
    client.store.set_retention(Retention(0.0))
    client.write(put(b"more", b"x" * 20_000))
    client.begin()
    assert client.keys() == [b"more"]
