"""Records the work of one connection.

Invariant: recording never changes what the application sees. An error of its own is logged, and nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache

from rome.callers import place
from rome.engine.attempt.attempt import Attempt
from rome.engine.attempt.replay_log import LoggedOperation
from rome.engine.observing.full_scans import full_scans
from rome.engine.observing.observer import Tracer, Work
from rome.engine.session.conflict_words import place_of
from rome.engine.statement.prepared import Prepared
from rome.errors import CommitAbortedError, ConflictError
from rome.insights.collected import Collected, Winner
from rome.insights.entries import MOST_PLACES, CommitEntry, ConflictEntry, StatementEntry, id_of
from rome.insights.repeats import Repeats
from rome.insights.text import normalized
from rome.planner.parse.statement import StatementKind
from rome.transaction.write_set import WriteSet

LOG = logging.getLogger("rome.insights")

_MOST_KEYS = 1_000
"""Rows of one commit of which it is noted who has written them."""
_MOST_LOSERS = 4
_MOST_PARAMETERS = 200
"""Characters of the parameters that are kept."""

_CONTROL = frozenset(
    (
        StatementKind.BEGIN,
        StatementKind.COMMIT,
        StatementKind.ROLLBACK,
        StatementKind.SAVEPOINT,
        StatementKind.RELEASE,
        StatementKind.ROLLBACK_TO,
        StatementKind.EMPTY,
        StatementKind.PRAGMA,
    )
)
"""Kinds of statements that are not listed."""


class TransactionTrace:
    """What the open transaction has done.

    Attributes:
        touched, wrote: {table in lower case: ids of the statements that used it, or changed rows of it}
        names: of the statements that changed rows.
        places: {id of a statement: line of the application that ran it last}, where that is known.
    """

    def __init__(self) -> None:
        self.touched: dict[str, dict[str, None]] = {}
        self.wrote: dict[str, dict[str, None]] = {}
        self.names: dict[str, None] = {}
        self.places: dict[str, str] = {}
        self.repeats = Repeats()

    def note(self, statement: str, name: str, place: str | None, prepared: Prepared) -> None:
        """A statement has run."""
        if place is not None:
            self.places[statement] = place
        inspection = prepared.inspection
        for table in inspection.read | inspection.written:
            self.touched.setdefault(table, {})[statement] = None
        for table in inspection.written:
            self.wrote.setdefault(table, {})[statement] = None
        if inspection.written:
            self.names[name] = None


class RecordingTracer(Tracer):
    """Records the work of one connection, and hands it on to another tracer, if there is one."""

    def __init__(self, collected: Collected, database: str, inner: Tracer | None) -> None:
        self._collected = collected
        self._database = database
        self._inner = inner
        self._trace = TransactionTrace()
        self._work: Work | None = None
        self._statement = ""
        self._place: str | None = None
        self._met: list[ConflictEntry] = []

    @contextmanager
    def span(self, work: Work) -> Iterator[None]:
        """A context around the work, after which it is recorded."""
        try:
            self._begin(work)
        except Exception:
            LOG.exception("a statement is not recorded")
        try:
            with nullcontext() if self._inner is None else self._inner.span(work):
                yield
        finally:
            try:
                with self._collected.lock:
                    self._end(work)
            except Exception:
                LOG.exception("a statement is not recorded")
            self._work = None
            self._met = []

    def met_conflict(self, conflict: ConflictError | CommitAbortedError, attempt: Attempt) -> None:
        """Record a conflict."""
        if self._inner is not None:
            self._inner.met_conflict(conflict, attempt)
        try:
            with self._collected.lock:
                self._note_conflict(conflict, attempt)
        except Exception:
            LOG.exception("a conflict is not recorded")

    def committed(self, attempt: Attempt, writes: WriteSet) -> None:
        """Remember who has written these rows."""
        if self._inner is not None:
            self._inner.committed(attempt, writes)
        try:
            with self._collected.lock:
                self._note_writes(attempt, writes)
        except Exception:
            LOG.exception("a commit is not recorded")

    # ------------------------------------------------------------ statements
    def _begin(self, work: Work) -> None:
        self._work, self._place = work, place()
        if work.operation is None:
            return
        if work.begins_transaction:
            self._trace = TransactionTrace()
        self._statement = statement_id(self._database, text_of(work.operation))

    def _end(self, work: Work) -> None:
        totals, cost = self._collected.totals, work.cost
        totals.time_s += work.duration_s
        totals.trips += cost.round_trips
        totals.rows_read += cost.rows
        totals.commits += cost.commits
        totals.replays += cost.replays
        if work.sqlstate == "40001" and self._met:
            self._met[-1].failed += 1
            totals.failed += 1
        if work.operation is None:
            self._end_commit(work)
        elif work.operation.statement.kind not in _CONTROL:
            totals.statements += 1
            self._end_statement(work, work.operation)

    def _end_statement(self, work: Work, operation: LoggedOperation) -> None:
        collected, cost = self._collected, work.cost
        entry = collected.statements.get(self._statement)
        if entry is None:
            entry = StatementEntry(self._statement, self._database, text_of(operation), work.name)
            collected.keep_statement(entry)
        collected.statements.changed.add(entry.id)
        if collected.parameters and work.duration_s >= entry.times.max_s:
            entry.parameters = _shown(operation)
        entry.times.note(work.duration_s)
        entry.executions += 1 if work.batch_size is None else work.batch_size
        entry.trips += cost.round_trips
        entry.rows_read += cost.rows
        entry.bytes_read += cost.bytes
        entry.rows_returned += work.rows_returned
        entry.rows_changed += work.rows_changed
        entry.errors += work.error is not None
        _count(entry.places, self._place)
        examined = None if work.error is not None else work.examine()
        if examined is None:
            return
        prepared = examined.prepared
        if collected.planned.get(entry.id) is not prepared:
            collected.planned[entry.id] = prepared
            entry.scans = full_scans(prepared, examined.catalog)
        self._trace.note(entry.id, work.name, self._place, prepared)
        if work.in_transaction:
            repeat = self._trace.repeats.note(self._database, entry.id, self._place, work, collected.repeats)
            if repeat is not None:
                collected.repeats.changed.add(repeat.id)

    # ------------------------------------------------------------ commits and conflicts
    def _end_commit(self, work: Work) -> None:
        collected, cost, trace = self._collected, work.cost, self._trace
        self._trace = TransactionTrace()
        if not (cost.rows_written or cost.round_trips or work.error):
            return
        name = ", ".join(trace.names) or "nothing written"
        place = self._place or next(iter(trace.places.values()), None)  # of run_transaction(), say
        number = id_of("commit", self._database, name, place or "")
        entry = collected.commits.get(number)
        if entry is None:
            entry = CommitEntry(number, self._database, name, place)
            collected.totals.dropped += collected.commits.keep(entry)
        collected.commits.changed.add(number)
        entry.times.note(work.duration_s)
        entry.rows_written += cost.rows_written
        entry.most_rows = max(entry.most_rows, cost.rows_written)
        entry.trips += cost.round_trips
        entry.conflicts += cost.conflicts
        entry.replays += cost.replays
        entry.turns += cost.turns
        entry.failed += work.error is not None

    def _note_conflict(self, conflict: ConflictError | CommitAbortedError, attempt: Attempt) -> None:
        collected = self._collected
        collected.totals.conflicts += 1
        met = place_of(conflict, attempt)
        table = "" if met is None else met.table
        rows = _OTHERS.get(type(conflict).__name__, "rows that are not known") if met is None else met.rows
        number = id_of("conflict", self._database, rows)
        if met is not None and not collected.keys:
            rows = f"{'a row' if met.is_row else 'rows'} of table {table}"
        entry = collected.conflicts.get(number)
        if entry is None:
            entry = ConflictEntry(number, self._database, table, rows, met is not None and met.is_row)
            collected.totals.dropped += collected.conflicts.keep(entry)
        collected.conflicts.changed.add(number)
        entry.conflicts += 1
        self._met.append(entry)
        losers = self._losers(table.lower())
        for loser in losers:
            entry.losers[loser] = entry.losers.get(loser, 0) + 1
        places = self._trace.places
        _count(entry.places, next((places[loser] for loser in losers if loser in places), self._place))
        key = conflict.key if isinstance(conflict, ConflictError) and entry.is_row else None
        winner = collected.winner(self._database, table.lower(), key)
        if winner is None or winner.at < attempt.started:
            entry.unseen += 1
        else:
            for statement in winner.statements[:_MOST_LOSERS]:
                entry.winners[statement] = entry.winners.get(statement, 0) + 1

    def _losers(self, table: str) -> list[str]:
        """The statements of this transaction that used the table, those that changed it first."""
        found = {**self._trace.wrote.get(table, {}), **self._trace.touched.get(table, {})}
        if self._runs_on(table):
            found[self._statement] = None
        return list(found)[:_MOST_LOSERS]

    def _runs_on(self, table: str) -> bool:
        """Whether the statement that is under way uses the table."""
        if self._work is None or self._work.operation is None:
            return False
        examined = self._work.examine()
        if examined is None:
            return False
        inspection = examined.prepared.inspection
        return table in inspection.read | inspection.written

    def _note_writes(self, attempt: Attempt, writes: WriteSet) -> None:
        now = time.monotonic()
        tables = attempt.schema.definition.tables_by_id
        for table_id, rows in writes.rows.items():
            table = tables.get(table_id)
            if table is None:
                continue
            name = table.name.lower()
            statements = list(self._trace.wrote.get(name, {}))
            if not statements and self._work is not None and self._work.operation is not None:
                statements = [self._statement]  # it is a transaction of its own
            keys = list(rows)[:_MOST_KEYS]
            self._collected.won(self._database, name, keys, Winner(now, statements))


_OTHERS = {
    "SnapshotTooOldError": "a transaction that lasted longer than the retention",
    "SnapshotLostError": "a snapshot that the store no longer has",
    "CatalogChangedError": "the schema",
    "TurnTakenError": "rows for which others were queueing",
    "CommitAbortedError": "a commit that never arrived",
    "ConflictError": "rows that were locked",
}
"""What conflicts are about that are not about rows of one table."""


def _count(places: dict[str, int], place: str | None) -> None:
    if place is not None and (place in places or len(places) < MOST_PLACES):
        places[place] = places.get(place, 0) + 1


def text_of(operation: LoggedOperation) -> str:
    """The normalized text of an operation's statement."""
    statement = operation.statement
    text = normalized(statement.text)
    return f"{text} FOR UPDATE" if statement.for_update else text


@lru_cache(maxsize=4096)
def statement_id(database: str, text: str) -> str:
    """The id of a statement."""
    return id_of("statement", database, text)


def _shown(operation: LoggedOperation) -> str:
    """The parameters of an operation, shortened."""
    values = operation.parameters if operation.batch is None else operation.batch[:1]
    text = repr(dict(values) if isinstance(values, Mapping) else list(values))
    return text if len(text) <= _MOST_PARAMETERS else f"{text[:_MOST_PARAMETERS]} .."
