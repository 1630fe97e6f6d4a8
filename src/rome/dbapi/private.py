"""Databases without a name: `rome+memory://` is one that nobody else can see.

It is given a name, and dropped once its owner (a connection, or an engine's dialect) is gone.
"""

from __future__ import annotations

import secrets
import weakref
from collections import deque

from sqlalchemy.engine import URL

from rome.dbapi.url import parse_url, store_of
from rome.store.location import Location

_abandoned: deque[Location] = deque()
"""To be dropped. Not in the owner's finalizer: that may run at any allocation, also inside the store's own lock."""


def private_name(url: URL) -> str | None:
    """A new name for a URL that names no database; None when it does, or its store keeps more than this process's data.

    Raises:
        URLError, InterfaceError: as store_of.
    """
    capabilities = store_of(url).capabilities
    if url.database or capabilities.durable or capabilities.shared:
        return None
    while _abandoned:
        location = _abandoned.popleft()
        store_of(url).drop_database(location)
    return f"private-{secrets.token_hex(8)}"


def drop_after(owner: object, url: URL) -> None:
    """Drop the database when `owner` is gone and the next private one is made."""
    finalizer = weakref.finalize(owner, _abandoned.append, parse_url(url).location)
    finalizer.atexit = False
