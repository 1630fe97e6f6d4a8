"""The targets: ratios between figures of one run, taken round by round, and what a connection may cost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from romebench.cases import (
    BOOT,
    BOOT_DATABASE,
    BOOT_TRIPS,
    BULK,
    BY_INDEX,
    BY_KEY,
    HELD,
    INSERT_ORM,
    LIST,
    LISTS,
    LOAD,
    MICRO,
    MICRO_CASES,
    OPEN,
    ROWS,
)
from romebench.figures import Figure, Requests, Results, ratios, shown_value
from romebench.peers import STOCK
from romebench.sites.report import by_distance, markdown_table, outages, sites_targets

PYMYSQL, POSTGRESQL, SQLITE = "mariadb-pymysql", "postgresql", "sqlite"
REDIS, LMDB = "rome-redis", "rome-lmdb"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table.

    Attributes:
        target: the limit in words, "at most .." or "at least ..".
        runs: the ratio in each round, or the figure itself; empty if it was not measured.
    """

    what: str
    target: str
    limit: float
    runs: list[float]
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Whether the median of the runs reaches the target, in a word."""
        if not self.runs:
            return "not measured"
        reached = median(self.runs)
        if reached >= self.limit if self.at_least else reached <= self.limit:
            return "reached"
        return "missed"

    @property
    def reached(self) -> str:
        """The median of the runs, with the least and the greatest."""
        if not self.runs:
            return "-"
        return f"{median(self.runs):.2f} ({min(self.runs):.2f} - {max(self.runs):.2f})"


def findings(results: Results) -> list[Finding]:
    """One line for each target."""
    found = [_at_most("round trips of a boot on Redis", 190, _trips(results))]
    for other, near, far in ((PYMYSQL, 0.80, 0.95), (POSTGRESQL, 0.60, 0.95)):
        for round_trip_ms, limit in ((0, near), (2, far)):
            what = (
                f"share of a boot's distinct requests that are faster on Redis than on {other}, {_place(round_trip_ms)}"
            )
            found.append(_at_least(what, limit, _share(results, other, round_trip_ms)))
    for one, other, durable, limit in (
        (REDIS, PYMYSQL, False, 0.60),
        (REDIS, PYMYSQL, True, 0.80),
        (REDIS, POSTGRESQL, False, 0.85),
        (LMDB, SQLITE, False, 1.8),
    ):
        what = f"database time of a boot, {one} / {other}, {'all commits' if durable else 'no commit'} on disk first"
        found.append(_at_most(what, limit, _ratio(results, BOOT, BOOT_DATABASE, one, other, durable=durable)))
    for round_trip_ms in (10, 50):
        what = f"database time of a boot, {REDIS} / {PYMYSQL}, {_place(round_trip_ms)}"
        found.append(_at_most(what, 0.42, _boot_ratio(results, PYMYSQL, round_trip_ms)))
    for case, one, other, limit in (
        (BY_KEY, LMDB, SQLITE, 1.4),
        (BY_KEY, REDIS, POSTGRESQL, 0.65),
        (BY_INDEX, REDIS, POSTGRESQL, 1.0),
        (INSERT_ORM, REDIS, PYMYSQL, 1.0),
    ):
        runs = _ratio(results, MICRO, case, one, other, durable=False)
        found.append(_at_most(f"{case}, {one} / {other}, no commit on disk first", limit, runs))
    for key in (LMDB, REDIS):
        pages = _pages(results, key)
        runs = [] if pages is None else ratios(*pages)
        what = f"{'last page' if pages is None else pages[0].case} / page 2 by marker, {key}"
        found.append(_at_most(what, 1.1, runs))
    for key in (LMDB, REDIS):
        runs = _ratio(results, LISTS, LIST, key, PYMYSQL)
        found.append(_at_most(f"1,000 servers through Nova, {key} / {PYMYSQL}", 1.0, runs))
    for key in (LMDB, REDIS):
        what = f"Core select by key, {key} / (raw round trip + stock SQLite)"
        found.append(_at_most(what, 1.4, _beside_the_limit(results, key)))
    runs = _ratio(results, LISTS, ROWS, LMDB, PYMYSQL)
    found.append(
        _at_most(f"1,000 Nova instances: read, hydrated, executed by {LMDB} / delivered by PyMySQL", 0.8, runs)
    )
    runs = _ratio(results, BULK, LOAD, REDIS, PYMYSQL)
    found.append(_at_least(f"bulk load, rows per second, {REDIS} / {PYMYSQL}'s executemany", 1.0, runs))
    for key in (LMDB, REDIS):
        found.append(_at_most(f"{OPEN}, {key}: ms", 1.0, [1e3 * run for run in _runs(results, OPEN, key)]))
        found.append(_at_most(f"{HELD}, {key}: MB", 5.0, [run / 1e6 for run in _runs(results, HELD, key)]))
    found += [_at_most(what, limit, runs) for what, limit, runs in sites_targets(results)]
    return found


def _at_most(what: str, limit: float, runs: list[float]) -> Finding:
    return Finding(what, f"at most {limit:g}", limit, runs)


def _at_least(what: str, limit: float, runs: list[float]) -> Finding:
    return Finding(what, f"at least {limit:g}", limit, runs, at_least=True)


def _place(round_trip_ms: float) -> str:
    return f"at {round_trip_ms:g} ms" if round_trip_ms else "on one machine"


def _share(results: Results, other: str, round_trip_ms: float) -> list[float]:
    requests = [results.find_requests(key, round_trip_ms=round_trip_ms) for key in (REDIS, other)]
    share = share_faster(*requests)
    return [] if share is None else [share]


def _both(one: Figure | None, other: Figure | None) -> list[float]:
    return [] if one is None or other is None else ratios(one, other)


def _ratio(results: Results, workload: str, case: str, one: str, other: str, *, durable: bool = True) -> list[float]:
    return _both(*(results.find(workload, case, key, durable=durable) for key in (one, other)))


def _runs(results: Results, case: str, key: str) -> list[float]:
    figure = results.find(LISTS, case, key)
    return [] if figure is None else figure.runs


def _trips(results: Results) -> list[float]:
    """Round trips of a boot, at the shortest delay at which they were counted."""
    counted = [
        figure for figure in results.figures if (figure.workload, figure.case, figure.peer) == (BOOT, BOOT_TRIPS, REDIS)
    ]
    return min(counted, key=lambda figure: figure.round_trip_ms).runs if counted else []


def _boot_ratio(results: Results, other: str, round_trip_ms: float) -> list[float]:
    def find(key: str) -> Figure | None:
        return results.find(BOOT, BOOT_DATABASE, key, round_trip_ms=round_trip_ms)

    return _both(find(REDIS), find(other))


def share_faster(one: Requests | None, other: Requests | None) -> float | None:
    """The share of the distinct requests made by both whose median time is less in `one`."""
    if one is None or other is None:
        return None
    common = one.costs.keys() & other.costs.keys()
    return sum(one.costs[text][1] < other.costs[text][1] for text in common) / len(common) if common else None


def _pages(results: Results, key: str) -> tuple[Figure, Figure] | None:
    """The last page that was measured, and page 2."""
    found = {
        int(match[1].replace(",", "")): figure
        for figure in results.figures
        if figure.workload == LISTS and figure.peer == key and (match := re.fullmatch(r"page ([\d,]+)", figure.case))
    }
    return (found[max(found)], found[2]) if 2 in found and max(found) > 2 else None


def _beside_the_limit(results: Results, key: str) -> list[float]:
    def find(peer: str) -> Figure | None:
        return results.find(MICRO, BY_KEY, peer)

    rome, raw, stock = find(key), find(f"raw {key}"), find(STOCK.key)
    if rome is None or raw is None or stock is None:
        return []
    return [a / (b + c) for a, b, c in zip(rome.runs, raw.runs, stock.runs, strict=False)]


def text_table(rows: Iterable[Finding]) -> str:
    """The lines as a table for the terminal; what was not measured is only counted, if anything was."""
    rows = list(rows)
    measured = [row for row in rows if row.runs] or rows
    missing = len(rows) - len(measured)
    lines = [f"{'verdict':13} {'ratio (least - greatest)':26} {'target':14} what"]
    lines += [f"{row.verdict:13} {row.reached:26} {row.target:14} {row.what}" for row in measured]
    return "\n".join([*lines, *([f"(not measured: {missing} more)"] if missing else [])])


def markdown(results: Results) -> str:
    """The tables for docs/performance.md: the peers side by side, then the targets."""
    tables = [_summary(results), markdown_table(by_distance(results)), markdown_table(outages(results))]
    return "\n\n".join("\n".join(lines) for lines in (*tables, _targets(findings(results))) if lines) + "\n"


def _targets(rows: Iterable[Finding]) -> list[str]:
    lines = ["| what | target | ratio, least - greatest | |", "|---|---|---|---|"]
    return lines + [f"| {row.what} | {row.target} | {row.reached} | {row.verdict} |" for row in rows]


_SUMMARY: tuple[tuple[str, str, str, float], ...] = (
    ("database time per boot", BOOT, BOOT_DATABASE, 0),
    ("the same at 10 ms round trip", BOOT, BOOT_DATABASE, 10),
    ("round trips per boot", BOOT, BOOT_TRIPS, 10),
    *((case, MICRO, case, 0) for case in MICRO_CASES),
    ("1,000 servers through Nova", LISTS, LIST, 0),
    ("bulk load", BULK, LOAD, 0),
)


def _summary(results: Results) -> list[str]:
    peers = [key for key in results.conditions.get("peers", {}) if isinstance(key, str)]
    lines = ["| | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for label, workload, case, round_trip_ms in _SUMMARY:
        figures = [results.find(workload, case, key, round_trip_ms=round_trip_ms) for key in peers]
        if any(figures):
            cells = [shown_value(figure.median, figure.unit) if figure else "-" for figure in figures]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines if len(lines) > 2 else []
