"""Boot servers with the real Nova, in one process, with all its databases on one SQLAlchemy URL.

Nova's API, conductor, scheduler and compute (with Nova's own fake hypervisor) and the real Placement run as in Nova's
functional tests, on native threads. Their code is unchanged. Two things in their test fixtures differ: where they would
create an SQLite file, they get a new database of the URL; and ending a service is tried again after a conflict.

romekit.boot runs this module, with URL, COUNT, AT_ONCE and the file for the recorded requests. It prints its progress;
Nova's log and the tracebacks go to stderr.
"""

import nova.tests.functional  # noqa: F401, I001 (first of all: it decides between eventlet and native threads)

import importlib
import logging
import os
import re
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fixtures
import sqlalchemy as sa
from nova.db.api import models as api_models
from nova.db.main import api as main_db
from nova.db.main import models as main_models
from nova.tests.functional import fixtures as functional_fixtures
from nova.tests.functional import integrated_helpers
from oslo_db.api import wrap_db_retry
from placement import db_api as placement_db
from placement import deploy
from placement.db.sqlalchemy import migration as placement_migration
from placement.objects import resource_class, trait
from placement.tests import fixtures as placement_fixtures

from romekit.databases import Databases, shorten_mysql_indexes, text
from romekit.recorder import Recorder, Recording

nova_fixtures = importlib.import_module("nova.tests.fixtures.nova")  # the package has another attribute of this name

WARM_UP = 3
"""Servers booted before anything is recorded, with which the services fill their caches."""

LIMIT_S = 60.0
"""How long a server may take to become ACTIVE."""
_LOOKS_PER_S = 2  # of Nova's client

_ON_ROME = {"placement": {"isolation_level": "READ COMMITTED"}}
"""{service: options of its URL that docs/openstack.md recommends}"""

_ERROR_LINE = re.compile(r"^\S+ \S+ (ERROR|CRITICAL) \[(?!stevedore)")
"""An error in Nova's log; stevedore's only name optional drivers that are not installed."""


class _PlacementDatabase(fixtures.Fixture):
    """Replaces Placement's own fixture, which insists on a database inside its process."""

    def __init__(self, conf_fixture, set_config=False):
        self.conf_fixture = conf_fixture

    def _setUp(self):
        placement_db.configure(self.conf_fixture.conf)
        placement_migration.create_schema(placement_db.get_placement_engine())
        trait._TRAITS_SYNCED = False
        resource_class._RESOURCE_CLASSES_SYNCED = False
        deploy.update_database(self.conf_fixture.conf)


class _NoLock(fixtures.Fixture):
    """Replaces the lock with which Nova's fixtures allow SQLite one writer at a time."""


def use_databases(databases, tell, *, one_writer):
    """Make the fixtures of Nova and Placement take their databases from `databases`."""

    names = iter(("api", "cell0", "cell1", "placement"))  # in the order in which the fixtures ask

    def fresh_database(_label):
        name = next(names)
        tell(f"database {name}")
        url = databases.create(name)
        if url.get_backend_name() == "rome":
            url = url.update_query_dict({**_ON_ROME.get(name, {}), **url.query})
        return text(url), url.database

    def create_nova_schema(fixture):
        models = main_models if fixture.database == "main" else api_models
        models.BASE.metadata.create_all(fixture.get_engine())

    def create_cell_schema(fixture, connection):
        main_models.BASE.metadata.create_all(fixture._ctxt_mgrs[connection].writer.get_engine())

    shorten_mysql_indexes(main_models.BASE.metadata)
    nova_fixtures._use_file_backed_sqlite_with_wal = fresh_database
    functional_fixtures._use_file_backed_sqlite_with_wal = fresh_database
    nova_fixtures.Database._apply_schema = create_nova_schema
    nova_fixtures.CellDatabases._cache_schema = create_cell_schema
    placement_fixtures.Database = _PlacementDatabase
    if not one_writer:
        nova_fixtures.DatabaseWriteLock = _NoLock


