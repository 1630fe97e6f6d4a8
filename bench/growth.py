"""Measure how statements over many rows grow with the tables, beside an SQLite file with the same rows and indexes.

    python bench/growth.py 'rome+lmdb:///{folder}/growth-{rows}.rome?sync=off'
    python bench/growth.py 'rome+redis://127.0.0.1:6379/growth-{rows}' --sizes 2000,8000 --only subquery

Each statement runs on both sides in alternation, in a transaction of its own, and the least CPU time of this process
counts (wall time, with --wall: on a store with a server most of the work is there). `ratio` is Rome's by SQLite's, and
`growth` by how much Rome's time has grown since the size before. Results are compared.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import rome
from rome.dbapi import Connection

BATCH = 2_000
SCHEMA = """
    CREATE TABLE us (id INTEGER PRIMARY KEY, name TEXT, kind INT, score REAL);
    CREATE TABLE od (id INTEGER PRIMARY KEY, us_id INT, amount INT, note TEXT);
    CREATE INDEX od_us ON od (us_id);
    CREATE INDEX us_kind ON us (kind);
"""


class Case(NamedTuple):
    """A statement whose result does not depend on the order of rows."""

    name: str
    sql: str


CASES = (
    Case("subquery NOT EXISTS", "SELECT count(*) FROM us WHERE NOT EXISTS (SELECT * FROM od WHERE od.us_id = us.id)"),
    Case("subquery count", "SELECT sum((SELECT count(*) FROM od WHERE od.us_id = us.id)) FROM us"),
    Case(
        "subquery in UPDATE",
        "UPDATE us SET kind = kind + (SELECT count(*) FROM od WHERE od.us_id = us.id) WHERE score < 100",
    ),
    Case("join", "SELECT count(*), max(od.amount) FROM us JOIN od ON od.us_id = us.id WHERE us.name > 'u5'"),
    Case("join by a range", "SELECT count(*) FROM us LEFT JOIN od ON od.us_id BETWEEN us.id AND us.id + 1"),
    Case("group by", "SELECT kind, count(*), sum(score) > 0 FROM us GROUP BY kind ORDER BY kind"),
    Case("where without an index", "SELECT count(*) FROM us WHERE name LIKE '%77'"),
    Case("order by .. limit", "SELECT id FROM us ORDER BY score DESC, id LIMIT 10"),
)


def fill(connection: Connection | sqlite3.Connection, rows: int) -> None:
    """Create both tables, with this many rows each."""
    connection.executescript(SCHEMA)
    for start in range(1, rows + 1, BATCH):
        numbers = range(start, min(start + BATCH, rows + 1))
        connection.executemany("INSERT INTO us VALUES (?, ?, ?, ?)", [(n, f"u{n}", n % 10, n / 7) for n in numbers])
        connection.executemany("INSERT INTO od VALUES (?, ?, ?, ?)", [(n, 2 * n, n, f"note {n}") for n in numbers])
        connection.commit()


def measure(
    connection: Connection | sqlite3.Connection, sql: str, clock: Callable[[], float]
) -> tuple[float, list[tuple[object, ...]]]:
    """Seconds and the result of one run, which is rolled back."""
    started = clock()
    rows = connection.execute(sql).fetchall()
    seconds = clock() - started
    connection.rollback()
    return seconds, rows


def compare(url: str, path: Path, rows: int, cases: list[Case], runs: int, clock: Callable[[], float]) -> None:
    """Fill the tables, and print a line for each case."""
    with closing(rome.connect(url)) as ours, closing(sqlite3.connect(path)) as theirs:
        for connection in (ours, theirs):
            fill(connection, rows)
        for case in cases:
            pairs = []
            for _ in range(runs):
                (mine, result), (other, expected) = (measure(each, case.sql, clock) for each in (ours, theirs))
                assert result == expected, f"{case.name}: {result[:3]}, on SQLite {expected[:3]}"
                pairs.append((mine, other))
            mine, other = (min(seconds) for seconds in zip(*pairs, strict=True))
            growth = f"{mine / _before[case.name]:8.1f}" if case.name in _before else " " * 8
            _before[case.name] = mine
            print(
                f"{rows:8} {mine * 1e3:10.1f} {other * 1e3:10.1f} {mine / other:8.1f} {growth}  {case.name}", flush=True
            )


_before: dict[str, float] = {}
"""Rome's seconds at the size before, by case."""


def main() -> None:
    """Measure all sizes, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="with {rows}, and {folder} for one that is removed in the end")
    parser.add_argument("--sizes", default="2000,8000,32000")
    parser.add_argument("--only", default="", help="a word in the cases' names")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--wall", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = [case for case in CASES if arguments.only in case.name]
    clock = time.perf_counter if arguments.wall else time.process_time
    print("    rows    rome/ms  sqlite/ms    ratio   growth")
    with tempfile.TemporaryDirectory(prefix="rome-growth-") as name:
        for rows in map(int, arguments.sizes.split(",")):
            url = arguments.url.format(rows=rows, folder=name)
            rome.drop_database(url)
            try:
                compare(url, Path(name) / f"sqlite-{rows}.db", rows, cases, arguments.runs, clock)
            finally:
                rome.drop_database(url)


if __name__ == "__main__":
    main()
