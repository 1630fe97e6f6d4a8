"""Malformed requests, foreign keys, hostile names: nothing is written that should not be, and nothing else touched."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from secrets import token_hex

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rome.store.redis import RedisStore, scripts
from rome.store.redis.messages import commit_arguments
from rome.store.redis.names import meta_key
from rome.store.redis.reads import ReadPacker
from rome.store.spi import BEYOND, Count, Get, Retention, Scan
from rome.testing.harness import AWKWARD_NAMES, Point, RangeCheck, SnapshotClient, delete, enter, leave, put
from tests.store.redis.kit import dump, keys_of
from tests.support.servers import Server

fuzzed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
few = settings(fuzzed, max_examples=10)

SCRIPTS = {name.lower(): script for name, script in vars(scripts).items() if isinstance(script, scripts.Script)}
SCRIPTS["read_short"] = scripts.READ
SHAPED = {"commit": 5, "commit_deletes": 5, "read": 2, "read_short": 2}
"""Scripts that take the shape of what follows, and where it is."""

numbers = st.integers(-5, 5) | st.sampled_from([2**31, 2**53, 2**63 - 1, -(2**63)])
shapes = st.recursive(
    numbers | st.none() | st.booleans() | st.sampled_from(["get", "scan", "count", "", "nonsense"]) | st.floats(),
    lambda inner: st.lists(inner, max_size=9),
    max_leaves=30,
)
junk = st.binary(max_size=20) | numbers.map(lambda number: b"%d" % number) | st.just(b"nan") | st.just(b"inf")


def _valid_arguments(client: SnapshotClient) -> dict[str, list[bytes | str | int]]:
    """What a well-formed call of each script has in ARGV."""
    snapshot = client.begin()
    incarnation, version = snapshot.incarnation, snapshot.version
    row = client.get(b"a")[0]
    assert row
    request = client.request(
        *(put(b"a", b"2"), put(b"new"), delete(b"b"), leave(b"kb", b"b"), enter(b"knew", b"new")),
        read=[Point(1, b"a", row.version), RangeCheck(1, 1, b"k", BEYOND, version, rows=True)],
        sequences={1: 10},
    )
    head: list[bytes | str | int] = [request.transaction_id, incarnation, version, 1, request.ticket]
    commit = [*head, *commit_arguments(request)[0]]
    reads: list[Get | Scan | Count] = [Get(1, (b"a", b"b")), Scan(1, 1, b"k", BEYOND, 10), Count(1, 0, b"", BEYOND)]
    short = Scan(1, 1, b"k", BEYOND, 10), Scan(1, 0, b"a", b"z")
    packer = ReadPacker((), (100, 10_000))
    return {
        "commit": commit,
        "commit_deletes": commit,
        "read": [*packer.command(snapshot, reads)],
        "read_short": [*packer.command(snapshot, short)],
        "reserve": ["1", "5", "0"],
        "resolve": [token_hex(8), version],
        "trim": [10, 100],
        "retain": [60_000, 1_000_000],
        "usage": [10, 100],
    }


@pytest.mark.parametrize(
    "name", ["commit", "commit_deletes", "read", "read_short", "reserve", "resolve", "trim", "usage"]
)
@fuzzed
@given(data=st.data())
def test_malformed_request_is_refused_or_writes_nothing_else(
    server: Server, admin: redis.Redis, name: str, data: st.DataObject
) -> None:
    """An error has written nothing; and whatever is asked, the server answers and other keys stay as they are."""
    location = server.location(f"fuzzed-{token_hex(8)}")
    theirs = f"theirs-{token_hex(8)}", meta_key(location.database)[:-1].decode().replace("fuzzed", "other")
    with closing(RedisStore.open(location)) as store:
        client = SnapshotClient(store)
        client.write(put(b"a"), put(b"b"), enter(b"ka", b"a"), enter(b"kb", b"b"))
        arguments = _valid_arguments(client)[name]
        match data.draw(st.sampled_from(["cut", "drop", "replace", "repeat", "shape", "all"])):
            case "cut":
                del arguments[data.draw(st.integers(0, len(arguments) - 1)) :]
            case "drop":
                del arguments[data.draw(st.integers(0, len(arguments) - 1))]
            case "replace":
                arguments[data.draw(st.integers(0, len(arguments) - 1))] = data.draw(junk)
            case "repeat":
                arguments.insert(data.draw(st.integers(0, len(arguments))), data.draw(st.sampled_from(arguments)))
            case "shape" if name in SHAPED:
                shape = data.draw(st.lists(shapes, min_size=2, max_size=9) | shapes)
                arguments[SHAPED[name]] = msgspec.msgpack.encode(shape)
            case _:
                arguments = list(data.draw(st.lists(junk, max_size=12)))
        for key in theirs:
            admin.set(key, "theirs")
        before, all_before = dump(admin, location), {*admin.scan_iter(count=1000)}
        try:
            reply = admin.eval(SCRIPTS[name].text, 1, meta_key(location.database), *arguments)
        except redis.ResponseError:
            reply = [b"error"]
        if reply[0] != b"done":
            written = dump(admin, location)
            # These have been recorded: that it is aborted, and that a sequence is at its end.
            assert written == before or reply[0] in (b"aborted", b"exhausted")
        assert admin.mget(theirs) == [b"theirs"] * 2
        mine = {*keys_of(admin, location)}
        assert {*admin.scan_iter(count=1000)} - mine == all_before - mine
        assert admin.delete(*theirs) == 2
        RedisStore.drop_database(location)


hostile = st.sampled_from([*AWKWARD_NAMES, "}", "a}:m", "{a", "a:b}:r1", "\0", "a\0b", "%7B", "~", "\udcff"]) | st.text(
    alphabet=st.sampled_from("ab:{}*?[]%\\/~-_.\0\n é☃\udc80"), min_size=1, max_size=8
)


@few
@given(names=st.lists(hostile, min_size=2, max_size=4, unique=True), foreign=st.lists(hostile, max_size=4))
def test_databases_with_hostile_names_never_meet(
    server: Server, admin: redis.Redis, names: list[str], foreign: list[str]
) -> None:
    """Neither each other's rows nor keys of other applications: by reading, writing, listing, trimming and dropping."""
    # A logical database of its own, so that nothing of another test is in the list.
    here = replace(server.location("any"), options={"db": "7"})
    with redis.Redis(server.host, server.port, db=7) as other, closing(other):
        other.flushdb()
        # What other applications could have there: names like ours, to a careless glob or parser.
        taken = [
            form.format(name) for name in foreign for form in ("rome:{}:m", "rome:{{{}", "{}:r1", "rome:x{{{}}}:m")
        ]
        theirs = {key.encode("utf-8", "surrogatepass") for key in taken} - {*map(meta_key, names)}
        for key in theirs:
            other.set(key, "theirs")
        stores = {name: RedisStore.open(replace(here, database=name)) for name in names}
        try:
            assert stores[names[0]].list_databases(here) == sorted(names)
            for number, (name, store) in enumerate(stores.items()):
                client = SnapshotClient(store)
                client.write(put(b"key", name.encode("utf-8", "surrogatepass")), put(b"own-%d" % number))
            stores[names[0]].set_retention(Retention(0.0))
            stores[names[0]].trim()
            RedisStore.drop_database(replace(here, database=names[0]))
            assert stores[names[1]].list_databases(here) == sorted(names[1:])
            for number, name in enumerate(names[1:], 1):
                client = SnapshotClient(stores[name])
                client.begin()
                assert client.record(b"key") == name.encode("utf-8", "surrogatepass")
                assert client.keys() == [b"key", b"own-%d" % number]
                assert stores[name].retention() == Retention()
                RedisStore.drop_database(replace(here, database=name))
            assert {*other.scan_iter()} == theirs
            assert all(other.get(key) == b"theirs" for key in theirs)
        finally:
            for store in stores.values():
                store.close()
