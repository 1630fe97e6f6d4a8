"""Where the parts of a database are among the ordered keys, and what their values are.

docs/ordered-store.md has golden bytes.

All keys of a database begin with `rome/<name>/`, the name percent-encoded save for letters, digits and `_.-~`; so one
grant of a prefix gives a user one database. Then, with numbers as big-endian bytes:

    m d                     description: msgpack [format, incarnation]. The revision that created it is version 0.
    m c                     the catalog's mark: written by each commit that changes table 0
    m f                     floor, 8 bytes: no snapshot, and no commit's, below this version
    m p                     the pins: msgpack; absent while there are none
    m q                     the commit queue: msgpack; absent while nobody waits
    m r                     retention: msgpack [milliseconds, bytes]
    m v                     written by each commit: the revision that wrote it is the database's version
    t table4                the table's mark: written by each commit that changes the table
    r table4 row-key        a row: its record
    e table4 index4 entry   an index entry; the length of its row key in 4 bytes
    g table4 index4 escaped-entry 00 commit
                            an entry that went, by which commit; index 0: a row that went
    s sequence8             the last number taken, 8 bytes, and 8 that tell who took it; a sequence at 0 is not there
    x commit part2          a commit, or one that will never be: msgpack of a CommitRecord
    where commit = snapshot-version8 transaction-id16

A version is a revision less that of version 0. What a key says by being written (its revision), no value repeats: a
row's version is the revision that wrote it last, a commit's is that of its record.
"""

from __future__ import annotations

from functools import cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec
from msgspec import Struct

from rome.store.commit_queue import QueueEntry
from rome.store.ordered.driver import Condition, DriverCompare, Range
from rome.store.pins import StoredPin
from rome.store.spi import CATALOG_TABLE, Retention, Version

FORMAT = 1
"""The version of the stored format; a store refuses a greater one."""

ROOT = b"rome/"
ROOT_STOP = b"rome0"

Span = tuple[bytes, bytes]
"""A range of the engine's keys."""


class Description(Struct, frozen=True, array_like=True):
    """The description that a database stores of itself."""

    format: int
    incarnation: bytes


class CommitRecord(Struct, frozen=True, array_like=True):
    """What trimming, and a repeated sending, need to know about a commit.

    Attributes:
        applied: whether the commit was applied; if False, it never will be.
        time_ms: when it was written, by the writer's clock, in milliseconds since 1970.
        size: bytes of the rows that it wrote.
        gone: the removed entries that it left marks for, as table, index, entry. More are in the next parts.
    """

    applied: bool
    time_ms: int
    size: int
    gone: list[tuple[int, int, bytes]]


GONE_PER_PART = 50
"""The most marks in one part, so that every engine accepts the transaction that trims it."""


@cache
def _number4(number: int) -> bytes:
    return number.to_bytes(4, "big")


def number8(number: int) -> bytes:
    """Encode a number in 8 bytes that sort like the numbers."""
    return number.to_bytes(8, "big")


def number_value(last: int, taker: bytes = bytes(8)) -> bytes:
    """Encode a sequence's value. `taker` tells an unanswered taking from another client's of the same number."""
    return number8(last) + taker


def number_of(value: bytes) -> int:
    """Return the last number taken, from a sequence's value."""
    return int.from_bytes(value[:8], "big")


def escape(key: bytes) -> bytes:
    """Make a key self-delimiting: each zero byte is followed by FF, so 00 and a lesser byte end it."""
    return key.replace(b"\x00", b"\x00\xff")


