"""The part of Rome that is compiled where a C compiler is: stored rows as tables of SQLite.

`rows.c` does what `rome.codec.rows`, `rome.catalog.rows` and an INSERT of each row do in Python, for many rows at once.
The build hook (tools/hatch_build.py) compiles it into a library beside it, which SQLite loads as an extension. Without
a compiler there is none, and Rome runs the Python. Both give the same rows, and refuse the same records.

ROME_COMPILED=off has Rome run the Python anyway; another value is the path of a library to take instead.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

import apsw

ENVIRONMENT: Final = "ROME_COMPILED"
LIBRARY: Final = Path(__file__).with_name("rome_rows.so")
_INIT: Final = "rome_rows_init_1"
"""By its number a library that was compiled from other sources than these is not loaded: see rows.c."""


@cache
def library() -> str | None:
    """The path of the library; None if there is none, it is switched off, or SQLite cannot load it."""
    path = _path()
    if path is None:
        return None
    connection = apsw.Connection(":memory:")
    try:
        load(connection, path)
    except (apsw.Error, AttributeError):
        return None
    finally:
        connection.close()
    return path


def load(connection: apsw.Connection, path: str) -> None:
    """Load the library into a connection.

    Raises:
        apsw.Error: SQLite cannot load it. AttributeError: this apsw was built without extensions.

    Cost: 15 µs.
    """
    connection.enable_load_extension(True)
    try:
        connection.load_extension(path, _INIT)
    finally:
        connection.enable_load_extension(False)


def described() -> str:
    """What runs, for `rome --version` and `rome doctor`: "compiled", or "Python" and why."""
    if library() is not None:
        return "compiled"
    if os.environ.get(ENVIRONMENT) == "off":
        return f"Python, since {ENVIRONMENT}=off"
    if _path() is None:
        return "Python, since no C compiler was found when Rome was installed"
    return f"Python, since SQLite cannot load {_path()}: if it is an older one, install Rome again"


def _path() -> str | None:
    named = os.environ.get(ENVIRONMENT)
    if named == "off":
        return None
    path = Path(named) if named else LIBRARY
    return str(path) if path.exists() else None
