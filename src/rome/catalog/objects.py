"""The catalog as it is stored: one row of table 0 per schema object, and a header.

The source of truth is the SQL text, as in sqlite_master. Next to it are the numbers by which the store knows the
object; once committed, a number is never used again. The row key is the object's id as an integer; 0 is the header.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from rome.codec.keys import encode_key
from rome.errors import CorruptRecordError


class Header(msgspec.Struct, frozen=True, array_like=True, tag="header"):
    """What must outlive the objects: the next free object id, and the numbers that SQLite's header keeps for
    applications.

    In a database of an older Rome the record ends before the latter.
    """

    next_id: int = 1
    id: int = 0
    user_version: int = 0
    application_id: int = 0


class TableObject(msgspec.Struct, frozen=True, array_like=True, tag="table"):
    """A table.

    Attributes:
        columns: ids of its columns, by position.
        layouts: {number of a layout: ids of the columns that its records hold}, without generated columns and the
            rowid's alias.
        indexes: {name of an index in lower case: its number in the store}.
        added: {id of a column that ADD COLUMN added: value that older records have for it}, unless that is NULL. The
            column's DEFAULT may change later.
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
    added: dict[int, Any] = {}  # values are SqlValue, which msgspec does not accept as a type


class IndexObject(msgspec.Struct, frozen=True, array_like=True, tag="index"):
    """An index made by CREATE INDEX. The indexes of constraints have no text; they are part of their table."""

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
    """A trigger. A version of Rome without triggers cannot decode the record, and so refuses the database."""

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
    """The schema objects of (row key, record) pairs.

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
