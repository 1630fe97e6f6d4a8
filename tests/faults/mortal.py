"""A ledger's client that dies at one step of its third commit: python -m tests.faults.mortal URL NOTES NUMBER STEP.

On LMDB a step is a call of LMDB inside the write transaction; the last ones are before and after LMDB's own commit. On
etcd it is where a function of the connection to a member begins or returns. The client ends with status 3 when the
commit has fewer steps, else at once and without a word.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rome.store.etcd import link
from rome.store.lmdb.environment import Environment
from rome.store.ordered.store import OrderedStore
from rome.store.spi import CommitRequest, Version
from tests.faults.client import Client

COMMIT = 3
FEWER_STEPS = 3


class Fate:
    """Counts the steps of one commit."""

    def __init__(self, last: int) -> None:
        self.left = last

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), 9)


class MortalTransaction:
    """Looks like LMDB's transaction, and counts."""

    def __init__(self, txn: Any, fate: Fate) -> None:
        self._txn = txn
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        self._fate.step()
        return getattr(self._txn, name)


def count_calls_of_lmdb(last: int) -> None:
    write = Environment.write
    commits = 0

    def mortal_write(self: Environment, change: Callable[[Any], object], transaction_id: bytes = b"") -> object:
        nonlocal commits
        commits += bool(transaction_id)
        if not transaction_id or commits != COMMIT:
            return write(self, change, transaction_id)
        fate = Fate(last)

        def mortal_change(txn: Any) -> object:
            answer = change(MortalTransaction(txn, fate))
            fate.step()
            return answer

        write(self, mortal_change, transaction_id)
        fate.step()
        sys.exit(FEWER_STEPS)

    Environment.write = mortal_write  # type: ignore[assignment, method-assign]


def count_functions_of_the_link(last: int) -> None:
    commit = OrderedStore.commit
    commits = 0

    def mortal_commit(self: OrderedStore, request: CommitRequest) -> Version:
        nonlocal commits
        commits += 1
        if commits != COMMIT:
            return commit(self, request)
        fate = Fate(last)

        def count(frame: FrameType, event: str, argument: object) -> None:
            if event in ("call", "return") and frame.f_code.co_filename == link.__file__:
                fate.step()

        sys.setprofile(count)
        commit(self, request)
        sys.setprofile(None)
        sys.exit(FEWER_STEPS)

    OrderedStore.commit = mortal_commit  # type: ignore[method-assign]


def main() -> None:
    url, notes, number, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if url.startswith("rome+lmdb:"):
        count_calls_of_lmdb(last)
    else:
        count_functions_of_the_link(last)
    warnings.simplefilter("ignore")
    Client(url, notes, number).run()


if __name__ == "__main__":
    main()
