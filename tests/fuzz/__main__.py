"""`python -m tests.fuzz [--minutes 10] [--url URL] [--seed N]`: search for a statement on which Rome and SQLite differ.

`python -m tests.fuzz --pairs N`: which constructs N histories put side by side.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz.choices import Choices
from tests.fuzz.histories import random_history
from tests.fuzz.pairs import print_matrix
from tests.fuzz.search import Search
from tests.support.differential import MEMORY


def main() -> int:
    """1 when a difference was found, else 0."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Compare Rome with stock SQLite on random histories.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--url", default=MEMORY, help="with {db} where the database is named")
    parser.add_argument("--seed", type=int, help="number of the first round; random when left out")
    parser.add_argument("--pairs", type=int, help="compare nothing; print which constructs so many histories pair")
    arguments = parser.parse_args()
    first = random.randrange(10**6) * 1000 if arguments.seed is None else arguments.seed
    if arguments.pairs is not None:
        choices = Choices(random.Random(first).randrange)
        print_matrix(random_history(choices) for _ in range(arguments.pairs))
        return 0
    search = Search(arguments.url)
    start = time.monotonic()

    def tell() -> None:
        took_s = time.monotonic() - start
        print(
            f"{search.statements:,} statements compared in {took_s:,.0f} s, {search.statements / took_s:,.0f}/s; "
            f"{search.failed:,} of them raised the same error, {search.streamed:,} queries were streamed",
            flush=True,
        )

    print(f"{arguments.url}, {arguments.minutes:g} minutes, --seed {first}", flush=True)
    try:
        search.run(arguments.minutes * 60, first, tell)
    except Exception as difference:  # noqa: BLE001  whatever it is, the script is wanted
        tell()
        print(f"they differ on:\n{search.last!r}\n\n{type(difference).__name__}: {difference}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
