from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import example, given
from hypothesis import strategies as st

from rome.store.redis.names import PATTERN, database_name, escape, meta_key, unescape

few_bytes = st.lists(st.sampled_from([0, 1, 2, 0x61, 0xFE, 0xFF]), max_size=6).map(bytes)
suffixes = st.integers(0, 2**53).map(lambda number: number.to_bytes(8, "big"))


@given(st.text(min_size=1))
def test_name_is_found_again_in_its_key(name: str) -> None:
    assert database_name(meta_key(name)) == name


@given(st.binary())
@example(b"\xff")
@example(b"a}")
@example(b"%61")
@example(b"")
def test_key_that_is_none_of_ours_has_no_name(inside: bytes) -> None:
    key = b"rome:{" + inside + b"}:m"
    name = database_name(key)
    assert name is None or meta_key(name) == key


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_have_their_own_hash_tags(one: str, other: str) -> None:
    tag = meta_key(one).partition(b"}")[0]
    assert meta_key(other).startswith(tag + b"}") == (one == other)
    assert fnmatchcase(meta_key(one).decode(), PATTERN.decode())


def test_lone_surrogates_are_names_too() -> None:
    assert database_name(meta_key("\udc80")) == "\udc80"


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
