"""Databases without a name: `rome+memory://` is a database that nobody else can see.

It gets a name, and is dropped some time after its owner (a connection, or an engine's dialect) is gone.
"""

from __future__ import annotations

import secrets
import weakref
from functools import partial

from sqlalchemy.engine import URL

from rome.dbapi.abandoned import clean_up_later
from rome.dbapi.url import parse_url, store_of


def private_name(url: URL) -> str | None:
    """A new name for a URL that names no database; None if it names one, or if the store outlives the process.

    Raises:
        URLError, InterfaceError: as store_of raises them.
    """
    capabilities = store_of(url).capabilities
    if url.database or capabilities.durable or capabilities.shared:
        return None
    return f"private-{secrets.token_hex(8)}"


def drop_after(owner: object, url: URL) -> None:
    """Drop the database of `url` after `owner` is gone, in the next clean_up()."""
    drop = partial(store_of(url).drop_database, parse_url(url).location)
    weakref.finalize(owner, clean_up_later, drop).atexit = False
