"""Values on their way, and a checksum that does not depend on the database that they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.types import Float, Numeric, String, TypeEngine

_MODULUS = 2**128


def carried(value: object, kind: TypeEngine[Any]) -> object:
    """A value as the column of the other database takes it."""
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
        self.rows = self._sum = 0

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Add rows, whose values are those that SQLAlchemy's types give."""
        for row in rows:
            text = repr([_canonical(value, kind) for value, kind in zip(row, self._kinds, strict=True)])
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            self._sum = (self._sum + int.from_bytes(digest, "big")) % _MODULUS
            self.rows += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checksum) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return f"{self._sum:032x}"


def _canonical(value: object, kind: TypeEngine[Any]) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | Decimal) and isinstance(kind, Numeric) and not isinstance(kind, Float):
        scale = kind.scale if kind.scale is not None else 10
        return str(round(Decimal(str(value)), scale).normalize() + 0)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=str)
    return value