def end_services_again_on_conflict():
    """Give Nova's service_destroy the decorator with which its other functions run again after a conflict.

    Only fixtures call it. It reads the service's record, and the service's heartbeat (from 5 s after the start) may
    change that record at the same moment: then SERIALIZABLE refuses one of the two.
    """
    main_db.service_destroy = wrap_db_retry(max_retries=5, retry_on_deadlock=True)(main_db.service_destroy)


def make_no_records_of_statements():
    """Keep Rome's loggers as quiet as in a deployment. Other databases' drivers have no loggers.

    Nova's fixtures make every library create and format its DEBUG records, only to throw them away.
    """
    logging.getLogger("rome").setLevel(logging.INFO)


class Nova(integrated_helpers.ProviderUsageBaseTestCase):
    """Runs the services while it calls `conduct(self)`, which boots servers on them."""

    compute_driver = "fake.FakeDriver"  # a host that is large enough for a thousand servers

    def __init__(self, conduct):
        super().__init__("runTest")
        self._conduct = conduct

    def setUp(self):
        """Start the services."""
        super().setUp()
        self.flags(instances=-1, cores=-1, ram=-1, group="quota")
        self._start_compute("host1")
        self.flavor = self.api.get_flavors()[0]

    def runTest(self):
        """Call `conduct`, and fail if Nova logged an error."""
        self._conduct(self)
        errors = [line for line in self.stdlog.logger.output.splitlines() if _ERROR_LINE.match(line)]
        if errors:
            self.fail("the servers are ACTIVE, but Nova logged errors")

    def new_server(self):
        """The body of a request for a new server. Not thread-safe, since Nova's fixture changes its API client."""
        return {"server": self._build_server(flavor_id=self.flavor["id"], networks="none")}

    def boot(self, server, limit_s=LIMIT_S):
        """Boot a server and wait until it is ACTIVE; returns how many seconds that took."""
        started = time.perf_counter()
        server = self.api.post_server(server)
        self._wait_for_state_change(server, "ACTIVE", max_retries=int(limit_s * _LOOKS_PER_S))
        return time.perf_counter() - started

    def boot_at_once(self, count, limit_s=LIMIT_S):
        """Boot this many servers, each requested by a client of its own; returns the seconds that each took."""
        servers = [self.new_server() for _ in range(count)]
        with ThreadPoolExecutor(count) as clients:
            return list(clients.map(lambda server: self.boot(server, limit_s), servers))


def progress():
    """A function that prints a line to stdout. What Nova logs to stdout goes to stderr from now on."""
    stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lambda line: print(f"  {line}", file=stdout)


def run(url, tell, requests, conduct):
    """Start Nova and Placement with new databases on `url`, and call `conduct(nova, recorder)`.

    Args:
        tell: called with a line of text that reports progress.
        requests: a list that gets every database request while the recorder is on.

    Returns:
        whether all went well; if not, stderr says what went wrong.
    """
    databases = Databases(url)
    dialect = sa.make_url(url).get_dialect()
    use_databases(databases, tell, one_writer=dialect.name == "sqlite" and dialect.driver != "rome")
    end_services_again_on_conflict()
    make_no_records_of_statements()
    recorder = Recorder(sa.Engine, dialect, requests)
    try:
        result = unittest.TextTestRunner(stream=sys.stderr).run(Nova(lambda nova: conduct(nova, recorder)))
    finally:
        databases.drop_all()
    return result.wasSuccessful()


def main(url, count, at_once, out):
    """Boot servers on `url`, and write the recorded requests to the file `out`."""
    tell = progress()
    recording = Recording([], [])

    def boot(nova, label, count, at_once):
        found = []
        while len(found) < count:
            for seconds in nova.boot_at_once(min(at_once, count - len(found))):
                found.append(seconds)
                tell(f"{label} {len(found)} of {count} is ACTIVE after {seconds:.2f} s")
        return found

    def conduct(nova, recorder):
        boot(nova, "warm-up server", WARM_UP, 1)
        recorder.on = True
        recording.boots_s.extend(boot(nova, "server", int(count), int(at_once)))
        recorder.on = False

    if not run(url, tell, recording.requests, conduct):
        return 1
    recording.save(Path(out))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