class Layout:
    """The keys of one database."""

    def __init__(self, database: str) -> None:
        self.prefix = prefix = ROOT + quoted(database) + b"/"
        self.everything: Span = (prefix, prefix[:-1] + b"0")
        self.head: Span = (prefix + b"m", prefix + b"n")
        self.description, self.floor = prefix + b"md", prefix + b"mf"
        self.pins, self.queue, self.retention = prefix + b"mp", prefix + b"mq", prefix + b"mr"
        self.version = prefix + b"mv"
        self.version_and_rows: Span = (self.version, prefix + b"s")
        self.commits: Span = (prefix + b"x", prefix + b"y")
        self.sequences: Span = (prefix + b"s", prefix + b"t")
        self._rows, self._entries, self._gone = prefix + b"r", prefix + b"e", prefix + b"g"

    def mark(self, table: int) -> bytes:
        """Return the key of a table's mark, which its last change wrote."""
        return self.prefix + (b"mc" if table == CATALOG_TABLE else b"t" + _number4(table))

    def row(self, table: int, key: bytes) -> bytes:
        """The key of a row."""
        return self._rows + _number4(table) + key

    def row_of(self, key: bytes) -> tuple[int, bytes] | None:
        """The inverse of row(); None if it is not the key of a row."""
        if not key.startswith(self._rows):
            return None
        begin = len(self._rows)
        return int.from_bytes(key[begin : begin + 4], "big"), key[begin + 4 :]

    def rows(self, table: int) -> bytes:
        """Return the prefix of all rows of a table."""
        return self._rows + _number4(table)

    def entries(self, table: int, index: int) -> bytes:
        """Return the prefix of all entries of an index; those of the order index are the rows."""
        return self._entries + _number4(table) + _number4(index) if index else self.rows(table)

    def span(self, table: int, index: int, start: bytes, stop: bytes) -> Span:
        """Return the span of a range of an index; an empty range gives the shortest span that is not empty."""
        begin = self.entries(table, index)
        return begin + start, begin + max(stop, start + b"\x00")

    def gone_span(self, table: int, index: int, start: bytes, stop: bytes) -> Span:
        """Return the span of the marks of entries removed from a range."""
        begin = self._gone + _number4(table) + _number4(index)
        start = escape(start)
        return begin + start, begin + max(escape(stop), start + b"\x00\x00")

    def gone(self, table: int, index: int, entry: bytes, commit: bytes) -> bytes:
        """Return the key of one removed entry's mark."""
        return self._gone + _number4(table) + _number4(index) + escape(entry) + b"\x00" + commit

    def of_table(self, table: int) -> list[Span]:
        """Return all spans that are dropped with a table, except its mark."""
        return [_all(start + _number4(table)) for start in (self._rows, self._entries, self._gone)]

    def of_index(self, table: int, index: int) -> list[Span]:
        """Return all spans that are dropped with an index."""
        return [_all(start + _number4(table) + _number4(index)) for start in (self._entries, self._gone)]

    def sequence(self, sequence: int) -> bytes:
        """The key of a sequence."""
        return self.prefix + b"s" + number8(sequence)

    def sequence_of(self, key: bytes) -> int:
        """The inverse of sequence()."""
        return int.from_bytes(key[len(self.sequences[0]) :], "big")

    def record(self, commit: bytes, part: int = 0) -> bytes:
        """The key of a commit's record."""
        return self.commits[0] + commit + part.to_bytes(2, "big")

    def commit_of(self, record: bytes) -> tuple[bytes, int]:
        """Return the commit and the part that a record's key names."""
        return record[len(self.commits[0]) : -2], int.from_bytes(record[-2:], "big")

    def head_range(self) -> Range:
        """Return the range that reads the head."""
        return Range(*self.head)

    def exists(self, stored: bytes) -> DriverCompare:
        """Return the condition that the database exists with this description."""
        return DriverCompare(Condition.VALUE_IS, stored, self.description)


def commit_name(snapshot: Version, transaction_id: bytes) -> bytes:
    """Return the unique name of a commit; names sort by the commits' snapshots."""
    return number8(snapshot) + transaction_id


def entry_value(row_key: bytes) -> bytes:
    """The value of an entry that leads to this row."""
    return _number4(len(row_key))


def row_key_of(entry: bytes, value: bytes) -> bytes:
    """The row key at the end of an entry."""
    return entry[len(entry) - int.from_bytes(value, "big") :]


def quoted(database: str) -> bytes:
    """Return a database's name as its keys contain it."""
    return quote_from_bytes(database.encode("utf-8", "surrogatepass"), safe="").encode()


def database_name(key: bytes) -> str | None:
    """Return the name of the database that a key belongs to; None if it is not a key of Rome's."""
    name = key[len(ROOT) :].partition(b"/")[0]
    try:
        database = unquote_to_bytes(name).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return database if database and quoted(database) == name else None


def _all(prefix: bytes) -> Span:
    """Return the span of all keys that begin with a prefix, which ends with a number below 2^32 - 1."""
    return prefix, prefix[:-4] + (int.from_bytes(prefix[-4:], "big") + 1).to_bytes(4, "big")


encode = msgspec.msgpack.encode
decode_description = msgspec.msgpack.Decoder(Description).decode
decode_record = msgspec.msgpack.Decoder(CommitRecord).decode
decode_pins = msgspec.msgpack.Decoder(list[StoredPin]).decode
decode_queue = msgspec.msgpack.Decoder(list[QueueEntry]).decode
_decode_retention = msgspec.msgpack.Decoder(tuple[int, int]).decode


def encode_retention(retention: Retention) -> bytes:
    """Encode the retention."""
    return encode((round(retention.seconds * 1000), retention.max_bytes))


def decode_retention(value: bytes) -> Retention:
    """The inverse of encode_retention(); raises ValueError for anything else."""
    milliseconds, max_bytes = _decode_retention(value)
    return Retention(milliseconds / 1000, max_bytes)
