"""The values of a key, for messages to people. Nothing else decodes keys, since records have the values.

A text appears as its collation compares it: in lower case under NOCASE, without trailing spaces under RTRIM.
"""

from __future__ import annotations

import struct

from rome.codec.values import SqlValue

_NULL, _REAL_BELOW, _ZERO, _REAL_ABOVE, _TEXT, _BLOB = 0x05, 0x0A, 0x14, 0x1E, 0x30, 0x40
_NO_FRACTION = 2


def shown_values(key: bytes) -> list[SqlValue]:
    """The values with which a key, or a bound of a range, begins. The list ends at the first incomplete value."""
    values: list[SqlValue] = []
    at = 0
    while at < len(key):
        try:
            value, at = _value(key, at)
        except (IndexError, ValueError, struct.error):
            break
        values.append(value)
    return values


def _value(key: bytes, at: int) -> tuple[SqlValue, int]:
    """The value that begins at `at`, and where it ends; rome.codec.keys describes the form."""
    code = key[at]
    at += 1
    if code == _NULL:
        return None, at
    if code in (_REAL_BELOW, _REAL_ABOVE):
        return _real(key, at)
    if code in (_TEXT, _BLOB):
        end = key.index(b"\x00", at)
        found = key[at:end].replace(b"\x01\x01", b"\x00").replace(b"\x01\x02", b"\x01")
        return (found.decode(errors="replace") if code == _TEXT else found), end + 1
    length = code - _ZERO
    size = abs(length)
    if size > 8:
        raise ValueError
    number = int.from_bytes(key[at : at + size], "big")
    whole = number if length >= 0 else number + 1 - (1 << 8 * size)
    at += size
    return (whole, at + 1) if key[at] == _NO_FRACTION else _real(key, at + 1)


def _real(key: bytes, at: int) -> tuple[float, int]:
    (bits,) = struct.unpack_from(">Q", key, at)
    bits ^= 1 << 63 if bits >> 63 else (1 << 64) - 1
    value: float = struct.unpack(">d", struct.pack(">Q", bits))[0]
    return value, at + 8
