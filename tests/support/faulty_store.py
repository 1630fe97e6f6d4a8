"""A memory store on which a test decides what becomes of reads and commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from rome.dbapi import Connection
from rome.dbapi.url import parse_url
from rome.engine.session.session import Session
from rome.errors import CommitUnknownError, StoreUnavailableError
from rome.store.memory import MemoryStore
from rome.store.spi import Claim, CommitRequest, ReadResult, Request, Reserve, Snapshot, Version


def nothing() -> None:
    """Let it pass."""


class FaultyStore(MemoryStore):
    """Attributes that a test sets:

    before_read, before_commit: called first; what they raise is what the caller gets.
    after_commit: the same, when a commit has been applied.
    told_to_wait: called when `join_queue` has answered that others come first.
    answers_lost: that many commits are applied and then answered with CommitUnknownError; requests_lost: that many
    get no further than that.
    resolves_lost: that many times `resolve` finds the store unreachable.

    And one that it sets: lined_up, the claims that the engine lined up with.
    """

    before_read: Callable[[], None] = staticmethod(nothing)
    before_commit: Callable[[], object] = staticmethod(nothing)
    after_commit: Callable[[], object] = staticmethod(nothing)
    told_to_wait: Callable[[], None] = staticmethod(nothing)
    answers_lost = requests_lost = resolves_lost = 0
    commits = resolves = 0
    lined_up: list[Sequence[Claim]]

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        self.before_read()
        return super().read(snapshot, requests, reserves)

    def commit(self, request: CommitRequest) -> Version:
        self.commits += 1
        self.before_commit()
        if self.requests_lost:
            self.requests_lost -= 1
            raise CommitUnknownError("the connection broke", transaction_id=request.transaction_id)
        version = super().commit(request)
        self.after_commit()
        if self.answers_lost:
            self.answers_lost -= 1
            raise CommitUnknownError("the connection broke", transaction_id=request.transaction_id)
        return version

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        self.lined_up.append(claims)
        ahead = super().join_queue(ticket, claims, lease_s)
        if ahead:
            self.told_to_wait()
        return ahead

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        self.resolves += 1
        if self.resolves_lost:
            self.resolves_lost -= 1
            raise StoreUnavailableError("nobody there")
        return super().resolve(transaction_id, snapshot)


def connect_faulty(url: str, **options: object) -> tuple[Connection, FaultyStore]:
    """A connection, and the store behind it."""
    location, engine_options = parse_url(sa.make_url(url), options)
    store = FaultyStore.open(location)
    store.lined_up = []
    return Connection(Session(store, engine_options)), store
