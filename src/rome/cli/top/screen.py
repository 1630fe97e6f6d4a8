"""The whole screen, drawn again and again, until somebody presses q or Ctrl-C."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rome.cli.top.text import STYLES, Line
from rome.errors import InterfaceError

Draw = Callable[[int, int], list[Line]]
"""Makes the lines for a width and a height."""

_LEAVE = b"qQ\x03\x04"


def show_live(draw: Draw, interval_s: float) -> None:
    """Draw at once, and then every so often; returns when the user leaves. The terminal is as it was before.

    Raises:
        InterfaceError: the package rich is not installed.
    """
    try:
        from rich.console import Console  # noqa: PLC0415  # the extra `cli`
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InterfaceError(
            "the package rich is not installed: pip install 'sqlalchemy-rome[cli]'; rome top --once needs no package"
        ) from error
    console = Console()

    def page() -> Text:
        lines = draw(console.width, console.height - 1)
        return Text("\n").join(Text(text, style=STYLES[style], no_wrap=True) for style, text in lines)

    with _keys() as left_within, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            live.update(page(), refresh=True)
            if left_within(max(0.0, began + interval_s - time.monotonic())):
                return


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """While keys come one by one, without Enter: a function that waits, and says whether the user has left."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def left_within(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([file], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return False
            pressed = os.read(file, 64)
            if not pressed or any(key in _LEAVE for key in pressed):
                return True

    try:
        tty.setcbreak(file)
        yield left_within
    except KeyboardInterrupt:  # it is the usual way out
        return
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
