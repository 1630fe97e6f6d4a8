"""Keys sort as tuples of their parts, and no key is a prefix of another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rome.errors import DataError
from rome.kv.keys import MAX_KEY_BYTES, bounds_of, encode_whole

PARTS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map(tuple)


def rank(part: object) -> tuple[Any, ...]:
    """The order that docs/kv.md promises."""
    if part is None:
        return (0,)
    if isinstance(part, int | float):
        return (1, part)
    return (2, part.encode()) if isinstance(part, str) else (3, part)


@given(KEYS, KEYS)
def test_keys_sort_as_their_parts(left: tuple[Any, ...], right: tuple[Any, ...]) -> None:
    ranks = [*map(rank, left)], [*map(rank, right)]
    assert (encode_whole(left) < encode_whole(right)) == (ranks[0] < ranks[1])
    assert (encode_whole(left) == encode_whole(right)) == (ranks[0] == ranks[1])


@given(KEYS, KEYS)
def test_no_key_is_a_prefix_of_another(left: tuple[Any, ...], right: tuple[Any, ...]) -> None:
    keys = encode_whole(left), encode_whole(right)
    assert keys[0] == keys[1] or not keys[1].startswith(keys[0])


@given(KEYS, KEYS)
def test_a_prefix_bounds_exactly_the_keys_that_begin_with_it(key: tuple[Any, ...], prefix: tuple[Any, ...]) -> None:
    for found in (key, prefix + key, prefix):
        start, stop = bounds_of(prefix)
        begins = [*map(rank, found[: len(prefix)])] == [*map(rank, prefix)]
        assert (start <= encode_whole(found) < stop) == begins


@given(KEYS, KEYS)
def test_after_a_key_come_those_that_it_begins(key: tuple[Any, ...], more: tuple[Any, ...]) -> None:
    start, stop = bounds_of((), after=key)
    assert not start <= encode_whole(key) < stop
    assert start <= encode_whole(key + more) < stop


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("text", "a key is a tuple"),
        (["list"], "a key is a tuple"),
        ((), "at least one part"),
        ((True,), "not bool"),
        (((1, 2),), "not tuple"),
        ((2**63,), "beyond 64 bits"),
        ((float("nan"),), "NaN"),
        (("\ud800",), "surrogate"),
        (("x" * MAX_KEY_BYTES,), "at most 8,192"),
    ],
)
def test_what_is_no_key_is_refused(key: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        encode_whole(key)
