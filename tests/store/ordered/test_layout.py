"""The keys and values of ordered engines, byte by byte: they are a format, which docs/ordered-store.md tells."""

from __future__ import annotations

import re
from itertools import pairwise, product
from pathlib import Path
from secrets import token_hex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rome.errors import CorruptRecordError, FormatError
from rome.store.location import Location
from rome.store.ordered import committing
from rome.store.ordered.driver import DriverTransaction, Put
from rome.store.ordered.layout import Layout, database_name, encode, quoted, row_key_of
from rome.store.ordered.memory import MemoryEngine
from rome.store.spi import Claim, Reserve, Retention
from rome.testing.harness import SnapshotClient, change_catalog, delete, enter, leave, put
from tests.store.ordered.kit import OrderedMemoryStore, engines

DOCS = Path(__file__).parents[3] / "docs" / "ordered-store.md"


def stored(engine: MemoryEngine) -> dict[bytes, bytes]:
    return {pair.key: pair.value for pair in engine._pairs(b"", b"\xff", engine.revision)}


def test_golden_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small database is stored as the page says, key by key."""
    monkeypatch.setattr(committing, "clock", lambda: 1_700_000_000.0)
    host = token_hex(4)
    store = OrderedMemoryStore.open(Location("ordered", "a/b", host=host))
    client = SnapshotClient(store)
    client.begin()
    client.commit(change_catalog(b"schema"), transaction_id=b"A" * 16)
    client.begin()
    client.commit(put(b"\x01", b"one"), enter(b"k\x00", b"\x01", index=2), sequences={7: 1}, transaction_id=b"B" * 16)
    client.begin()
    client.commit(leave(b"k\x00", b"\x01", index=2), transaction_id=b"C" * 16)
    store.resolve(b"D" * 16, 3)
    store.read(None, (), [Reserve(8, 5)])
    store.join_queue(b"T" * 16, [Claim(1, b"\x01"), Claim(2, None)], 60.0)
    store.pin(b"P" * 16, client.snapshot, 60.0, owner="17@here", age_s=20.0)
    store.close()
    incarnation = re.compile(rb"(?<=\x92\x01\xc4\x10).{16}", re.DOTALL)
    taker = re.compile(rb"(?<=\x05).{8}$", re.DOTALL)
    lines = []
    for key, value in stored(engines[host]).items():
        if key.endswith(b"md"):
            value = incarnation.sub(b"I" * 16, value)
        if b"/s" in key:
            value = taker.sub(b"t" * 8, value)
        lines.append(f"    {_shown(key)}  ->  {_shown(value)}")
    assert "\n".join(lines) in DOCS.read_text(), "\n".join(lines)


def _shown(data: bytes) -> str:
    """Letters, digits and `/%_.-~` as they are, all else in hexadecimal."""
    return "".join(chr(byte) if re.match(rb"[\w/%.~-]", bytes([byte])) else f"<{byte:02x}>" for byte in data)


@given(st.text(min_size=1, max_size=10), st.text(min_size=1, max_size=10))
def test_names_of_databases_are_told_apart_and_back(one: str, other: str) -> None:
    assert database_name(Layout(one).description) == one
    if one != other:
        start, stop = Layout(other).everything
        assert not start <= Layout(one).description < stop
    assert b"/" not in quoted(one)


def test_keys_of_others_are_no_databases() -> None:
    for key in (b"rome/", b"rome//md", b"rome/%zz/md", b"rome/a b/md", b"rome/%ff/md"):
        assert database_name(key) is None


BYTES = [b"", *(bytes(key) for length in (1, 2, 3) for key in product([0, 1, 0xFE, 0xFF], repeat=length))]


def test_marks_stand_to_ranges_as_their_entries_do() -> None:
    """Whatever bytes an entry and a bound have, and whichever commit left the mark."""
    layout = Layout("x")
    commits = [bytes(24), b"\x00\xff" * 12, b"\x00\x1f" + b"\xff" * 22]
    for entry in BYTES[1:]:
        for start, stop in pairwise(sorted(BYTES)):
            low, high = layout.gone_span(1, 2, start, stop)
            for commit in commits:
                assert (low <= layout.gone(1, 2, entry, commit) < high) == (start <= entry < stop), (entry, start, stop)


def test_row_key_is_the_end_of_its_entry() -> None:
    assert row_key_of(b"index" + b"row", encode_length(3)) == b"row"
    assert row_key_of(b"index", encode_length(0)) == b""


def encode_length(length: int) -> bytes:
    return length.to_bytes(4, "big")


class TestDamage:
    @pytest.fixture
    def location(self) -> Location:
        location = Location("ordered", "db", host=token_hex(4))
        client = SnapshotClient(OrderedMemoryStore.open(location))
        client.write(put(b"a"), enter(b"k", b"a"))
        client.write(put(b"b"), delete(b"b"), put(b"a", b"2"))
        return location

    def write(self, location: Location, key: bytes, value: bytes) -> None:
        assert location.host is not None
        engines[location.host].run(DriverTransaction(writes=[Put(key, value)]))

    def test_newer_format_is_refused(self, location: Location) -> None:
        self.write(location, Layout("db").description, encode([2, b"I" * 16]))
        with pytest.raises(FormatError, match="format 2"):
            OrderedMemoryStore.open(location)

    @pytest.mark.parametrize("part", ["description", "retention", "queue"])
    def test_head_that_cannot_be_decoded(self, location: Location, part: str) -> None:
        self.write(location, getattr(Layout("db"), part), b"\xc1")
        with pytest.raises(CorruptRecordError, match="somebody else wrote"):
            OrderedMemoryStore.open(location)

    def test_entry_that_leads_nowhere(self, location: Location) -> None:
        self.write(location, Layout("db").entries(1, 1) + b"kz", encode_length(1))
        client = SnapshotClient(OrderedMemoryStore.open(location))
        client.begin()
        with pytest.raises(CorruptRecordError, match="names row 7a"):
            client.scan(1)

    def test_record_of_a_commit_that_cannot_be_decoded(self, location: Location) -> None:
        self.write(location, Layout("db").record(bytes(24)), b"\xc1")
        store = OrderedMemoryStore.open(location)
        with pytest.raises(CorruptRecordError, match="commit's record"):
            store.trim()


def test_database_of_the_page_can_be_read() -> None:
    """The stored format stays readable: what the page shows is opened, and has its rows, numbers and ids."""
    host = token_hex(4)
    lines = re.findall(r"^    (rome/\S+)  ->  (.*)$", DOCS.read_text(), re.MULTILINE)
    assert len(lines) > 10
    pairs = [Put(_unshown(key), _unshown(value)) for key, value in lines]
    engines[host].run(DriverTransaction(writes=pairs))
    store = OrderedMemoryStore.open(Location("ordered", "a/b", host=host))
    client = SnapshotClient(store)
    assert client.begin().incarnation == b"I" * 16
    assert client.record(b"\x01") == b"one"
    assert client.record(b"catalog", table=0) == b"schema"
    assert store.read(None, (), [Reserve(7, 1), Reserve(8, 1)]).reserved == [2, 6]
    assert store.resolve(b"A" * 16, 0) == client.snapshot.version, "committed"
    assert store.resolve(b"D" * 16, 3) is None, "will never be"
    assert store.retention() == Retention(60.0, 256 * 1024 * 1024)
    store.close()


def _unshown(text: str) -> bytes:
    return re.sub(rb"<([0-9a-f]{2})>", lambda found: bytes.fromhex(found[1].decode()), text.encode())
