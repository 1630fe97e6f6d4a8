"""One run of a query in which SQLite may read the block of a table in the place of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.statement.prepared import Prepared
from rome.store.row_block import RowBlock
from rome.store.spi import ORDER_INDEX
from rome.transaction.transaction import ReadRequest
from rome.workingset.contents import LARGE_ROWS
from rome.workingset.passing import can_pass, has_same_plan, rewritten
from rome.workingset.workingset import CorruptBlock, SqlRow, WorkingSet

MAX_TEXTS = 500
"""As many statements are remembered for each connection."""


class Passing:
    """What a query's run does with large blocks: it hydrates them, or keeps one for SQLite to pass over.

    Attributes:
        table: the one that is not hydrated, with its `block`; None if there is none.
    """

    def __init__(self, working_set: WorkingSet, prepared: Prepared, hydrate: Callable[[Table, RowBlock], None]) -> None:
        self._working_set, self._prepared, self._hydrate = working_set, prepared, hydrate
        self.table: Table | None = None
        self.block: RowBlock | None = None

    def take(self, table: Table, want: ReadRequest, block: RowBlock) -> bool:
        """Keep a block from being hydrated, if SQLite may pass over it."""
        if self.table is not None or want.index_id != ORDER_INDEX or len(block) < LARGE_ROWS or not can_pass(table):
            return False
        working_set, text = self._working_set, self._prepared.statement.text
        if table.id in working_set.contents.tables or self._prepared.inspection.temporary_read:
            return False
        if not working_set.can_pass or text in working_set.passes_not:
            return False
        self.table, self.block = table, block
        return True

    @property
    def rows(self) -> int:
        """How many rows were kept."""
        return 0 if self.block is None else len(self.block)

    def give_back(self) -> None:
        """Hydrate what was kept."""
        table, block = self.table, self.block
        self.table = self.block = None
        if table is not None and block is not None:
            self._hydrate(table, block)

    def run(self, parameters: Sequence[SqlValue]) -> list[SqlRow]:
        """Run the statement; to be called when everything else is hydrated."""
        working_set, own = self._working_set, self._prepared.statement.text
        table, block, interruption = self.table, self.block, working_set.interruption
        if table is not None and block is not None:
            text = self._text(table, block)
            if text is not None:
                interruption.running = True
                try:
                    return working_set.query_passing(text, parameters, table, block)
                except CorruptBlock:  # hydrating says which record it is
                    pass
                finally:
                    interruption.running = False
            self.give_back()
        interruption.running = True
        try:
            return working_set.query(own, parameters)
        finally:
            interruption.running = False

    def _text(self, table: Table, block: RowBlock) -> str | None:
        """The text in which a function stands for the table; None if SQLite would run it differently."""
        working_set, prepared = self._working_set, self._prepared
        own, function = prepared.statement.text, working_set.function_of(table, block)
        key = (own, function, frozenset(working_set.contents.lookups))
        if key in working_set.passes:
            return working_set.passes[key]
        other = rewritten(own, table, function)
        if other is None or not has_same_plan(working_set.connection, own, other, prepared.inspection.parameter_count):
            if len(working_set.passes_not) >= MAX_TEXTS:
                working_set.passes_not.clear()
            working_set.passes_not.add(own)
            return None
        if len(working_set.passes) >= MAX_TEXTS:
            working_set.passes.clear()
        working_set.passes[key] = other
        return other
