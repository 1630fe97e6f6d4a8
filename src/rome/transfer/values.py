"""Values on their way, and a checksum that does not depend on the database that they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.types import Date, Float, Integer, Numeric, String, TypeEngine

_MODULUS = 2**128

_TEXTS = frozenset([type(None), str, bytes])
_PLAIN = _TEXTS | {int, date, datetime}
"""Types whose values are carried, and summed up, as they are; a datetime only without zone."""

Row = tuple[Any, ...]


class Carrier:
    """Makes rows as the columns of the other database take them.

    Args:
        kinds: the types of the other database's columns.
    """

    def __init__(self, kinds: Sequence[TypeEngine[Any]]) -> None:
        self._kinds = kinds
        self._texts = [at for at, kind in enumerate(kinds) if isinstance(kind, String)]
        self._times = [at for at, kind in enumerate(kinds) if not isinstance(kind, String | Integer | Date)]

    def page(self, rows: Iterable[Row]) -> list[Row]:
        """Some rows. Most rows consist of what every database takes, and stay what they are."""
        return [row if self._is_plain(row) else tuple(map(_carried, row, self._kinds)) for row in rows]

    def _is_plain(self, row: Row) -> bool:
        if not {*map(type, row)} <= _PLAIN or any(type(row[at]) not in _TEXTS for at in self._texts):
            return False
        return not any(type(row[at]) is datetime and row[at].tzinfo is not None for at in self._times)


def _carried(value: object, kind: TypeEngine[Any]) -> object:
    if isinstance(value, datetime | time) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value.replace(tzinfo=None)
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if isinstance(kind, String) and value is not None and not isinstance(value, str | bytes):
        return _text(value)
    return value


def _text(value: object) -> str:
    if isinstance(value, set | frozenset):
        return ",".join(sorted(map(str, value)))
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value)


class Checksum:
    """Of rows in any order: the sum of their hashes."""

    def __init__(self, kinds: Sequence[TypeEngine[Any]]) -> None:
        self._kinds = kinds
        self._rounds = any(isinstance(kind, Numeric) and not isinstance(kind, Float) for kind in kinds)
        self.rows = self._sum = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, whose values are those that SQLAlchemy's types give."""
        found, count = 0, 0
        for digest in self.digests(rows):
            found += digest
            count += 1
        self._sum = (self._sum + found) % _MODULUS
        self.rows += count

    def digests(self, rows: Iterable[Row]) -> Iterator[int]:
        """The hash of each row, of 16 bytes."""
        plain = frozenset() if self._rounds else _PLAIN
        for row in rows:
            if not {*map(type, row)} <= plain:
                row = tuple(map(_canonical, row, self._kinds))
            try:
                encoded = _encode(row)
            except (UnicodeEncodeError, OverflowError):  # half a character, or an integer of more than 64 bits
                encoded = repr(row).encode("utf-8", "surrogatepass")
            yield int.from_bytes(hashlib.blake2b(encoded, digest_size=16).digest(), "big")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checksum) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return f"{self._sum:032x}"


_encode = msgspec.msgpack.Encoder().encode
"""It writes datetimes and dates as texts, by ISO 8601."""


def _canonical(value: object, kind: TypeEngine[Any]) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | Decimal) and isinstance(kind, Numeric) and not isinstance(kind, Float):
        scale = kind.scale if kind.scale is not None else 10
        return str(round(Decimal(str(value)), scale).normalize() + 0)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=str)
    return value
