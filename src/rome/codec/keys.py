"""Tuple encoding: SQL values as bytes that sort as SQLite sorts the values.

Invariants, for keys of the same columns:
  * encode(a) < encode(b) exactly when SQLite puts a before b, and they are equal exactly when SQLite calls them equal:
    NULL < numbers (integers and reals by value, exactly) < text (under the column's collation) < blobs.
  * Each value's encoding shows where it ends, so no key is a proper prefix of another key with as many columns, and
    what may follow a key (a further column, a row key) begins with a byte below 0xF0. Hence, for a key of the first
    columns of an index, `[key, key + b"\\xff")` holds exactly the keys that begin with those values.

Keys are not decoded, since the record has the values (except for messages: rome.codec.shown_key). The bytes are stored,
including the type codes; docs/key-encoding.md is the authority for them.
Source: FoundationDB's tuple layer (design/tuple.md), with SQLite's numbers and a prefix-free escape.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

from rome.codec.values import Collation, SqlValue
from rome.errors import DataError

NULL_CODE = 0x05
_REAL_BELOW_CODE = 0x0A
_ZERO_CODE = 0x14  # 0x14 + n: an integer part of n bytes; 0x14 - n: a negative one
_REAL_ABOVE_CODE = 0x1E
_TEXT_CODE = 0x30
_BLOB_CODE = 0x40

# What follows the integer part: nothing, or the whole real, whose fraction lies below or above the integer.
_FRACTION_BELOW, _NO_FRACTION, _FRACTION_ABOVE = 1, 2, 3
_END = b"\x00"

NULL_KEY = bytes([NULL_CODE])
AFTER_NULL = bytes([NULL_CODE + 1])
"""The smallest bytes that sort after every key that begins with NULL."""

_REAL_BELOW, _REAL_ABOVE, _TEXT, _BLOB = (
    bytes([code]) for code in (_REAL_BELOW_CODE, _REAL_ABOVE_CODE, _TEXT_CODE, _BLOB_CODE)
)
# Code and integer part as one number, to be made bytes in one step; by number of bytes.
_ABOVE_ZERO = [_ZERO_CODE + n << 8 * n + 8 for n in range(9)]
_BELOW_ZERO = [(_ZERO_CODE - n << 8 * n + 8) + ((1 << 8 * n) - 1 << 8) for n in range(9)]
_pack_real = struct.Struct(">d").pack
_TWO_63 = 2.0**63
_TWO_56 = 1 << 56


def encode_key(values: Iterable[SqlValue], collations: Iterable[Collation]) -> bytes:
    """Encode the values of an index's columns, or of its first columns. There may be more collations than values.

    Raises:
        DataError: a text has a lone surrogate, an integer needs more than 64 bits, or a real is not a number.

    Cost: 0.2 µs, and for each value: 0.2 µs for an integer, 0.5 µs for a short text, 0.7 µs for a real. Every row of
    every statement comes through here, so integers and texts are encoded inline, without calls.
    """
    key = b""
    for value, collation in zip(values, collations):  # noqa: B905  naming `strict` costs 0.1 µs per call
        if isinstance(value, str):
            try:
                text = value.encode()
            except UnicodeEncodeError as error:
                raise DataError(f"text with a lone surrogate cannot be stored: {error}") from error
            if collation != "BINARY":
                text = _nocase(text) if collation == "NOCASE" else text.rstrip(b" ")
            if 0 in text or 1 in text:  # numbers: Python tries bytes as a number first, and fails
                text = _without_nul(text)
            key += _TEXT + text + _END
        elif isinstance(value, int):
            length = (value.bit_length() + 7) >> 3
            if value >= 0 and length < 8:
                key += (_ABOVE_ZERO[length] | value << 8 | _NO_FRACTION).to_bytes(length + 2, "big")
            else:
                key += _integer(value)
        elif value is None:
            key += NULL_KEY
        elif isinstance(value, float):
            key += _real(value)
        else:
            key += _BLOB + _without_nul(value) + _END
    return key


def encode_keys(columns: Sequence[Sequence[SqlValue]], collations: Iterable[Collation]) -> list[bytes]:
    """The keys of many rows, whose values are given column by column; each is as `encode_key` makes it.

    Raises:
        DataError: see encode_key.

    Cost: for a column of integers or of texts without NUL under BINARY half of what encode_key takes.
    """
    encoded = [_encode_column(column, collation) for column, collation in zip(columns, collations, strict=False)]
    return encoded[0] if len(encoded) == 1 else [*map(b"".join, zip(*encoded, strict=True))]


def _encode_column(column: Sequence[SqlValue], collation: Collation) -> list[bytes]:
    kinds = {*map(type, column)}
    if kinds == {str} and collation == "BINARY":
        try:
            texts = [text.encode() for text in column]  # type: ignore[union-attr]
        except UnicodeEncodeError as error:
            raise DataError(f"text with a lone surrogate cannot be stored: {error}") from error
        together = b"".join(texts)
        if b"\x00" not in together and b"\x01" not in together:
            return [_TEXT + text + _END for text in texts]
    elif kinds == {int} and min(column) >= 0 and max(column) < _TWO_56:  # type: ignore[type-var, operator]
        found = []
        for value in column:
            length = (value.bit_length() + 7) >> 3  # type: ignore[union-attr]
            found.append((_ABOVE_ZERO[length] | value << 8 | _NO_FRACTION).to_bytes(length + 2, "big"))  # type: ignore[operator]
        return found
    return [encode_key((value,), (collation,)) for value in column]


def _integer(value: int, end: int = _NO_FRACTION) -> bytes:
    """The code, the integer part and `end`. A negative integer is its distance from the smallest of as many bytes."""
    length = (value.bit_length() + 7) >> 3
    if length > 7 and not -(1 << 63) <= value < 1 << 63:
        raise DataError("an integer beyond 64 bits cannot be stored")
    if value >= 0:
        return (_ABOVE_ZERO[length] | value << 8 | end).to_bytes(length + 2, "big")
    return (_BELOW_ZERO[length] + (value << 8) | end).to_bytes(length + 2, "big")


def _real(value: float) -> bytes:
    if -_TWO_63 <= value < _TWO_63:
        whole = int(value)  # towards zero; a real beyond 2**52 has no fraction, so nothing is rounded
        if value == whole:
            return _integer(whole)
        return _integer(whole, _FRACTION_BELOW if value < 0 else _FRACTION_ABOVE) + _ordered_real(value)
    if math.isnan(value):
        raise DataError("NaN cannot be part of a key: SQLite stores NULL in its place")
    return (_REAL_BELOW if value < 0 else _REAL_ABOVE) + _ordered_real(value)


def _ordered_real(value: float) -> bytes:
    """IEEE 754 bits that sort as the numbers do: the sign bit is inverted, and for negative numbers all bits."""
    bits = int.from_bytes(_pack_real(value), "big")
    return (bits ^ (0xFFFFFFFFFFFFFFFF if value < 0 else 1 << 63)).to_bytes(8, "big")


def _nocase(text: bytes) -> bytes:
    """Fold A to Z. After a NUL, SQLite's NOCASE compares nothing but the length."""
    text, nul, rest = text.lower().partition(b"\x00")
    return text + nul + len(rest).to_bytes(4, "big") if nul else text


def _without_nul(text: bytes) -> bytes:
    """Escape NULs, since a NUL ends the text. (FoundationDB escapes one as 00 FF, which is not prefix-free.)"""
    return text.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
