"""Keys decoded for messages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rome.codec.keys import encode_key
from rome.codec.shown_key import shown_values
from rome.codec.values import SqlValue

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
values: st.SearchStrategy[SqlValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=10),
)


@given(st.lists(values, max_size=4))
def test_values_come_back(given_values: list[SqlValue]) -> None:
    key = encode_key(given_values, ["BINARY"] * len(given_values))
    shown = shown_values(key)
    assert shown == given_values  # a real without a fraction is an integer there, as in SQLite's order
    assert shown_values(key + b"\xff") == given_values


@given(st.binary(max_size=20))
def test_no_bytes_are_an_error(key: bytes) -> None:
    assert len(shown_values(key)) <= len(key)


@pytest.mark.parametrize("value", [0, 1, -1, 255, 256, -256, 2**53 + 1, 0.5, -0.5, 1e300, -1e300, math.inf, -math.inf])
def test_numbers(value: float) -> None:
    assert shown_values(encode_key([value], ["BINARY"])) == [value]


def test_texts_as_their_collation_compares_them() -> None:
    assert shown_values(encode_key(["Ab ", "Ab "], ["NOCASE", "RTRIM"])) == ["ab ", "Ab"]
