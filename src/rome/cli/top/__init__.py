"""`rome top`: what happens in a database now.

`sample` asks the store and the processes, `view` compares two samples, `text` makes lines of that, `screen` shows them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import closing

import msgspec

from rome.cli.existing import check_exists
from rome.cli.probe import DatabaseProbe
from rome.cli.shown import to_json
from rome.cli.top.processes import metrics_url
from rome.cli.top.sample import TopSample, take_sample
from rome.cli.top.screen import show_live
from rome.cli.top.text import Line, top_lines
from rome.cli.top.view import TopView, top_view
from rome.errors import OperationalError, ProgrammingError

MIN_INTERVAL_S = 0.1
MAX_INTERVAL_S = 86_400


def run_top(parsed: argparse.Namespace) -> None:
    """Show a database until the user leaves; once with --once or --json, or if stdout is no terminal.

    Raises:
        OperationalError: there is no such database, or with --once the store does not answer.
        ProgrammingError: an option is wrong.
    """
    processes = [metrics_url(url) for url in parsed.process]
    if not MIN_INTERVAL_S <= parsed.interval <= MAX_INTERVAL_S:
        raise ProgrammingError(
            f"--interval {parsed.interval:g}: write a number of seconds, {MIN_INTERVAL_S} or more, a day at most"
        )
    check_exists(parsed.url)
    with closing(DatabaseProbe(parsed.url)) as probe:
        look = _Look(probe, processes, parsed.interval)
        if parsed.json or parsed.once or not sys.stdout.isatty():
            _print_once(look, parsed)
        else:
            show_live(lambda width, height: _page(look, width, height), parsed.interval)


class _Look:
    """Takes samples, and compares each with the one before."""

    def __init__(self, probe: DatabaseProbe, processes: list[str], interval_s: float) -> None:
        self._probe, self._processes, self._interval_s = probe, processes, interval_s
        self._before: TopSample | None = None

    def view(self) -> TopView:
        before, self._before = self._before, take_sample(self._probe, self._processes, max(1.0, self._interval_s))
        store, database = self._probe.label
        return top_view(f"{store} {database}", self._before, before)


def _page(look: _Look, width: int, height: int) -> list[Line]:
    lines = top_lines(look.view(), width, height)
    (style, title), clock = lines[0], time.strftime("%H:%M:%S   q: leave")
    return [(style, f"{title[: max(0, width - len(clock) - 1)]} ".ljust(width - len(clock)) + clock), *lines[1:]]


def _print_once(look: _Look, parsed: argparse.Namespace) -> None:
    view = look.view()
    if parsed.process:  # their counters say something only by how they rise
        time.sleep(parsed.interval)
        view = look.view()
    if view.store is None:
        raise OperationalError(view.error or "the store has not answered")
    if parsed.json:
        print(to_json(msgspec.to_builtins(view)))
    else:
        print("\n".join(text for _, text in top_lines(view, shutil.get_terminal_size().columns)))
