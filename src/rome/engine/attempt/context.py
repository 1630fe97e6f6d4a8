"""What all transactions of one connection share: the store, the working set, the switches and the counters."""

from __future__ import annotations

from rome.engine.options import Isolation, Options
from rome.engine.result import Stats
from rome.engine.statement import schema as schemas
from rome.engine.statement.schema import SchemaVersion
from rome.engine.statement.workspace import Workspace
from rome.engine.writing.id_blocks import IDENTIFIERS, IdBlocks
from rome.store.spi import Store
from rome.transaction.totals import CommitDurations


class ConnectionContext:
    """One connection's.

    Attributes:
        isolation: the level that transactions begin with.
        foreign_keys: whether they are enforced.
        query_only: nothing may be written, as PRAGMA query_only has it.
        defer_foreign_keys: for the next transaction; SQLite forgets it at the end of each one.
        commit_limits: of one transaction.
        own_commits: how many of the store's versions this connection has made.
        ids: what the store has reserved for this connection, or for the process.
        stats: the counters; those of the open transaction's reads are added when it ends.
        durations: how long commits took.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self.store = store
        store.max_transaction_s = options.max_transaction_seconds
        self.options = options
        self.workspace = Workspace(schemas.newest(store.last_snapshot().incarnation) or SchemaVersion.empty())
        self.isolation: Isolation = options.isolation
        self.foreign_keys = options.foreign_keys
        self.query_only = False
        self.defer_foreign_keys = False
        self.own_commits = 0
        self.commit_limits = options.commit_limits
        self.ids = IDENTIFIERS if options.ids == "blocks" else IdBlocks(1)
        self.stats = Stats()
        self.durations = CommitDurations()
