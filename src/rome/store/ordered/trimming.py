"""Deletes what is older than the retention: ids of commits, and marks of removed entries.

The same transaction raises the floor: only snapshots below it need what is deleted, and these can no longer read or
commit. So a client that deletes too early because its clock is wrong makes others run a transaction again, and nothing
worse.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from rome.store.ordered.committing import now_in_ms
from rome.store.ordered.driver import Delete, DriverTransaction, Pair, Raise, Range, Revision, Write
from rome.store.ordered.layout import CommitRecord, Layout, decode_record, number8
from rome.store.spi import Retention, Version

PEEKED = 4
"""How many records a commit looks at for the next one to forget: more than it creates."""

PAGE = 1_000


class Past(Struct, frozen=True):
    """A record and its key."""

    key: bytes
    version: Version
    record: CommitRecord

    def deletes(self, layout: Layout) -> list[Write]:
        """Return what deletes the record and the marks that it has left."""
        commit, _ = layout.commit_of(self.key)
        return [
            Delete(self.key),
            *(Delete(layout.gone(table, index, entry, commit)) for table, index, entry in self.record.gone),
        ]


def read_past(pairs: Iterable[Pair], base: Revision) -> list[Past]:
    """Decode the records that a range has brought."""
    return [Past(pair.key, pair.modified - base, decode_record(pair.value)) for pair in pairs]


def expired(past: Iterable[Past], retention: Retention) -> list[Past]:
    """Return the records that are older than the retention or exceed its bytes, oldest first."""
    ordered = sorted(past, key=lambda each: each.version)
    horizon = now_in_ms() - round(retention.seconds * 1000)
    size = sum(each.record.size for each in ordered)
    gone = []
    for each in ordered:
        if each.record.time_ms > horizon and size <= retention.max_bytes:
            break
        size -= each.record.size
        gone.append(each)
    return gone


def forget(layout: Layout, stored: bytes, past: Iterable[Past], most: int) -> tuple[DriverTransaction, list[Past]]:
    """A transaction that forgets the first of these, of at most `most` operations; and which they are."""
    chosen: list[Past] = []
    writes: list[Write] = []
    for each in past:
        deletes = each.deletes(layout)
        if chosen and len(writes) + len(deletes) >= most:
            break
        writes += deletes
        chosen.append(each)
    writes.append(Raise(layout.floor, number8(max(each.version for each in chosen))))
    return DriverTransaction([layout.exists(stored)], writes), chosen


class Forgetting:
    """Lets commits forget old records, a few each: one commit reads them beside its writes, the next deletes them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._start = layout.commits[0]
        self._expired: list[Past] = []

    def look(self) -> Range:
        """Return what a commit should read."""
        return Range(self._start, self._layout.commits[1], limit=PEEKED)

    def saw(self, pairs: Iterable[Pair], base: Revision, retention: Retention) -> None:
        """Take the result of that read."""
        past = read_past(pairs, base)
        self._expired = expired(past, retention._replace(max_bytes=2**63))
        full = len(past) == PEEKED == len(self._expired)
        self._start = past[-1].key + b"\x00" if full else self._layout.commits[0]

    def send(self, stored: bytes, most: int) -> list[DriverTransaction]:
        """Return what the next commit should send along."""
        if not self._expired:
            return []
        transaction, chosen = forget(self._layout, stored, self._expired, most)
        self._expired = self._expired[len(chosen) :]
        return [transaction]
