"""Ordered maps inside one LMDB database, with keys of any length.

A *header* names a map: all of its keys in the file begin with these bytes. LMDB limits keys to 511 bytes, and about a
third of Nova's indexes can exceed that. A longer key is stored as its first CUT bytes and its hash; the key itself is
stored before the value.

Order: cutting all keys to CUT bytes keeps their order, except among keys that become equal. These form a *cluster*:
they are adjacent in the file, ordered by hash. (A key of up to CUT bytes is not a member: it is less than every longer
key that begins with it, in the file as in the map.) So a walk reads a whole cluster and sorts it. Bounds are cut in the
same way, which makes a range too wide by at most a cluster at each end, and are then compared with the whole key.

Collisions: the hash has 256 bits, so nobody will find two keys with the same hash. Cost: a lookup is as fast as for
short keys; a walk that touches a cluster reads all of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice, takewhile
from typing import Final, NamedTuple, TypeAlias

import lmdb

LmdbTransaction: TypeAlias = "lmdb.Transaction[bytes]"

CUT: Final = 464
_HASH_BYTES = 32
MAX_HEADER_BYTES: Final = 511 - CUT - _HASH_BYTES
_BEYOND_HASHES = b"\xff" * (_HASH_BYTES + 1)
_BLOCK = 256
_LONG = b"\x00\x00\x00\x01"
"""Below it is each value that begins with a version (of less than 2^32), but none that begins with a long key."""


class Values(NamedTuple):
    """Some values of a map. `size`: of all. `left`: the key in the file at which they were cut short, or None."""

    found: list[bytes]
    size: int
    left: bytes | None


class LongKeyError(Exception):
    """Internal: a key is so long that it may be stored in part."""


def get(txn: LmdbTransaction, header: bytes, key: bytes) -> bytes | None:
    """The value of a key; None if it is absent."""
    if len(key) <= CUT:
        return txn.get(header + key)
    value = txn.get(stored_key(header, key))
    return None if value is None else _split(value)[1]


def put(txn: LmdbTransaction, header: bytes, key: bytes, value: bytes, *, overwrite: bool = True) -> bool:
    """Set the value of a key; returns False, and changes nothing, if the key exists and `overwrite` is False."""
    if len(key) <= CUT:
        return txn.put(header + key, value, overwrite=overwrite)
    return txn.put(stored_key(header, key), before_value(key) + value, overwrite=overwrite)


def delete(txn: LmdbTransaction, header: bytes, key: bytes) -> bool:
    """Delete a key; returns False if it is absent."""
    return txn.delete(stored_key(header, key))


def clear(txn: LmdbTransaction, header: bytes) -> None:
    """Delete the map, or all maps whose headers begin with these bytes."""
    with txn.cursor() as cursor:
        if cursor.set_range(header):
            while cursor.key().startswith(header):
                try:
                    cursor.delete()
                except SystemError as error:  # py-lmdb raises this if advancing the cursor fails
                    raise error.__cause__ or error from None


def stored_key(header: bytes, key: bytes) -> bytes:
    """The key as it is in the file."""
    if len(key) <= CUT:
        return header + key
    return header + key[:CUT] + blake2b(key, digest_size=_HASH_BYTES).digest()


def before_value(key: bytes) -> bytes:
    """What is stored before the value of a key that is cut."""
    return len(key).to_bytes(4, "big") + key


def whole_key(txn: LmdbTransaction, header_bytes: int, stored: bytes) -> bytes:
    """The key of which `stored` is the form in the file; what is left of it if it was cut and is absent."""
    if len(stored) <= header_bytes + CUT:
        return stored[header_bytes:]
    value = txn.get(stored)
    return stored[header_bytes : header_bytes + CUT] if value is None else _split(value)[0]


def between(
    txn: LmdbTransaction, header: bytes, start: bytes, stop: bytes, *, reverse: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of everything with `start <= key < stop`, in ascending or (`reverse`) descending order of keys."""
    skip = len(header)
    with txn.cursor() as cursor:
        if not reverse and len(start) <= CUT and len(stop) <= CUT:
            # Upwards between bounds that need no cut, as most do not: half of the cost of the general way, which it
            # goes from the first long key on.
            last, cut = header + stop, skip + CUT
            if not cursor.set_range(header + start):
                return
            for stored, value in cursor.iternext():
                if stored >= last:
                    return
                if len(stored) > cut:
                    shared = stored[skip:cut]  # a key of exactly these bytes has been yielded
                    rest = _sorted_clusters(_walk(cursor, header, shared, stop, reverse=False), skip, reverse=False)
                    yield from ((key, value) for key, value in rest if shared < key < stop)
                    return
                yield stored[skip:], value
            return
        for key, value in _sorted_clusters(_walk(cursor, header, start, stop, reverse), skip, reverse):
            if start <= key < stop:
                yield key, value


