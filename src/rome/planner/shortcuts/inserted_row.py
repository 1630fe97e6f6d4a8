"""INSERT .. VALUES of one row: the row as it will be stored, if its values alone decide that."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.planner.parse.affinity import UNCERTAIN
from rome.planner.parse.canonical import Constant, Slot
from rome.planner.plan import InsertedRowPlan
from rome.planner.shortcuts.kept_value import AS_IT_IS, kept, stores_what_it_is_given, words_of

_MAX_KINDS = 64


class InsertedRow(InsertedRowPlan):
    """How the row is made of the parameters and its id.

    Args:
        sources: of each column its parameter's position, or its constant; None for the column that is the row's id.

    Cost: a type for each value, and a test for each that its column may convert: what that is depends on the types
        only, and is found out once for each combination of them.
    """

    __slots__ = ("_constants", "_count", "_kinds", "_pick", "_table")

    def __init__(self, table: Table, count: int, sources: Sequence[int | Constant | None]) -> None:
        self._table, self._count = table, count
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
    def of(cls, table: Table, columns: Sequence[int], row: Sequence[Slot | None]) -> InsertedRow | None:
        """The row of these columns and values; None if something else than the values decides."""
        if table.rowid_alias is None or not stores_what_it_is_given(table):
            return None
        if len({*columns}) < len(columns) or len(row) != len(columns):
            return None
        given = dict(zip(columns, row, strict=True))
        if len(given) < len(table.columns) - (table.rowid_alias not in given) and "DEFAULT" in words_of(table):
            return None
        sources: list[int | Constant | None] = []
        count = 0
        for position in range(len(table.columns)):
            source = given.get(position, Constant(None))
            if isinstance(source, int):
                count = max(count, source + 1)
            elif not isinstance(source, Constant) or source.value is UNCERTAIN:
                return None
            sources.append(None if position == table.rowid_alias else source)
        return cls(table, count, sources)

    def values(self, parameters: Sequence[SqlValue], rowid: int) -> tuple[SqlValue, ...] | None:
        """See InsertedRowPlan."""
        if len(parameters) < self._count:
            return None
        row: tuple[SqlValue, ...] = self._pick((*parameters[: self._count], *self._constants, rowid))
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
