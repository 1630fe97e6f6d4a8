"""What the application may choose for a connection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from rome.store.spi import DEFAULT_MAX_TRANSACTION_S, MAX_COMMIT_BYTES, MAX_COMMIT_ROWS
from rome.transaction.memory_budget import DEFAULT_MAX_BYTES
from rome.transaction.write_set import CommitLimits


class Isolation(Enum):
    """Isolation levels, with SQLAlchemy's names. REPEATABLE READ is another name for SNAPSHOT."""

    SERIALIZABLE = "SERIALIZABLE"
    SNAPSHOT = "SNAPSHOT"
    READ_COMMITTED = "READ COMMITTED"
    AUTOCOMMIT = "AUTOCOMMIT"


SERIALIZABLE, AUTOCOMMIT, READ_COMMITTED = Isolation.SERIALIZABLE, Isolation.AUTOCOMMIT, Isolation.READ_COMMITTED
"""For code that every statement runs; see rome.transaction.read_set.ROWS."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the URL that are the engine's, not the store's.

    Attributes:
        isolation: the level that transactions begin with.
        full_scan: what to do with a statement that reads a whole table.
        foreign_keys: enforce foreign keys.
        commit_turn: line up after several conflicts in a row (rome.transaction.commit_turn).
        max_replays: how often a conflicting transaction is replayed before the conflict is raised; 0: never.
        ddl: what SQLAlchemy's dialect writes (see rome.dialect.ddl); the engine takes it as it comes.
        max_working_set: bytes that the rows which a transaction holds in memory may take, about.
        ids: "rising": each id is greater than all that were handed out before; "blocks": see engine.writing.id_blocks.
        tracing: make spans, where the application has set a tracer provider (rome.tracing).
        max_transaction_seconds: for how long the history of an open transaction is kept beyond the retention; 0: not at
            all (rome.store.keeper).
        max_commit_rows, max_commit_bytes: what one transaction may write; ten index entries for each row.
    """

    isolation: Isolation = Isolation.SERIALIZABLE
    full_scan: Literal["allow", "warn", "error"] = "allow"
    foreign_keys: bool = True
    max_replays: int = 5
    ddl: Literal["sqlite", "portable"] = "sqlite"
    max_working_set: int = DEFAULT_MAX_BYTES
    commit_turn: bool = True
    ids: Literal["rising", "blocks"] = "rising"
    tracing: bool = True
    max_commit_rows: int = MAX_COMMIT_ROWS
    max_commit_bytes: int = MAX_COMMIT_BYTES
    max_transaction_seconds: float = DEFAULT_MAX_TRANSACTION_S

    @property
    def commit_limits(self) -> CommitLimits:
        """What one commit may write."""
        return CommitLimits(self.max_commit_rows, self.max_commit_bytes)
