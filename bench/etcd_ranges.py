"""How long pages, ends, counts and scans of a large table take on etcd, and how much room it needs.

    python bench/etcd_ranges.py 'rome+etcd://127.0.0.1:2379/ranges' [--rows 100000]

The members need --max-txn-ops=20000. The database is made, measured twice by two connections, and dropped: "first" is
what a process pays that knows nothing of the table yet.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import rome
from rome.dbapi import Connection

STEP = 2_000

PAGE = "SELECT created, id FROM t ORDER BY created DESC, id DESC LIMIT 100"
STATEMENTS = {
    "SELECT max(id)": "SELECT max(id) FROM t",
    "a page of 100, backwards": PAGE,
    "a page of 100, backwards, of one project": PAGE.replace("ORDER", "WHERE project = 'p3' ORDER"),
    "a page of 100, forwards, from the middle": "SELECT id FROM t WHERE id > :half ORDER BY id LIMIT 100",
    "SELECT count(*)": "SELECT count(*) FROM t",
    "all rows": "SELECT sum(length(data)) FROM t",
}


def main() -> None:
    """Load the table, measure, print, and drop the database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=100_000)
    parsed = parser.parse_args()
    rome.drop_database(parsed.url)
    connection = rome.connect(parsed.url)
    load(connection, parsed.rows)
    print(f"{'':42}{'first':>12}{'then':>12}{'trips':>8}")
    for name, sql in STATEMENTS.items():
        sql = sql.replace(":half", str(parsed.rows // 2))
        first, trips = timed(connection, sql)
        later = [timed(connection, sql) for _ in range(5)]
        then = median(each for each, _ in later)
        print(f"{name:42}{first * 1000:9.1f} ms{then * 1000:9.1f} ms{trips:5} {later[-1][1]:2}", flush=True)
    connection.close()
    rome.drop_database(parsed.url)


def load(connection: Connection, rows: int) -> None:
    """A table with two indexes; dates are hourly."""
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, project TEXT, created TEXT, data TEXT)")
    connection.execute("CREATE INDEX t_created ON t (created, id)")
    connection.execute("CREATE INDEX t_project ON t (project, created, id)")
    connection.commit()
    begun = time.perf_counter()
    for first in range(0, rows, STEP):
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, datetime('2020-01-01', ? || ' hours'), ?)",
            [(n, f"p{n % 10}", n, "x" * 100) for n in range(first, min(first + STEP, rows))],
        )
        connection.commit()
    print(f"{rows:,} rows, each with two index entries: {rows / (time.perf_counter() - begun):,.0f} rows per second")


def timed(connection: Connection, sql: str) -> tuple[float, int]:
    """Run a statement in a transaction of its own; return seconds and round trips."""
    before = connection.rome_stats.round_trips
    begun = time.perf_counter()
    connection.execute(sql).fetchall()
    took = time.perf_counter() - begun
    connection.rollback()
    return took, connection.rome_stats.round_trips - before


if __name__ == "__main__":
    main()
