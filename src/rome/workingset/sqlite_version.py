"""What Rome needs of apsw and its SQLite and pip cannot check, since apsw may have been built from source."""

from __future__ import annotations

from functools import cache

import apsw

from rome.errors import InterfaceError

LOWEST = (3, 50, 3)
"""The first apsw whose wheels have the preupdate hook. All tests pass with it and its SQLite."""


@cache
def check_sqlite() -> None:
    """Check SQLite's version and its preupdate hook.

    Raises:
        InterfaceError: SQLite is too old, or lacks the hook; the message says what to install.
    """
    found = apsw.sqlite_lib_version()
    hook = hasattr(apsw.Connection, "preupdate_hook")
    if tuple(map(int, found.split("."))) < LOWEST or not hook:
        needed = ".".join(map(str, LOWEST))
        raise InterfaceError(
            f"Rome needs SQLite {needed} or newer with its preupdate hook; apsw {apsw.apsw_version()} has SQLite "
            f"{found} {'with' if hook else 'without'} it: pip install --only-binary apsw 'apsw>={needed}'"
        )
