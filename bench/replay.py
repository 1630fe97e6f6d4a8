"""Replay what booting a server asked of Rome: the same statements each time, without Nova, in one thread.

    make replay                                                     records once, then replays in memory
    python bench/replay.py boot.msgpack 'rome+lmdb:////tmp/{db}.rome' --rounds 5
    python bench/replay.py boot.msgpack 'rome+memory:///{db}' --instructions
    python bench/replay.py boot.msgpack 'rome+memory:///{db}' --cold

A replay begins with fresh databases, which are loaded from the recording's dumps. What each call brings is compared
with what it brought when it was recorded. Printed is the CPU time of this thread, and the time, of all calls of one
boot. --instructions runs the same under `valgrind --tool=callgrind`, which counts what the processor executes: a figure
that no load of the machine changes. It counts two processes with one and with two replays, and the same without the
calls; the difference of the differences is one warm boot. Its connections are new, and take over what SQLite has
prepared for those of the boot before, which were closed (rome.workingset.idle).

--cold reads 64 MB of other memory before each call, which does not count. The code between two calls of a large
application does the same to the processor's caches: a call finds little of Rome's there. What saves instructions, but
touches as much memory, saves little then. Nova is between --cold 4, which spares caches of the third level, and this.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from callgrind import instructions
from msgspec import Struct
from sqlalchemy import make_url

import rome
from rome.dbapi import Connection

SHOWN = 10
COLD_MB = 64


class Walk:
    """Empties the processor's caches between calls; `wall` and `cpu` are the seconds that this took."""

    def __init__(self, megabytes: int) -> None:
        self._memory = b"\1" * (megabytes << 20)
        self.wall = self.cpu = 0.0

    def __call__(self) -> None:
        """Read all of the memory."""
        wall, cpu = time.perf_counter(), time.thread_time()
        self._memory.find(0)
        self.cpu += time.thread_time() - cpu
        self.wall += time.perf_counter() - wall


class Call(Struct, array_like=True):
    """A call of the DBAPI: `kind` is the method; `rows` that it brought, -1 for none of SELECT's kind."""

    database: int
    connection: int
    kind: str
    sql: str
    parameters: Any
    rows: int


class Database(Struct):
    """Options of a database's URL, and the statements that make it as it was before the boot."""

    options: dict[str, str]
    dump: list[str]


class Recording(Struct):
    """So many boots."""

    boots: int
    databases: list[Database]
    calls: list[Call]


class Replay:
    """Fresh databases, and the connections to them that the calls of a recording go to."""

    def __init__(self, recording: Recording, template: str, number: int) -> None:
        self._calls = recording.calls
        self._urls = [
            make_url(template.replace("{db}", f"replay{number}_{n}")).update_query_dict(database.options)
            for n, database in enumerate(recording.databases)
        ]
        self._connections: dict[int, Connection] = {}
        for n, (url, database) in enumerate(zip(self._urls, recording.databases, strict=True)):
            rome.drop_database(url)
            loader = self._connections[-1 - n] = rome.connect(url)  # stays: a database in memory ends with its last one
            for sql in database.dump:
                loader.execute(sql)
            loader.commit()
        for call in self._calls:
            if call.connection not in self._connections:
                self._connections[call.connection] = rome.connect(self._urls[call.database])

    def run(self, before_each: Callable[[], None] | None = None) -> list[str]:
        """Make all calls; returns what came out differently."""
        different = []
        for call in self._calls:
            if before_each is not None:
                before_each()
            connection = self._connections[call.connection]
            if call.kind in ("commit", "rollback"):
                getattr(connection, call.kind)()
                continue
            cursor = connection.cursor()
            try:
                getattr(cursor, call.kind)(call.sql, call.parameters)
            except rome.dbapi.Error as error:
                different.append(f"{error}: {call.sql[:200]}")
                continue
            found = -1 if cursor.description is None else len(cursor.fetchall())
            if found != call.rows:
                different.append(f"{found} rows instead of {call.rows}: {call.sql[:200]}")
        return different

    def close(self) -> None:
        """Delete the databases."""
        for connection in self._connections.values():
            connection.close()
        for url in self._urls:
            rome.drop_database(url)


def measure(recording: Recording, template: str, rounds: int, *, calls: bool, cold_mb: int = 0) -> None:
    """Replay so often, and print what each took; without `calls`, only make the databases."""
    for number in range(rounds):
        replay = Replay(recording, template, number)
        if calls:
            walk = Walk(cold_mb)
            wall, cpu = time.perf_counter(), time.thread_time()
            different = replay.run(walk if cold_mb else None)
            wall, cpu = time.perf_counter() - wall - walk.wall, time.thread_time() - cpu - walk.cpu
            boots = recording.boots
            print(
                f"{cpu / boots * 1e3:8.2f} ms of CPU, {wall / boots * 1e3:8.2f} ms per boot of "
                f"{len(recording.calls) / boots:.0f} calls; {len(different)} came out differently",
                flush=True,
            )
            for line in different[:SHOWN] if number == 0 else ():
                print(f"  {line}", file=sys.stderr)
        replay.close()


def main() -> None:
    """Replay the recorded calls, and print what they cost."""
    parser = argparse.ArgumentParser(description="Replay what a boot asked of Rome.")
    parser.add_argument("file", type=Path, help="what romebench.boot_recording wrote")
    parser.add_argument("url", help="a URL of Rome's with {db}; databases replay0_0, .. are made there, and deleted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load-only", action="store_true", help="make the databases, and leave out the calls")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--instructions", action="store_true", help="count them by valgrind; takes some minutes")
    how.add_argument(
        "--cold", type=int, nargs="?", const=COLD_MB, default=0, metavar="MB",
        help="empty the processor's caches before each call: read so much other memory, %(const)s MB if not said",
    )  # fmt: skip
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", rome.errors.PersistenceWarning)
    recording = msgspec.msgpack.decode(arguments.file.read_bytes(), type=Recording)
    if not arguments.instructions:
        calls = not arguments.load_only
        return measure(recording, arguments.url, arguments.rounds, calls=calls, cold_mb=arguments.cold)
    counted = {
        (rounds, load): instructions(
            [sys.executable, __file__, str(arguments.file), arguments.url, "--rounds", str(rounds), *load]
        )
        for rounds in (1, 2)
        for load in ((), ("--load-only",))
    }
    loading = counted[2, ("--load-only",)] - counted[1, ("--load-only",)]
    warm = counted[2, ()] - counted[1, ()] - loading
    cold = counted[1, ()] - counted[1, ("--load-only",)]
    print(f"{warm / recording.boots:,.0f} instructions per warm boot, {cold / recording.boots:,.0f} when cold")
    return None


if __name__ == "__main__":
    main()
