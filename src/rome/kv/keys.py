"""Keys: tuples that sort part by part, as bytes.

A part is None, an int of 64 bits, a float, a str or bytes; they sort in this order, numbers by value whether int or
float, text by its UTF-8. The bytes are those of rome.codec.keys (docs/key-encoding.md is the authority), and one byte
00 behind the last part: it is less than every type code, so a tuple sorts before the tuples that it begins, and no key
is a prefix of another one, as stores demand.

1 and 1.0 are one part, as they are equal in Python. A bool is refused, since True would be 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from rome.codec.keys import encode_key
from rome.codec.values import Collation
from rome.errors import DataError, InterfaceError
from rome.store.spi import BEYOND, Bounds

KeyPart = int | float | str | bytes | None
Key = tuple[KeyPart, ...]

MAX_KEY_BYTES = 8 << 10
NO_LIMIT = 1 << 30
"""More rows than a transaction may read; a number that every store takes."""

_END = b"\x00"
_PART_TYPES = frozenset((int, float, str, bytes, type(None)))
_BINARY: repeat[Collation] = repeat("BINARY")


def encode_parts(parts: Sequence[object]) -> bytes:
    """Encode the parts of a key, or the first of them, without the end.

    Raises:
        DataError: it is no tuple, a part has another type, or the bytes would be more than MAX_KEY_BYTES.
    """
    if type(parts) is not tuple:
        raise DataError(f"a key is a tuple, as in ('ports', 7), and not {type(parts).__name__}: {_shown(parts)}")
    for part in parts:
        if type(part) not in _PART_TYPES:
            raise DataError(
                f"a part of a key is None, an int, a float, a str or bytes, and not {type(part).__name__}: "
                f"{_shown(parts)}"
            )
    encoded = encode_key(parts, _BINARY)
    if len(encoded) > MAX_KEY_BYTES:
        raise DataError(f"the key {_shown(parts)} takes {len(encoded):,} bytes; at most {MAX_KEY_BYTES:,} are possible")
    return encoded


def encode_whole(key: Sequence[object]) -> bytes:
    """Encode a key.

    Raises:
        DataError: see encode_parts; or it is ().
    """
    encoded = encode_parts(key)
    if not encoded:
        raise DataError("a key has at least one part: () is none")
    return encoded + _END


def bounds_of(
    prefix: Sequence[object],
    start: Sequence[object] | None = None,
    stop: Sequence[object] | None = None,
    after: Sequence[object] | None = None,
) -> Bounds:
    """Return the range of the keys that begin with `prefix`, from `start` or behind `after`, and before `stop`.

    Raises:
        DataError: see encode_parts.
    """
    first = encode_parts(prefix)
    low, high = first, first + BEYOND
    if start is not None:
        low = max(low, encode_parts(start))
    if after is not None:
        low = max(low, encode_whole(after) + _END)
    if stop is not None:
        high = min(high, encode_parts(stop))
    return low, high


def checked_limit(limit: int | None) -> int | None:
    """Return a limit of rows.

    Raises:
        InterfaceError: it is not None, nor a number from 1 on.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InterfaceError(f"limit is a number from 1 on, and not {limit!r}")
    return None if limit is None else min(limit, NO_LIMIT)


def _shown(parts: object) -> str:
    text = repr(parts)
    return text if len(text) <= 80 else text[:80] + ".."
