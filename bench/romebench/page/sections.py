"""The parts of the page, in its order. Each one is empty if what it shows was not measured."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import median

from romebench.cases import (
    BOOT,
    BOOT_DATABASE,
    BULK,
    CONCURRENCY,
    LISTS,
    LOAD,
    MICRO,
    MICRO_CASES,
    MODIFY,
    READ,
    SITES,
    cpu_case,
)
from romebench.figures import Figure, Requests, Results, ratios, shown, shown_runs, shown_value
from romebench.page.looks import LOOKS, SITE_LOOKS, Look
from romebench.page.markup import Bar, bars, folded, heading, paragraph, table, terms
from romebench.page.plots import line_plot, ratio_plot
from romebench.peers import STOCK, TITLES
from romebench.sites.report import by_distance, outages
from romebench.targets import findings, share_faster

_OTHERS = ("mariadb-pymysql", "postgresql", "mariadb-mysqlclient", "sqlite")
"""What Rome is compared with in sentences; the first that was measured."""
_ROMES = ("rome-redis", "rome-lmdb", "rome-valkey")


def opening(results: Results) -> list[str]:
    """One sentence, and a boot by database and by distance."""
    groups = _boots(results)
    if not groups:
        return [paragraph(_how(results), "quiet")]
    durable = next(iter(groups))[0]
    parts = []
    if sentence := _boot_sentence(results, [key for key in groups if key[0] is durable]):
        parts.append(paragraph(sentence, "lead"))
    parts += [paragraph(_how(results), "quiet"), heading("Booting a server: time in the database")]
    parts.append(paragraph("Bars are medians of the runs; the thin line goes from the least to the greatest.", "quiet"))
    for (durable, distance), figures in groups.items():
        where = "server on this machine" if distance == 0 else f"round trip of {distance:g} ms to the server"
        parts += [heading(f"{where}, {_disk(durable)}", 3), _peer_bars(figures)]
    return parts


def _boots(results: Results) -> dict[tuple[bool, float], list[Figure]]:
    """(durable, distance) -> a boot's figures, those with durable commits first, near ones first."""
    groups: defaultdict[tuple[bool, float], list[Figure]] = defaultdict(list)
    for figure in results.figures:
        if (figure.workload, figure.case) == (BOOT, BOOT_DATABASE):
            groups[figure.durable, figure.round_trip_ms].append(figure)
    return dict(sorted(groups.items(), key=lambda item: (not item[0][0], item[0][1])))


def _boot_sentence(results: Results, groups: list[tuple[bool, float]]) -> str:
    parts = []
    for durable, distance in (groups[0], groups[-1]) if len(groups) > 1 else groups:
        pair = _pair(
            lambda key: results.find(BOOT, BOOT_DATABASE, key, durable=durable, round_trip_ms=distance)  # noqa: B023
        )
        if pair is None:
            return ""
        rome, other = pair
        times = median(ratios(rome, other))
        where = "on one machine" if distance == 0 else f"at a round trip of {distance:g} ms"
        parts.append(
            f"{where} it takes {shown(rome.median)} on {TITLES[rome.peer]} and {shown(other.median)} on "
            f"{TITLES[other.peer]}, {times:.2f} times as long"
        )
    return f"Time that OpenStack's Nova spends in the database to boot a server: {'; '.join(parts)}."


def _pair(find: Callable[[str], Figure | None]) -> tuple[Figure, Figure] | None:
    rome = next((figure for key in _ROMES if (figure := find(key))), None)
    other = next((figure for key in _OTHERS if (figure := find(key))), None)
    return None if rome is None or other is None else (rome, other)


def _how(results: Results) -> str:
    date, machine = results.conditions.get("date"), results.conditions.get("machine")
    return f"Measured on {date}, {machine}. All databases take turns within one run, so what disturbs one disturbs all."


def _disk(durable: bool) -> str:
    return "every commit is on the disk first" if durable else "no commit waits for the disk"


def _peer_bars(figures: Iterable[Figure]) -> str:
    order = list(LOOKS)
    known = sorted((figure for figure in figures if figure.peer in LOOKS), key=lambda figure: order.index(figure.peer))
    return bars([_bar(figure, LOOKS[figure.peer]) for figure in known])


def _bar(figure: Figure, look: Look) -> Bar:
    least, greatest = figure.spread
    value = shown_value(figure.median, figure.unit)
    return Bar(look.title, figure.median, least, greatest, value, look.colour, look.strong)


