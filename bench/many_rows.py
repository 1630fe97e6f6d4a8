"""Measure statements on a table of a million rows within little memory: counts, pages, streams, and refusals.

    python bench/many_rows.py 'rome+lmdb:////tmp/many.rome?sync=off'
    python bench/many_rows.py 'rome+redis://127.0.0.1:6379/many' --rows 200000 --max-working-set 64MB

The table is filled up to --rows and kept. `seconds` is wall time and `cpu` this process's CPU time; `memory` is how
much the process's peak memory has grown.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from contextlib import closing

import rome
from rome.dbapi import Connection
from rome.errors import OperationalError, PersistenceWarning

BATCH = 2_500
SCHEMA = """
    CREATE TABLE big (id INTEGER PRIMARY KEY, kind INT, created TEXT, note TEXT, r REAL, deleted INT);
    CREATE INDEX big_kind ON big (kind);
    CREATE INDEX big_created ON big (deleted, created);
"""
FIRST_PAGE = "SELECT id, created FROM big WHERE deleted = 0 ORDER BY created DESC, id DESC LIMIT 100"
LATE_PAGE = (
    "SELECT id, created FROM big WHERE deleted = 0 AND (created < '{0}' OR (created = '{0}' AND id < {1})) "
    "ORDER BY created DESC, id DESC LIMIT 100"
)
STATEMENTS = [
    "SELECT count(*) FROM big",
    "SELECT count(*) FROM big WHERE kind = 7",
    "SELECT min(id), max(id) FROM big",
    "SELECT max(created) FROM big WHERE deleted = 0",
    FIRST_PAGE,
    LATE_PAGE,
    "SELECT * FROM big LIMIT 20 OFFSET 1000",
    "SELECT id FROM big WHERE note LIKE '%77 x%' ORDER BY id LIMIT 20",
    "SELECT kind % 3, count(*), sum(id), avg(r), max(note) FROM big GROUP BY 1",
    "SELECT count(DISTINCT note) FROM big",
    "UPDATE big SET r = 0 WHERE note = 'none'",
]


def created(number: int) -> str:
    """The time at which the row with this number was created, as text."""
    return f"2026-{number // 100_000:02}-{number % 100_000:05}"


def fill(connection: Connection, rows: int) -> None:
    """Create the table unless it exists, and insert rows until there are this many."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'big'").fetchall():
        connection.executescript(SCHEMA)
    [(present,)] = connection.execute("SELECT count(*) FROM big").fetchall()
    assert isinstance(present, int)
    for start in range(present + 1, rows + 1, BATCH):
        numbers = range(start, min(start + BATCH, rows + 1))
        batch = [(n, n % 1000, created(n), f"note {n} {'x' * 40}", n / 7, 0) for n in numbers]
        connection.executemany("INSERT INTO big VALUES (?, ?, ?, ?, ?, ?)", batch)
        connection.commit()


def measure(connection: Connection, sql: str) -> str:
    """Run a statement and return its line of the table."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before, wall, cpu = connection.rome_stats, time.monotonic(), time.process_time()
    outcome = ""
    try:
        connection.execute(sql).fetchall()
    except OperationalError as error:
        outcome = f"  {type(error).__name__}"
    seconds, cpu_seconds, after = time.monotonic() - wall, time.process_time() - cpu, connection.rome_stats
    connection.rollback()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    trips, rows = after.round_trips - before.round_trips, after.rows - before.rows
    return f"{seconds:9.3f} {cpu_seconds:9.3f} {trips:6} {rows:9} {grown:8.1f}  {sql}{outcome}"


def main() -> None:
    """Fill the table, and print what each statement costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--max-working-set", default="64MB")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", PersistenceWarning)
    middle = arguments.rows // 10
    with closing(rome.connect(arguments.url, max_working_set=arguments.max_working_set)) as connection:
        fill(connection, arguments.rows)
        connection.rollback()
        print("  seconds       cpu  trips      rows  memory/MB")
        for sql in STATEMENTS:
            print(measure(connection, sql.format(created(middle), middle)), flush=True)


if __name__ == "__main__":
    main()
