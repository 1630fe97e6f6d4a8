"""Where a database is: what a URL says, in the store's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Location:
    """The location of one database in one store.

    Attributes:
        scheme: the store's name: "memory", "lmdb", "redis".
        database: its name; for LMDB the path of the file. Any text, never empty.
        options: the store's own URL options, as text. Some are passwords, so repr() does not show them.
    """

    scheme: str
    database: str
    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
