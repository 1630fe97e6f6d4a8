"""How a database's name becomes the names of its keys, and how keys become bytes that BYLEX orders correctly."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from operator import methodcaller
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

PATTERN = b"rome:{*}:m"
"""A glob for all databases' meta hashes."""

SLOTS = 16384
"""How many slots a cluster has. All keys with the same hash tag are in one of them."""


class DatabaseName(NamedTuple):
    """What the keys of a database are named after.

    Attributes:
        slot: the slot that was chosen for it in a cluster; None: that of its name.
    """

    name: str
    slot: int | None = None


def meta_key(database: str, slot: int | None = None) -> bytes:
    """The key of a database's meta hash. All other keys of the database begin like it, and so have the same hash tag.

    Everything except letters, digits and `_.-~` is percent-encoded, so that no name can end the tag, widen a glob, or
    be taken for another name, or for a name with a slot.
    """
    tag = quote_from_bytes(database.encode("utf-8", "surrogatepass"), safe="")
    return f"rome:{{{tag if slot is None else _tag_in(tag, slot)}}}:m".encode()


@lru_cache(maxsize=1024)
def _tag_in(name: str, slot: int) -> str:
    """The tag that is in a slot: `name@slot.number`, with the least number that leads there.

    Cost: 4 ms, at most 0.1 s.
    """
    head = f"{name}@{slot}."
    so_far = crc_hqx(head.encode(), 0)
    number = next(number for number in count() if crc_hqx(b"%d" % number, so_far) % SLOTS == slot)
    return f"{head}{number}"


def slot_of(key: bytes) -> int:
    """The slot that a database's key is in: CRC16 (XMODEM) of its tag."""
    return crc_hqx(key[key.index(b"{") + 1 : key.index(b"}")], 0) % SLOTS


def database_of(key: bytes) -> DatabaseName | None:
    """The inverse of meta_key(); None if the key is not one of Rome's, however similar it looks."""
    tag, at, place = key[len(b"rome:{") : -len(b"}:m")].partition(b"@")
    slot = place.partition(b".")[0]
    if at and not (slot.isdigit() and len(slot) <= len(str(SLOTS)) and int(slot) < SLOTS):
        return None
    try:
        name = unquote_to_bytes(tag).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    found = DatabaseName(name, int(slot) if at else None)
    return found if name and meta_key(*found) == key else None


ZERO, ESCAPED_ZERO = b"\x00", b"\x00\xff"

escape: Callable[[bytes], bytes] = methodcaller("replace", ZERO, ESCAPED_ZERO)
"""Make a key self-delimiting: in the result, a zero byte is always followed by 0xFF.

The store appends lengths and versions to keys; these begin with a zero byte and a byte below 0xFF. So
`escape(key) + suffix` compares with `escape(bound)` as `key` with `bound`, whatever bytes the bound has.

`key.replace(ZERO, ESCAPED_ZERO)` does the same in two fifths of the instructions.
"""

unescape: Callable[[bytes], bytes] = methodcaller("replace", b"\x00\xff", b"\x00")
"""The inverse of escape()."""
