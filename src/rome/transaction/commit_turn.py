"""The commit turn: how a transaction that keeps losing to others gets through.

A conflict means that somebody else has committed, so the clients as a whole make progress. But one client may lose
again and again. So after some conflicts in a row a transaction joins the commit queue of the store, and begins its next
attempt when no earlier entry claims the same rows. Other transactions that would write these rows must wait. A
transaction that has not lost as often does not join: if all did, the queue would never end, and every transaction would
wait for it (4 clients and one row: 320 commits/s instead of 1,700).

There are two kinds of attempts: those of one transaction, when Rome replays it; and the transactions of one client,
which is a thread or a task of an event loop. If the application has seen what has changed since, no replay can help,
and it runs the transaction again itself. To Rome that is a new transaction, so the client's record keeps its losses
until the client's next transaction.

Some transactions want another row each time: "take the next job". Claiming the rows on which they lost does not help
them. Rome recognizes them by an attempt that has not read a row on which an earlier one lost. Such a transaction claims
all tables that it has read, and transactions that write to any of them wait until it is done.

A statement that locks rows, or changes their newest version, joins the queue before anything is lost (see claims),
since what the application has been told by then cannot be taken back at COMMIT. A transaction has one entry for all of
this.

`make contention` measures it; docs/commit-protocol.md has the results.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from weakref import WeakSet

from rome.errors import CommitAbortedError, ConflictError, Error, OperationalError, TurnTakenError
from rome.store.spi import Claim, Store
from rome.transaction.read_set import ReadSet

SETBACKS_BEFORE = 4
"""After this many conflicts in a row, the next attempt waits for its turn. With 2 or 3 the queue is long, and
throughput falls; with 6, replays run out first, and some applications give up."""

MAX_CLAIMS = 16
"""The most rows that an entry names; if it needs more, it names their tables."""

MIN_LEASE_S, MAX_LEASE_S, LEASE_PER_SECOND = 0.5, 5.0, 4
"""An entry lasts 4 times as long as the lost attempt, within bounds; others wait that long for a process that died."""

MAX_WAIT_S = 30.0
MIN_TURN_S, FIRST_TURN_S, MAX_TURN_S = 0.0005, 0.002, 0.01
"""The assumed length of one turn before the queue has shown it, and the bounds for what it shows."""


@dataclass
class _Lost:
    """The conflicts since the last commit. `setbacks`: their number; `longest_s`: duration of the longest attempt.

    `claims`: the rows to queue for, which are those of the conflicts and those that statements have claimed. `rows`:
    the rows of the conflicts.
    """

    setbacks: int = 0
    longest_s: float = 0.0
    claims: dict[Claim, None] = field(default_factory=dict)
    rows: set[Claim] = field(default_factory=set)

    def add(self, conflict: ConflictError | CommitAbortedError, seconds: float, read_set: ReadSet) -> None:
        """Add the setback of an attempt, given what it has read."""
        self.setbacks += 1
        self.longest_s = max(self.longest_s, seconds)
        if isinstance(conflict, ConflictError) and conflict.table is not None and conflict.key is not None:
            claim = Claim(conflict.table, conflict.key if conflict.index is None else None)
            if claim.key is not None:
                self.rows.add(claim)
            self.claim([claim])
            if any(row.key is not None and not read_set.has_point(row.table_id, row.key) for row in self.rows):
                self.claim(Claim(table_id, None) for table_id in read_set.tables())
        if len(self.claims) > MAX_CLAIMS:
            self.claim([Claim(claim.table_id, None) for claim in self.claims])

    def claim(self, more: Iterable[Claim]) -> None:
        """Queue for these rows, too. For a table that is claimed as a whole, no row is named."""
        claims = dict.fromkeys([*self.claims, *more])
        self.claims = {c: None for c in claims if c.key is None or Claim(c.table_id, None) not in claims}

    @property
    def lease_s(self) -> float:
        """Return how long a queue entry is kept, in seconds."""
        return min(MAX_LEASE_S, max(MIN_LEASE_S, LEASE_PER_SECOND * self.longest_s))


@dataclass
class TurnCounts:
    """Counters of one connection.

    Attributes:
        claims: rows and tables that it has claimed.
        queue_wait_s: seconds that it has waited in the queue.
        failures: transactions whose conflict the application was told.
        conflicts: how many conflicts, by the id of the table and the error's class; None: it was no single table.
    """

    claims: int = 0
    queue_wait_s: float = 0.0
    failures: int = 0
    conflicts: Counter[tuple[int | None, type[Exception]]] = field(default_factory=Counter)


class TurnClient:
    """What is known about the transactions of one client.

    Attributes:
        lost: the conflicts of the last transaction, if it failed; keyed by the incarnation of its database.
        holders: the transactions with an entry in a queue; guarded by `lock`, since a task's connections have a thread
            each.
    """

    def __init__(self) -> None:
        self.lost: dict[bytes, _Lost] = {}
        self.holders: WeakSet[CommitTurn] = WeakSet()
        self.lock = threading.Lock()


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.client = TurnClient()


of_thread = _OfThread()

LOSERS: set[int] = set()
"""The clients that have lost, by id(): mostly none, and then no transaction need ask at its begin who its client is."""

CLIENT: ContextVar[TurnClient | None] = ContextVar("rome.client", default=None)
"""The client of a transaction if it is not the thread but a task, whose connections have a thread each."""


class CommitTurn:
    """One connection's part in the commit queue.

    Attributes:
        ticket: identifies the queue entry while there is one; the commit gives it up.
        taken: how many queue entries there have been.
        counts: further counters.
    """

    def __init__(self, store: Store, *, enabled: bool) -> None:
        self._store = store
        self._enabled = enabled
        self._lost = _Lost()
        self._holder: TurnClient | None = None  # the client that took the ticket
        self._is_ours = False
        self._waited_until = 0.0
        self.ticket = b""
        self.taken = 0
        self.counts = TurnCounts()

    def before_first_read(self, incarnation: bytes) -> None:
        """Wait for the turn if this client's last transactions on this database have failed."""
        if self._enabled:
            client = CLIENT.get() or of_thread.client
            lost = client.lost.pop(incarnation, None)
            if not client.lost:
                LOSERS.discard(id(client))
            if lost is not None:
                self._lost = lost
                if self._is_due:
                    self._wait(lost.lease_s)

    def before_replay(self, number: int) -> None:
        """Let others finish, or wait for the turn; but not the first time, which shows whether a replay can help."""
        if self._is_ours:
            return
        if not (self._enabled and self._is_due and number > 1 and self._wait(self._lost.lease_s)):
            self._pause()

    def claim(self, claims: Iterable[Claim]) -> bool:
        """Claim rows before they are read to be changed or locked, and wait for transactions that claimed them first.

        Transactions that claim the rows later wait until this one ends, for at most MAX_LEASE_S. If there are too many
        rows for one entry, they are not claimed.

        Returns:
            Whether it had to wait, so that earlier reads of these rows may be outdated.

        Cost: one round trip if some of the rows are not claimed yet, and one for each time that it asks again.
        """
        had = self._lost.claims
        wanted = [claim for claim in claims if claim not in had and Claim(claim.table_id, None) not in had]
        if not self._enabled or (self.ticket and not wanted) or not 0 < len(had) + len(wanted) <= MAX_CLAIMS:
            return False
        self._lost.claim(wanted)
        self.counts.claims += len(wanted)
        self._withdraw(self._lost.claims)
        return self._wait(MAX_LEASE_S) > 1

    def _withdraw(self, claims: Iterable[Claim]) -> bool:
        """Give up the entries of this client's other transactions that claim one of these; return whether any did.

        A client with two transactions would wait for itself until the lease ends. This connection gives the tickets
        back, since only its owner may use the other connection.
        """
        mine = self._store.last_snapshot().incarnation
        client = CLIENT.get() or of_thread.client
        with client.lock:
            holders = list(client.holders)
        found = [
            turn
            for turn in holders
            if turn is not self
            and turn._store.last_snapshot().incarnation == mine
            and any(held.overlaps(claim) for held in turn._lost.claims for claim in claims)
        ]
        for turn in found:
            with suppress(Error):  # whoever asks the store next will be told
                self._store.leave_queue(turn.ticket)
        return bool(found)

    def before_commit_again(self, taken: TurnTakenError, since: float, read_set: ReadSet) -> bool:
        """Wait after a commit was told to wait; return False if it must not be tried again."""
        if taken.table is not None and self._withdraw([Claim(taken.table, taken.key)]):
            return True
        self.met(taken, since, read_set)
        if self._is_due:
            return bool(self._wait(self._lost.lease_s))
        self._pause()
        return True

    def met(self, conflict: ConflictError | CommitAbortedError, since: float, read_set: ReadSet) -> None:
        """Record the conflict of an attempt that began at `since` by time.monotonic(), given what it has read."""
        table = conflict.table if isinstance(conflict, ConflictError) else None
        self.counts.conflicts[table, type(conflict)] += 1
        claims = self._lost.claims.keys()
        self._lost.add(conflict, time.monotonic() - max(since, self._waited_until), read_set)
        self._is_ours = self._is_ours and self._lost.claims.keys() == claims

    @property
    def _is_due(self) -> bool:
        return self._lost.setbacks >= SETBACKS_BEFORE

    def _pause(self) -> None:
        """Pause for up to 1 ms after the first setback, and twice as long after each further one."""
        time.sleep(random.random() * 0.001 * (1 << min(self._lost.setbacks - 1, 6)))

    def _wait(self, lease_s: float) -> int:
        """Wait in the queue until it is our turn; return how often it asked, or 0 if the turn did not come.

        The turn does not come either if there is nothing known to queue for. The next question comes when about two
        thirds of those ahead should be done, since each question costs a trip.
        """
        lost = self._lost
        if not lost.claims:
            return 0
        if not self.ticket:
            self.ticket = secrets.token_bytes(16)
            self.taken += 1
            self._holder = CLIENT.get() or of_thread.client
            with self._holder.lock:
                self._holder.holders.add(self)
        began = time.monotonic()
        give_up, asked = began + MAX_WAIT_S, 1
        turn_s, pause_s, before = FIRST_TURN_S, 0.0, 0
        try:
            while ahead := self._store.join_queue(self.ticket, list(lost.claims), lease_s):
                if time.monotonic() > give_up:
                    return 0
                if before:
                    turn_s = min(MAX_TURN_S, max(MIN_TURN_S, pause_s / max(1, before - ahead)))
                pause_s, before = min(lease_s / 4, 0.7 * ahead * turn_s), ahead
                time.sleep(pause_s)
                asked += 1
        except OperationalError:  # the queue is about order only; a real failure shows at the next read, or at COMMIT
            return 0
        finally:
            self.counts.queue_wait_s += time.monotonic() - began
        self._is_ours, self._waited_until = True, time.monotonic()
        return asked

    def committed(self, *, wrote: bool) -> None:
        """Note that the transaction is committed; if it wrote something, its commit has given the entry up."""
        if wrote:
            self.ticket = b""
        lost = self._lost  # as `is_left` has it, without the call
        if lost.setbacks or lost.claims or self._is_ours or self.ticket or self._holder is not None:
            self.leave()

    def failed(self) -> None:
        """Note that the application gets a conflict: the client's next transaction may be the same one again."""
        self.counts.failures += 1
        lost = self._lost
        self.leave()
        client = CLIENT.get() or of_thread.client
        LOSERS.add(id(client))
        client.lost[self._store.last_snapshot().incarnation] = lost

    @property
    def is_left(self) -> bool:
        """Whether there is nothing that `leave` would end."""
        lost = self._lost
        return not (lost.setbacks or lost.claims or self._is_ours or self.ticket or self._holder is not None)

    def leave(self) -> None:
        """Leave the queue at a transaction's end: one round trip if it has an entry; on failure the lease expires."""
        if self._lost.setbacks or self._lost.claims:
            self._lost = _Lost()
        self._is_ours = False
        if self._holder is not None:
            with self._holder.lock:
                self._holder.holders.discard(self)
            self._holder = None
        if self.ticket:
            with suppress(Error):
                self._store.leave_queue(self.ticket)
            self.ticket = b""  # not before: if interrupted up to here, the next call leaves once more
