"""A line that shows how far a command has come, on stderr, if that is a terminal and rich is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Shown = Callable[[int, str], object]
"""Takes how much is done, and what is under way."""


@contextmanager
def shown_progress(what: str, total: int | None = None) -> Iterator[Shown]:
    """Show progress for the time of the block.

    Args:
        what: is counted, such as "rows loaded".
        total: how much there is to do, if that is known; then the time that is left is shown, too.
    """
    if not sys.stderr.isatty():
        yield lambda done, item: None
        return
    try:
        from rich.console import Console  # noqa: PLC0415  # the extra `cli`
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415
    except ImportError:
        yield lambda done, item: None
        return
    columns = [
        BarColumn(),
        TextColumn(f"{{task.completed:,}} {what}"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TextColumn("{task.fields[item]}"),
        TimeRemainingColumn() if total is not None else TimeElapsedColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, item="", rate=0.0)

        def show(done: int, item: str) -> None:
            seconds = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=done, item=item, rate=done / seconds if seconds else 0.0)

        yield show
