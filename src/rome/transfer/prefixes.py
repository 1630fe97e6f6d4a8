"""Indexes in MySQL, whose keys have 3,072 bytes at most: of longer ones, the beginnings of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, String, text
from sqlalchemy.engine import Engine

_KEY_BYTES = 3_072
_OTHER_BYTES = 8
"""What a column of another type takes at most."""


def character_bytes(engine: Engine) -> int:
    """How many bytes a character may take in a MySQL database: 3 in utf8mb3, 4 in utf8mb4."""
    query = "SELECT maxlen FROM information_schema.character_sets WHERE character_set_name = @@character_set_database"
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def prefixes(columns: Sequence[Column[Any]], bytes_each: int) -> dict[str, int]:
    """{column: how many characters of it an index can hold}; empty if whole values fit.

    Args:
        bytes_each: of a character.
    """
    lengths = {column.name: _length(column) for column in columns}
    characters = (_KEY_BYTES - _OTHER_BYTES * sum(length is None for length in lengths.values())) // bytes_each
    texts = sorted((length, name) for name, length in lengths.items() if length is not None)
    if sum(length for length, _ in texts) <= characters:
        return {}
    found = {}
    for at, (length, name) in enumerate(texts):  # the shortest first: what they leave is for the others
        share = min(length, characters // (len(texts) - at))
        characters -= share
        if share < length:
            found[name] = share
    return found


def _length(column: Column[Any]) -> int | None:
    """How many characters a text may have; None for other types."""
    kind = column.type
    return (kind.length or 255) if isinstance(kind, String) else None
