"""Values whose own methods say something else than what they are: they are bound by their value, as by sqlite3."""

from __future__ import annotations

from rome.codec.values import SqlValue


class OddText(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "OddText"


class OddInteger(int):
    def __str__(self) -> str:
        return "OddInteger"

    def __int__(self) -> int:
        return 99

    __index__ = __int__


class OddReal(float):
    __slots__ = ()

    def __float__(self) -> float:
        return 99.5


class OddBlob(bytes):
    def __bytes__(self) -> bytes:
        return b"OddBlob"


def odd(value: SqlValue) -> SqlValue:
    """The same value, of a derived type."""
    if isinstance(value, str):
        return OddText(value)
    if isinstance(value, bytes):
        return OddBlob(value)
    if isinstance(value, float):
        return OddReal(value)
    return value if value is None else OddInteger(value)
