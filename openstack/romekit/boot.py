"""Boot servers with the real Nova and Placement, and report what that cost the database.

usage: python -m romekit.boot [--count N] [--at-once N] [--out FILE] URL...

A URL is any SQLAlchemy URL that holds `{db}`; `own-redis` stands for a Redis or Valkey server that is started for this
boot and stopped after it. The program stops at the first URL on which a server does not become ACTIVE or Nova logs an
error, shows what Nova logged, and ends with status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from romekit import report
from romekit.databases import shown, url_template
from romekit.environment import ROOT, source_tree
from romekit.recorder import Recording
from tests.support.servers import Server

OWN_REDIS = "own-redis"
_LINES_SHOWN = 40
_MOST = 10


def main() -> int:
    """Boot servers on each URL; returns the exit status."""
    parser = argparse.ArgumentParser(prog="romekit.boot", description="Boot servers through the real Nova.")
    parser.add_argument("--count", type=int, default=3, help="servers to boot and record")
    parser.add_argument("--at-once", type=int, default=1, help="how many of them at a time")
    parser.add_argument("--out", type=Path, help="write every recorded request to this JSON file")
    parser.add_argument("--all-requests", action="store_true", help=f"show all requests, not the first {_MOST}")
    parser.add_argument("urls", nargs="+", type=_url, metavar="URL", help=f"SQLAlchemy URL with {{db}}, or {OWN_REDIS}")
    arguments = parser.parse_args()
    for url in arguments.urls:
        with _served(url) as served_url:
            most = None if arguments.all_requests else _MOST
            if not boot(served_url, arguments.count, arguments.at_once, arguments.out, most):
                return 1
    return 0


def _url(text: str) -> str:
    return text if text == OWN_REDIS else url_template(text)


@contextlib.contextmanager
def _served(url: str) -> Iterator[str]:
    """The URL itself; for OWN_REDIS, the URL of a server that runs as long as the context."""
    if url != OWN_REDIS:
        yield url
        return
    with tempfile.TemporaryDirectory() as directory:
        server = Server("redis", Path(directory)).start()
        try:
            yield f"rome+redis://{server.host}:{server.port}/{{db}}"
        finally:
            server.stop()


def boot(url: str, count: int, at_once: int = 1, out: Path | None = None, most: int | None = _MOST) -> bool:
    """Boot `count` servers with all databases on `url`, and print what that cost; returns whether all went well.

    Args:
        out: write every recorded request to this file.
        most: how many requests are shown, the most expensive first; None for all.
    """
    together = f", {at_once} at once," if at_once > 1 else ""
    print(f"Real Nova and Placement boot {count} servers{together} on {shown(url)}", flush=True)
    log_path = ROOT / "boot.log"
    with tempfile.TemporaryDirectory() as directory:
        recorded = out or Path(directory) / "requests.json"
        with log_path.open("w") as log:
            status = subprocess.run(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "romekit.scenario",
                    url,
                    str(count),
                    str(at_once),
                    str(recorded),
                ],
                env={**os.environ, **nova_environment()},
                stderr=log,
                check=False,
            ).returncode
        if status:
            print(f"\nThe boot failed. From {log_path}:\n{what_matters(log_path.read_text())}", file=sys.stderr)
            return False
        print(f"\nOK: all {count} servers are ACTIVE, with every database on {shown(url)}.")
        print(f"{report.table(Recording.load(recorded), most)}\n", flush=True)
    return True


def nova_environment() -> dict[str, str]:
    """The environment for a process that imports Nova's functional tests."""
    path = [str(source_tree("nova")), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path), "OS_NOVA_DISABLE_EVENTLET_PATCHING": "1"}


def what_matters(log: str) -> str:
    """The last lines of a log that say what went wrong: warnings, errors and exceptions, without stack frames."""
    kept = [line for line in log.splitlines() if line.strip() and not line.startswith(" ") and " INFO " not in line]
    return "\n".join(kept[-_LINES_SHOWN:])


if __name__ == "__main__":
    sys.exit(main())
