"""What a column stores of a value, as far as that is certain to the last bit, and to the storage class."""

from __future__ import annotations

from functools import lru_cache

from rome.catalog.schema import Affinity, Table
from rome.codec.values import SqlValue
from rome.planner.parse.affinity import UNCERTAIN, Uncertain, to_numeric
from rome.sql.tokens import tokenize

AS_IT_IS: dict[Affinity, frozenset[type]] = {
    "TEXT": frozenset({str, bytes}),
    "INTEGER": frozenset({int, bytes}),
    "NUMERIC": frozenset({int, bytes}),
    "REAL": frozenset({bytes}),
    "BLOB": frozenset({int, str, bytes}),
}
"""The types whose values a column stores as they are, whatever they are."""

_EXACT = 1 << 53
"""Up to here, every integer is a double."""


def kept(value: SqlValue, affinity: Affinity) -> SqlValue | Uncertain:
    """What a column of this affinity stores; UNCERTAIN where that is for SQLite to say."""
    if value is None or type(value) in AS_IT_IS[affinity]:
        return value
    if isinstance(value, str):
        return value if to_numeric(value) is value else UNCERTAIN
    if isinstance(value, int):
        if affinity == "TEXT":
            return str(value)
        return float(value) if abs(value) <= _EXACT else UNCERTAIN
    # SQLite stores NaN as NULL, and may drop the sign of zero.
    return value if affinity in ("REAL", "BLOB") and value == value and value != 0.0 else UNCERTAIN


def stores_what_it_is_given(table: Table) -> bool:
    """Whether nothing but NOT NULL, keys and foreign keys may refuse a row, and only affinities change its values.

    A column or table that is named like one of the words is taken for it.
    """
    return not table.has_generated and words_of(table).isdisjoint({"CHECK", "STRICT"})


def words_of(table: Table) -> frozenset[str]:
    """The words in the text that has created the table."""
    return _words(table.sql)


@lru_cache(maxsize=1024)
def _words(sql: str) -> frozenset[str]:
    return frozenset([token.word for token in tokenize(sql)])
