"""Databases made and dropped through oslo.db, on every store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import testresources
from oslo_db.sqlalchemy import enginefacade, provision, test_fixtures
from sqlalchemy import Engine

import rome
from tests.support.databases import Store, database, on


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    store: Store = request.param
    with database(store, request) as url:
        yield url


@pytest.fixture
def backend(url: str) -> Iterator[provision.Backend]:
    backend = provision.Backend("rome", sa.make_url(url))
    yield backend._verify()
    backend._dispose()


class TestBackend:
    def test_creates_and_drops(self, backend: provision.Backend) -> None:
        assert not backend.database_exists("made")
        backend.create_named_database("made")
        assert backend.database_exists("made")
        named = backend.provisioned_database_url("made")
        assert rome.database_exists(named)
        assert any("made" in name for name in backend.impl.list_databases(backend.engine))
        backend.drop_named_database("made")
        assert not rome.database_exists(named)

    def test_says_what_is_there_already_and_what_is_not(self, backend: provision.Backend) -> None:
        with pytest.raises(ValueError, match="there is no database"):
            backend.drop_named_database("made")
        backend.drop_named_database("made", conditional=True)
        backend.create_named_database("made")
        with pytest.raises(ValueError, match="exists: drop it first"):
            backend.create_named_database("made")
        backend.impl.create_named_database(backend.engine, "made", conditional=True)
        backend.drop_named_database("made", conditional=True)

    def test_named_databases_keep_the_urls_options(self, backend: provision.Backend) -> None:
        base = backend.url.update_query_dict({"foreign_keys": "off"})
        assert backend.impl.provisioned_database_url(base, "made").query["foreign_keys"] == "off"

    def test_drops_all_objects(self, backend: provision.Backend) -> None:
        """Of tables that refer to each other, too, with rows in them; foreign keys are enforced again afterwards."""
        with backend.engine.begin() as connection:
            for statement in (
                "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b)",
                'CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a, "order" TEXT)',
                "CREATE INDEX by_a ON b (a)",
                "CREATE VIEW c AS SELECT * FROM a JOIN b ON a.id = b.a",
                "INSERT INTO a (id) VALUES (1)",
                "INSERT INTO b (id, a) VALUES (1, 1)",
                "UPDATE a SET b = 1",
            ):
                connection.exec_driver_sql(statement)
        backend.drop_all_objects(backend.engine)
        with backend.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT name FROM sqlite_master").all() == []
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def make_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")


def test_a_services_fixture_gets_a_database_of_its_own(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenStack's functional tests do it, with testresources around them."""
    backend = provision.Backend("rome", sa.make_url(url))
    monkeypatch.setitem(provision.Backend.backends_by_database_type, "rome", backend)
    manager = enginefacade.transaction_context()

    class Fixture(test_fixtures.OpportunisticDbFixture):  # type: ignore[misc]
        DRIVER = "rome"

        def get_enginefacade(self) -> Any:
            return manager

        def generate_schema_create_all(self, engine: Engine) -> None:
            make_tables(engine)

    class Case:
        SCHEMA_SCOPE = None

        def shortDescription(self) -> str:
            return ""

    case = Case()
    fixture = Fixture(test=case)
    resources = fixture._get_resources()
    testresources.setUpResources(case, resources, None)
    fixture.setUp()
    engine = manager.writer.get_engine()
    made = engine.url
    assert made.drivername == sa.make_url(url).drivername
    assert made.database != sa.make_url(url).database
    assert rome.database_exists(made)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    fixture.cleanUp()
    testresources.tearDownResources(case, resources, None)
    engine.dispose()
    assert not rome.database_exists(made)


def test_oslo_finds_it_by_itself() -> None:
    """The environment names a database on Rome, which oslo.db looks for while its module is being imported."""
    program = (
        "from oslo_db.sqlalchemy import provision\n"
        "backend = provision.Backend.backend_for_database_type('rome')\n"
        "backend.create_named_database('x'); print(backend.database_exists('x'))"
    )
    environment = {**os.environ, "OS_TEST_DBAPI_ADMIN_CONNECTION": "rome+memory:///admin"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr
