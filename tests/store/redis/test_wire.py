"""Commands as they are sent: what a reader of RESP finds in them is what was to be sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rome.store.redis.reads import ReadPacker
from rome.store.redis.wire import Command, pack
from rome.store.spi import Count, Get, Request, Scan, Snapshot
from tests.store.redis.kit import commands_of

WORDS = st.lists(st.binary() | st.text() | st.integers(1000, 1100).map(bytes), min_size=1).map(tuple)
TABLES = st.integers(0, 2**31 + 5)
BOUNDS = st.binary(max_size=40)
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
