"""What this process has recorded. All of its threads write here; a reader takes a copy.

Memory is bounded: of each kind of entry the most important are kept, by time or by number.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import NamedTuple, TypeVar

import msgspec

from rome.engine.statement.prepared import Prepared
from rome.insights.entries import CommitEntry, ConflictEntry, Part, Process, RepeatEntry, StatementEntry, Totals

MOST_ENTRIES = 1_000
"""Of each kind; when there are more, a quarter is dropped."""
MOST_WINNERS = 20_000
"""Rows of which it is remembered who has written them last."""

Entry = TypeVar("Entry", StatementEntry, RepeatEntry, ConflictEntry, CommitEntry)


class Winner(NamedTuple):
    """Who wrote a row last: when (time.monotonic), and the ids of the statements."""

    at: float
    statements: Sequence[str]


class Kept(dict[str, Entry]):
    """The entries of one kind, by id.

    Attributes:
        changed: ids of those that have changed since they were last taken.
    """

    def __init__(self, weight: Callable[[Entry], float]) -> None:
        super().__init__()
        self.changed: set[str] = set()
        self._weight: Callable[[Entry], float] = weight

    def keep(self, entry: Entry) -> int:
        """Keep a new entry; return how many others were dropped for it."""
        dropped = 0
        if len(self) >= MOST_ENTRIES:
            lightest = sorted(self.values(), key=self._weight)[: MOST_ENTRIES // 4]
            for other in lightest:
                del self[other.id]
                self.changed.discard(other.id)
            dropped = len(lightest)
        self[entry.id] = entry
        return dropped

    def take(self, *, changed_only: bool) -> list[Entry]:
        """The entries, or those that have changed; all of them count as taken."""
        ids: Iterable[str] = self.changed if changed_only else self
        found = [self[each] for each in ids]
        if changed_only:
            self.changed = set()
        return found


class Collected:
    """The figures of one process.

    Attributes:
        lock: whoever reads or changes an entry holds it.
        parameters: keep those of each statement's slowest call.
        planned: {id of a statement: as it was last prepared}, since its full scans are looked for once.
        keys: tell which rows conflicts were about; otherwise only their tables.
    """

    def __init__(self, *, parameters: bool = False, keys: bool = True) -> None:
        self.lock = Lock()
        self.parameters = parameters
        self.keys = keys
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._began = time.time()
        self._id = token_hex(6)
        self.totals = Totals()
        self.planned: dict[str, Prepared] = {}
        self.statements: Kept[StatementEntry] = Kept(lambda entry: entry.times.total_s)
        self.repeats: Kept[RepeatEntry] = Kept(lambda entry: entry.calls)
        self.conflicts: Kept[ConflictEntry] = Kept(lambda entry: entry.conflicts)
        self.commits: Kept[CommitEntry] = Kept(lambda entry: entry.times.total_s)
        self._winners: OrderedDict[tuple[str, str, bytes | None], Winner] = OrderedDict()

    def keep_statement(self, entry: StatementEntry) -> None:
        """Keep a new statement."""
        dropped = self.statements.keep(entry)
        self.totals.dropped += dropped
        if dropped:
            self.planned = {each: plan for each, plan in self.planned.items() if each in self.statements}

    def won(self, database: str, table: str, keys: Iterable[bytes], winner: Winner) -> None:
        """Note who has written rows of a table, and so the table."""
        winners = self._winners
        for key in (None, *keys):
            winners[database, table, key] = winner
            winners.move_to_end((database, table, key))
        while len(winners) > MOST_WINNERS:
            winners.popitem(last=False)

    def winner(self, database: str, table: str, key: bytes | None) -> Winner | None:
        """Who has last written a row, or with None any row of the table; None if that is not known."""
        return self._winners.get((database, table, key))

    def part(self, *, changed_only: bool = False) -> bytes:
        """What was recorded, as one line of JSON without its end; or what has changed since that was last asked for."""
        with self.lock:
            part = Part(
                process=Process(
                    self._id, _program(), os.getpid(), socket.gethostname(), self._began, until=time.time()
                ),
                totals=self.totals,
                statements=self.statements.take(changed_only=changed_only),
                repeats=self.repeats.take(changed_only=changed_only),
                conflicts=self.conflicts.take(changed_only=changed_only),
                commits=self.commits.take(changed_only=changed_only),
            )
            return msgspec.json.encode(part)

    @property
    def has_changed(self) -> bool:
        """Whether anything was recorded since `part` was last asked for what has changed."""
        return bool(self.statements.changed or self.commits.changed or self.conflicts.changed)


def _program() -> str:
    """The name of what runs; none of its arguments, which may be secret."""
    name = Path(sys.argv[0]).name if sys.argv and sys.argv[0] not in ("", "-c", "-m") else "python"
    return Path(sys.argv[0]).parent.name if name == "__main__.py" else name
