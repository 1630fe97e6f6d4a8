"""The lines of `rome top`, at most as wide as the screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rome.cli.table import printable
from rome.cli.top.view import ProcessView, StoreView, TopView

Line = tuple[str, str]
"""(style, text); the styles are names of STYLES."""

STYLES = {"title": "bold", "head": "bold cyan", "problem": "bold red", "plain": ""}

_UNITS = ("B", "KB", "MB", "GB", "TB")
_UNKNOWN = "?"


def top_lines(view: TopView, width: int = 80, height: int | None = None) -> list[Line]:
    """The whole page. Tables are cut where the screen ends."""
    lines = [("title", view.database)]
    if view.store is None:
        lines += [("problem", f"no answer: {view.error}"), ("plain", "asking again")]
    else:
        lines += [("plain", text) for text in _of_store(view.store)]
        lines += [("plain", ""), *_hot_rows(view.store, width)]
        if view.store.pins:
            lines += [("plain", ""), *_pins(view.store, width)]
    if view.processes:
        lines += [("plain", ""), *_processes(view.processes, width)]
    if view.conflicts:
        lines += [("plain", ""), *_conflicts(view, width)]
    lines = [(style, text[:width].rstrip()) for style, text in lines]
    return lines if height is None else lines[:height]


def _of_store(store: StoreView) -> Iterator[str]:
    rows = _UNKNOWN if store.rows_per_s is None else number(store.rows_per_s)
    last = "none in the history" if store.last_commit_s is None else f"the last one {duration(store.last_commit_s)} ago"
    yield f"commits    {number(store.commits_per_s)}/s, {rows} rows/s; {last}; {store.queue} waiting in the queue"
    bytes_ = f"{size(store.history_bytes)} of {size(store.history_max_bytes)}"
    yield f"history    {store.history_commits:,} commits, {bytes_}"
    oldest = "none" if store.oldest_snapshot_s is None else duration(store.oldest_snapshot_s)
    live = "" if store.live_snapshots is None else f"; {store.live_snapshots} open"
    yield f"snapshots  the oldest that can be read: {oldest}; the retention: {duration(store.retention_s)}{live}"
    used = _UNKNOWN if store.used_bytes is None else size(store.used_bytes)
    most = "" if store.max_bytes is None else f" of {size(store.max_bytes)}"
    yield f"store      {used}{most} in use; answered in {duration(store.answered_in_s)}"
    if store.ids_left is not None:
        yield f"ids        fewest left: {number(store.ids_left.left)}, of {printable(store.ids_left.table)}"


def _hot_rows(store: StoreView, width: int) -> Iterator[Line]:
    if store.looked_at:
        about = f"{store.looked_at} commits, {duration(store.looked_at_s)}"
    else:
        about = "no commits" if store.rows_per_s is not None else "the store does not tell which rows"
    yield "head", _columns(width, f"HOT ROWS ({about})", ["changes", "waiting"])
    for row in store.hot_rows:
        yield "plain", _columns(width, row.row, [f"{row.changes:,}", f"{row.waiting:,}"])
    if not store.hot_rows:
        yield "plain", "none was changed twice, and none is waited for"


def _pins(store: StoreView, width: int) -> Iterator[Line]:
    yield "head", _columns(width, "LONG TRANSACTIONS (process@host)", ["age"])
    for pin in store.pins:
        yield "plain", _columns(width, pin.owner, [duration(pin.age_s)])


def _processes(processes: Sequence[ProcessView], width: int) -> Iterator[Line]:
    heads = ["stmts/s", "trips/s", "commit/s", "ms", "p95 ms", "confl/s", "failed"]
    yield "head", _columns(width, "PROCESSES", heads)
    for each in processes:
        name = each.url.removeprefix("http://").removesuffix("/metrics")
        if each.error is not None:
            yield "problem", f"{name}: {each.error}"
            continue
        p95 = None if each.commit_p95_s is None else each.commit_p95_s * 1000
        cells = [each.statements_per_s, each.trips_per_s, each.commits_per_s]
        cells += [None if each.commit_mean_s is None else each.commit_mean_s * 1000, p95, each.conflicts_per_s]
        shown = ["-" if cell is None else number(cell) for cell in cells]
        yield "plain", _columns(width, name, [*shown, f"{each.failures:,}"])


def _conflicts(view: TopView, width: int) -> Iterator[Line]:
    yield "head", _columns(width, "CONFLICTS", ["reason", "in all", "per s"], 18)
    for each in view.conflicts:
        rate = "-" if each.per_s is None else number(each.per_s)
        cells = [each.reason, f"{each.conflicts:,}", rate]
        yield "plain", _columns(width, printable(each.table) or "(no single table)", cells, 18)


def _columns(width: int, name: str, cells: Sequence[str], first: int = 9) -> str:
    """The name, cut if need be, and the cells at the right edge; the first cell has a width of its own."""
    right = "".join(cell.rjust(9 if position else first) for position, cell in enumerate(cells))
    room = max(8, width - len(right))
    name = "".join(character if character.isprintable() else "?" for character in name)
    return (name if len(name) <= room else f"{name[: room - 2]}..").ljust(room) + right


def number(value: float) -> str:
    """Three digits of a number: 0.12, 3.4, 567, 8.9k, 1.2M, 9.2e+18."""
    if math.isinf(value):
        return "more"
    if value >= 1e15:
        return f"{value:.1e}"
    for limit, factor, unit in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= limit:
            return f"{value / factor:.3g}{unit}" if value < 999.5 * factor else f"{value / factor:.0f}{unit}"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def size(value: float) -> str:
    """A number of bytes: 12 B, 3.4 KB, 256 MB."""
    for unit in _UNITS:
        if value < 1023.5 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.3g} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """A time: 0.4 ms, 12 s, 5 min, 3 h."""
    if seconds < 1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
