"""SQLite's conversions between storage classes, as far as Python can repeat them exactly.

Invariant: a conversion gives exactly what SQLite's gives, or UNCERTAIN; never a value that is off in the last digit. Of
an uncertain value no key is made, and more is read.
Source: https://sqlite.org/datatype3.html sections 3 and 4; sqlite3AtoF and applyAffinity in SQLite.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Final

from rome.catalog.schema import Affinity
from rome.codec.values import SqlValue


class Uncertain(Enum):
    """The type of UNCERTAIN, which stands for the result of a conversion that only SQLite can make exactly."""

    UNCERTAIN = "uncertain"


UNCERTAIN: Final = Uncertain.UNCERTAIN
Conversion = Callable[[SqlValue], SqlValue | Uncertain]

NUMERIC_AFFINITIES: frozenset[Affinity] = frozenset(["INTEGER", "REAL", "NUMERIC"])

_NUMBER = re.compile(r"[ \t-\r]*([+-]?(?:([0-9]+)(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]+)?)[ \t-\r]*", re.ASCII)
_MAX_DIGITS = 15
"""Decimal numbers of up to this many digits have one possible conversion to a double and back."""


def to_numeric(value: SqlValue) -> SqlValue | Uncertain:
    """A value after NUMERIC affinity, as SQLite applies it before a comparison: text that is a number becomes one."""
    if not isinstance(value, str):
        return value
    match = _NUMBER.fullmatch(value)
    if match is None:
        before, nul, _ = value.partition("\0")
        # Newer versions of SQLite read a number up to a NUL; to older ones it is no number.
        return UNCERTAIN if nul and _NUMBER.fullmatch(before) else value
    if match[2] and not match[3] and not match[5]:
        integer = int(match[1])
        if -(1 << 63) <= integer < 1 << 63:
            return integer
    return real_of(match[1])


def real_of(text: str) -> float | Uncertain:
    """The double that SQLite reads a decimal number as."""
    digits = re.sub(r"[eE].*|[^0-9]", "", text).strip("0")
    value = float(text)
    if len(digits) <= _MAX_DIGITS and (value == 0 or 1e-20 < abs(value) < 1e20):
        return value
    return UNCERTAIN


def to_text(value: SqlValue) -> SqlValue | Uncertain:
    """A value after TEXT affinity: a number becomes the text that SQLite prints for it."""
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if value != value:
            return None  # SQLite stores NaN as NULL
        # What is not itself a decimal number of 15 digits (0.5 is, 0.1 is not) has 15 to 17 digits, by the version.
        if 1e-4 <= abs(value) < 1e15 or value == 0:
            text = format(value, ".15g")
            if Decimal(text) == value and str(value) != "-0.0":
                return text if "." in text else text + ".0"
        return UNCERTAIN
    return value


def as_is(value: SqlValue) -> SqlValue | Uncertain:
    """The value itself: no conversion."""
    return value


def key_conversion(target: Affinity, other: Affinity | None) -> Conversion | None:
    """The conversion of a value before it is looked up among a column's stored values.

    Args:
        target: affinity of the column whose key is made.
        other: affinity of the column that the value comes from; None for a literal or a parameter, which has none.

    Returns:
        None if the comparison converts the stored values themselves, so that no key finds them ('05' in a TEXT column
        equals an INTEGER column's 5).
    """
    if target in NUMERIC_AFFINITIES:
        return as_is if other in NUMERIC_AFFINITIES else to_numeric
    if other in NUMERIC_AFFINITIES:
        return None
    if target == "TEXT" and other is None:
        return to_text
    return as_is


def stored(value: SqlValue, affinity: Affinity) -> SqlValue | Uncertain:
    """The value as a column of this affinity stores it."""
    if affinity == "TEXT":
        return to_text(value)
    if affinity == "BLOB":
        return value
    number = to_numeric(value)
    if affinity == "REAL":
        return _to_real(number)
    if isinstance(number, float) and number.is_integer() and abs(number) < 1 << 53:
        return int(number)
    if isinstance(number, float) and abs(number) >= 1 << 53:
        return UNCERTAIN
    return number


def _to_real(value: SqlValue | Uncertain) -> SqlValue | Uncertain:
    if isinstance(value, int):
        return float(value) if abs(value) <= 1 << 53 else UNCERTAIN
    return value
