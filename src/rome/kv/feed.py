"""The feed: what each commit of rome.kv has changed, for those who watch.

A commit writes one *entry* with the keys that it changes. Nobody knows a commit's version before it is done; but the
store keeps with each row the version that wrote it, and so tells it with the entry. Readers sort entries by that.

To find new entries without reading all of them, entries are kept in *epochs*: an entry's key begins with the number of
the epoch that was current. The number is in the *state* row, and each commit validates that row; so no entry comes
into an epoch that is over, and a reader who has seen version v in epoch e needs to read nothing before e. A commit that
meets a new epoch has conflicted with nothing: it is sent again with the new number (rome.kv.committing).

Invariant: at any snapshot, the entries of versions in (v, snapshot] are exactly the commits of rome.kv in between, as
long as v is not below the state's `floor`.

Writers begin a new epoch after some time or number of commits, and discard entries older than the retention; the floor
says what has been discarded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from rome.codec.keys import encode_key
from rome.errors import CorruptRecordError
from rome.kv.keys import Key
from rome.kv.layout import FEED
from rome.store.spi import BEYOND, ORDER_INDEX, Get, Row, Scan, Snapshot, Store, Version
from rome.transaction.transaction import Transaction
from rome.transaction.write_set import WriteSet

FeedChange = tuple[int, Key, bool]
"""Table, parts of the key, and whether it was deleted."""

STATE_KEY = encode_key([None], ["BINARY"])
EPOCH_S = 10.0
EPOCH_COMMITS = 256
TRIM_ROWS, TRIM_ROWS_OF_SMALL = 500, 20
"""How many entries are discarded at once; and on a store that refuses larger commits, as etcd does by default."""


class FeedState(Struct, frozen=True, array_like=True):
    """The state row. Without it, all is 0.

    Attributes:
        epoch: the current one.
        floor: entries of versions up to this one may have been discarded.
    """

    epoch: int = 0
    floor: Version = 0


class KnownState(Struct, frozen=True):
    """The state as it was read, and what a commit validates of it: the row's version."""

    incarnation: bytes = b""
    version: Version = 0
    state: FeedState = FeedState()


class FeedEntry(Struct, frozen=True, array_like=True):
    """One commit: when it was sent, in milliseconds since 1970 by its sender's clock, and what it changed."""

    time_ms: int
    changes: list[tuple[int, list[Any], bool]]


_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(FeedState).decode
_decode_entry = msgspec.msgpack.Decoder(FeedEntry).decode


def put_entry(
    writes: WriteSet, transaction: Transaction, known: KnownState, transaction_id: bytes, changes: Iterable[FeedChange]
) -> None:
    """Add a commit's entry to its writes, in place of one of another epoch, and have the commit validate the epoch."""
    key = encode_key([known.state.epoch, transaction_id], ["BINARY", "BINARY"])
    writes.rows[FEED] = {key: _encode([time.time_ns() // 1_000_000, [*changes]])}
    transaction.read_set.points[FEED] = {STATE_KEY: known.version}


def state_of(incarnation: bytes, row: Row | None) -> KnownState:
    """The state that a row holds.

    Raises:
        CorruptRecordError: it holds something else.
    """
    if row is None:
        return KnownState(incarnation)
    try:
        return KnownState(incarnation, row.version, _decode_state(row.record))
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptRecordError(f"the state of rome.kv's feed cannot be decoded: {error}", table=FEED) from error


def read_state(store: Store) -> KnownState:
    """Read the state as of now. One round trip."""
    result = store.read(None, [Get(FEED, (STATE_KEY,))])
    (answer,) = result.answers
    assert isinstance(answer, list)
    return state_of(result.snapshot.incarnation, answer[0])


def decode_entry(row: Row) -> FeedEntry:
    """The inverse of what put_entry writes.

    Raises:
        CorruptRecordError: it is something else.
    """
    try:
        return _decode_entry(row.record)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptRecordError(
            f"an entry of rome.kv's feed cannot be decoded: {error}", table=FEED, key=row.key
        ) from error


def entries_from(epoch: int, known: Snapshot | None = None) -> Scan:
    """The scan that reads the entries of an epoch and all after it."""
    return Scan(FEED, ORDER_INDEX, encode_key([epoch], ["BINARY"]), BEYOND, known=known)


def turn_over(transaction: Transaction, retention_s: float, most: int) -> tuple[WriteSet, bool]:
    """Begin a new epoch, and discard entries older than the retention; returns the writes, and whether more are left.

    Args:
        most: how many entries to discard at once.

    The transaction's commit validates the state row alone: entries of a past epoch do not change.
    """
    rows = _rows(transaction.ask([Scan(FEED, ORDER_INDEX, b"", BEYOND, most + 1)])[0])
    assert transaction.snapshot is not None
    state_row = rows[0] if rows and rows[0].key == STATE_KEY else None
    known = state_of(transaction.snapshot.incarnation, state_row)
    current = encode_key([known.state.epoch], ["BINARY"])
    oldest_ms = time.time_ns() // 1_000_000 - retention_s * 1000
    entries = [row for row in rows if row is not state_row]
    old: list[Row] = []
    for row in entries[:most]:
        if row.key >= current or decode_entry(row).time_ms >= oldest_ms:
            break
        old.append(row)
    writes = WriteSet()
    floor = max([known.state.floor, *(row.version for row in old)])
    writes.put(FEED, STATE_KEY, _encode(FeedState(known.state.epoch + 1, floor)))
    for row in old:
        writes.rows[FEED][row.key] = None
    transaction.read_set.add_point(FEED, STATE_KEY, known.version)
    return writes, len(old) == most


def _rows(answer: int | Sequence[Row]) -> Sequence[Row]:
    assert not isinstance(answer, int)
    return answer
