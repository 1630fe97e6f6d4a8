from __future__ import annotations

from binascii import crc_hqx
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rome.store.redis.names import PATTERN, SLOTS, DatabaseName, database_of, escape, meta_key, slot_of, unescape

few_bytes = st.lists(st.sampled_from([0, 1, 2, 0x61, 0xFE, 0xFF]), max_size=6).map(bytes)
suffixes = st.integers(0, 2**53).map(lambda number: number.to_bytes(8, "big"))


@given(st.text(min_size=1))
def test_name_is_found_again_in_its_key(name: str) -> None:
    assert database_of(meta_key(name)) == DatabaseName(name)


@given(st.text(min_size=1), st.integers(0, SLOTS - 1))
def test_name_is_in_the_slot_that_was_chosen_for_it(name: str, slot: int) -> None:
    key = meta_key(name, slot)
    assert slot_of(key) == slot
    assert database_of(key) == DatabaseName(name, slot)
    assert fnmatchcase(key.decode(), PATTERN.decode())


def test_number_leads_to_every_slot() -> None:
    """What a name before it adds to its checksum is the same for all numbers of a length: so it does for every name."""
    assert len({crc_hqx(b"%d" % number, 0) % SLOTS for number in range(100_000, 400_000)}) == SLOTS


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # CLUSTER KEYSLOT says so
        (b"rome:{nova}:m", 4778),
        (b"rome:{nova_cell1}:m", 2079),
        (b"rome:{123456789}:m", 12739),
    ],
)
def test_slots_are_the_servers(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_keys_of_a_slot_are_as_documented() -> None:
    assert meta_key("nova_cell1", 6000) == b"rome:{nova_cell1@6000.11076}:m"
    assert meta_key("a@6000.1") == b"rome:{a%406000.1}:m"


@given(st.binary())
@example(b"\xff")
@example(b"a}")
@example(b"%61")
@example(b"")
@example(b"a@5.0")
@example(b"a@05.18142")
@example(b"a@16384.1")
@example(b"a@" + b"9" * 5000)
def test_key_that_is_none_of_ours_has_no_name(inside: bytes) -> None:
    key = b"rome:{" + inside + b"}:m"
    found = database_of(key)
    assert found is None or meta_key(*found) == key


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_have_their_own_hash_tags(one: str, other: str) -> None:
    tag = meta_key(one).partition(b"}")[0]
    assert meta_key(other).startswith(tag + b"}") == (one == other)
    assert fnmatchcase(meta_key(one).decode(), PATTERN.decode())


def test_lone_surrogates_are_names_too() -> None:
    assert database_of(meta_key("\udc80")) == DatabaseName("\udc80")


@given(few_bytes)
def test_escaped_key_is_found_again(key: bytes) -> None:
    assert unescape(escape(key)) == key


@given(few_bytes, few_bytes, suffixes)
def test_suffixed_key_compares_to_a_bound_as_the_key_does(key: bytes, bound: bytes, suffix: bytes) -> None:
    """Why escaping is there: without it, `key + suffix < key + b"\\x00"` would not hold for some suffixes."""
    assert (escape(key) + suffix < escape(bound)) == (key < bound)


@given(few_bytes, few_bytes, suffixes, suffixes)
def test_suffixed_keys_compare_as_the_keys_do(one: bytes, other: bytes, first: bytes, second: bytes) -> None:
    if one != other:
        assert (escape(one) + first < escape(other) + second) == (one < other)
