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
    """A value of a type derived from one of SqlValue's, or of a buffer, as the plain one; other values as they are.

    Not by int(), str() and float(), which call what the derived type has defined. The type is asked, and not
    isinstance(), which believes an object that pretends to be of another class.
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
    # A buffer without dimensions is one number, as numpy's int64. sqlite3 would store the bytes of its memory.
    return view.tobytes() if view.ndim else value
