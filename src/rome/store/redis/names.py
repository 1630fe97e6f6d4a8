"""How a database's name becomes the names of its keys, and keys become bytes that BYLEX orders rightly."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from urllib.parse import quote_from_bytes, unquote_to_bytes

PATTERN = b"rome:{*}:m"
"""Glob of all databases' meta hashes."""


def meta_key(database: str) -> bytes:
    """The key of a database's meta hash; every other key of it has the same start, and so the same hash tag.

    Everything but letters, digits and `_.-~` is percent-encoded, so no name can end the tag, widen a glob, or be
    taken for another one.
    """
    return f"rome:{{{quote_from_bytes(database.encode('utf-8', 'surrogatepass'), safe='')}}}:m".encode()


def database_name(key: bytes) -> str | None:
    """The inverse of meta_key(); None when the key is somebody else's, however much it looks like one of ours."""
    try:
        name = unquote_to_bytes(key[len(b"rome:{") : -len(b"}:m")]).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return name if name and meta_key(name) == key else None


escape: Callable[[bytes], bytes] = methodcaller("replace", b"\x00", b"\x00\xff")
"""Make a key self-delimiting: in what comes out, a zero byte is always followed by 0xFF.

The store appends lengths and versions to keys, which begin with a zero byte and another one below 0xFF. So
`escape(key) + suffix` stands to `escape(bound)` as `key` to `bound`, whatever bytes the bound has.
"""

unescape: Callable[[bytes], bytes] = methodcaller("replace", b"\x00\xff", b"\x00")
"""The inverse of escape()."""
