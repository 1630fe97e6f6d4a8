"""The commit queue, as the stores that run in this process keep it.

A transaction that has lost to others several times joins the queue, and claims the rows that it wants left alone. A
commit that writes one of these rows is refused while an earlier entry of the queue claims it. Entries are in the order
in which they were made, so each transaction's turn comes. An entry ends at its deadline, so nobody waits long for a
process that has died.

The queue only affects scheduling. Correctness does not depend on it: a commit is validated as if there were no queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rome.errors import TurnTakenError
from rome.store.spi import Claim, CommitRequest


class QueueEntry(NamedTuple):
    """One transaction's entry. `deadline` is in seconds of the store's clock."""

    ticket: bytes
    deadline: float
    claims: tuple[Claim, ...]


class CommitQueue:
    """The entries at one moment, in order, without those whose deadline has passed."""

    def __init__(self, places: Iterable[QueueEntry], now: float) -> None:
        self.places = [place for place in places if place.deadline > now]
        self._now = now

    def take(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> bool:
        """Add an entry, or keep it; returns False if nothing changes, so that nothing need be written."""
        wanted = QueueEntry(ticket, self._now + lease_s, tuple(claims))
        for position, place in enumerate(self.places):
            if place.ticket == ticket:
                if place.claims == wanted.claims and place.deadline >= self._now + lease_s / 2:
                    return False
                self.places[position] = wanted
                return True
        self.places.append(wanted)
        return True

    def leave(self, ticket: bytes) -> bool:
        """Remove an entry; returns False if there is none."""
        left = [place for place in self.places if place.ticket != ticket]
        gone = len(left) < len(self.places)
        self.places = left
        return gone

    def ahead(self, ticket: bytes) -> int:
        """How many entries before this one claim a row that it claims."""
        position = next(position for position, place in enumerate(self.places) if place.ticket == ticket)
        mine = self.places[position].claims
        return sum(any(a.overlaps(b) for a in mine for b in place.claims) for place in self.places[:position])

    def check(self, request: CommitRequest) -> None:
        """Check that a commit need not wait.

        Raises:
            TurnTakenError: it writes a row that an earlier entry claims.
        """
        claimed: set[Claim] = set()
        for place in self.places:
            if place.ticket == request.ticket:
                break
            claimed.update(place.claims)
        if not claimed:
            return
        for table_id, rows in request.rows.items():
            for key in rows:
                if not claimed.isdisjoint((Claim(table_id, key), Claim(table_id, None))):
                    raise TurnTakenError.of_row(table_id, key)
