"""How much room Nova's and Placement's databases take for each instance.

usage: python -m romekit.sizing [--instances N] URL

The real Nova boots servers on the URL, which holds `{db}`. What the last one added to the databases is inserted again
and again, with other uuids and ids, until there are N more instances. The command prints how many rows an instance has
in each database, and by how much the store grew, without superseded versions.
"""

import romekit.scenario as scenario  # isort: skip (first of all: it decides between eventlet and native threads)

import argparse
import re
import sys
import time
import urllib.request
import uuid
from pathlib import Path

import redis
import sqlalchemy as sa

import rome
from romekit.databases import Databases, text, url_template

_TOGETHER = 50
"""Instances that one commit inserts."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MB = 1_000_000


class Template:
    """What one server added to a database: `added` has its rows by table, parents first."""

    def __init__(self, url):
        self.engine = sa.create_engine(url)
        self._metadata = sa.MetaData()
        self._metadata.reflect(self.engine)
        self._keys = {}
        self._known_uuids = set()
        self.added = {}

    def look(self):
        """Find the rows that were not there at the last look."""
        found = {table.name: self._rows(table) for table in self._metadata.sorted_tables}
        self.added = {
            name: [row for key, row in rows.items() if key not in self._keys.get(name, ())]
            for name, rows in found.items()
        }
        self.added = {name: rows for name, rows in self.added.items() if rows}
        self._known_uuids = {found for key in self._keys.values() for row in key.values() for found in uuids(row)}
        self._keys = found

    def _rows(self, table):
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        return {tuple(row[column.name] for column in table.primary_key.columns): row for row in rows}

    @property
    def own_uuids(self):
        """The uuids that came with the server; the others are of hosts, images and providers."""
        return {found for rows in self.added.values() for row in rows for found in uuids(row)} - self._known_uuids

    def insert(self, renamings):
        """Insert the added rows once for each of the renamings, {uuid: new uuid}, in one commit."""
        with self.engine.begin() as connection:
            for renaming in renamings:
                ids = {}
                for name, rows in self.added.items():
                    for row in rows:
                        self._insert(connection, self._metadata.tables[name], row, renaming, ids)

    @staticmethod
    def _insert(connection, table, row, renaming, ids):
        copy = {
            name: _UUID.sub(lambda found: renaming.get(found[0], found[0]), value) if isinstance(value, str) else value
            for name, value in row.items()
        }
        for key in table.foreign_keys:
            parent = (key.column.table.name, row[key.parent.name])
            copy[key.parent.name] = ids.get(parent, copy[key.parent.name])
        numbers = [column.name for column in table.primary_key.columns if isinstance(column.type, sa.Integer)]
        if numbers == ["id"]:
            del copy["id"]
        key = connection.execute(sa.insert(table), copy).inserted_primary_key
        if numbers == ["id"]:
            ids[table.name, row["id"]] = key[0]


def uuids(row):
    """All uuids in a row's texts."""
    return {found for value in row.values() if isinstance(value, str) for found in _UUID.findall(value)}


def sizes(template, databases):
    """What the store takes for all of its databases, without superseded versions: {figure: bytes}."""
    urls = [text(url) for url in databases.live]
    for url in urls:
        rome.set_retention(url, seconds=1)
    time.sleep(2)
    for url in urls:
        rome.trim(url)
        rome.set_retention(url, seconds=60)
    parsed = sa.make_url(template)
    if parsed.drivername == "rome+lmdb":
        return {"files": sum(Path(url.database).stat().st_size for url in databases.live)}
    if parsed.drivername == "rome+redis":
        return {"used_memory": redis.Redis(parsed.host, parsed.port or 6379).info("memory")["used_memory"]}
    with urllib.request.urlopen(f"http://{parsed.host}:{parsed.port or 2379}/metrics", timeout=10) as answer:
        metrics = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
    return {
        "a member's file, in use": int(float(metrics["etcd_mvcc_db_total_size_in_use_in_bytes"])),
        "a member's memory": int(float(metrics["process_resident_memory_bytes"])),
    }


def measure(nova, databases, url, instances, tell):
    """Boot servers, and insert the last one's rows again."""
    templates = {label: Template(live) for live, label in databases.live.items()}
    for _ in range(3):
        nova.boot_at_once(1)
        for template in templates.values():
            template.look()
    own = set().union(*(template.own_uuids for template in templates.values()))
    before = sizes(url, databases)
    for start in range(0, instances, _TOGETHER):
        many = min(_TOGETHER, instances - start)
        renamings = [{found: str(uuid.uuid4()) for found in own} for _ in range(many)]
        for template in templates.values():
            template.insert(renamings)
    after = sizes(url, databases)
    for label, template in templates.items():
        tables = ", ".join(f"{len(rows)} {name}" for name, rows in template.added.items())
        tell(f"{label}: {sum(map(len, template.added.values()))} rows for each instance ({tables})")
    with templates["cell1"].engine.connect() as connection:
        tell(f"{connection.scalar(sa.text('SELECT count(*) FROM instances'))} instances in cell1")
    for figure in after:
        grown = (after[figure] - before[figure]) / instances * 1000 / _MB
        tell(f"{figure}: {before[figure] / _MB:.1f} MB before, and {grown:.1f} MB for each 1,000 instances")
    for template in templates.values():
        template.engine.dispose()


def main():
    """Print what an instance takes; returns the exit status."""
    parser = argparse.ArgumentParser(prog="romekit.sizing", description="How much room an instance takes.")
    parser.add_argument("--instances", type=int, default=1_000, help="how many are added")
    parser.add_argument("url", type=url_template, metavar="URL", help="SQLAlchemy URL with {db}, of Rome")
    arguments = parser.parse_args()
    tell = scenario.progress()
    made = []

    class Noted(Databases):
        def __init__(self, template):
            super().__init__(template)
            made.append(self)

    scenario.Databases = Noted

    def conduct(nova, _recorder):
        measure(nova, made[0], arguments.url, arguments.instances, tell)

    return 0 if scenario.run(arguments.url, tell, [], conduct) else 1


if __name__ == "__main__":
    sys.exit(main())
