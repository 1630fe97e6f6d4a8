"""Count the instructions that a Redis server executes for a commit or a read, by valgrind: no load changes the figure.

Each kind of request is sent 50 times and 250 times to a server of its own; the difference is 200 of them. The commits
are those that SQL makes for a table with a unique index and another one. *Trimming*: the history has as many bytes as
it may, so for what a commit adds to it, as much is discarded.

    make server-instructions                                    some 2 minutes; needs valgrind and redis-server
    python bench/server_instructions.py --server valkey-server --only 'UPDATE of a row'
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from secrets import token_bytes

from rome.errors import PersistenceWarning, StoreBusyError, StoreUnavailableError
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.spi import CommitRequest, Get, Request, Reserve, Retention, Scan, Version

FEW, MANY = 50, 250
ROWS = 300
"""So many rows are there at first: more than what a server keeps in one piece."""
START_S = 60.0

Commit = Callable[[RedisStore, int], Version]
Operation = Callable[[RedisStore, int], object]
"""What is counted; it is told how many came before."""


def _key(number: int) -> bytes:
    return b"\x16%02d" % number


def insert(rows: int) -> Commit:
    """INSERT of so many rows: none of them is there, nor their unique keys; the ids are above the sequence."""

    def commit(store: RedisStore, number: int) -> Version:
        snapshot = store.last_snapshot()
        numbers = range((number + 1) * 100, (number + 1) * 100 + rows)
        keys = [_key(each) for each in numbers]
        return store.commit(
            CommitRequest(
                transaction_id=token_bytes(16),
                snapshot=snapshot,
                points={1: dict.fromkeys(keys, 0)},
                ranges={(1, 1, False): {(b"0u%b" % key, b"0u%b\xff" % key): snapshot.version for key in keys}},
                rows={1: dict.fromkeys(keys, b"r" * 60)},
                entries={
                    (1, 1): {(b"0u%b" % key, key): True for key in keys},
                    (1, 2): {(b"0w", key): True for key in keys},
                },
                sequences={1: numbers[-1]},
            )
        )

    return commit


def update(rows: int) -> Commit:
    """UPDATE of so many rows, of no column that is in an index."""
    versions: dict[bytes, Version] = {}

    def commit(store: RedisStore, number: int) -> Version:
        keys = [_key(each) for each in range(100, 100 + rows)]
        version = store.commit(
            CommitRequest(
                transaction_id=token_bytes(16),
                snapshot=store.last_snapshot(),
                points={1: {key: versions.get(key, 0) for key in keys}},
                rows={1: dict.fromkeys(keys, b"%060d" % number)},
            )
        )
        versions.update(dict.fromkeys(keys, version))
        return version

    return commit


def read(*requests: Request, reserves: Sequence[Reserve] = ()) -> Operation:
    """The first read of a transaction."""

    def ask(store: RedisStore, _: int) -> object:
        return store.read(None, requests, reserves)

    return ask


def _rows(count: int, number: int = 100_100) -> Scan:
    """A range of an index with so many rows, of which fill() has made ten."""
    assert 0 < count <= 10
    return Scan(1, 1, b"0u%b" % _key(number), b"0u%b\xff" % _key(number + count - 1))


OPERATIONS: dict[str, tuple[Callable[[], Operation], bool]] = {
    "read of a row by key": (lambda: read(Get(1, (_key(100_100),))), False),
    "read of a row by an index": (lambda: read(_rows(1)), False),
    "read of 10 rows by an index": (lambda: read(_rows(10)), False),
    "read of two ranges": (lambda: read(_rows(1), _rows(1, 100_105)), False),
    "read by key, with an id": (lambda: read(Get(1, (_key(100_100),)), reserves=[Reserve(1, 1)]), False),
    "INSERT of a row": (lambda: insert(1), False),
    "INSERT of a row, trimming": (lambda: insert(1), True),
    "UPDATE of a row": (lambda: update(1), False),
    "UPDATE of a row, trimming": (lambda: update(1), True),
    "INSERT of 5 rows": (lambda: insert(5), False),
    "INSERT of 5 rows, trimming": (lambda: insert(5), True),
}
"""{what: (makes the function that is counted, whether the history is full)}; a table with two indexes."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


def _open(port: int) -> RedisStore:
    """Connect once the server, which valgrind makes slow, has started."""
    until = time.monotonic() + START_S
    while True:
        try:
            return RedisStore.open(Location("redis", "counted", "127.0.0.1", port))
        except (StoreUnavailableError, StoreBusyError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def executed(server: str, name: str, times: int, out: str | None = None) -> int:
    """The instructions of a server from its start to its end, which is asked so often."""
    make, trims = OPERATIONS[name]
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen(
            [
                *("valgrind", "--tool=callgrind", f"--callgrind-out-file={out or folder + '/out'}", server),
                *("--port", str(port), "--save", "", "--dir", folder, "--hz", "1", "--dynamic-hz", "no"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            with closing(_open(port)) as store:
                fill = insert(10)
                for number in range(1000, 1000 + ROWS // 10):
                    fill(store, number)
                store.set_retention(Retention(3600.0, 200_000) if trims else Retention())
                store.trim()
                ask = make()
                for number in range(times):
                    ask(store, number)
        finally:
            running.terminate()
            _, told = running.communicate(timeout=START_S)
    found = re.search(r"Collected : (\d+)", told)
    if found is None:
        raise SystemExit(f"valgrind failed:\n{told[-2000:]}")
    return int(found[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the instructions of each kind of request, as they are counted."""
    parser = argparse.ArgumentParser(description="Count the instructions that a server executes for a request.")
    parser.add_argument(
        "--server", default="redis-server", help="the server's program; redis-server unless it is named"
    )
    parser.add_argument("--only", choices=OPERATIONS, help="only this kind of request")
    parser.add_argument("--out", help="keep callgrind's file here, for callgrind_annotate")
    options = parser.parse_args(arguments)
    for program in ("valgrind", options.server):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed")
    warnings.simplefilter("ignore", PersistenceWarning)
    for name in [options.only] if options.only else OPERATIONS:
        few, many = (executed(options.server, name, times, options.out) for times in (FEW, MANY))
        print(f"{name:28}{(many - few) // (MANY - FEW):12,} instructions", flush=True)


if __name__ == "__main__":
    main()
