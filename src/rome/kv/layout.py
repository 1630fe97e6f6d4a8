"""Which of a store's tables are rome.kv's.

Those of SQL are numbered from 1 by the catalog (rome.catalog.objects), which never uses a number again; so neither
side can come to the other's. 2^31 objects of a schema are more than a database will ever have had.
"""

from __future__ import annotations

FIRST = 1 << 31
DIRECTORY = FIRST
"""The collections; see rome.kv.directory."""
KEYS = FIRST + 1
"""Plain keys."""
FEED = FIRST + 2
"""What was changed; see rome.kv.feed."""
OWN_TABLES = {DIRECTORY: "(kv: collections)", KEYS: "(kv: keys)", FEED: "(kv: feed)"}
"""As metrics and `rome top` name them."""
FIRST_COLLECTION = FIRST + 16
LAST_COLLECTION = (1 << 32) - 2


def shown_collection(name: str) -> str:
    """As metrics and `rome top` name a collection, beside the tables of SQL."""
    return f"(kv: {name})"
