"""Pages along a key of one or several columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement


def ranges_after(columns: Sequence[ColumnElement[Any]], last: Sequence[Any] | None) -> list[list[ColumnElement[bool]]]:
    """The keys after `last` as ranges in their order, each of which an index serves: a = 1 AND b > 2, then a > 1."""
    if last is None:
        return [[]]
    return [
        [*(column == value for column, value in zip(columns[:at], last[:at], strict=True)), columns[at] > last[at]]
        for at in reversed(range(len(columns)))
    ]
