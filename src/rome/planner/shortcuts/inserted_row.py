"""INSERT .. VALUES of few rows: each as it will be stored, if its values alone decide that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.planner.parse.affinity import UNCERTAIN
from rome.planner.parse.canonical import Constant, Slot
from rome.planner.plan import InsertedRowPlan, Values
from rome.planner.shortcuts.direct import picker
from rome.planner.shortcuts.kept_value import AS_IT_IS, kept, stores_what_it_is_given, words_of

_MAX_KINDS = 64
_MAX_ROWS = 100
"""A statement of more rows keeps nothing of them: SQLite makes them."""


class InsertedRow(InsertedRowPlan):
    """How each row is made of the parameters and its id.

    Args:
        count: how many parameters a row has, from its offset on.
        sources: of each column its parameter's position after the offset, or its constant; None for the column that is
            the row's id.

    Cost: a type for each value, and a test for each that its column may convert: what that is depends on the types
        only, and is found out once for each combination of them.
    """

    __slots__ = ("_constants", "_count", "_kinds", "_pick", "_table", "offsets", "shown")

    def __init__(
        self,
        table: Table,
        count: int,
        sources: Sequence[int | Constant | None],
        offsets: tuple[int, ...],
        shown: Callable[[Values], tuple[SqlValue, ...]] | None,
    ) -> None:
        self._table, self._count, self.offsets, self.shown = table, count, offsets, shown
        constants: list[SqlValue] = []
        places = []
        for source in sources:
            if isinstance(source, int):
                places.append(source)
            elif source is None:
                places.append(-1)  # the last one
            else:
                places.append(count + len(constants))
                constants.append(source.value)  # type: ignore[arg-type]  # none is uncertain
        self._constants = tuple(constants)
        self._pick = itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], None))
        self._kinds: dict[tuple[type, ...], tuple[int, ...] | None] = {}

    @classmethod
    def of(
        cls,
        table: Table,
        columns: Sequence[int],
        rows: Sequence[Sequence[Slot | None]],
        shown: Sequence[int] | None,
    ) -> InsertedRow | None:
        """Rows of these columns and values; None if something else than the values decides, or they are not alike.

        Args:
            shown: the columns after RETURNING; None without it.
        """
        if table.rowid_alias is None or len(rows) > _MAX_ROWS or not stores_what_it_is_given(table):
            return None
        if len({*columns}) < len(columns) or any(len(row) != len(columns) for row in rows):
            return None
        given = {*columns}
        if len(given) < len(table.columns) - (table.rowid_alias not in given) and "DEFAULT" in words_of(table):
            return None
        alike, offsets, count = None, [], 0
        for row in rows:
            slots = [source for source in row if isinstance(source, int)]
            offset = min(slots, default=0)
            sources = _sources(table, dict(zip(columns, row, strict=True)), offset)
            if sources is None or (alike is not None and repr(sources) != repr(alike)):  # 1 == 1.0
                return None
            alike, count = sources, max(slots, default=-1) + 1 - offset
            offsets.append(offset)
        if alike is None:
            return None
        return cls(table, count, alike, tuple(offsets), None if shown is None else picker(shown))

    def values(self, parameters: Sequence[SqlValue], rowid: int, offset: int) -> tuple[SqlValue, ...] | None:
        """See InsertedRowPlan."""
        stop = offset + self._count
        if len(parameters) < stop:
            return None
        row: tuple[SqlValue, ...] = self._pick((*parameters[offset:stop], *self._constants, rowid))
        kinds = tuple(map(type, row))
        known = self._kinds
        if kinds in known:
            unsure = known[kinds]
        else:
            if len(known) >= _MAX_KINDS:
                known.clear()
            unsure = known[kinds] = self._unsure(kinds)
        if not unsure:
            return row if unsure is not None else None
        columns, changed = self._table.columns, None
        for position in unsure:
            value = row[position]
            stored = kept(value, columns[position].affinity)
            if stored is not value:
                if stored is UNCERTAIN:
                    return None
                changed = changed or list(row)
                changed[position] = stored
        return row if changed is None else tuple(changed)

    def _unsure(self, kinds: Sequence[type]) -> tuple[int, ...] | None:
        """Where a value of these types may be converted; None if NOT NULL refuses the row."""
        unsure = []
        for position, (kind, column) in enumerate(zip(kinds, self._table.columns, strict=True)):
            if kind is type(None):
                if column.not_null:
                    return None
            elif position == self._table.rowid_alias:
                if kind is not int:
                    return None
            elif kind not in AS_IT_IS[column.affinity]:
                unsure.append(position)
        return tuple(unsure)


def _sources(table: Table, row: dict[int, Slot | None], offset: int) -> list[int | Constant | None] | None:
    """Where the values of a row's columns come from (see InsertedRow); None if SQLite must say one."""
    sources: list[int | Constant | None] = []
    for position in range(len(table.columns)):
        source = row.get(position, _NULL)
        if isinstance(source, int):
            source -= offset
        elif not isinstance(source, Constant) or source.value is UNCERTAIN:
            return None
        sources.append(None if position == table.rowid_alias else source)
    return sources


_NULL = Constant(None)
