"""INSERT .. VALUES: the rows it is going to write, read from its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from rome.catalog.schema import ROWID, Affinity, Catalog, Table
from rome.codec.values import SqlValue
from rome.planner.algebra.scope import ROWID_NAMES
from rome.planner.parse.affinity import UNCERTAIN, Uncertain, stored
from rome.planner.parse.canonical import Constant, Slot, literal, number, number_parameters
from rome.planner.plan import PlannedRow
from rome.planner.shortcuts.inserted_row import InsertedRow
from rome.sql.tokens import Token, identifier

SlotOrNull = Slot | None
"""A value of a row: the constant or parameter of a slot; None for an expression, which is unknown before the run."""


class _ValuePlan(NamedTuple):
    """How one value of a row is found.

    Attributes:
        position: of its column, or ROWID.
        slot: the parameter's slot; None if the value is `constant`.
        kept: the type whose values the column stores unchanged; None if it stores all values unchanged.
        is_key: whether it is the row's id.
    """

    position: int
    slot: int | None
    constant: SqlValue | Uncertain
    affinity: Affinity
    kept: type | None
    is_key: bool


class _RowPlan(NamedTuple):
    """How a row is found. `rowid_given`: whether its id is an expression, which sets it whatever the parameters are."""

    values: tuple[_ValuePlan, ...]
    rowid_given: bool


class Insertion(Struct, frozen=True):
    """The rows of an INSERT .. VALUES, as far as other rows decide whether they may be stored.

    Attributes:
        rows: one per row of VALUES; a single empty one for DEFAULT VALUES.
        is_constant: whether all values are known before the run, including those of other columns.
        whole: how each row is made; None if SQLite must say.
    """

    table: Table
    rows: tuple[_RowPlan, ...]
    is_constant: bool
    whole: InsertedRow | None

    @classmethod
    def of(
        cls,
        table: Table,
        columns: tuple[int, ...],
        rows: Sequence[Sequence[SlotOrNull]],
        rest: Sequence[Token],
    ) -> Insertion:
        """Build from all columns and values of the statement; keeps little, since there may be thousands of rows.

        If a column is named twice, SQLite stores its first value; but for the row's id, the last.

        Args:
            rest: the tokens after the values.
        """
        wanted, keys = {*table.guarding, table.rowid_alias, ROWID}, (table.rowid_alias, ROWID)
        deciding: dict[int, int] = {}
        for i, position in enumerate(columns):
            if position in wanted and (position in keys or position not in deciding):
                deciding[position] = i
        return cls(
            table,
            tuple(_row_plan(table, {at: row[i] for at, i in deciding.items() if i < len(row)}) for row in rows),
            not any(value is None for row in rows for value in row),
            _inserted(table, columns, rows, rest),
        )

    def planned(self, parameters: Sequence[SqlValue]) -> list[PlannedRow]:
        """Return the rows as they will be stored, as far as they are known."""
        found = []
        for plans, given in self.rows:
            values: dict[int, SqlValue] = {}
            for position, slot, constant, affinity, kept_type, is_key in plans:
                raw = constant if slot is None else parameters[slot] if slot < len(parameters) else None
                if raw is None or raw != raw:  # SQLite binds NaN as NULL
                    if not is_key:
                        values[position] = None
                    continue
                given = given or is_key
                if position == ROWID or raw is UNCERTAIN:
                    continue
                kept = raw if kept_type is None or type(raw) is kept_type else stored(raw, affinity)
                if kept is not UNCERTAIN and not (is_key and kept is None):
                    values[position] = kept
            found.append(PlannedRow(values, given))
        return found


_KEPT: dict[Affinity, type | None] = {"TEXT": str, "INTEGER": int, "NUMERIC": int, "REAL": float, "BLOB": None}


def _row_plan(table: Table, row: Mapping[int, SlotOrNull]) -> _RowPlan:
    """Return how a row is found, given its values by column position."""
    plans, rowid_given = [], False
    for position, value in row.items():
        is_key = position in (table.rowid_alias, ROWID)
        affinity: Affinity = "INTEGER" if position == ROWID else table.columns[position].affinity
        if isinstance(value, Constant):
            plans.append(_ValuePlan(position, None, value.value, affinity, _KEPT[affinity], is_key))
        elif isinstance(value, int):
            plans.append(_ValuePlan(position, value, None, affinity, _KEPT[affinity], is_key))
        else:
            rowid_given = rowid_given or is_key
    return _RowPlan(tuple(plans), rowid_given)


def read_insertion(tokens: Sequence[Token], catalog: Catalog) -> Insertion | None:
    """Read the rows of `INSERT .. VALUES ..`; None for any other statement, or if the table is unknown.

    Cost: 0.5 µs per token.
    """
    words = [token.word for token in tokens]
    try:
        at = words.index("INTO") + 1
    except ValueError:
        return None
    schema = ""
    if words[at + 1 : at + 2] == ["."]:
        schema = identifier(tokens[at]).lower()
        at += 2
    name = identifier(tokens[at]).lower() if at < len(tokens) else ""
    table = catalog.tables.get(name)
    if table is None or not catalog.is_stored(schema, name):
        return None
    at += 1
    if words[at : at + 1] == ["AS"]:
        at += 2
    columns = _all_columns(table)
    if words[at : at + 1] == ["("]:
        end = words.index(")", at) if ")" in words[at:] else len(words)
        names = [identifier(token).lower() for token in tokens[at + 1 : end] if token.word != ","]
        positions = [_position(table, name) for name in names]
        if None in positions:
            return None
        columns = tuple(position for position in positions if position is not None)
        at = end + 1
    if words[at : at + 2] == ["DEFAULT", "VALUES"]:
        return Insertion.of(table, (), ((),), tokens[at + 2 :])
    if words[at : at + 1] != ["VALUES"]:
        return None
    found = _rows(tokens, at + 1)
    return None if found is None else Insertion.of(table, columns, found[0], tokens[found[1] :])


def _inserted(
    table: Table, columns: Sequence[int], rows: Sequence[Sequence[SlotOrNull]], rest: Sequence[Token]
) -> InsertedRow | None:
    """How each row is made; None if SQLite must say that, or what comes back."""
    while rest and rest[-1].word == ";":
        rest = rest[:-1]
    shown = _shown(rest[1:], table) if rest and rest[0].word == "RETURNING" else None
    return InsertedRow.of(table, columns, rows, shown) if bool(rest) is (shown is not None) else None


def _shown(tokens: Sequence[Token], table: Table) -> list[int] | None:
    """The columns in the list of RETURNING, `name [AS other], ..`; None if there is anything else."""
    shown: list[int] = []
    at = 0
    while True:
        if at >= len(tokens) or tokens[at].kind not in ("word", "quoted"):
            return None
        position = _position(table, identifier(tokens[at]).lower())
        if position is None or position == ROWID:
            return None
        shown.append(position)
        at += 1
        if at < len(tokens) and tokens[at].word == "AS":
            at += 2
        if at == len(tokens):
            return shown
        if at > len(tokens) or tokens[at].word != ",":
            return None
        at += 1


def _position(table: Table, name: str) -> int | None:
    position = table.positions.get(name)
    if position is None and name in ROWID_NAMES and not table.without_rowid:
        return ROWID if table.rowid_alias is None else table.rowid_alias
    return position


def _all_columns(table: Table) -> tuple[int, ...]:
    return tuple(position for position, column in enumerate(table.columns) if not column.generated)


def _rows(tokens: Sequence[Token], at: int) -> tuple[tuple[tuple[SlotOrNull, ...], ...], int] | None:
    """Read `(..), (..)`, up to the end of the statement, ON CONFLICT or RETURNING; and the position after it."""
    slots = {token.start: slot for token, slot in number_parameters(tokens)}
    rows = []
    while True:
        if at >= len(tokens) or tokens[at].word != "(":
            return None
        row, at = _row(tokens, at + 1, slots)
        rows.append(row)
        if at < len(tokens) and tokens[at].word == ",":
            at += 1
        elif at >= len(tokens) or tokens[at].word in ("ON", "RETURNING", ";"):
            return tuple(rows), at
        else:
            return None


def _row(tokens: Sequence[Token], at: int, slots: dict[int, Slot]) -> tuple[tuple[SlotOrNull, ...], int]:
    """Read the values up to the closing parenthesis; return them and the position after it."""
    values: list[SlotOrNull] = []
    start, depth = at, 0
    while at < len(tokens):
        word = tokens[at].word
        if depth == 0 and word in (",", ")"):
            values += _values(tokens[start:at], slots)
            start = at + 1
            if word == ")":
                return tuple(values), at + 1
        depth += (word == "(") - (word == ")")
        at += 1
    return tuple(values), at


def _values(tokens: Sequence[Token], slots: dict[int, Slot]) -> list[SlotOrNull]:
    """Return the value that one expression stands for; a run of `?` stands for several."""
    if len(tokens) == 1:
        token = tokens[0]
        slot = slots.get(token.start)
        if isinstance(slot, range):
            return list(slot)
        if slot is not None:
            return [slot]
        if token.kind in ("number", "string", "blob"):
            return [literal(token)]
        if token.word == "NULL":
            return [Constant(None)]
    elif len(tokens) == 2 and tokens[0].word == "-" and tokens[1].kind == "number":
        return [Constant(number("-" + tokens[1].text.replace("_", "")))]
    return [None]
