"""PEP 249's constructors and type objects.

The constructors return what SQLite stores, in the text form that sqlite3's own adapters write.
"""

from __future__ import annotations

import time
from datetime import date, datetime
from datetime import time as time_of_day
from enum import Enum


class TypeObject(Enum):
    """PEP 249's type objects. No description contains one, since in SQLite values have types and columns do not."""

    STRING = "STRING"
    BINARY = "BINARY"
    NUMBER = "NUMBER"
    DATETIME = "DATETIME"
    ROWID = "ROWID"


STRING = TypeObject.STRING
BINARY = TypeObject.BINARY
NUMBER = TypeObject.NUMBER
DATETIME = TypeObject.DATETIME
ROWID = TypeObject.ROWID


def Date(year: int, month: int, day: int) -> str:
    """A date: "2026-02-03"."""
    return date(year, month, day).isoformat()


def Time(hour: int, minute: int, second: int) -> str:
    """A time of day: "04:05:06"."""
    return time_of_day(hour, minute, second).isoformat()


def Timestamp(year: int, month: int, day: int, hour: int, minute: int, second: int) -> str:
    """A date with a time of day: "2026-02-03 04:05:06"."""
    return datetime(year, month, day, hour, minute, second).isoformat(" ")


def DateFromTicks(ticks: float) -> str:
    """The local date at `ticks` seconds after the epoch."""
    return Date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> str:
    """The local time of day at `ticks` seconds after the epoch."""
    return Time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> str:
    """The local date and time at `ticks` seconds after the epoch."""
    return Timestamp(*time.localtime(ticks)[:6])


def Binary(value: bytes | bytearray | memoryview) -> bytes:
    """A blob. Only an object that has bytes can be one: `Binary(5)` is an error, not five zeros."""
    return bytes(memoryview(value))
