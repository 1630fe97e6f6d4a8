"""How a database's name becomes the names of its keys, and how keys become bytes that BYLEX orders correctly."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from urllib.parse import quote_from_bytes, unquote_to_bytes

PATTERN = b"rome:{*}:m"
"""A glob for all databases' meta hashes."""


def meta_key(database: str) -> bytes:
    """The key of a database's meta hash. All other keys of the database begin like it, and so have the same hash tag.

    Everything except letters, digits and `_.-~` is percent-encoded, so that no name can end the tag, widen a glob, or
    be taken for another name.
    """
    return f"rome:{{{quote_from_bytes(database.encode('utf-8', 'surrogatepass'), safe='')}}}:m".encode()


def database_name(key: bytes) -> str | None:
    """The inverse of meta_key(); None if the key is not one of Rome's, however similar it looks."""
    try:
        name = unquote_to_bytes(key[len(b"rome:{") : -len(b"}:m")]).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return name if name and meta_key(name) == key else None


escape: Callable[[bytes], bytes] = methodcaller("replace", b"\x00", b"\x00\xff")
"""Make a key self-delimiting: in the result, a zero byte is always followed by 0xFF.

The store appends lengths and versions to keys; these begin with a zero byte and a byte below 0xFF. So
`escape(key) + suffix` compares with `escape(bound)` as `key` with `bound`, whatever bytes the bound has.
"""

unescape: Callable[[bytes], bytes] = methodcaller("replace", b"\x00\xff", b"\x00")
"""The inverse of escape()."""
