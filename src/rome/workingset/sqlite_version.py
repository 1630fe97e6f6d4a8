"""What Rome needs of apsw and its SQLite, beyond what pip can check: apsw may have been built from its source."""

from __future__ import annotations

from functools import cache

import apsw

from rome.errors import InterfaceError

LOWEST = (3, 50, 3)
"""The first apsw whose wheels have the preupdate hook. All tests pass with it, and with its SQLite."""


@cache
def check_sqlite() -> None:
    """Raises InterfaceError, which says what to install, when this SQLite is too old or lacks the hook."""
    found = apsw.sqlite_lib_version()
    hook = hasattr(apsw.Connection, "preupdate_hook")
    if tuple(map(int, found.split("."))) < LOWEST or not hook:
        needed = ".".join(map(str, LOWEST))
        raise InterfaceError(
            f"Rome needs SQLite {needed} or newer with its preupdate hook; apsw {apsw.apsw_version()} has SQLite "
            f"{found} {'with' if hook else 'without'} it: pip install --only-binary apsw 'apsw>={needed}'"
        )