def requests(results: Results) -> list[str]:
    """Which of a boot's requests are faster on Rome, and by how much: plots for the least distance, a table for all."""
    places = sorted({(not r.durable, r.round_trip_ms) for r in results.requests})
    parts: list[str] = []
    rows: list[list[str]] = []
    for volatile, distance in places:
        durable = not volatile
        found = [r for r in results.requests if (r.durable, r.round_trip_ms) == (durable, distance)]
        for other in (r for r in found if r.peer in _OTHERS[:2]):
            lines = {LOOKS[r.peer]: both for r in found if r.peer in _ROMES and (both := _ratios(r, other))}
            if lines and distance == places[0][1]:
                title = TITLES[other.peer]
                parts.append(heading(f"beside {title}, {_disk(durable)}", 3))
                parts.append(paragraph(_share_sentence(found, other)))
                across = f"time of a request, divided by {title}'s"
                parts.append(ratio_plot(lines, across, "Rome is faster", "Rome is slower"))
        rows += _share_rows(found)
    if not parts:
        return []
    what = (
        "Each distinct request of a boot (statement, commit, ping) is one step. A line that has climbed high where it "
        "crosses the middle means that most requests are faster on Rome."
    )
    header = ["", "beside", "round trip", "commits", "faster on Rome", "requests that both made"]
    shares = [heading("share of the requests that are faster on Rome, by distance", 3), table(header, rows)]
    return [heading("Booting a server: request by request"), paragraph(what), *parts, *shares]


def _share_rows(found: list[Requests]) -> Iterable[list[str]]:
    for one in (r for r in found if r.peer in _ROMES):
        for other in (r for r in found if r.peer in _OTHERS):
            share = share_faster(one, other)
            if share is not None:
                common = len(one.costs.keys() & other.costs.keys())
                where = f"{one.round_trip_ms:g} ms"
                yield [TITLES[one.peer], TITLES[other.peer], where, _disk(one.durable), f"{share:.0%}", str(common)]


def _ratios(one: Requests, other: Requests) -> list[float]:
    return [
        one.costs[text][1] / other.costs[text][1]
        for text in one.costs.keys() & other.costs.keys()
        if other.costs[text][1]
    ]


def _share_sentence(found: list[Requests], other: Requests) -> str:
    parts = []
    for one in found:
        share = share_faster(one, other)
        if one.peer in _ROMES and share is not None:
            parts.append(f"{share:.0%} of {len(one.costs.keys() & other.costs.keys())} on {TITLES[one.peer]}")
    return f"Faster than {TITLES[other.peer]}: {', '.join(parts)}."


def distances(results: Results) -> list[str]:
    """A boot by distance, as lines."""
    groups = _boots(results)
    if len({distance for durable, distance in groups if durable and distance}) < 2:
        return []
    lines: defaultdict[Look, list[tuple[float, Figure]]] = defaultdict(list)
    for (durable, distance), figures in groups.items():
        for figure in figures:
            if durable and distance and figure.peer in LOOKS:
                lines[LOOKS[figure.peer]].append((distance, figure))
    plot = line_plot(lines, "round trip to the server, ms", log_across=True)
    return [
        heading("Booting a server: by distance"),
        paragraph("Time in the database, each commit on the disk first."),
        plot,
    ]


def small_operations(results: Results) -> list[str]:
    """Each kind of statement: the time, and the client's CPU in it."""
    parts = []
    for durable in (True, False):
        for case in MICRO_CASES:
            figures = [f for key in TITLES if (f := results.find(MICRO, case, key, durable=durable))]
            if figures:
                parts += [heading(f"{case}, {_disk(durable)}", 3), _peer_bars(figures)]
                if rows := _cpu_rows(results, case, durable=durable):
                    parts.append(folded("of it the client's CPU", table(["", "CPU", "time"], rows)))
    return [heading("Small operations"), *parts] if parts else []


def _cpu_rows(results: Results, case: str, *, durable: bool) -> list[list[str]]:
    rows = []
    for key, title in {**TITLES, STOCK.key: STOCK.title}.items():
        cpu = results.find(MICRO, cpu_case(case), key, durable=durable)
        wall = results.find(MICRO, case, key, durable=durable)
        if cpu is not None and wall is not None:
            rows.append([title, shown(cpu.median), shown(wall.median)])
    return rows


