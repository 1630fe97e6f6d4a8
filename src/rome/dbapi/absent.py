"""What sqlite3's Connection has and Rome's cannot have: refused by name, with another way. (docs/sqlite3.md)"""

from __future__ import annotations

from typing import NoReturn

from rome.errors import NotSupportedError


class Absent:
    """A part of Connection. Every method raises NotSupportedError, unless the call asks for nothing."""

    def blobopen(self, *_: object, **__: object) -> NoReturn:
        """Refused with NotSupportedError."""
        raise NotSupportedError(
            "blobopen() is not supported: a value is read and written whole. SELECT it, or a part of it with substr(), "
            "and UPDATE it"
        )

    def deserialize(self, *_: object, **__: object) -> NoReturn:
        """Refused with NotSupportedError."""
        raise NotSupportedError(
            "deserialize() is not supported: it would replace a database that others use. Open the bytes with sqlite3 "
            "and insert its rows; or run the output of iterdump() as a script"
        )

    def enable_load_extension(self, enable: bool, /) -> None:
        """Refused with NotSupportedError, except for False, which changes nothing."""
        if enable:
            raise NotSupportedError(_EXTENSIONS)

    def load_extension(self, *_: object, **__: object) -> NoReturn:
        """Refused with NotSupportedError."""
        raise NotSupportedError(_EXTENSIONS)

    def setlimit(self, *_: object, **__: object) -> NoReturn:
        """Refused with NotSupportedError."""
        raise NotSupportedError(
            "setlimit() is not supported: the limit would apply to Rome's own work on the connection, too. Options of "
            "the URL limit memory (max_working_set) and commits (max_commit_rows, max_commit_bytes)"
        )

    def setconfig(self, *_: object, **__: object) -> NoReturn:
        """Refused with NotSupportedError."""
        raise NotSupportedError(
            "setconfig() is not supported: Rome configures its SQLite as it needs it. For foreign keys use PRAGMA "
            "foreign_keys or the URL's option foreign_keys"
        )


_EXTENSIONS = (
    "load_extension() is not supported: an extension's tables would not be in the store, and its functions would exist "
    "on this connection only. Define functions in Python: create_function(), create_aggregate()"
)
