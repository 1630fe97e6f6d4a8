"""Count the instructions that an operation executes.

Each operation of bench/calls.py runs warm, in a transaction of its own, which is committed if it writes. What a process
executes that runs it 20 times is taken from what one executes that runs it 120 times: the difference is 100 operations.
Python, SQLite and the store's client count; a server does not.

    make instructions                                            in memory
    make instructions URL='rome+redis://127.0.0.1:6379/calls'    what the store adds is the difference
    python bench/instructions.py 'rome+redis://127.0.0.1:6379/calls' --only 'SELECT by unique key'
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from callgrind import instructions
from calls import OPERATIONS, Run, prepare

import rome
from rome.dbapi import Connection

FEW, MANY = 20, 120


def _and_commit(run: Run) -> Run:
    def both(connection: Connection, number: int) -> None:
        run(connection, number)
        connection.commit()

    return both


GROUP_ROWS, GROUPS = 10, 8


def _by_primary_key(connection: Connection, number: int) -> None:
    assert connection.execute("SELECT id, k, v FROM parent WHERE id = ?", (number,)).fetchall()


def _by_index(connection: Connection, number: int) -> None:
    assert len(connection.execute("SELECT id, g, v FROM member WHERE g = ?", (number,)).fetchall()) == GROUP_ROWS


TRANSACTIONS: dict[str, Callable[[Connection, int], None]] = {
    "SELECT by primary key": _by_primary_key,
    **{operation.name: operation.run for operation in OPERATIONS[:3]},
    "SELECT of 10 rows by index": _by_index,
    "INSERT of a child": OPERATIONS[3].run,
    "INSERT of a child, COMMIT": _and_commit(OPERATIONS[3].run),
    "UPDATE by key, COMMIT": _and_commit(OPERATIONS[5].run),
}


def prepare_groups(connection: Connection) -> None:
    """Create the tables of bench/calls.py, and one of groups of rows."""
    prepare(connection)
    connection.execute("DROP TABLE IF EXISTS member")
    connection.execute("CREATE TABLE member (id INTEGER PRIMARY KEY, g INTEGER NOT NULL, v TEXT)")
    connection.execute("CREATE INDEX member_g ON member (g)")
    groups = [(number % GROUPS, f"value-{number}") for number in range(GROUPS * GROUP_ROWS)]
    connection.executemany("INSERT INTO member (g, v) VALUES (?, ?)", groups)
    connection.commit()


def run(url: str, name: str, times: int) -> None:
    """Run a transaction so often."""
    with closing(rome.connect(url)) as connection:
        prepare_groups(connection)
        for _ in range(times):
            TRANSACTIONS[name](connection, 2)
            connection.rollback()


def counted(url: str, name: str) -> int:
    """The instructions of one transaction."""
    few, many = (instructions([sys.executable, __file__, url, "--run", name, str(times)]) for times in (FEW, MANY))
    return (many - few) // (MANY - FEW)


def main() -> None:
    """Print the instructions of each operation, as they are counted."""
    parser = argparse.ArgumentParser(description="Count the instructions that each operation executes; needs valgrind.")
    parser.add_argument("url", help="a database whose tables `parent`, `child` and `member` may be dropped")
    parser.add_argument("--only", choices=TRANSACTIONS, help="only this operation")
    parser.add_argument("--run", nargs=2, metavar=("OPERATION", "TIMES"), help="only run it, without counting")
    arguments = parser.parse_args()
    if arguments.run:
        warnings.simplefilter("ignore", rome.errors.PersistenceWarning)
        run(arguments.url, arguments.run[0], int(arguments.run[1]))
        return
    names = [arguments.only] if arguments.only else list(TRANSACTIONS)
    # One process after the other uses the database, unless it is in memory, where each one has its own.
    at_once = os.cpu_count() if arguments.url.startswith("rome+memory:") else 1
    with ThreadPoolExecutor(at_once) as pool:
        for name, found in zip(names, pool.map(lambda name: counted(arguments.url, name), names), strict=True):
            print(f"{name:28}{found:12,} instructions", flush=True)


if __name__ == "__main__":
    main()
