"""The results as one HTML page: plots as SVG inside it, and a table of every figure."""

from __future__ import annotations

import html
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping

import matplotlib as mpl

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
)
from romebench.figures import Figure, Results, shown_runs
from romebench.peers import TITLES
from romebench.sites.placings import SITE_TITLES
from romebench.sites.report import by_distance, outages
from romebench.targets import findings, share_faster

mpl.use("svg")
mpl.rcParams["svg.fonttype"] = "none"  # text stays text
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

_COLOURS = {
    key: colour
    for titles in (TITLES, SITE_TITLES)
    for key, colour in zip(titles, plt.get_cmap("tab10").colors, strict=False)
}
_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; font-size: 13px } td, th { border-bottom: 1px solid #ddd; padding: 3px 8px }
th { text-align: left } .missed { color: #b00 } .reached { color: #070 } svg { max-width: 100%; height: auto }
"""


def page(results: Results) -> str:
    """The page's HTML. It leaves out what was not measured."""
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><meta charset="utf-8"><title>Rome, side by side</title><style>{_STYLE}</style>',
        "<h1>Rome, side by side</h1>",
        f"<p>{html.escape(_introduction(results))}</p>",
        "<h2>What must be reached</h2>",
        _target_table(results),
        *_sites(results),
        *(part for plot in _PLOTS for part in plot(results)),
        "<h2>Requests of a boot: share that is faster on Rome</h2>",
        _shares(results),
        "<h2>What failed</h2>",
        _failures(results),
        "<h2>All figures</h2>",
        _all_figures(results),
        "<h2>Conditions</h2>",
        f"<pre>{html.escape(json.dumps(results.conditions, indent=1))}</pre></html>",
    ]
    return "\n".join(parts) + "\n"


def _introduction(results: Results) -> str:
    return (
        f"Run on {results.conditions.get('date')}, {results.conditions.get('machine')}. "
        "The databases were measured in alternation. Every figure is the median of its runs, with the least and the "
        "greatest. Durable: every commit is flushed to disk before it is acknowledged; otherwise none waits for it."
    )


def _table(header: list[str], rows: list[list[str]], classes: list[str] | None = None) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join(
        f'<tr class="{classes[number] if classes else ""}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _sites(results: Results) -> list[str]:
    """The tables of several sites, as far as these were measured."""
    parts = []
    for title, table in (("Three sites", by_distance(results)), ("A site is lost", outages(results))):
        if table:
            parts += [f"<h2>{title}</h2>", _table(table[0], table[1:])]
    return parts


def _target_table(results: Results) -> str:
    found = findings(results)
    rows = [[finding.what, finding.target, finding.reached, finding.verdict] for finding in found]
    return _table(["what", "target", "ratio", ""], rows, [finding.verdict.split()[0] for finding in found])


def _shares(results: Results) -> str:
    """For each peer, distance and durability: the share of requests that are faster on Rome."""
    rows = []
    for one in results.requests:
        for other in results.requests:
            same = (one.durable, one.round_trip_ms) == (other.durable, other.round_trip_ms)
            if same and one.peer.startswith("rome") and not other.peer.startswith("rome"):
                share = share_faster(one, other)
                common = len(one.costs.keys() & other.costs.keys())
                if share is not None:
                    asked = f"{common} of {len(one.costs)}"
                    rows.append(
                        [
                            TITLES[one.peer],
                            TITLES[other.peer],
                            f"{one.round_trip_ms:g} ms",
                            "yes" if one.durable else "no",
                            f"{share:.0%}",
                            asked,
                        ]
                    )
    return _table(["Rome", "peer", "round trip", "durable", "faster", "requests that both made"], rows)


def _failures(results: Results) -> str:
    rows = [
        [failure.workload, failure.peer, "yes" if failure.durable else "no", failure.reason[-300:]]
        for failure in results.failures
    ]
    return _table(["workload", "peer", "durable", "reason"], rows) if rows else "<p>Nothing.</p>"


def _all_figures(results: Results) -> str:
    rows = [
        [
            figure.workload,
            figure.case,
            figure.peer,
            "yes" if figure.durable else "no",
            f"{figure.round_trip_ms:g} ms",
            shown_runs(figure.runs, figure.unit),
            str(len(figure.runs)),
        ]
        for figure in results.figures
    ]
    return _table(["workload", "case", "peer", "durable", "round trip", "median (least - greatest)", "runs"], rows)


# ---------------------------------------------------------------- plots
def _plot(title: str, draw: Callable[[Axes], bool]) -> list[str]:
    """A heading and an SVG; empty if `draw` had nothing to draw."""
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    try:
        if not draw(axes):
            return []
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    finally:
        plt.close(figure)
    svg = text.getvalue()
    return [f"<h2>{html.escape(title)}</h2>", svg[svg.index("<svg") :]]


def _boot_cdf(results: Results) -> list[str]:
    def draw(axes: Axes) -> bool:
        drawn = False
        for requests in results.requests:
            if requests.durable and requests.round_trip_ms == 0 and requests.costs:
                times = sorted(seconds * 1e3 for _, seconds in requests.costs.values())
                shares = [(number + 1) / len(times) for number in range(len(times))]
                axes.step(times, shares, where="post", color=_COLOURS[requests.peer], label=TITLES[requests.peer])
                drawn = True
        axes.set(xscale="log", xlabel="median of a distinct request, ms", ylabel="share of the requests")
        if drawn:
            axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        return drawn

    return _plot("Requests of a boot, loopback", draw)


def _boot_by_distance(results: Results) -> list[str]:
    return _lines(
        results,
        "Database time of a boot by round trip",
        (r"^" + re.escape(BOOT_DATABASE) + r"$", BOOT),
        lambda figure, _: figure.round_trip_ms,
        {"xlabel": "round trip, ms", "ylabel": "seconds", "yscale": "log"},
    )


def _boot_by_distance_of_sites(results: Results) -> list[str]:
    return _lines(
        results,
        "Database time of a boot by the round trip between sites",
        (r"^" + re.escape(BOOT_DATABASE) + r"$", SITES),
        lambda figure, _: figure.round_trip_ms,
        {"xlabel": "round trip, ms", "ylabel": "seconds", "yscale": "log"},
        SITE_TITLES,
    )


def _pages(results: Results) -> list[str]:
    labels = {"xlabel": "page", "ylabel": "seconds", "yscale": "log"}

    def number(_figure: Figure, match: re.Match[str]) -> float:
        return float(match[1].replace(",", ""))

    plain = _lines(results, "A page by its marker", (r"^page ([\d,]+)$", LISTS), number, labels)
    nova = _lines(results, "A page by Nova's own query", (r"^page ([\d,]+), Nova", LISTS), number, labels)
    return plain + nova


def _throughput(results: Results) -> list[str]:
    parts = []
    for kind in (READ, MODIFY):
        for rows in ("uniform", "hot"):
            parts += _lines(
                results,
                f"Processes at once: {kind}, {rows} rows",
                (rf"^{kind}, {rows}, (\d+) clients: throughput$", CONCURRENCY),
                lambda _, match: float(match[1]),
                {"xlabel": "processes", "ylabel": "operations per second"},
            )
    return parts


def _lines(
    results: Results,
    title: str,
    which: tuple[str, str],
    where: Callable[[Figure, re.Match[str]], float],
    labels: dict[str, str],
    titles: Mapping[str, str] = TITLES,
) -> list[str]:
    """One line per peer, through the medians of the durable figures that match, with their spread."""
    pattern, workload = which
    points: defaultdict[str, list[tuple[float, Figure]]] = defaultdict(list)
    for figure in results.figures:
        match = re.search(pattern, figure.case)
        if match and figure.workload == workload and figure.durable and figure.peer in titles:
            points[figure.peer].append((where(figure, match), figure))

    def draw(axes: Axes) -> bool:
        for peer, found in points.items():
            found.sort(key=lambda point: point[0])
            places = [place for place, _ in found]
            medians = [figure.median for _, figure in found]
            axes.plot(places, medians, marker="o", markersize=3, color=_COLOURS[peer], label=titles[peer])
            least, greatest = zip(*(figure.spread for _, figure in found), strict=True)
            axes.fill_between(places, least, greatest, color=_COLOURS[peer], alpha=0.12)
        axes.set(**labels)
        if "yscale" not in labels:
            axes.set_ylim(bottom=0)
        if points:
            axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        return bool(points)

    return _plot(title, draw)


def _bars(title: str, results: Results, cases: list[tuple[str, str]], unit: str) -> list[str]:
    """Groups of bars: one group per (workload, case), one bar per peer."""

    def draw(axes: Axes) -> bool:
        drawn = False
        width = 0.8 / len(TITLES)
        for offset, peer in enumerate(TITLES):
            for place, (workload, case) in enumerate(cases):
                figure = results.find(workload, case, peer)
                if figure is None:
                    continue
                least, greatest = figure.spread
                error = [[figure.median - least], [greatest - figure.median]]
                axes.bar(place + offset * width, figure.median, width, yerr=error, color=_COLOURS[peer])
                drawn = True
        axes.set_xticks([place + 0.4 for place in range(len(cases))], [case for _, case in cases], fontsize=7)
        axes.set(ylabel=unit, yscale="log")
        axes.legend(handles=[Patch(color=_COLOURS[peer], label=TITLES[peer]) for peer in TITLES], fontsize=8)
        return drawn

    return _plot(title, draw)


def _micro(results: Results) -> list[str]:
    return _bars("Small operations, durable", results, [(MICRO, case) for case in MICRO_CASES], "seconds")


def _bulk(results: Results) -> list[str]:
    return _bars("Bulk load", results, [(BULK, LOAD)], "rows per second")


_PLOTS: tuple[Callable[[Results], list[str]], ...] = (
    _boot_cdf,
    _boot_by_distance,
    _boot_by_distance_of_sites,
    _micro,
    _pages,
    _throughput,
    _bulk,
)
