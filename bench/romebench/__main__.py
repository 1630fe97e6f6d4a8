"""Measure Rome beside its peers.

usage: python -m romebench [--only WORKLOAD,..] [--peers PEER,..] [--runs N] [--quick] [--out FOLDER] ..

The program starts the servers itself, on 127.0.0.1 and on free ports, and stops them. It writes results.json,
index.html and table.md after each workload, so that an interruption loses little. It ends with status 1 if a peer
failed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path

from romebench.cases import BOOT, BULK, CONCURRENCY, LISTS, MICRO, SITES
from romebench.figures import Failure, Results
from romebench.page import page
from romebench.peers import PEERS, Peer
from romebench.sites.placings import SITES_KEYS
from romebench.sites.report import by_distance, markdown_table, outages
from romebench.stage import Sizes, Stage
from romebench.targets import findings, markdown, text_table
from romebench.workloads import boot, bulk, concurrency, lists, micro, sites

WORKLOADS: dict[str, Callable[[Stage], None]] = {
    MICRO: micro.run,
    BOOT: boot.run,
    CONCURRENCY: concurrency.run,
    BULK: bulk.run,
    LISTS: lists.run,
    SITES: sites.run,
}
"""In the order in which they run: small workloads come before the large tables that fill a server's memory."""

_DEFAULT = [name for name in WORKLOADS if name != SITES]
"""Several sites take root, and are measured by themselves."""

ONLY_DURABLE = frozenset({BULK, LISTS, SITES})
"""These wait for few commits or none, so they run at one durability only."""

FULL = Sizes(
    runs=5,
    boots=20,
    at_once=8,
    round_trips_ms=(0.1, 0.25, 0.5, 1, 2, 10, 50),
    operations=300,
    rows=1_000_000,
    servers=100_000,
    seconds=0.4,
    clients=(1, 2, 4, 8, 16),
    site_round_trips_ms=(10, 50, 100),
    placings=(),
    site_runs=3,
    far_runs=1,
    outage_round_trip_ms=50,
    quiet_s=5,
    cut_s=15,
    budget_s=120,
)
QUICK = Sizes(
    runs=5,
    boots=5,
    at_once=1,
    round_trips_ms=(),
    operations=50,
    rows=20_000,
    servers=1_000,
    seconds=0.1,
    clients=(1, 4),
    site_round_trips_ms=(10,),
    placings=(),
    site_runs=1,
    far_runs=1,
    outage_round_trip_ms=10,
    quiet_s=2,
    cut_s=10,
    budget_s=20,
)
_PACKAGES = ("sqlalchemy", "apsw", "lmdb", "redis", "hiredis", "PyMySQL", "mysqlclient", "psycopg2-binary", "nova")


def main() -> int:
    """Run the workloads and write their results; returns the exit status."""
    arguments = _arguments()
    sizes = replace(
        QUICK if arguments.quick else FULL,
        **{field.name: value for field in fields(Sizes) if (value := getattr(arguments, field.name, None)) is not None},
    )
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    results = Results({"date": f"{dt.datetime.now():%Y-%m-%d %H:%M}", "machine": _machine(), "sizes": asdict(sizes)})
    results.conditions["versions"] = {name: found for name in _PACKAGES if (found := _version(name))}
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="romebench-") as folder:
            Path(folder).chmod(0o755)  # PostgreSQL's user must get through
            for durable in arguments.durable:
                _run_stage(results, Path(folder), arguments, sizes, durable=durable)
    finally:
        results.conditions["minutes"] = round((time.monotonic() - started) / 60, 1)
        _write(results, out)
    for table in (by_distance(results), outages(results)):
        print("\n" + "\n".join(markdown_table(table)) if table else "")
    print(f"\n{text_table(findings(results))}\n")
    print(f"{results.conditions['minutes']} minutes. Plots and all figures: {out / 'index.html'}", flush=True)
    return 1 if results.failures else 0


def _run_stage(results: Results, folder: Path, arguments: argparse.Namespace, sizes: Sizes, *, durable: bool) -> None:
    names = [name for name in WORKLOADS if name in arguments.only and (durable or name not in ONLY_DURABLE)]
    if not names:
        return
    print(f"Commits {'are flushed to disk before they are acknowledged' if durable else 'do not wait for the disk'}")
    place = folder / ("durable" if durable else "fast")
    peers = [] if names == [SITES] else _usable(results, arguments.peers, durable)  # it has databases of its own
    with Stage(peers, place, results, sizes, durable=durable) as stage:
        results.conditions.setdefault("peers", {}).update(stage.settings())
        results.conditions[f"settings, {'durable' if durable else 'not durable'}"] = stage.settings()
        for name in names:
            started = time.monotonic()
            print(f"{name}:", flush=True)
            WORKLOADS[name](stage)
            print(f"  {name} took {time.monotonic() - started:.0f} s", flush=True)
            _write(results, arguments.out)


def _usable(results: Results, peers: list[Peer], durable: bool) -> list[Peer]:
    """The peers whose driver is installed; the others are reported."""
    usable = []
    for peer in peers:
        reason = peer.why_not()
        if reason is None:
            usable.append(peer)
        else:
            print(f"  {peer.key} is left out: {reason}", flush=True)
            results.failures.append(Failure("driver", peer.key, durable, reason))
    return usable


def _write(results: Results, out: Path) -> None:
    results.save(out / "results.json")
    (out / "index.html").write_text(page(results))
    (out / "table.md").write_text(markdown(results))


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    return f"{os.cpu_count()} x {cpu}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None


def _arguments() -> argparse.Namespace:
    by_key = {peer.key: peer for peer in PEERS}
    parser = argparse.ArgumentParser(prog="romebench", description="Measure Rome beside its peers.")
    parser.add_argument("--only", type=_names(list(WORKLOADS)), default=_DEFAULT, help=", ".join(WORKLOADS))
    parser.add_argument("--peers", type=_names(list(by_key)), default=list(by_key), help=", ".join(by_key))
    parser.add_argument("--durable", type=_names(["on", "off"]), help="on, off or on,off, the default; quick: on")
    parser.add_argument("--quick", action="store_true", help="small sizes, no delays, below five minutes")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of what is written")
    for name in ("runs", "boots", "at-once", "operations", "rows", "servers"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("seconds", "budget-s"):
        parser.add_argument(f"--{name}", type=float)
    for name in ("site-runs", "far-runs"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("outage-round-trip-ms", "quiet-s", "cut-s"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--site-round-trips-ms", type=_numbers, help="distances between sites, such as 10,50,100")
    parser.add_argument("--placings", type=_keys, help=f"what is compared at several sites: {', '.join(SITES_KEYS)}")
    parser.add_argument("--round-trips-ms", type=_numbers, help="delays, such as 2,10,50")
    parser.add_argument("--clients", type=lambda text: tuple(map(int, _numbers(text))), help="processes, such as 1,4")
    arguments = parser.parse_args()
    arguments.peers = [by_key[key] for key in arguments.peers]
    chosen = arguments.durable or (["on"] if arguments.quick else ["on", "off"])
    arguments.durable = [word == "on" for word in chosen]
    return arguments


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in chosen]

    return names


def _keys(text: str) -> tuple[str, ...]:
    return tuple(_names(SITES_KEYS)(text))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split(",") if word.strip())


if __name__ == "__main__":
    sys.exit(main())
