"""What the file holds: its state, and the headers of its maps.

| header | key | value |
|---|---|---|
| `M` | | State |
| `B` | table | version of the last change, floor |
| `R` table | row key | version, record |
| `E` table index | index key + row key | length of the row key |
| `L` table index | index key + row key | versions at which the entry was last added or removed, and last written |
| `S` | sequence | to what commits have raised it; rome.store.lmdb.numbers has what was handed out |
| `T` | transaction id | commit version; 0: aborted |
| `Q` | version | commit: time, transaction id, bytes kept, keys in `L` |
| `W` | | the commit queue: msgpack of its entries; absent if it is empty |
| `P` | | the pins: msgpack of `[pin, bytes of garbage in the file then]`; absent if there are none |

Numbers are big-endian: tables and indexes have 4 bytes, all others 8. Keys are those of rome.store.lmdb.ordered.
"""

from __future__ import annotations

import secrets
import struct
from functools import lru_cache
from typing import Self

from msgspec import Struct

from rome.errors import FormatError
from rome.store.lmdb.damage import UNDECODABLE, damaged
from rome.store.lmdb.ordered import LmdbTransaction
from rome.store.spi import Retention, Version

FORMAT = 1
STATE_KEY = b"M"
LINE_KEY = b"W"
PINS_KEY = b"P"
_MAGIC = b"rome"
_STATE = struct.Struct(">4sI?16sQQQQdQ")
pack_number = struct.Struct(">Q").pack
_VERSIONS = struct.Struct(">QQ")
pack_versions, unpack_versions = _VERSIONS.pack, _VERSIONS.unpack
_TABLE = struct.Struct(">cI")
_INDEX = struct.Struct(">cII")
LOG_HEADER_BYTES = _INDEX.size
SEQUENCES_HEADER = b"S"


@lru_cache(maxsize=1024)
def table_key(table_id: int) -> bytes:
    """The key of a table's state."""
    return _TABLE.pack(b"B", table_id)


@lru_cache(maxsize=1024)
def rows_header(table_id: int) -> bytes:
    """The header of a table's rows."""
    return _TABLE.pack(b"R", table_id)


@lru_cache(maxsize=1024)
def entries_header(table_id: int, index_id: int) -> bytes:
    """The header of an index's entries."""
    return _INDEX.pack(b"E", table_id, index_id)


@lru_cache(maxsize=1024)
def log_header(table_id: int, index_id: int) -> bytes:
    """The header of an index's log."""
    return _INDEX.pack(b"L", table_id, index_id)


def headers_of_table(table_id: int) -> list[bytes]:
    """The bytes with which the keys of everything that belongs to a table begin."""
    return [_TABLE.pack(kind, table_id) for kind in (b"B", b"R", b"E", b"L")]


def table_of_log_key(stored: bytes) -> int:
    """The id of the table that a key of the log belongs to."""
    return int.from_bytes(stored[1:5], "big")


def is_of_rows(stored: bytes) -> bool:
    """Whether a key of a log is of the order index, whose entries are the rows."""
    return stored[5:LOG_HEADER_BYTES] == bytes(4)


@lru_cache(maxsize=1024)
def sequence_key(sequence: int) -> bytes:
    """The key of a sequence."""
    return SEQUENCES_HEADER + pack_number(sequence)


def transaction_key(transaction_id: bytes) -> bytes:
    """The key of a transaction's outcome."""
    return b"T" + transaction_id


COMMITS_HEADER = b"Q"
BEYOND_COMMITS = b"R"


def commit_key(version: Version) -> bytes:
    """The key of what trimming must know of a commit."""
    return COMMITS_HEADER + pack_number(version)


class TableState(Struct, frozen=True, gc=False):
    """The state of a table.

    Attributes:
        changed: the last commit that changed the table.
        floor: the last such commit that was trimmed.
    """

    changed: Version
    floor: Version

    @classmethod
    def read(cls, txn: LmdbTransaction, table_id: int) -> Self:
        """Read the state that a transaction sees; zeros for a table without one."""
        try:
            return cls(*unpack_versions(txn.get(table_key(table_id), _NO_TABLE)))
        except UNDECODABLE as error:
            raise damaged(f"the state of table {table_id}", error, table=table_id) from error

    def write(self, txn: LmdbTransaction, table_id: int) -> None:
        """Store the state."""
        txn.put(table_key(table_id), pack_versions(self.changed, self.floor))


_NO_TABLE = pack_versions(0, 0)


class State(Struct, frozen=True, gc=False):
    """One version of the database.

    Attributes:
        floor: the last commit that was trimmed. Snapshots from before it have ended.
        kept_bytes: size of what the commits after the floor have superseded, and of their logs.
    """

    dropped: bool
    incarnation: bytes
    version: Version
    catalog_version: Version
    floor: Version
    kept_bytes: int
    retention: Retention

    @classmethod
    def new(cls) -> Self:
        """The state of a new database, with a new incarnation."""
        return cls(False, secrets.token_bytes(16), 0, 0, 0, 0, Retention())

    @classmethod
    def read(cls, txn: LmdbTransaction) -> Self | None:
        """Read the state that a transaction sees; None if this LMDB database is not one of Rome's.

        Raises:
            FormatError: a newer version of Rome wrote it.
            CorruptRecordError: it cannot be decoded.
        """
        stored = txn.get(STATE_KEY)
        if stored is None or not stored.startswith(_MAGIC):
            return None
        stored_format = int.from_bytes(stored[4:8], "big")
        if stored_format > FORMAT:
            raise FormatError(f"the file has format {stored_format}, and this version of Rome knows {FORMAT}: upgrade")
        try:
            _, _, dropped, incarnation, version, catalog_version, floor, kept, seconds, max_bytes = _STATE.unpack(
                stored
            )
        except UNDECODABLE as error:
            raise damaged("the state of the database", error) from error
        return cls(dropped, incarnation, version, catalog_version, floor, kept, Retention(seconds, max_bytes))

    def write(self, txn: LmdbTransaction) -> bytes:
        """Store the state; returns what it is stored as."""
        retention = self.retention
        numbers = self.version, self.catalog_version, self.floor, self.kept_bytes
        head = _MAGIC, FORMAT, self.dropped, self.incarnation
        stored = _STATE.pack(*head, *numbers, retention.seconds, retention.max_bytes)
        txn.put(STATE_KEY, stored)
        return stored
