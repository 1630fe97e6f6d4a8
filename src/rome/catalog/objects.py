"""The catalog as it is stored: one row of table 0 per schema object, and a header.

The source of truth is the SQL text, as in sqlite_master; beside it stand the numbers by which the store knows the
object, which are never used again once committed. Row key: the object's id as an integer; 0 is the header.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from rome.codec.keys import encode_key
from rome.errors import CorruptRecordError


class Header(msgspec.Struct, frozen=True, array_like=True, tag="header"):
    """What must outlive the objects: the next free object id.

    And the numbers that SQLite's header keeps for applications; in the store of an older Rome it ends before them.
    """

    next_id: int = 1
    id: int = 0
    user_version: int = 0
    application_id: int = 0


class TableObject(msgspec.Struct, frozen=True, array_like=True, tag="table"):
    """A table.

    `columns` are the ids of its columns by position; `layouts` maps a layout's number to the ids of the columns
    that its records hold (neither generated columns nor the rowid's alias); `indexes` maps an index's name in lower
    case to its number in the store; `added` maps the id of a column that came by ADD COLUMN to the value which older
    records have for it, if it is not NULL: the column's DEFAULT may change later.
    """

    id: int
    name: str
    sql: str
    columns: tuple[int, ...]
    next_column: int
    layout: int
    layouts: dict[int, tuple[int, ...]]
    indexes: dict[str, int]
    next_index: int
    added: dict[int, Any] = {}  # SqlValue, which msgspec cannot take as a type


class IndexObject(msgspec.Struct, frozen=True, array_like=True, tag="index"):
    """An index made by CREATE INDEX; those of constraints have no text and live with their table."""

    id: int
    name: str
    table: str
    sql: str


class ViewObject(msgspec.Struct, frozen=True, array_like=True, tag="view"):
    """A view."""

    id: int
    name: str
    sql: str


class TriggerObject(msgspec.Struct, frozen=True, array_like=True, tag="trigger"):
    """A trigger. A Rome that does not know them cannot decode the record, and so refuses the database."""

    id: int
    name: str
    table: str
    sql: str


SchemaObject = Header | TableObject | IndexObject | ViewObject | TriggerObject

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SchemaObject)


def encode_object(item: SchemaObject) -> tuple[bytes, bytes]:
    """Row key and record of a schema object."""
    return encode_key([item.id], ["BINARY"]), _encoder.encode(item)


def decode_objects(rows: Iterable[tuple[bytes, bytes]]) -> list[SchemaObject]:
    """Schema objects of (row key, record) pairs.

    Raises:
        CorruptRecordError: a record is not a schema object.
    """
    found = []
    for key, record in rows:
        try:
            found.append(_decoder.decode(record))
        except (msgspec.MsgspecError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            raise CorruptRecordError(
                f"the catalog's record {key.hex()} cannot be decoded: {error}", table=0, key=key
            ) from error
    return found
