"""The state of one open transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from rome.engine.attempt.replay_log import Log
from rome.engine.reading.reader import Reader
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing.execution import Execution
from rome.engine.writing.id_blocks import IdBlocks
from rome.store.spi import Store
from rome.transaction.transaction import Transaction
from rome.workingset.contents import Contents
from rome.workingset.workingset import ChangeCounters, WorkingSet


class Savepoint(NamedTuple):
    """What ROLLBACK TO goes back to."""

    name: str
    contents: Contents
    schema: SchemaVersion


@dataclass(slots=True)
class OpenTransaction:
    """A transaction between its first statement and its end.

    Attributes:
        base: the schema that the store has.
        started: by time.monotonic().
        explicit: begun by BEGIN, so that AUTOCOMMIT waits for COMMIT.
        by_savepoint: begun by SAVEPOINT under AUTOCOMMIT: the release of the outermost one commits.
        validated: COMMIT validates even if nothing was written: FOR UPDATE was used, or READ COMMITTED has shown what
            this transaction wrote beside newer rows.
        keys_to_check: deferred foreign keys are checked at COMMIT although they are not enforced any more: rows were
            changed while they were.
        attempt: 1 is the first run. The log and this number go on to the next attempt.
        counters: of the working set, when the transaction began; a replay begins with them.
        complete: it holds all that its log tells; a replay does so only once it has run.
        committed: its COMMIT has succeeded.
    """

    transaction: Transaction
    reader: Reader
    execution: Execution
    base: SchemaVersion
    counters: ChangeCounters
    started: float = field(default_factory=time.monotonic)
    explicit: bool = False
    by_savepoint: bool = False
    validated: bool = False
    keys_to_check: bool = False
    attempt: int = 1
    complete: bool = True
    committed: bool = False
    savepoints: list[Savepoint] = field(default_factory=list)
    log: Log = field(default_factory=Log)

    @classmethod
    def begin(
        cls, store: Store, working_set: WorkingSet, schema: SchemaVersion, max_bytes: int, identifiers: IdBlocks
    ) -> OpenTransaction:
        transaction = Transaction(store, max_bytes)
        reader = Reader(transaction, working_set, schema)
        return cls(transaction, reader, Execution(reader, store, identifiers), schema, working_set.counters)

    @property
    def schema(self) -> SchemaVersion:
        return self.reader.schema

    def holds_nothing(self) -> bool:
        """Nobody asked for a transaction, and none is needed: it has changed and locked nothing.

        sqlite3 would not have begun one. So it ends by itself for what must stand outside of a transaction.
        """
        return not (
            self.explicit
            or self.savepoints
            or self.validated
            or self.schema is not self.base
            or self.reader.working_set.contents.is_dirty()
            or self.reader.working_set.temporary_changed
        )

    def holds_schema_alone(self) -> bool:
        """Nobody asked for a transaction, and no statement on rows has begun one: sqlite3 has committed DDL by now."""
        return not (self.explicit or self.savepoints or self.validated or self.log.changes_rows)

    def is_pristine(self) -> bool:
        """Nothing rests on the schema yet, so that a newer one may still take its place."""
        return (
            self.schema is self.base
            and not self.reader.working_set.contents.is_dirty()
            and not self.reader.working_set.temporary_changed
            and len(self.transaction.read_set) == 0
        )
