"""Commands as they are sent: what a reader of RESP finds in them is what was to be sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rome.store.redis.gets import GetPacker
from rome.store.redis.names import escape
from rome.store.redis.reads import ReadPacker, ReservePacker
from rome.store.redis.wire import Command, pack
from rome.store.spi import MAX_NUMBER, Count, Get, Request, Reserve, Scan, Snapshot
from tests.store.redis.kit import commands_of

WORDS = st.lists(st.binary() | st.text() | st.integers(1000, 1100).map(bytes), min_size=1).map(tuple)
TABLES = st.integers(0, 2**31 + 5)
BOUNDS = st.binary(max_size=40) | st.integers(1000, 1100).map(lambda length: b"x" * length)
SCANS = st.builds(Scan, TABLES, st.integers(0, 300), BOUNDS, BOUNDS, st.none() | st.integers(0, 300), st.booleans())
GETS = st.builds(Get, TABLES, st.lists(st.binary(), max_size=3).map(tuple))
REQUESTS: st.SearchStrategy[list[Request]] = st.lists(SCANS | GETS | st.builds(Count, TABLES, TABLES, BOUNDS, BOUNDS))
SNAPSHOTS = st.none() | st.builds(Snapshot, st.binary(min_size=16, max_size=16), st.integers(0, 2**53))


@given(st.lists(WORDS))
def test_words_arrive_as_they_are(commands: list[Command]) -> None:
    sent = [tuple(word.encode() if isinstance(word, str) else word for word in command) for command in commands]
    assert commands_of(b"".join(map(pack, commands))) == sent


@given(st.lists(st.tuples(SNAPSHOTS, REQUESTS | st.lists(SCANS, max_size=8))))
def test_read_is_packed_as_word_by_word(reads: list[tuple[Snapshot | None, list[Request]]]) -> None:
    """Also where a read of the same shape came before."""
    packer = ReadPacker((b"EVALSHA", b"digest", b"1", b"rome:{a}:m"), (2000, 1048576))
    for snapshot, requests in [*reads, *reads]:
        assert packer.pack(snapshot, requests) == pack(packer.command(snapshot, requests))


@given(st.lists(st.tuples(SNAPSHOTS, st.lists(GETS, max_size=4))))
def test_gets_ask_for_their_rows_and_then_for_the_state_of_their_tables(
    reads: list[tuple[Snapshot | None, list[Get]]],
) -> None:
    """Also where a read of the same shape came before. A new snapshot's state comes first, too, unless no row does."""
    packer = GetPacker(b"rome:{a}:m")
    for snapshot, gets in [*reads, *reads]:
        rows = [(b"HMGET", b"rome:{a}:r%d" % get.table_id, *map(escape, get.keys)) for get in gets if get.keys]
        tables = [b"t%d" % get.table_id for get in gets]
        state = (b"HMGET", b"rome:{a}:m", b"incarnation", b"version", b"t0", *tables)
        expected = [state, *rows, state] if snapshot is None and rows else [*rows, state]
        request, how_many = packer.pack(gets, snapshot)
        assert commands_of(request) == expected
        assert how_many == len(expected)


NUMBERS = st.integers(-5, MAX_NUMBER)
RESERVES = st.builds(
    Reserve, st.integers(1, 2**31), st.integers(0, 1000), NUMBERS, st.none() | st.tuples(NUMBERS, NUMBERS)
)


@given(st.lists(st.lists(RESERVES, min_size=1)))
def test_reserve_is_packed_as_word_by_word(reserves: list[list[Reserve]]) -> None:
    packer = ReservePacker((b"EVALSHA", b"digest", b"1", b"rome:{a}:m"))
    for each in reserves:
        assert packer.pack(each) == pack(packer.command(each))
