"""The migrations of Nova, Glance, Placement and Neutron, by their own commands: once, again, and two at the same time.

The commands are those that `make boot` has installed, else those beside this Python; without them all is skipped.
Neutron's is not among them: `.demo/venv/bin/pip install neutron==29.0.0` adds it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from romekit.environment import ROOT

from tests.support.servers import Server

SOURCES = Path(__file__).parents[2] / "src"


def installed(program: str) -> Path | None:
    """Where a command is, if it is anywhere."""
    places = (ROOT / "venv/bin", Path(sys.executable).parent)
    return next((place / program for place in places if (place / program).exists()), None)


pytestmark = pytest.mark.timeout(600)
needs_nova = pytest.mark.skipif(not installed("nova-manage"), reason="Nova is not installed; `make boot` installs it")
needs_neutron = pytest.mark.skipif(not installed("neutron-db-manage"), reason="Neutron is not installed: see above")


class Migration(NamedTuple):
    """A command, and the section of the configuration file that names its database."""

    section: str
    command: Sequence[str]


MIGRATIONS = {
    "nova_api": Migration("api_database", ("nova-manage", "api_db", "sync")),
    "nova": Migration("database", ("nova-manage", "db", "sync", "--local_cell")),
    "glance": Migration("database", ("glance-manage", "db_sync")),
    "placement": Migration("placement_database", ("placement-manage", "db", "sync")),
}

Schema = tuple[list[tuple[str, str, list[str]]], list[str]]


class Database:
    """One database, and the command that migrates it."""

    def __init__(self, migration: Migration, url: str, directory: Path) -> None:
        self._migration = migration
        self._url = url
        self._configuration = directory / "service.conf"
        self._configuration.write_text(f"[{migration.section}]\nconnection = {url}\n")

    def start(self) -> subprocess.Popen[str]:
        program, *arguments = self._migration.command
        command = [str(installed(program)), "--config-file", str(self._configuration), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "PYTHONWARNINGS": "ignore"}
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def migrate(self) -> str:
        """What the command prints."""
        with self.start() as process:
            output, _ = process.communicate()
        assert process.returncode == 0, output[-5_000:]
        return output

    def schema(self) -> Schema:
        """sqlite_master, and the revisions of alembic. Lines sorted: alembic copies constraints in any order."""
        engine = sa.create_engine(self._url)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            master = sorted((kind, name, sorted(re.split(r",?\s*\n\s*", sql))) for kind, name, sql in rows)
            revisions = sorted(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())
        engine.dispose()
        return master, revisions


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("lmdb", "redis")])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of all databases, with {db} for the name."""
    if request.param == "lmdb":
        return f"rome+lmdb:///{tmp_path}/{{db}}.rome"
    server: Server = request.getfixturevalue("redis_server")
    return f"rome+redis://{server.host}:{server.port}/{tmp_path.name}_{{db}}"


@pytest.fixture(params=MIGRATIONS)
def name(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def database(name: str, place: str, tmp_path: Path) -> Database:
    return Database(MIGRATIONS[name], place.replace("{db}", name), tmp_path)


@pytest.fixture(scope="module")
def on_stock_sqlite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Schema]:
    """What each migration leads to on stock SQLite."""
    schemas = {}
    for name, migration in MIGRATIONS.items():
        directory = tmp_path_factory.mktemp(name)
        database = Database(migration, f"sqlite:///{directory}/{name}.db", directory)
        database.migrate()
        schemas[name] = database.schema()
    return schemas


@needs_nova
def test_migration_leads_where_it_does_on_sqlite_and_there_is_nothing_to_do_again(
    name: str, database: Database, on_stock_sqlite: dict[str, Schema]
) -> None:
    database.migrate()
    assert database.schema() == on_stock_sqlite[name]
    assert "Running upgrade" not in database.migrate()
    assert database.schema() == on_stock_sqlite[name]


_WAYS_TO_LOSE = ("DBDeadlock", "already exists", "expected to match one row when updating")
"""A conflict at COMMIT; or the step began after the other's was committed: its DDL is refused, or, where it changes
rows only, Alembic finds that the version is no longer the one that it read before the step."""


@needs_nova
@pytest.mark.parametrize("name", ["nova", "glance"], indirect=True)
def test_one_of_two_migrations_at_once_wins_and_the_other_breaks_nothing(
    name: str, database: Database, on_stock_sqlite: dict[str, Schema]
) -> None:
    with database.start() as one, database.start() as other:
        outputs = {process: process.communicate()[0] for process in (one, other)}
    lost = [output for process, output in outputs.items() if process.returncode != 0]
    assert len(lost) < 2, "\n".join(outputs.values())[-10_000:]
    assert all(any(way in output for way in _WAYS_TO_LOSE) for output in lost), lost[0][-5_000:]
    assert database.schema() == on_stock_sqlite[name]
    assert "Running upgrade" not in database.migrate()


@needs_neutron
def test_neutron_migrates_as_on_mysql_and_there_is_nothing_to_do_again(place: str, tmp_path: Path) -> None:
    """Stock SQLite cannot: the scripts alter constraints, drop some that have no name, and count on BIGINT ids."""
    migration = Migration("database", ("neutron-db-manage", "upgrade", "heads"))
    database = Database(migration, place.replace("{db}", "neutron") + "?ddl=portable", tmp_path)
    database.migrate()
    schema = database.schema()
    assert len(schema[1]) == 2  # heads: expand and contract
    assert " -> " not in database.migrate()
    assert database.schema() == schema
