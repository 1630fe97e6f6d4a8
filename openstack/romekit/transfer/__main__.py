"""Nova's and Keystone's databases, with many servers, from a MariaDB of its own into Rome and back, compared.

usage: python -m romekit.transfer [--count N] [--stores lmdb,redis]

On LMDB `rome import` makes the tables, and is killed in the middle once; `rome export` makes them in an empty MariaDB.
On Redis the services' own migrations make the tables, and so they do for the way back. Each step prints its size and
time. The program ends with an error at the first difference.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pymysql
import redis
import sqlalchemy as sa

from romekit.transfer import multiply
from romekit.transfer.comparison import Comparison
from romekit.transfer.services import DATABASES, Services, has_keystone
from tests.support.servers import Server
from tests.support.sql_servers import MariaDb

MB = 1_000_000
_CUT_OFF_FROM = 1_000
"""Servers. With fewer, an import is over before it can be cut off."""


def main() -> int:
    """Run the whole; returns the exit status."""
    parser = argparse.ArgumentParser(prog="romekit.transfer", description="Nova's databases into Rome and back.")
    parser.add_argument("--count", type=int, default=100_000, help="how many servers")
    parser.add_argument("--stores", default="lmdb,redis", help="which of them")
    arguments = parser.parse_args()
    missing = MariaDb.missing()
    if missing is not None:
        print(missing, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, _running(MariaDb()) as server:
        trip = Trip(server, Path(folder), arguments.count)
        trip.fill()
        for store in arguments.stores.split(","):
            trip.run(store)
    print("OK: everything came back equal")
    return 0


class Trip:
    """One filled MariaDB, and what is done with it."""

    def __init__(self, server: MariaDb, folder: Path, count: int) -> None:
        self._server, self._folder, self._count = server, folder, count
        self._databases = [name for name in DATABASES if name != "keystone" or has_keystone()]
        self._services = Services(self._mariadb(""), folder / "mariadb")
        self._redis: Server | None = None

    def fill(self) -> None:
        """Make the schemas by the services' own commands, and rows."""
        if not has_keystone():
            print("Keystone is left out: make .demo/keystone/venv/ready installs it")
        self._create("")
        self._services.migrate(self._databases)
        self._services.make_one_of_each()
        engines = [sa.create_engine(self._services.url(name)) for name in ("nova", "nova_api", "keystone")]
        with _timed(f"{self._count:,} servers made in MariaDB"):
            multiply.servers(engines[0], engines[1], self._count)
            if has_keystone():
                multiply.users(engines[2], self._count)
        for engine in engines:
            engine.dispose()
        rows = sum(self._rows(name) for name in self._databases)
        print(f"MariaDB: {rows:,} rows, {self._mariadb_bytes() / MB:,.0f} MB of .ibd files")

    def run(self, store: str) -> None:
        """Into a store and back, with all comparisons."""
        print(f"\n{store}")
        own_schema = store != "lmdb"
        with self._place(store) as place:
            there = Services(place, self._folder / store)
            if own_schema:
                there.migrate(self._databases)
            for name in self._databases:
                self._import(
                    name, there.url(name), is_cut_off=name == "nova" and not own_schema and self._count >= _CUT_OFF_FROM
                )
            self._sizes(store, there)
            back = f"_{store}"
            self._create(back)
            if own_schema:
                Services(self._mariadb(back), self._folder / f"{store}_back").migrate(self._databases)
            for name in self._databases:
                target = self._mariadb(back).replace("{db}", name)
                with _timed(f"{name}: export"):
                    _rome("export", there.url(name), target, "--yes")
                comparison = Comparison(self._server.host, self._server.port, name, name + back)
                print(f"{name}: {comparison.rows():,} rows came back equal", flush=True)
                if own_schema:
                    print(f"{name}: {comparison.exactly()} tables with the same statements and CHECKSUM TABLE")
            self._compare_shown(there)

    def _import(self, name: str, target: str, *, is_cut_off: bool) -> None:
        source = self._services.url(name)
        if is_cut_off:
            seconds = self._cut_off(source, target)
            print(f"{name}: import killed after {seconds:.1f} s, and begun again")
        with _timed(f"{name}: import", self._rows(name)):
            _rome("import", source, target, "--yes")

    def _cut_off(self, source: str, target: str) -> float:
        """Kill an import once it has copied rows of the largest table."""
        began = time.monotonic()
        engine = sa.create_engine(target)
        with subprocess.Popen(_command("import", source, target, "--yes"), stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                time.sleep(0.2)
                with contextlib.suppress(sa.exc.DBAPIError), engine.connect() as connection:
                    query = "SELECT position FROM rome_bulk WHERE job LIKE '%instance_system_metadata' AND NOT finished"
                    if connection.execute(sa.text(query)).first():
                        process.kill()
            if process.returncode != -9:
                raise RuntimeError("the import ended before it could be killed: more servers are needed")
        engine.dispose()
        return time.monotonic() - began

    def _compare_shown(self, there: Services) -> None:
        """Compare what the services' objects show on both, and see that they can go on writing."""
        expected = self._services.shown()
        there.move_cells_here()
        with _timed("Nova's and Keystone's objects read"):
            found = there.shown()
        for service, shown in expected.items():
            different = {what for what, value in shown.items() if found[service][what] != value}
            if different:
                raise RuntimeError(f"{service} shows other {', '.join(sorted(different))}")
        print("Nova's and Keystone's objects show the same on Rome and on MariaDB")

    def _sizes(self, store: str, there: Services) -> None:
        dump = self._folder / "nova.dump"
        with _timed("nova: dump"):
            _rome("dump", there.url("nova"), str(dump))
        print(f"nova.dump: {dump.stat().st_size / MB:,.0f} MB")
        dump.unlink()
        if store == "lmdb":
            size = sum(path.stat().st_blocks * 512 for path in self._folder.glob("lmdb_*.rome"))
            print(f"LMDB: {size / MB:,.0f} MB of files")
        elif self._redis is not None:
            with redis.Redis(self._redis.host, self._redis.port) as client:
                print(f"Redis: {client.info('memory')['used_memory'] / MB:,.0f} MB")

    # ------------------------------------------------------------ MariaDB
    def _mariadb(self, suffix: str) -> str:
        return f"mysql+pymysql://root@{self._server.host}:{self._server.port}/{{db}}{suffix}"

    def _create(self, suffix: str) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            for name in self._databases:
                cursor.execute(f"CREATE DATABASE `{name}{suffix}` CHARACTER SET utf8mb3")

    def _rows(self, database: str) -> int:
        engine = sa.create_engine(self._services.url(database))
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            total = sum(connection.exec_driver_sql(f"SELECT count(*) FROM `{name}`").scalar_one() for name in tables)
        engine.dispose()
        return int(total)

    def _mariadb_bytes(self) -> int:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@datadir")
            [(folder,)] = cursor.fetchall()
        names = set(self._databases)
        return sum(path.stat().st_size for path in Path(str(folder)).glob("*/*.ibd") if path.parent.name in names)

    def _connect(self) -> pymysql.Connection:
        return pymysql.connect(host=self._server.host, port=self._server.port, user="root", autocommit=True)

    @contextlib.contextmanager
    def _place(self, store: str) -> Iterator[str]:
        if store == "lmdb":
            yield f"rome+lmdb:///{self._folder}/lmdb_{{db}}.rome"
            return
        folder = self._folder / "server"
        folder.mkdir()
        with _running(Server("redis", folder)) as server:
            self._redis = server
            yield f"rome+redis://{server.host}:{server.port}/{{db}}"


@contextlib.contextmanager
def _running(server):  # type: ignore[no-untyped-def]  # Server or SqlServer
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def _timed(what: str, rows: int | None = None) -> Iterator[None]:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    rate = "" if rows is None else f", {rows / seconds:,.0f} rows per second"
    cpu = after.ru_utime - before.ru_utime
    print(f"{what}: {seconds:.1f} s ({cpu:.1f} s of the command's CPU{rate})", flush=True)


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-W", "ignore", "-m", "rome", *arguments]


def _rome(*arguments: str) -> None:
    done = subprocess.run(_command(*arguments), env={**os.environ}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"rome {arguments[0]}: {done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
