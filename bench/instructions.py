"""Count the instructions that an operation executes.

Each operation of bench/calls.py runs warm, in a transaction of its own, which is committed if it writes. What a process
executes that runs it 20 times is taken from what one executes that runs it 120 times: the difference is 100 operations.
Python, SQLite and the store's client count; a server does not.

    make instructions                                            in memory
    python bench/instructions.py 'rome+redis://127.0.0.1:6379/calls'
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


TRANSACTIONS: dict[str, Callable[[Connection, int], None]] = {
    **{operation.name: operation.run for operation in OPERATIONS[:3]},
    "INSERT of a child, COMMIT": _and_commit(OPERATIONS[3].run),
    "UPDATE by key, COMMIT": _and_commit(OPERATIONS[5].run),
}


def run(url: str, name: str, times: int) -> None:
    """Run a transaction so often."""
    with closing(rome.connect(url)) as connection:
        prepare(connection)
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
    parser.add_argument("url", help="a database whose tables `parent` and `child` may be dropped")
    parser.add_argument("--run", nargs=2, metavar=("OPERATION", "TIMES"), help="only run it, without counting")
    arguments = parser.parse_args()
    if arguments.run:
        warnings.simplefilter("ignore", rome.errors.PersistenceWarning)
        run(arguments.url, arguments.run[0], int(arguments.run[1]))
        return
    # One process after the other uses the database, unless it is in memory, where each one has its own.
    at_once = os.cpu_count() if arguments.url.startswith("rome+memory:") else 1
    with ThreadPoolExecutor(at_once) as pool:
        for name, found in zip(
            TRANSACTIONS, pool.map(lambda name: counted(arguments.url, name), TRANSACTIONS), strict=True
        ):
            print(f"{name:28}{found:12,} instructions", flush=True)


if __name__ == "__main__":
    main()
