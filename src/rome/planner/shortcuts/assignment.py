"""UPDATE and DELETE by what equals columns: a row as it will be, if its old values and the parameters decide that.

Invariant: WHERE is as in `direct`, so it is known of each row that was read whether it passes. SET gives columns
constants and parameters, or their old integers plus or minus such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from rome.catalog.schema import Affinity, Catalog, Table
from rome.codec.values import SqlValue
from rome.planner.algebra.predicates import InList
from rome.planner.algebra.query import QueryReader
from rome.planner.parse.affinity import UNCERTAIN, Uncertain
from rome.planner.parse.canonical import Constant, Slot, literal, number, number_parameters
from rome.planner.plan import AssignmentPlan, DirectPlan, Values
from rome.planner.shortcuts.direct import DirectRead, compared_by
from rome.planner.shortcuts.kept_value import AS_IT_IS, kept, stores_what_it_is_given
from rome.sql.tokens import Token, identifier

_ARGS = frozenset(["this", "expressions", "where"])
_SIGNS = {"+": 1, "-": -1}
_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1


class ColumnChange(NamedTuple):
    """What SET says of one column.

    Attributes:
        slot: the parameter's position; None if the value is `constant`.
        of: the column to whose old value it is added; None if it takes its place.
        sign: 1 or -1, if it is added.
    """

    position: int
    slot: int | None
    constant: SqlValue | Uncertain
    of: int | None
    sign: int
    affinity: Affinity
    not_null: bool


class Assignment(AssignmentPlan):
    """One UPDATE; without changes, one DELETE. See AssignmentPlan."""

    def __init__(self, rows: DirectPlan, changes: Sequence[ColumnChange]) -> None:
        self.rows, self._changes, self.deletes = rows, changes, not changes
        self.positions = tuple([change.position for change in changes])
        paths = rows.table.paths[1:]
        self.indexes = tuple([path for path in paths if self.deletes or not {*self.positions}.isdisjoint(path.columns)])

    def sets(self, parameters: Sequence[SqlValue]) -> dict[int, SqlValue]:
        """See AssignmentPlan."""
        known: dict[int, SqlValue] = {}
        for position, slot, constant, of, _, affinity, _ in self._changes:
            value = constant if slot is None else parameters[slot] if slot < len(parameters) else UNCERTAIN
            if of is None and value is not UNCERTAIN and (stored := kept(value, affinity)) is not UNCERTAIN:
                known[position] = stored
        return known

    def after(self, values: Values, parameters: Sequence[SqlValue]) -> tuple[SqlValue, ...] | None:
        """See AssignmentPlan."""
        row = list(values)
        for position, slot, constant, of, sign, affinity, not_null in self._changes:
            value: SqlValue | Uncertain
            if slot is None:
                value = constant
            elif slot < len(parameters):
                value = parameters[slot]
            else:
                return None
            if of is not None:
                old = values[of]
                if type(old) is not int or type(value) is not int:
                    return None
                value = old + sign * value
                if not _LEAST <= value <= _GREATEST:  # SQLite goes on with a real
                    return None
            if value is None:
                if not_null:
                    return None
            elif type(value) not in AS_IT_IS[affinity] and value is not UNCERTAIN:
                value = kept(value, affinity)
            if value is UNCERTAIN:
                return None
            row[position] = value
        return tuple(row)


def read_changed_rows(tree: exp.Expression, reader: QueryReader) -> DirectRead | None:
    """Which rows an UPDATE or DELETE changes, or None if its WHERE does not tell by itself.

    Args:
        reader: the one that has read the statement and set the contexts of its leaves.
    """
    if not isinstance(tree, exp.Update | exp.Delete) or len(reader.leaves) != 1 or tree.args.get("where") is None:
        return None
    if not {name for name, value in tree.args.items() if value} <= _ARGS or not reader.says_all(tree):
        return None
    leaf = reader.leaves[0]
    if leaf.table is not reader.changed or leaf.table.without_rowid or not stores_what_it_is_given(leaf.table):
        return None
    compared = compared_by(leaf)
    if compared is None or not all(isinstance(each, InList) and each.is_single for each in leaf.context):
        return None
    return DirectRead(compared, True, (0,), None, None, (), True, False)


def read_changes(tokens: Sequence[Token], catalog: Catalog) -> tuple[ColumnChange, ...] | None:
    """What SET of `UPDATE table SET .. WHERE ..` says, nothing for DELETE; None if that is not known before the run."""
    words = [token.word for token in tokens]
    if words[0] == "DELETE":
        return ()
    at = 1
    if words[at + 1 : at + 2] == ["."]:
        at += 2
    if len(tokens) <= at + 1 or words[at + 1] != "SET" or "WHERE" not in words:
        return None
    table = catalog.tables.get(identifier(tokens[at]).lower())
    if table is None:
        return None
    slots = {token.start: slot for token, slot in number_parameters(tokens)}
    changes: dict[int, ColumnChange] = {}
    start = at = at + 2
    depth = 0
    while at < len(tokens):
        word = words[at]
        if depth == 0 and word in (",", "WHERE"):
            change = _change(tokens[start:at], table, slots)
            if change is None or change.position in changes:
                return None
            changes[change.position] = change
            start = at + 1
            if word == "WHERE":
                return tuple(changes.values())
        depth += (word == "(") - (word == ")")
        at += 1
    return None


def _change(tokens: Sequence[Token], table: Table, slots: dict[int, Slot]) -> ColumnChange | None:
    """Read `column = value`, `column = other + value` or `column = other - value`; a name may follow its table's."""
    if len(tokens) < 3 or tokens[1].word != "=":
        return None
    position = table.positions.get(identifier(tokens[0]).lower())
    if position is None or position == table.rowid_alias:
        return None
    column, value = table.columns[position], tokens[2:]
    while len(value) > 2 and value[0].word == "(" and value[-1].word == ")":
        value = value[1:-1]
    of, sign = None, 1
    found = _constant(value, slots)
    if found is None:
        if len(value) > 2 and value[1].word == "." and identifier(value[0]).lower() == table.name.lower():
            value = value[2:]
        if len(value) < 3 or value[0].kind not in ("word", "quoted") or value[1].word not in _SIGNS:
            return None
        of, sign = table.positions.get(identifier(value[0]).lower()), _SIGNS[value[1].word]
        found = _constant(value[2:], slots)
        if of is None or found is None:
            return None
    if isinstance(found, Constant):
        return ColumnChange(position, None, found.value, of, sign, column.affinity, column.not_null)
    return ColumnChange(position, found, None, of, sign, column.affinity, column.not_null)


def _constant(tokens: Sequence[Token], slots: dict[int, Slot]) -> int | Constant | None:
    """The parameter or constant that these tokens are; None if they are something else."""
    if len(tokens) == 2 and tokens[0].word == "-" and tokens[1].kind == "number":
        return Constant(number("-" + tokens[1].text.replace("_", "")))
    if len(tokens) != 1:
        return None
    (token,) = tokens
    slot = slots.get(token.start)
    if isinstance(slot, int):
        return slot
    if token.kind in ("number", "string", "blob"):
        return literal(token)
    return Constant(None) if token.word == "NULL" else None
