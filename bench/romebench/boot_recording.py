"""Record what booting a server asks of Rome, to be replayed without Nova.

usage: python -m romebench.boot_recording FILE [COUNT]

The real Nova boots COUNT servers on databases in memory. FILE gets a dump of each database as it was before the first
of them, and every call of Rome's DBAPI from then on, with its parameters and how many rows it brought: see
bench/replay.py.
"""

import romekit.scenario as scenario  # isort: skip (first of all: it decides between eventlet and native threads)

import argparse
import functools
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import msgspec
import sqlalchemy as sa
from replay import Call, Database, Recording

import rome
from rome import dbapi
from rome.dbapi.connection import Connection
from rome.dbapi.cursor import Cursor

_SETTLING_S = 2.0  # what the warm-up servers have left to do in the background


class Recorder:
    """Notes the calls of all threads, in the order in which they ended, while it is `on`."""

    def __init__(self):
        self.on = False
        self.calls = []
        self._numbers = {}
        self._connections = {}
        self._lock = threading.Lock()
        for name in ("execute", "executemany"):
            setattr(Cursor, name, self._statement(name, getattr(Cursor, name)))
        for name in ("commit", "rollback"):
            setattr(Connection, name, self._ending(name, getattr(Connection, name)))
        connect = dbapi.connect

        @functools.wraps(connect)
        def connecting(url, *arguments, **options):
            connection = connect(url, *arguments, **options)
            self._connections[id(connection)] = connection, len(self._connections), str(url)
            return connection

        dbapi.connect = connecting

    def begin(self):
        """Dump the databases, and note what follows; returns the options of each database's URL, and its dump."""
        urls = sorted({url for _, _, url in self._connections.values()})
        databases = []
        for url in urls:
            with closing(rome.connect(url)) as connection:
                databases.append(Database(dict(sa.make_url(url).query), list(connection.iterdump())))
        self._numbers = {url: number for number, url in enumerate(urls)}
        self.on = True
        return databases

    def _note(self, connection, kind, sql, parameters, rows):
        _, number, url = self._connections[id(connection)]
        with self._lock:
            self.calls.append(Call(self._numbers[url], number, kind, sql, parameters, rows))

    def _statement(self, name, method):
        @functools.wraps(method)
        def statement(cursor, sql, parameters=()):
            found = method(cursor, sql, parameters)
            if self.on:
                rows = -1 if cursor.description is None else len(cursor._result.rows)
                self._note(cursor.connection, name, sql, parameters, rows)
            return found

        return statement

    def _ending(self, name, method):
        @functools.wraps(method)
        def ending(connection):
            found = method(connection)
            if self.on and id(connection) in self._connections:
                self._note(connection, name, "", (), -1)
            return found

        return ending


def main():
    """Record a boot's calls."""
    parser = argparse.ArgumentParser(prog="romebench.boot_recording", description="Record what a boot asks of Rome.")
    parser.add_argument("file", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=1)
    arguments = parser.parse_args()
    tell = scenario.progress()
    recorder = Recorder()
    databases = []

    def conduct(nova, _recorder):
        for _ in range(scenario.WARM_UP):
            nova.boot(nova.new_server())
        time.sleep(_SETTLING_S)
        databases.extend(recorder.begin())
        for number in range(1, arguments.count + 1):
            tell(f"server {number} of {arguments.count} is ACTIVE after {nova.boot(nova.new_server()):.2f} s")
        time.sleep(_SETTLING_S)
        recorder.on = False

    if not scenario.run("rome+memory:///{db}", tell, [], conduct):
        return 1
    recording = Recording(arguments.count, databases, recorder.calls)
    arguments.file.write_bytes(msgspec.msgpack.encode(recording))
    tell(f"{len(recorder.calls)} calls are in {arguments.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
