"""commit.lua: an error at any step, a key of the wrong type, a missing permission: nothing is written."""

from __future__ import annotations

import re
import struct
import time
from hashlib import sha1
from secrets import token_hex

import pytest
import redis

from rome.errors import AuthenticationError, ConflictError, CorruptRecordError, InternalError, StoreFullError
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
    while client.begin().version % 8 != 7:  # one small commit in eight trims
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
        patch.setattr(scripts, "COMMIT", Script(text, sha1(text.encode()).hexdigest().encode()))
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


_ENDS = ("r", "h", "u", *(f"{kind}.{index}" for kind in "el" for index in range(3)))
_KEYS = (*"mqsx", *(f"{end[0]}{table}{end[1:]}" for table in (1, 2) for end in _ENDS))
"""What the keys of the database that _fill() makes end with."""


@pytest.mark.parametrize("suffix", ["x", "q", "s", "m", "r1", "h1", "u1", "e1.0", "l1.0", "e1.1", "l1.1"])
def test_key_that_may_only_be_read_leaves_nothing_written(
    connect: Open, admin: redis.Redis, location: Location, suffix: str
) -> None:
    client = connect()
    _fill(client)
    user, password = f"user-{token_hex(8)}", token_hex(16)
    prefix = meta_key(location.database)[:-1].decode()
    others = [f"~{prefix}{key}" for key in _KEYS if key != suffix]
    send(admin, "ACL", "SETUSER", user, "on", f">{password}", f"%R~{prefix}*", *others, "+@all")
    try:
        limited = connect(Location("redis", location.database, location.host, location.port, user, password))
        before = dump(admin, location)
        with pytest.raises(AuthenticationError):
            _everything(limited)
        assert dump(admin, location) == before
    finally:
        send(admin, "ACL", "DELUSER", user)


def test_trim_queue_is_as_documented(connect: Open, admin: redis.Redis, location: Location) -> None:
    """Its bytes are those that cmsgpack makes of docs/commit-protocol.md's lists, in elements of 100 members."""
    client = connect()
    _fill(client)
    table, many = 2**31 + 5, [b"%090d" % number for number in range(130)]
    client.write(*(put(key, table=table) for key in many), enter(b"k", many[0], table=table, index=300))
    large = client.store.last_snapshot().version
    client.write(put(many[0], b"2", table=table), put(b"a" * 250, table=7), Drop(2))
    elements: list[bytes] = send(admin, "LRANGE", meta_key(location.database)[:-1] + b"q", -3, -1)
    again = "return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))"
    assert [send(admin, "EVAL", again, 0, element[28:]) for element in elements] == [each[28:] for each in elements]
    found = [send(admin, "EVAL", "return cmsgpack.unpack(ARGV[1])", 0, element[28:]) for element in elements]
    heads = [struct.unpack_from(">QQQI", element) for element in elements]
    assert [(head[0], head[3]) for head in heads] == [(large, 100), (large, 31), (large + 1, 2)]
    assert [len(ids) for ids, _, _ in found] == [16, 0, 16]
    assert [[(*group[:2], len(group[2])) for group in groups] for _, groups, _ in found] == [
        [(table, 0, 100)],
        [(table, 0, 30), (table, 300, 1)],
        [(table, -1, 1), (7, 0, 1)],
    ]
    length, stamp = (90).to_bytes(4, "big"), (large + 1).to_bytes(8, "big")
    assert found[2][1][0][2] == [many[0] + length + stamp + b"u"]
    assert found[2][1][1][2] == [b"a" * 250 + (250).to_bytes(4, "big") + stamp + b"+"]
    assert [dropped for _, _, dropped in found] == [[], [], [2]]


def test_commit_of_more_tables_and_ranges_than_lua_can_unpack(connect: Open) -> None:
    client, other = connect(), connect()
    tables = range(1, 2_001)
    client.write(*(put(b"a", table=table) for table in tables))
    version = client.begin().version
    rows = [put(b"a", b"2", table=table, was=version) for table in tables]
    ranges = [RangeCheck(table, 0, b"b", BEYOND, version, rows=True) for table in tables]
    client.commit(*rows, read=ranges)
    request = client.request(*(put(b"a", b"3", table=table, was=version + 1) for table in tables), read=ranges[-1:])
    other.write(put(b"c", table=2_000))
    with pytest.raises(ConflictError, match="2000"):
        client.store.commit(request)


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
