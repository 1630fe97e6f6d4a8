"""What clients write while things break, and what must be true of it afterwards.

Every transaction adds one entry, and one to each total that counts it; so a torn commit shows in the totals, a lost
one in the entries, and one that was applied twice in the primary key. A client notes in a file, outside the database,
what it was told of every transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import rome

ALL = 0
"""The total of all clients' entries whose number divides by SHARED; clients count from 1."""
SHARED = 4


class Told(StrEnum):
    """What a client learns of a transaction, as it stands in its file before the number and the time."""

    SENT = "sent"
    COMMITTED = "committed"
    NOT_COMMITTED = "not-committed"
    NOT_REPLICATED = "not-replicated"
    UNKNOWN = "unknown"
    MISSED = "missed"
    """Not an outcome: the client saw a total that lacks one of its commits."""


@dataclass
class Verdict:
    """What the clients were told, against what is there; entries are (client, number)."""

    told: dict[Told, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    entries: set[tuple[int, int]] = field(default_factory=set)

    @property
    def lost(self) -> set[tuple[int, int]]:
        return self.told[Told.COMMITTED] - self.entries

    @property
    def undead(self) -> set[tuple[int, int]]:
        """Applied, although the client was told that they were not."""
        return self.entries & self.told[Told.NOT_COMMITTED]

    def __str__(self) -> str:
        counts = [f"{len(self.told[told]):,} {told}" for told in Told if told is not Told.SENT]
        return f"{', '.join(counts)}, {len(self.lost):,} lost"


def create(url: str) -> None:
    with closing(rome.connect(url)) as connection:
        connection.execute("CREATE TABLE entry (client INTEGER, n INTEGER, PRIMARY KEY (client, n))")
        connection.execute("CREATE TABLE total (client INTEGER PRIMARY KEY, n INTEGER)")
        connection.execute("INSERT INTO total VALUES (?, 0)", (ALL,))
        connection.commit()


def join(url: str, client: int) -> None:
    """Give a client its total."""
    with closing(rome.connect(url)) as connection:
        connection.execute("INSERT INTO total VALUES (?, 0)", (client,))
        connection.commit()


def judge(url: str, notes: Iterable[Path]) -> Verdict:
    """Read everything, and compare.

    Raises:
        AssertionError: a commit is torn, or applied although its client was told that it was not, or nobody sent it.
    """
    verdict = Verdict()
    for path in notes:
        client = int(path.stem)
        for line in path.read_text().splitlines():
            told, number, *_ = line.split()
            verdict.told[Told(told)].add((client, int(number)))
    with closing(rome.connect(url)) as connection:
        verdict.entries = {(int(client), int(n)) for client, n in connection.execute("SELECT client, n FROM entry")}
        totals = dict(connection.execute("SELECT client, n FROM total").fetchall())
    counted: dict[int, int] = dict.fromkeys(map(int, totals), 0)
    for client, n in verdict.entries:
        counted[client] += 1
        counted[ALL] += n % SHARED == 0
    assert totals == counted, f"torn commits: the totals are {totals}, and {counted} are there"
    assert not verdict.undead, f"told that they were not committed, and there: {sorted(verdict.undead)[:10]}"
    ghosts = verdict.entries - verdict.told[Told.SENT]
    assert not ghosts, f"nobody sent them: {sorted(ghosts)[:10]}"
    return verdict
