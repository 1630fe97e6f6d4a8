"""The application's own line that Rome works for, and not one of Rome's or of a library in between."""

from __future__ import annotations

import sys
import warnings
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import FrameType

_BETWEEN = frozenset({"rome", "sqlalchemy", "oslo_db", "alembic", "contextlib", "functools"})
"""Packages whose frames are skipped: Rome, and what calls it on behalf of the application."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning at the innermost line that is the application's.

    Cost: that of the warning, and 0.1 µs for each frame in between.
    """
    frame: FrameType | None = sys._getframe()
    depth = 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth + 1)


_FRAMEWORKS = _BETWEEN | {"asyncio", "concurrent", "flask_sqlalchemy", "greenlet", "sqlmodel", "threading"}

_is_between: dict[str, bool] = {}
"""{file: whether it belongs to these packages}"""


CALLER: ContextVar[str | None] = ContextVar("rome_caller", default=None)
"""For a thread that works for a task: the task's place."""


def place() -> str | None:
    """The innermost line of the application, as "shop/orders.py:41 in total"; None if a thread of a library runs.

    Cost: 0.1 µs for each frame in between, of which SQLAlchemy's ORM has some twenty.
    """
    known = CALLER.get()
    if known is not None:
        return known
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        between = _is_between.get(code.co_filename)
        if between is None:
            package = frame.f_globals.get("__name__", "").partition(".")[0]
            between = _is_between[code.co_filename] = package in _FRAMEWORKS
        if not between:
            return _shown(code.co_filename, code.co_qualname, frame.f_lineno)
        frame = frame.f_back
    return None


@lru_cache(maxsize=4096)
def _shown(file: str, function: str, line: int) -> str:
    path = Path(file)
    try:
        path = path.relative_to(Path.cwd())
    except (OSError, ValueError):  # elsewhere: three parts say enough
        path = Path(*path.parts[-3:])
    return f"{path}:{line} in {function.replace('.<locals>', '')}"
