"""`python -m rome.testing.isolation URL`: load a store with transactions, and check that they were isolated."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

import rome
from rome.testing.isolation.check import JUDGED_BY_TIME
from rome.testing.isolation.load import Clients, Load, LoadRun, reads_near
from rome.testing.isolation.workloads import WORKLOADS

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
KEYS = {"hot": 4, "uniform": 100}
"""{how many keys are in use at a time: what that is called}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loads; returns 1 if a level was broken, otherwise 0."""
    parser = argparse.ArgumentParser(prog="isolation", description="Load a store, and check its isolation levels.")
    parser.add_argument("url", help="a URL of Rome with {db} in place of the database's name")
    parser.add_argument("--transactions", type=int, default=200_000, help="how many in all; default 200000")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--level", choices=LEVELS, help="default: all, one after the other")
    parser.add_argument("--workload", choices=WORKLOADS, help="default: all, one after the other")
    chosen = parser.parse_args(arguments)
    if "{db}" not in chosen.url:
        parser.error("the URL must hold {db} in place of the database's name: every run uses a database of its own")
    runs: list[LoadRun] = []
    with Clients(chosen.processes) as clients:
        for load in _loads(chosen):
            try:
                run = clients.run(load)
            finally:
                rome.drop_database(load.url)
            print(_line(run), flush=True)
            for anomaly in run.verdict.forbidden:
                print(f"  {anomaly}")
            runs.append(run)
    broken = sum(not run.verdict.valid for run in runs)
    url = sa.make_url(chosen.url).render_as_string().replace("%7Bdb%7D", "{db}")
    print(f"{url}: {_total(runs)}; {broken} of {len(runs)} runs broke their level")
    return 1 if broken else 0


def _loads(chosen: argparse.Namespace) -> Iterator[Load]:
    near = reads_near(chosen.url)
    all_workloads = [name for name in WORKLOADS if not (near and name in JUDGED_BY_TIME)]
    workloads = [chosen.workload] if chosen.workload else all_workloads
    levels = [chosen.level] if chosen.level else LEVELS
    each = -(-chosen.transactions // (len(workloads) * len(levels) * len(KEYS)))
    for workload in workloads:
        for level in levels:
            for keys in KEYS.values():
                name = f"isolation_{os.getpid()}_{workload}_{level.replace(' ', '_').lower()}_{keys}"
                yield Load(chosen.url.replace("{db}", name), workload, level, keys, each)


def _line(run: LoadRun) -> str:
    which = next(name for name, keys in KEYS.items() if keys == run.load.keys)
    tolerated = Counter(each.kind.name for each in run.verdict.tolerated)
    seen = ", ".join(sorted(tolerated)) or "none"
    return (
        f"{run.load.workload:9} {run.load.level:14} {which:7} {_total([run])};"
        f" anomalies: {len(run.verdict.forbidden)} forbidden; allowed: {seen}"
    )


def _total(runs: Sequence[LoadRun]) -> str:
    outcomes: Counter[str] = Counter()
    for run in runs:
        outcomes.update(run.verdict.outcomes)
    seconds = sum(run.seconds for run in runs)
    count = outcomes.total()
    conflicts, replays = sum(run.conflicts for run in runs), sum(run.replays for run in runs)
    return (
        f"{count:,} transactions, {count / seconds:,.0f}/s, {outcomes['ok']:,} committed,"
        f" {100 * conflicts / count:.1f} % conflicts, {replays:,} replays"
    )


if __name__ == "__main__":
    sys.exit(main())
