"""Describe a conflict in the names and values of the user's schema, since stores know only numbers and bytes.

Only key columns are shown, as in other databases, and of each value only some characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rome.catalog.schema import EXPRESSION, ROWID, Index, Table
from rome.codec.shown_key import shown_values
from rome.codec.values import SqlValue
from rome.engine.attempt.attempt import Attempt
from rome.errors import ConflictError, Error
from rome.store.spi import ORDER_INDEX

MAX_VALUE = 40
"""Characters of one value that are shown."""
MAX_VALUES = 8
"""Columns of one key."""


class ConflictPlace(NamedTuple):
    """Where two transactions met: `rows` is "row id=1 of table post", or "rows of table post with state='new'"."""

    table: str
    rows: str
    is_row: bool


def tell(conflict: Error, current: Attempt) -> None:
    """Put the names into the message of a conflict that an attempt has met; its fields do not change."""
    place = place_of(conflict, current)
    if place is None or not isinstance(conflict, ConflictError):
        return
    if place.is_row:
        conflict.tell_row(place.rows)
    else:
        conflict.tell_rows(place.rows)


def place_of(conflict: Error, current: Attempt) -> ConflictPlace | None:
    """The row or rows about which an attempt has met a conflict; None if it is about something else."""
    if not isinstance(conflict, ConflictError) or conflict.table is None or conflict.key is None:
        return None
    table = current.schema.definition.tables_by_id.get(conflict.table)
    if table is None:
        return None
    if conflict.index is None:
        return ConflictPlace(table.name, f"row{_values(table, table.key, conflict.key)} of table {table.name}", True)
    index = next((each for each in (table.key, *table.indexes) if each.id == conflict.index), None)
    if index is None:
        return None
    start, stop = conflict.key, current.transaction.read_set.stop_of(table.id, index.id, conflict.key)
    values = _values(table, index, start)
    where = ""
    if values:
        where = f" with{values}" if stop == start + b"\xff" else f" from{values} on"
    return ConflictPlace(table.name, f"rows of table {table.name}{where}{_index(table, index)}", False)


def _values(table: Table, index: Index, key: bytes) -> str:
    """` a=1, b='x'`: what a key says of the index's columns."""
    pairs = list(zip(index.columns, shown_values(key), strict=False))
    shown = [f"{_name(table, position)}={_literal(value)}" for position, value in pairs[:MAX_VALUES]]
    return "".join([" ", ", ".join(shown), ", .." if len(pairs) > MAX_VALUES else ""]) if shown else ""


def _name(table: Table, position: int) -> str:
    if position == ROWID:
        return "rowid"
    return "(expression)" if position == EXPRESSION else table.columns[position].name


def _index(table: Table, index: Index) -> str:
    """An index's name and columns; empty for the index of a constraint, whose name says less than the columns."""
    if index.id == ORDER_INDEX:
        return ""
    columns: Sequence[str] = [_name(table, position) for position in index.columns]
    name = "" if index.name.lower().startswith("sqlite_autoindex_") else f"{index.name} "
    return f" (index {name}on {', '.join(columns)})"


def _literal(value: SqlValue) -> str:
    """A value as SQL writes it, shortened."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = value[: MAX_VALUE // 2 + 1].hex()
        return f"x'{text[:MAX_VALUE]}..'" if len(text) > MAX_VALUE else f"x'{text}'"
    if not isinstance(value, str):
        return repr(value)
    quoted = value[:MAX_VALUE].replace("'", "''")
    return f"'{quoted}..'" if len(value) > MAX_VALUE else f"'{quoted}'"


def row_words(table: Table, key: bytes) -> str:
    """A row in the names and values of the schema, as `servers id=7`."""
    return f"{table.name}{_values(table, table.key, key)}"
