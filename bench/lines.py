"""Count the cache lines that an operation fetches when the processor's caches have none of its own.

That is how statements run in a large application: between two of them it executes so much that the caches no longer
hold Rome's code and data, and waiting for these takes longer than executing the instructions. So this figure says more
about a statement's time in an application than `make instructions` does.

Each operation of bench/instructions.py runs warm, as far as Python is concerned; before each run the simulated cache of
1 MB is emptied, by reading 3 MB of something else. What that takes is counted alone, and subtracted.

    make lines                                              in memory
    make lines URL='rome+redis://127.0.0.1:6379/lines'      what the store adds is the difference
    python bench/lines.py 'rome+memory://' --only 'SELECT by unique key' --list 30      the first C functions, too

Two runs of the same code differ by up to 3 %, since Python's objects lie elsewhere.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from callgrind import Cost, costs_of_parts
from instructions import TRANSACTIONS, prepare_groups

import rome

TIMES = 20
"""How many runs the figure is the average of."""

WARM = 5
_CACHE = ["--cache-sim=yes", "--LL=1048576,16,64"]
_OTHER = b"\1" * (3 << 20)
"""What is read to empty the cache."""


def run(url: str, name: str) -> None:
    """Empty the cache TIMES times, and then do so before TIMES transactions. A call of getppid() begins each part."""
    with closing(rome.connect(url)) as connection:
        prepare_groups(connection)
        transaction = TRANSACTIONS[name]
        for _ in range(WARM):
            transaction(connection, 2)
            connection.rollback()
        gc.collect()
        gc.disable()
        for runs in (False, True):
            os.getppid()
            for _ in range(TIMES):
                _OTHER.find(0)
                if runs:
                    transaction(connection, 2)
                    connection.rollback()
        os.getppid()


def counted(url: str, name: str) -> Counter[tuple[str, Cost]]:
    """What TIMES transactions cost, by C function."""
    command = [sys.executable, "-W", "ignore", __file__, url, "--run", name]
    _, emptying, both, *_ = costs_of_parts(command, "getppid", _CACHE)
    both.subtract(emptying)
    return both


def show(name: str, found: Counter[tuple[str, Cost]], functions: int) -> None:
    """Print the sums, and the functions with the most lines."""
    by_cost: Counter[Cost] = Counter()
    by_function: Counter[str] = Counter()
    for (function, cost), count in found.items():
        by_cost[cost] += count
        if cost != "instructions":
            by_function[function] += count
    code, data, executed = (by_cost[cost] // TIMES for cost in ("code", "data", "instructions"))
    print(
        f"{name:28}{code + data:7,} lines: {code:6,} of code, {data:6,} of data; {executed:9,} instructions", flush=True
    )
    for function, both in by_function.most_common(functions):
        code, data = found[function, "code"] // TIMES, found[function, "data"] // TIMES
        print(f"    {both // TIMES:6,} lines: {code:6,} of code, {data:6,} of data   {function[:80]}")


def main() -> None:
    """Print the lines of each operation."""
    parser = argparse.ArgumentParser(description="Count the cache lines that each operation fetches; needs valgrind.")
    parser.add_argument("url", help="a database whose tables `parent`, `child` and `member` may be dropped")
    parser.add_argument("--only", choices=TRANSACTIONS, help="only this operation")
    parser.add_argument("--list", type=int, default=0, metavar="N", help="show the N C functions with the most lines")
    parser.add_argument("--run", metavar="OPERATION", help="only run it, without counting")
    arguments = parser.parse_args()
    if arguments.run:
        warnings.simplefilter("ignore", rome.errors.PersistenceWarning)
        run(arguments.url, arguments.run)
        return
    names = [arguments.only] if arguments.only else list(TRANSACTIONS)
    # One process after the other uses the database, unless it is in memory, where each one has its own.
    at_once = os.cpu_count() if arguments.url.startswith("rome+memory:") else 1
    with ThreadPoolExecutor(at_once) as pool:
        for name, found in zip(names, pool.map(lambda name: counted(arguments.url, name), names), strict=True):
            show(name, found, arguments.list)


if __name__ == "__main__":
    main()