def values_from(
    txn: LmdbTransaction, cursor: lmdb.Cursor[bytes], stop: bytes, cut: int, most: int, room: int
) -> Values:
    """The values from the place of a cursor on, below a key as it is in the file.

    Args:
        cursor: stands before `stop`, and is moved.
        cut: how long a key in the file can be that has not been cut.
        most: so many values at most, but one. room: it stops when values take so many bytes, after up to 256 more.

    Raises:
        LongKeyError: a key may have been cut.

    Cost: 0.1 µs for each value. The keys are not read, except at the end, since each would cost as much as its value.
    """
    found: list[bytes] = []
    size = 0
    next_key = cursor.key()
    values = cursor.iternext(keys=False)
    while most > len(found) and room > size:
        asked = min(_BLOCK, most - len(found))
        block = list(islice(values, asked))
        last = cursor.key()  # the cursor stands at the last value, or nowhere
        if len(block) < asked or last >= stop:
            block = block[: _count_below(txn, next_key, stop, cut, len(block))]
            last = b""
        if block and max(block) >= _LONG:
            raise LongKeyError
        found += block
        size += sum(map(len, block))
        if not last:
            return Values(found, size, None)
        next_key = last + b"\x00"
    left = cursor.key() if cursor.next() else stop
    return Values(found, size, left if left < stop else None)


def _count_below(txn: LmdbTransaction, first: bytes, stop: bytes, cut: int, most: int) -> int:
    """How many of so many keys in the file, from one on, are below another."""
    with txn.cursor() as cursor:
        cursor.set_range(first)
        keys = list(islice(cursor.iternext(values=False), most))
    if keys and max(map(len, keys)) > cut:
        raise LongKeyError
    return bisect_left(keys, stop)


def count(txn: LmdbTransaction, header: bytes, start: bytes, stop: bytes) -> int:
    """How many keys there are with `start <= key < stop`.

    Cost: 0.08 µs per key, a third of a walk: with bounds that need no cut, the keys in the file are in the right order,
    so the values need not be read.
    """
    if max(len(start), len(stop)) > CUT:
        return sum(1 for _ in between(txn, header, start, stop))
    with txn.cursor() as cursor:
        if not cursor.set_range(header + start):
            return 0
        return sum(1 for _ in takewhile((header + stop).__gt__, cursor.iternext(values=False)))


def _walk(
    cursor: lmdb.Cursor[bytes], header: bytes, start: bytes, stop: bytes, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """What the file holds from the cut of `start` to the cut of `stop`, inclusive."""
    cut = len(header) + CUT
    first, last = (header + start)[:cut], (header + stop)[:cut]
    if not reverse:
        if cursor.set_range(first):
            for item in cursor.iternext():
                if item[0][:cut] > last:
                    return
                yield item
        return
    beyond = last if len(stop) <= CUT else last + _BEYOND_HASHES
    if cursor.prev() if cursor.set_range(beyond) else cursor.last():
        for item in cursor.iterprev():
            if item[0][:cut] < first:
                return
            yield item


def _sorted_clusters(
    items: Iterator[tuple[bytes, bytes]], header_bytes: int, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Replace the keys in the file by the true keys, and put clusters into their true order."""
    cut = header_bytes + CUT
    cluster: list[tuple[bytes, bytes]] = []
    cluster_prefix = b""
    for stored, value in items:
        if (cluster and stored[:cut] != cluster_prefix) or (cluster and len(stored) <= cut):
            yield from sorted(cluster, reverse=reverse)
            cluster.clear()
        if len(stored) <= cut:
            yield stored[header_bytes:], value
        else:
            cluster_prefix = stored[:cut]
            cluster.append(_split(value))
    yield from sorted(cluster, reverse=reverse)


def _split(value: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(value[:4], "big")
    return value[4:end], value[end:]
