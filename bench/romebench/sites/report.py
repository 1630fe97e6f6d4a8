"""The results at several sites as tables: boots and transactions by distance, and what the loss of a site did."""

from __future__ import annotations

from romebench.cases import (
    BOOT_DATABASE,
    COMMIT,
    COMMITS_GAP,
    FAR_TRIPS,
    LOST,
    ONE_WAY_READ,
    ONE_WAY_WRITE,
    OUTAGE_CASES,
    READ_ONLY,
    READS_GAP,
    SITES,
)
from romebench.figures import Figure, Results, ratios, shown_value
from romebench.sites.placings import (
    ETCD_NEAR_ELSEWHERE,
    ETCD_NEAR_HERE,
    GALERA_HERE,
    OUTAGES,
    PLACINGS,
    REDIS_NEAR,
    Placing,
)

Table = list[list[str]]
"""The first row is the header."""
AT_MS = 50.0
"""The distance of the targets."""


def by_distance(results: Results) -> Table:
    """A row for each placing: boots at each distance, and single transactions at the distance of the targets."""
    distances = _distances(results)
    at_ms = target_distance_ms(results)
    header = ["", "boot, database time", *(f"at {distance:g} ms" for distance in distances), "requests to another site"]
    header += [f"a read at {at_ms:g} ms", "trips", f"a read and change at {at_ms:g} ms", "trips"]
    rows: Table = []
    for placing in PLACINGS:
        cells = [(BOOT_DATABASE, distance) for distance in (0.0, *distances)]
        cells += [(case, at_ms) for case in (FAR_TRIPS, READ_ONLY, ONE_WAY_READ, COMMIT, ONE_WAY_WRITE)]
        figures = [results.find(SITES, case, placing.key, round_trip_ms=distance) for case, distance in cells]
        if any(figures):
            rows.append([placing.title, *map(_shown, figures)])
    return [header, *rows] if rows else []


def _distances(results: Results) -> list[float]:
    return sorted(
        {
            figure.round_trip_ms
            for figure in results.figures
            if figure.workload == SITES and figure.case == BOOT_DATABASE
        }
        - {0.0}
    )


def target_distance_ms(results: Results) -> float:
    """The distance at which the targets are looked at: AT_MS, or the greatest one, if that was not measured."""
    distances = _distances(results)
    return AT_MS if AT_MS in distances or not distances else distances[-1]


def outages(results: Results) -> Table:
    """A row for each site that was lost."""
    rows: Table = []
    for outage in OUTAGES:
        found = {
            case: figure
            for figure in results.figures
            for case, _, _ in OUTAGE_CASES
            if (figure.workload, figure.case, figure.peer) == (SITES, case, outage.key)
        }
        if found:
            rows.append([f"the {outage.case}", *(_shown(found.get(case)) for case, _, _ in OUTAGE_CASES)])
    return [["", *(case for case, _, _ in OUTAGE_CASES)], *rows] if rows else []


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if figure.unit in ("trips", "commits"):
        return f"{figure.median:g}" if figure.median < 100 else f"{figure.median:,.0f}"
    return f"{figure.median:.0%}" if figure.unit == "share" else shown_value(figure.median, figure.unit)


def markdown_table(table: Table) -> list[str]:
    """The lines of a table in Markdown."""
    if not table:
        return []
    header, *rows = table
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return [lines[0], "|---" * len(header) + "|", *lines[1:]]


def boot_beside_galera(results: Results, placing: Placing, round_trip_ms: float) -> list[float]:
    """The database time of a boot, divided by that of one on a Galera node at the same site."""
    pair = [
        results.find(SITES, BOOT_DATABASE, key, round_trip_ms=round_trip_ms) for key in (placing.key, GALERA_HERE.key)
    ]
    return [] if pair[0] is None or pair[1] is None else ratios(pair[0], pair[1])


def write_trips(results: Results, placing: Placing) -> list[float]:
    """Round trips between sites that a transaction with a change waited for, at all distances."""
    return [
        run
        for figure in results.figures
        if (figure.workload, figure.case, figure.peer) == (SITES, ONE_WAY_WRITE, placing.key) and figure.round_trip_ms
        for run in figure.runs
    ]


def seen(results: Results, case: str, *keys: str) -> list[float]:
    """A figure of these outages, of each run."""
    return [
        run
        for figure in results.figures
        if (figure.workload, figure.case) == (SITES, case) and figure.peer in keys
        for run in figure.runs
    ]


ETCD_OUTAGES = (ETCD_NEAR_ELSEWHERE.key, ETCD_NEAR_HERE.key)


def sites_targets(results: Results) -> list[tuple[str, float, list[float]]]:
    """(what, the most that it may be, what it was in each run)"""
    found: list[tuple[str, float, list[float]]] = []
    at_ms = target_distance_ms(results)
    for placing in (ETCD_NEAR_ELSEWHERE, ETCD_NEAR_HERE, REDIS_NEAR):
        what = f"boot at {at_ms:g} ms between sites: {placing.title} / Galera"
        found.append((what, 1.0, boot_beside_galera(results, placing, at_ms)))
    for placing, limit in ((ETCD_NEAR_HERE, 1.0), (ETCD_NEAR_ELSEWHERE, 2.0)):
        what = f"a transaction that writes, round trips between sites: {placing.title}"
        found.append((what, limit, write_trips(results, placing)))
    for outage in OUTAGES:
        if outage.key in ETCD_OUTAGES:
            found.append((f"{outage.case}: {READS_GAP}, s", 0.1, seen(results, READS_GAP, outage.key)))
            found.append((f"{outage.case}: {COMMITS_GAP}, s", 3.0, seen(results, COMMITS_GAP, outage.key)))
    found.append(("acknowledged commits lost on etcd", 0.0, seen(results, LOST, *ETCD_OUTAGES)))
    return found
