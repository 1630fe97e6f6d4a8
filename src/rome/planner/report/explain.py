"""A plan in words, for EXPLAIN ROME and `rome explain`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rome.catalog.schema import ROWID, Table
from rome.codec.values import SqlValue
from rome.planner.access.access import Access, Limit, Term
from rome.planner.access.order import Step
from rome.planner.algebra.predicates import FixedValue, InList, Leaf, Operand, SlotValue
from rome.planner.parse.affinity import UNCERTAIN, Uncertain
from rome.planner.parse.canonical import Constant, Constants, Slot
from rome.planner.plan import AggregateKind, PlanLine
from rome.planner.shortcuts.page import Paging

_MAX_VALUES = 5


def explain(
    steps: Sequence[Step],
    whole: Iterable[tuple[Table, str]],
    slots: Sequence[Slot],
    parameters: Sequence[SqlValue] | None,
    paging: Paging | None = None,
) -> list[PlanLine]:
    """One line per access, in the order of the waves, and one line for each table that is read whole.

    Args:
        whole: the tables that are read whole, each with the reason.
        parameters: shown in place of `?1`; None to show the placeholders.
        paging: how LIMIT bounds one of the steps, if it does.
    """
    writer = _ReportWriter(slots, parameters)
    paged = None if paging is None else paging.leaf
    lines = [
        PlanLine(1, table.name, "whole table", "", reason)
        for table, reason in whole
        if paged is None or table is not paged.table
    ]
    for step in steps:
        if paging is not None and step.leaf is paging.leaf:
            remark = f"{'backwards ' if paging.reverse else ''}until LIMIT is reached"
            found = [writer.line(step.wave + 1, access) for access in paging.accesses]
            lines += [line._replace(remark=remark, most_rows=None) for line in found]
        elif step.choice is not None:
            found = [writer.line(step.wave + 1, access) for access in step.choice.accesses]
            writer.found(step.leaf, [line.most_rows for line in found])
            lines += [*found, *_others(writer, step)]
    return list(dict.fromkeys(lines))


def _others(writer: _ReportWriter, step: Step) -> Iterator[PlanLine]:
    """Lines for what may be read in place of what a step reads at first."""
    for choice in step.instead:
        line = writer.line(step.wave + 1, choice.accesses[0])
        yield line._replace(access=f"or {line.access}", remark="if it finds fewer", most_rows=None)
    if step.later is not None:
        line = writer.line(step.wave + 1, step.later.accesses[0])
        yield line._replace(access=f"or {line.access}", remark=f"{line.remark}, if they are fewer", most_rows=None)


def explain_questions(
    asked: Iterable[tuple[AggregateKind, Access]], slots: Sequence[Slot], parameters: Sequence[SqlValue] | None
) -> list[PlanLine]:
    """One line per question that the store answers without sending rows."""
    writer = _ReportWriter(slots, parameters)
    lines = []
    for kind, access in asked:
        line = writer.line(1, access)
        whole = not line.bounds and access.path.id == access.table.key.id
        way = f"{_QUESTIONS[kind]} {'whole table' if whole else line.access}"
        remark, most_rows = _COSTS[kind]
        lines.append(line._replace(access=way, remark=remark, most_rows=most_rows))
    return list(dict.fromkeys(lines))


_QUESTIONS = {"count": "count of", "least": "first of", "greatest": "last of"}
_COSTS = {"count": ("reads no rows", 0), "least": ("reads one row", 1), "greatest": ("reads one row", 1)}


class _ReportWriter:
    def __init__(self, slots: Sequence[Slot], parameters: Sequence[SqlValue] | None) -> None:
        self.slots = slots
        self.parameters = parameters
        self._most_rows: dict[Leaf, int] = {}

    def found(self, leaf: Leaf, most_rows: Iterable[int | None]) -> None:
        """Note how many rows each access of a leaf finds at most, since other leaves may be keyed by them."""
        known = list(most_rows)
        bounded = [most for most in known if most is not None]
        if len(bounded) == len(known):
            self._most_rows[leaf] = sum(bounded)

    def line(self, wave: int, access: Access) -> PlanLine:
        """The line of one access."""
        table, path = access.table, access.path
        names = [_column(table, position) for position in path.columns]
        bounds = [self._equality(name, term) for name, term in zip(names, access.terms, strict=False)]
        if access.present and not access.limits:
            bounds.append(f"{names[len(access.terms)]} IS NOT NULL")
        if access.limits:
            bounds += [self._limit(names[len(access.terms) :], limit) for limit in access.limits]
        if path.id != table.key.id:
            kind = f"index {path.name}"
        else:
            kind = "key" if len(access.terms) == len(path.columns) else "key range"
        suppliers = [leaf.table.name for leaf in _suppliers(access.terms)]
        remark = f"keyed by {', '.join(dict.fromkeys(suppliers))}" if suppliers else ""
        return PlanLine(wave, table.name, kind, " AND ".join(bounds), remark, self._most(access))

    def _most(self, access: Access) -> int | None:
        """How many rows an access finds at most: one for each of its keys, if these are unique; otherwise None."""
        path, terms = access.path, access.terms
        unique = path.unique or path.id == access.table.key.id
        if not unique or len(terms) < len(path.columns) or any(term.null_safe for term in terms):
            return None
        if not all(self._is_certain(term) for term in terms):
            return None
        most = 1
        for rows in {(term.supplier, None if term.in_row else term.places): term for term in terms}.values():
            if isinstance(rows.supplier, InList):
                most *= sum(len(self._values(row[rows.places[0]])) for row in rows.supplier.rows)
            else:
                counts = [self._most_rows.get(leaf) for leaf in rows.supplier]
                if None in counts:
                    return None
                most *= sum(count for count in counts if count is not None)
        return most

    def _is_certain(self, term: Term) -> bool:
        """Whether every constant of a term makes a key. If one is uncertain, more is read."""
        if not isinstance(term.supplier, InList):
            return True
        values = [value for row in term.supplier.rows for value in self._known(row[term.places[0]])]
        for conversion in term.conversions:
            values = [value if value is UNCERTAIN else conversion(value) for value in values]
        return UNCERTAIN not in values

    def _equality(self, name: str, term: Term) -> str:
        if not isinstance(term.supplier, InList):
            values = [
                f"{leaf.table.name}.{_column(leaf.table, place)}"
                for leaf, place in zip(term.supplier, term.places, strict=True)
            ]
        else:
            values = [value for row in term.supplier.rows for value in self._values(row[term.places[0]])]
        if len(values) == 1:
            return f"{name} {'IS' if term.null_safe else '='} {values[0]}"
        if len(values) > _MAX_VALUES:
            values = [*values[: _MAX_VALUES - 2], "..", values[-1]]
        return f"{name} IN ({', '.join(values)})"

    def _limit(self, names: Sequence[str], limit: Limit) -> str:
        values = [self._values(operand)[0] for operand in (limit.operand, *(each[0] for each in limit.further))]
        if len(values) == 1:
            return f"{names[0]} {limit.operator} {values[0]}"
        return f"({', '.join(names[: len(values)])}) {limit.operator} ({', '.join(values)})"

    def _values(self, operand: Operand) -> list[str]:
        if self.parameters is None and isinstance(operand, SlotValue):
            slot = self.slots[operand.slot]
            if not isinstance(slot, Constant | Constants):
                return [f"?{position + 1}" for position in ([slot] if isinstance(slot, int) else slot)]
        return [_literal(value) for value in self._known(operand)] or ["NULL"]

    def _known(self, operand: Operand) -> list[SqlValue | Uncertain]:
        """The values of an operand that are known: constants, and parameters if they were given."""
        slot = Constant(operand.value) if isinstance(operand, FixedValue) else self.slots[operand.slot]
        if isinstance(slot, Constant):
            return [slot.value]
        if isinstance(slot, Constants):
            return list(slot.values)
        positions = range(slot, slot + 1) if isinstance(slot, int) else slot
        return list((self.parameters or ())[positions.start : positions.stop])


def _suppliers(terms: Iterable[Term]) -> list[Leaf]:
    return [leaf for term in terms if not isinstance(term.supplier, InList) for leaf in term.supplier]


def _column(table: Table, position: int) -> str:
    return "rowid" if position == ROWID else table.columns[position].name


def _literal(value: SqlValue | Uncertain) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return str(value)
