"""What sqlite3's Connection has and Rome's cannot have: refused by name, with the way out. (docs/sqlite3.md)"""

from __future__ import annotations

from typing import NoReturn

from rome.errors import NotSupportedError


class Absent:
    """A part of Connection. Every method raises NotSupportedError, unless it is asked for nothing."""

    def blobopen(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        raise NotSupportedError(
            "blobopen() is not supported: a value is read and written whole. SELECT it, or a part by substr(), and "
            "UPDATE"
        )

    def deserialize(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        raise NotSupportedError(
            "deserialize() is not supported: it would replace a database that others use. Open the bytes with sqlite3, "
            "and insert what they hold; or run what iterdump() gives as a script"
        )

    def enable_load_extension(self, enable: bool, /) -> None:
        """Refused, but for False, which is how it is."""
        if enable:
            raise NotSupportedError(_EXTENSIONS)

    def load_extension(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        raise NotSupportedError(_EXTENSIONS)

    def setlimit(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        raise NotSupportedError(
            "setlimit() is not supported: Rome's own work on the connection would be under the limit, too. The URL's "
            "options bound memory (max_working_set) and commits (max_commit_rows, max_commit_bytes)"
        )

    def setconfig(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        raise NotSupportedError(
            "setconfig() is not supported: Rome sets its SQLite up as it needs it. For foreign keys there are PRAGMA "
            "foreign_keys and the URL's option"
        )


_EXTENSIONS = (
    "load_extension() is not supported: what an extension stores would not be in the store, and what its functions say "
    "would be known on this connection only. Define functions in Python: create_function(), create_aggregate()"
)
