"""Deletes what is older than the retention and not pinned: ids of commits, and marks of removed entries.

The same transaction raises the floor: only snapshots below it need what is deleted, and these can no longer read or
commit. So a client that deletes too early because its clock is wrong makes others run a transaction again, and nothing
worse. It is conditional on the pins that the client knows: one that is made at the same time comes first, or finds the
new floor.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from rome.store.ordered import committing
from rome.store.ordered.driver import (
    Condition,
    Delete,
    DriverCompare,
    DriverTransaction,
    Pair,
    Raise,
    Range,
    Revision,
    Write,
)
from rome.store.ordered.head import Head
from rome.store.ordered.layout import CommitRecord, Layout, decode_record, number8
from rome.store.pins import Pins
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


def expired(past: Iterable[Past], retention: Retention, pinned: Version | None) -> list[Past]:
    """Return the records that are older than the retention and not pinned, or exceed its bytes; the oldest first.

    Args:
        pinned: the version from which on the history is pinned; None if it is not.
    """
    ordered = sorted(past, key=lambda each: each.version)
    horizon = committing.now_in_ms() - round(retention.seconds * 1000)
    size = sum(each.record.size for each in ordered)
    gone = []
    for each in ordered:
        is_kept = each.record.time_ms > horizon or (pinned is not None and each.version > pinned)
        if is_kept and size <= retention.max_bytes:
            break
        size -= each.record.size
        gone.append(each)
    return gone


def oldest_pin(head: Head) -> Version | None:
    """The version from which on the history is pinned; None if it is not."""
    return Pins(head.pins, committing.clock()).oldest if head.pins else None


def forget(layout: Layout, head: Head, past: Iterable[Past], most: int) -> tuple[DriverTransaction, list[Past]]:
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
    same_pins = DriverCompare(Condition.MODIFIED_AT, head.pins_modified, layout.pins)
    return DriverTransaction([layout.exists(head.stored), same_pins], writes), chosen


class Forgetting:
    """Lets commits forget old records, a few each: one commit reads them beside its writes, the next deletes them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._start = layout.commits[0]
        self._expired: list[Past] = []

    def look(self) -> Range:
        """Return what a commit should read."""
        return Range(self._start, self._layout.commits[1], limit=PEEKED)

    def saw(self, pairs: Iterable[Pair], head: Head) -> None:
        """Take the result of that read."""
        past = read_past(pairs, head.base)
        self._expired = expired(past, head.retention._replace(max_bytes=2**63), oldest_pin(head))
        full = len(past) == PEEKED == len(self._expired)
        self._start = past[-1].key + b"\x00" if full else self._layout.commits[0]

    def send(self, head: Head, most: int) -> list[DriverTransaction]:
        """Return what the next commit should send along."""
        pinned = oldest_pin(head)
        if pinned is not None:  # since they were seen
            self._expired = [each for each in self._expired if each.version <= pinned]
        if not self._expired:
            return []
        transaction, chosen = forget(self._layout, head, self._expired, most)
        self._expired = self._expired[len(chosen) :]
        return [transaction]
