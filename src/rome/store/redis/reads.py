"""The commands by which a database is read by read.lua, and ids are taken by reserve.lua, as they are sent."""

from __future__ import annotations

from collections.abc import Sequence

from rome.store.redis.messages import request_arguments, reserve_numbers, short_arguments, short_ranges
from rome.store.redis.wire import END, LENGTHS, NUMBERS, Command, pack, pack_count, pack_words
from rome.store.spi import Request, Reserve, Snapshot

_MOST_SHAPES = 1000

_NOW = pack_words((b"", b""))
"""ARGV[1] and ARGV[2] of a new snapshot."""

_Ranges = tuple[tuple[int, int, int | None], ...]


class ReadPacker:
    """Makes the command of a read of a database.

    Of a few short ranges only the snapshot and their bounds differ from one time to the next; the rest is packed once.

    Args:
        head: the command up to its key. limits: after how many rows, or bytes of these, a read stops.
    """

    def __init__(self, head: Command, limits: tuple[int, int]) -> None:
        self._head = head
        self._limits = limits
        self._shapes: dict[_Ranges, tuple[bytes, bytes, bytes]] = {}

    def pack(self, snapshot: Snapshot | None, requests: Sequence[Request]) -> bytes:
        """The command as it is sent."""
        short = short_ranges(requests)
        if short is None:
            return pack(self.command(snapshot, requests))
        ranges, bounds = short
        shape = self._shapes.get(ranges)
        if shape is None:
            shape = self._pack_shape(ranges)
        before, middle, after = shape
        parts = [before, _NOW if snapshot is None else pack_words(_version(snapshot)), middle]
        if max(map(len, bounds)) < len(LENGTHS):  # as pack_words, without the call
            for bound in bounds:
                parts.append(LENGTHS[len(bound)])
                parts.append(bound)
        else:
            parts.append(pack_words(bounds))
        parts.append(after)
        return b"".join(parts)

    def command(self, snapshot: Snapshot | None, requests: Sequence[Request]) -> Command:
        """The command, word by word."""
        short = short_ranges(requests)
        if short is None:
            return (*self._head, *_version(snapshot), *request_arguments(requests, self._limits))
        first, last = short_arguments(short[0], self._limits)
        return (*self._head, *_version(snapshot), *first, *short[1], *last)

    def _pack_shape(self, ranges: _Ranges) -> tuple[bytes, bytes, bytes]:
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        first, last = short_arguments(ranges, self._limits)
        words = len(self._head) + 2 + len(first) + 2 * len(ranges) + len(last)
        before = pack_count(words) + pack_words(self._head)
        shape = self._shapes[ranges] = (before, pack_words(first), pack_words(last) + END)
        return shape


class ReservePacker:
    """Makes the command by which numbers are taken from sequences.

    Args:
        head: the command up to its key.
    """

    def __init__(self, head: Command) -> None:
        self._head = head
        self._packed = pack_words(head)

    def pack(self, reserves: Sequence[Reserve]) -> bytes:
        """The command as it is sent."""
        parts = [pack_count(len(self._head) + 5 * len(reserves)), self._packed]
        for reserve in reserves:
            for number in reserve_numbers(reserve):
                parts.append(NUMBERS[number] if 0 <= number < len(NUMBERS) else pack_words((b"%d" % number,)))
        parts.append(END)
        return b"".join(parts)

    def command(self, reserves: Sequence[Reserve]) -> Command:
        """The command, word by word."""
        return (*self._head, *[b"%d" % number for reserve in reserves for number in reserve_numbers(reserve)])


def _version(snapshot: Snapshot | None) -> tuple[bytes, bytes]:
    """ARGV[1] and ARGV[2]."""
    return (b"", b"") if snapshot is None else (snapshot.incarnation, b"%d" % snapshot.version)