def pages(results: Results) -> list[str]:
    """Page by page, by a marker and by Nova's own query."""

    def number(_figure: Figure, match: re.Match[str]) -> float:
        return float(match[1].replace(",", ""))

    parts = []
    for title, pattern in (
        ("A page of 1,000 rows, by its marker", r"^page ([\d,]+)$"),
        ("A page of 1,000 servers, by Nova's own query", r"^page ([\d,]+), Nova"),
    ):
        lines = _lines(results, LISTS, pattern, number)
        if max(map(len, lines.values()), default=0) > 1:
            parts += [heading(title, 3), line_plot(lines, "number of the page", log_across=True)]
    return [heading("Page by page"), *parts] if parts else []


def throughput(results: Results) -> list[str]:
    """Operations per second by the number of processes."""
    parts = []
    for kind in (READ, MODIFY):
        for rows, what in (("uniform", "any of all rows"), ("hot", "four rows that all want")):
            pattern = rf"^{kind}, {rows}, (\d+) clients: throughput$"
            if lines := _lines(results, CONCURRENCY, pattern, lambda _, match: float(match[1])):
                parts += [heading(f"{kind}, {what}: operations per second", 3), line_plot(lines, "processes")]
    return [heading("Many processes at once"), *parts] if parts else []


def _lines(
    results: Results,
    workload: str,
    pattern: str,
    place: Callable[[Figure, re.Match[str]], float],
    looks: Mapping[str, Look] = LOOKS,
) -> dict[Look, list[tuple[float, Figure]]]:
    """The durable figures whose case matches, by peer, each at its place."""
    lines: defaultdict[Look, list[tuple[float, Figure]]] = defaultdict(list)
    for figure in results.figures:
        match = re.search(pattern, figure.case)
        if match and figure.workload == workload and figure.durable and figure.peer in looks:
            lines[looks[figure.peer]].append((place(figure, match), figure))
    return {look: sorted(line, key=lambda point: point[0]) for look, line in lines.items()}


def bulk(results: Results) -> list[str]:
    """Rows per second of a bulk load."""
    figures = [figure for key in TITLES if (figure := results.find(BULK, LOAD, key))]
    return (
        [heading("Bulk load"), paragraph("Rows per second: a longer bar is better."), _peer_bars(figures)]
        if figures
        else []
    )


def sites(results: Results) -> list[str]:
    """Three sites, and what the loss of one does."""
    parts = []
    for title, found in (("Three sites", by_distance(results)), ("A site is lost", outages(results))):
        if found:
            parts += [heading(title), table(found[0], found[1:])]
    pattern = r"^" + re.escape(BOOT_DATABASE) + r"$"
    if lines := _lines(results, SITES, pattern, lambda figure, _: figure.round_trip_ms, SITE_LOOKS):
        parts += [heading("Booting a server: by the round trip between sites", 3), line_plot(lines, "round trip, ms")]
    return parts


def targets(results: Results) -> list[str]:
    """What the project wants to reach, and whether it does."""
    found = [finding for finding in findings(results) if finding.runs]
    if not found:
        return []
    rows = [[finding.what, finding.target, finding.reached, finding.verdict] for finding in found]
    return [heading("Targets"), table(["what", "target", "ratio", ""], rows, [finding.verdict for finding in found])]


def failures(results: Results) -> list[str]:
    """What could not be measured because it failed."""
    rows = [[f.workload, f.peer, _disk(f.durable), f.reason[-300:]] for f in results.failures]
    return [heading("What failed"), table(["workload", "database", "commits", "reason"], rows)] if rows else []


def everything(results: Results) -> list[str]:
    """Every figure, folded."""
    rows = [
        [
            f.workload,
            f.case,
            TITLES.get(f.peer, f.peer),
            _disk(f.durable),
            f"{f.round_trip_ms:g} ms",
            shown_runs(f.runs, f.unit),
            str(len(f.runs)),
        ]
        for f in results.figures
    ]
    header = ["workload", "case", "database", "commits", "round trip", "median (least - greatest)", "runs"]
    return [heading("All figures"), folded(f"{len(rows)} figures", table(header, rows))] if rows else []


def conditions(results: Results) -> list[str]:
    """Versions, sizes and settings."""
    return [heading("Conditions"), terms(_flat(results.conditions))]


def _flat(found: Mapping[str, object], path: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as names and texts; small ones in one line."""
    for name, value in found.items():
        where = f"{path} · {name}" if path else str(name)
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            yield from _flat(value, where)
        elif isinstance(value, Mapping):
            yield where, ", ".join(f"{inner} {_text(v)}" for inner, v in value.items()) or "none"
        else:
            yield where, _text(value)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)
