"""SQLite's storage classes as Python values."""

from __future__ import annotations

from typing import Literal

SqlValue = None | int | float | str | bytes
"""A stored value: NULL, INTEGER (64 bits), REAL, TEXT, BLOB."""

Collation = Literal["BINARY", "NOCASE", "RTRIM"]
"""The collations that SQLite has built in; the only ones that Rome stores indexes for."""

PLAIN_TYPES = frozenset({type(None), int, float, str, bytes})
"""The types of SqlValue."""


def by_value(value: object) -> object:
    """A value as one of SqlValue's own types: subclasses and buffers are converted; other values stay as they are.

    The conversion does not call int(), str() or float(), since a derived class may define these. It looks at the type,
    not at isinstance(), which believes an object that pretends to be of another class.
    """
    kind = type(value)
    if kind in PLAIN_TYPES:
        return value
    if issubclass(kind, int):
        return int.__int__(value)  # type: ignore[arg-type]  # issubclass tells mypy nothing about the value
    if issubclass(kind, float):
        return float.__float__(value)  # type: ignore[arg-type]
    if issubclass(kind, str):
        return str.__str__(value)
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return value
    # A buffer without dimensions is a single number, such as numpy's int64. sqlite3 would store the bytes of its
    # memory.
    return view.tobytes() if view.ndim else value
