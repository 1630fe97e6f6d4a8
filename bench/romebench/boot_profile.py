"""Where the time of a boot goes inside Rome.

usage: python -m romebench.boot_profile URL [COUNT]     (URL: any of Rome's with {db}, or own-redis)

The real Nova boots COUNT servers, and its calls of Rome's DBAPI run under cProfile, which makes Python about twice as
slow: trust the shares, not the sums. Times are a thread's CPU time, so waiting for the store, the disk or another
thread does not count. The time of another library's functions, and of C functions, counts for the module of Rome that
called them.
"""

import romekit.scenario as scenario  # isort: skip (first of all: it decides between eventlet and native threads)

import argparse
import cProfile
import functools
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from romekit.databases import url_template

import rome
from rome import dbapi
from rome.dbapi.connection import Connection
from rome.dbapi.cursor import Cursor
from tests.support.servers import Server

_ENTRIES = {
    Cursor: ("execute", "executemany", "fetchone", "fetchmany", "fetchall"),
    Connection: ("commit", "rollback", "close", "is_usable"),
}
_FUNCTIONS_SHOWN = 40
_PACKAGE = str(Path(rome.__file__).parent)


class Profiler:
    """Profiles the calls of Rome's DBAPI, in every thread, while `on` is true."""

    def __init__(self):
        self.on = False
        self._local = threading.local()
        self._profiles = []
        for owner, names in _ENTRIES.items():
            for name in names:
                setattr(owner, name, self._profiled(getattr(owner, name)))
        dbapi.connect = self._profiled(dbapi.connect)

    def _profiled(self, function):
        @functools.wraps(function)
        def profiled(*arguments, **options):
            local = self._local
            if not self.on or getattr(local, "inside", False):
                return function(*arguments, **options)
            if not hasattr(local, "profile"):
                local.profile = cProfile.Profile(time.thread_time)
                self._profiles.append(local.profile)
            local.inside = True
            local.profile.enable()
            try:
                return function(*arguments, **options)
            finally:
                local.profile.disable()
                local.inside = False

        return profiled

    def stats(self):
        """The statistics of all threads together."""
        total = pstats.Stats(stream=sys.stdout)
        for profile in self._profiles:
            total.add(profile)
        return total


def by_module(stats):
    """{module of Rome: seconds}; the time of functions outside of Rome is divided among the modules that call them."""
    outside = {}

    def shares(function, seen=()):
        """A function's own time, divided: {module of Rome: share}."""
        module = _module(function)
        if module is not None:
            return {module: 1.0}
        if function in outside:
            return outside[function]
        callers = stats.stats[function][4]
        weights = {caller: max(timing[3], 1e-9) for caller, timing in callers.items() if caller not in seen}
        total = sum(weights.values())
        found = Counter()
        for caller, weight in weights.items():
            for name, share in shares(caller, (*seen, function)).items():
                found[name] += share * weight / total
        if not seen:
            outside[function] = found
        return found

    seconds = Counter()
    for function, (_, _, own, _, _) in stats.stats.items():
        for name, share in shares(function).items():
            seconds[name] += own * share
    return seconds


def _module(function):
    path = function[0]
    return path[len(_PACKAGE) + 1 : -3].replace("/", ".") if path.startswith(_PACKAGE) else None


def report(stats, boots):
    """The report's lines: time per boot by module, then by function."""
    seconds = by_module(stats)
    total = sum(seconds.values())
    lines = [f"{'ms/boot':>8} {'share':>6}  module of Rome, with what it calls elsewhere"]
    lines += [
        f"{own / boots * 1e3:8.2f} {own / total:6.1%}  {name}"
        for name, own in seconds.most_common()
        if own / total > 0.002
    ]
    lines += [f"{total / boots * 1e3:8.2f}         all", "", f"{'ms/boot':>8} {'calls':>8}  function, alone"]
    functions = sorted(stats.stats.items(), key=lambda item: item[1][2], reverse=True)
    for (path, number, name), (_, calls, own, _, _) in functions[:_FUNCTIONS_SHOWN]:
        place = path.removeprefix(f"{_PACKAGE}/") if path.startswith(_PACKAGE) else Path(path).name
        where = name if path == "~" else f"{place}:{number} {name}"
        lines.append(f"{own / boots * 1e3:8.2f} {calls / boots:8.1f}  {where}")
    return lines


def main():
    """Boot the servers, and print where the time went."""
    parser = argparse.ArgumentParser(prog="romebench.boot_profile", description="Where a boot's time goes in Rome.")
    parser.add_argument("url", type=lambda text: text if text == "own-redis" else url_template(text))
    parser.add_argument("count", type=int, nargs="?", default=10)
    arguments = parser.parse_args()
    tell = scenario.progress()
    if arguments.url != "own-redis":
        return _profile(arguments.url, arguments.count, tell)
    with tempfile.TemporaryDirectory() as folder:
        server = Server("redis", Path(folder), {"appendonly": "yes", "appendfsync": "no"}).start()
        try:
            return _profile(f"rome+redis://{server.host}:{server.port}/{{db}}", arguments.count, tell)
        finally:
            server.stop()


def _profile(url, count, tell):
    profiler = Profiler()

    def conduct(nova, _recorder):
        for _ in range(scenario.WARM_UP):
            nova.boot(nova.new_server())
        for number in range(1, count + 1):
            server = nova.new_server()
            profiler.on = True
            seconds = nova.boot(server)
            profiler.on = False
            tell(f"server {number} of {count} is ACTIVE after {seconds:.2f} s")

    if not scenario.run(url, tell, [], conduct):
        return 1
    for line in report(profiler.stats(), count):
        tell(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
