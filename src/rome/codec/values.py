"""SQLite's storage classes as Python values."""

from __future__ import annotations

from typing import Literal

SqlValue = None | int | float | str | bytes
"""A stored value: NULL, INTEGER (64 bits), REAL, TEXT, BLOB."""

Collation = Literal["BINARY", "NOCASE", "RTRIM"]
"""The collations that SQLite has built in; the only ones that Rome stores indexes for."""
