"""A line that shows how far a command has come, on stderr, if that is a terminal and rich is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Shown(Protocol):
    """Shows how far it is."""

    def __call__(self, done: int, item: str, total: int | None = None, /) -> object:
        """Show how much is done, what is under way, and how much there is to do, if that is known."""


@contextmanager
def shown_progress(what: str) -> Iterator[Shown]:
    """Show progress for the time of the block.

    Args:
        what: is counted, such as "rows loaded".
    """
    shown = _bar(what) if sys.stderr.isatty() else None
    if shown is None:
        yield lambda done, item, total=None: None
        return
    progress, show = shown
    with progress:
        yield show


class Rate:
    """How many are done per second, since the first that was told: what was there before a resumption costs no time."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def at(self, done: int, seconds: float | None) -> float:
        """The rate now. `seconds`: since the beginning; None: nothing has begun."""
        if self._first is None:
            self._first = (done, seconds or 0.0)
        before, began = self._first
        passed = (seconds or 0.0) - began
        return (done - before) / passed if passed > 0 else 0.0


def _bar(what: str):  # type: ignore[no-untyped-def]  # rich's Progress, which need not be installed
    try:
        from rich.console import Console  # noqa: PLC0415  # the extra `cli`
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    except ImportError:
        return None
    progress = Progress(
        BarColumn(),
        TextColumn(f"{{task.completed:,}} {what}"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TextColumn("{task.fields[item]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task("", total=None, item="", rate=0.0)

    rate = Rate()

    def show(done: int, item: str, total: int | None = None) -> None:
        progress.update(task, completed=done, total=total, item=item, rate=rate.at(done, progress.tasks[0].elapsed))

    return progress, show
