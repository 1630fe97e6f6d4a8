"""From values to keys: what an access reads, given the parameters and the rows that came before.

Invariant: the keys and ranges cover every row that the access is to find. What is not certain (a conversion that may
differ from SQLite's in the last digit) or too much is read by fewer columns, by one range, or whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import prod

from rome.catalog.schema import Index, Table
from rome.codec.keys import AFTER_NULL, encode_key
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access import Access, Limit, Term
from rome.planner.affinity import UNCERTAIN
from rome.planner.canonical import Constant, Slot
from rome.planner.plan import Bounds, Fetch, Values
from rome.planner.predicates import Among, FixedValue, Leaf, Operand
from rome.store.spi import BEYOND

MAX_COMBINATIONS = 1_000
"""Several lists of values (`a IN (..) AND b IN (..)`) make at most so many keys; beyond it, fewer columns are used."""

MAX_WAVE_KEYS = 2_000
"""So many keys may come from other tables' rows; beyond it, one range is read from the smallest to the largest."""

WHOLE = Bounds(b"", BEYOND)


class UncertainValue(Exception):
    """A value cannot be made a key with certainty."""


class Inputs:
    """What a statement is run with: the slots of its text, its parameters, and the rows that earlier waves brought."""

    __slots__ = ("parameters", "rows", "slots")

    def __init__(self, slots: Sequence[Slot], parameters: Sequence[SqlValue]) -> None:
        self.slots = slots
        self.parameters = parameters
        self.rows: dict[Leaf, list[list[Values]]] = {}

    def values(self, operand: Operand) -> Sequence[SqlValue]:
        """The value of an operand, or the values of a run.

        A parameter that is missing is NULL, as SQLite has it.

        Raises:
            UncertainValue.
        """
        if isinstance(operand, FixedValue):
            return (_certain(operand.value),)
        slot = self.slots[operand.slot]
        if isinstance(slot, Constant):
            return (_certain(slot.value),)
        if isinstance(slot, int):
            return (self.parameters[slot],) if slot < len(self.parameters) else (None,)
        return self.parameters[slot.start : slot.stop]


def fetches(table: Table, accesses: Iterable[Access], inputs: Inputs) -> list[Fetch]:
    """What the accesses read together: one fetch per path, without those that read nothing."""
    found: dict[int, tuple[Index, set[bytes], list[Bounds]]] = {}
    try:
        for access in accesses:
            _, keys, ranges = found.setdefault(access.path.id, (access.path, set(), []))
            _read(access, inputs, keys, ranges)
    except (UncertainValue, DataError):  # DataError: a value that SQLite, too, is going to refuse
        return [whole(table)]
    return [
        Fetch(table, path, tuple(keys), tuple(_disjoint(ranges)))
        for path, keys, ranges in found.values()
        if keys or ranges
    ]


def whole(table: Table) -> Fetch:
    """All rows of a table."""
    return Fetch(table, table.key, (), (WHOLE,))


def _read(access: Access, inputs: Inputs, keys: set[bytes], ranges: list[Bounds]) -> None:
    path, collations = access.path, access.path.collations
    tuples, limits = _tuples(access, inputs), access.limits
    width = len(tuples[0]) if tuples else 0
    if limits and width == len(access.terms):
        for values in tuples:
            ranges += _between(values, path, limits, inputs)
        return
    points = width == len(path.columns) and path.id == access.table.key.id
    joined = any(not isinstance(term.supplier, Among) for term in access.terms)
    encoded = [(encode_key(values, collations), points and None not in values) for values in tuples]
    if joined and len(encoded) > MAX_WAVE_KEYS:
        ranges.append(Bounds(min(encoded)[0], max(encoded)[0] + BEYOND))
        return
    for key, point in encoded:
        if point:
            keys.add(key)
        else:
            ranges.append(Bounds(key, key + BEYOND))


def _tuples(access: Access, inputs: Inputs) -> list[tuple[SqlValue, ...]]:
    """The values that the first columns may have together."""
    terms = access.terms
    while True:
        suppliers = list(dict.fromkeys(term.supplier for term in terms))
        groups = [[term for term in terms if term.supplier == supplier] for supplier in suppliers]
        supplied = [_supplied(group, inputs) for group in groups]
        if not all(supplied):
            return []
        combinations = prod(map(len, supplied))
        if combinations <= MAX_COMBINATIONS or sum(len(rows) > 1 for rows in supplied) <= 1:
            break
        terms = terms[:-1]
    places = [term for group in groups for term in group]
    arrangement = [places.index(term) for term in terms]
    flat = (tuple(value for part in parts for value in part) for parts in product(*supplied))
    return [tuple(values[place] for place in arrangement) for values in flat]


def _supplied(terms: Sequence[Term], inputs: Inputs) -> list[tuple[SqlValue, ...]]:
    """The distinct values, row by row, that one supplier gives to its terms. A row with NULL matches nothing."""
    supplier = terms[0].supplier
    rows: Iterable[Sequence[SqlValue]]
    if isinstance(supplier, Among):
        rows = _constant_rows(supplier, inputs)
        places = [[term.places[0] for term in terms]]
        sources = [rows]
    else:
        sources = [[row for rows in inputs.rows[leaf] for row in rows] for leaf in supplier]
        places = [[term.places[number] for term in terms] for number in range(len(supplier))]
    found: dict[tuple[SqlValue, ...], None] = {}
    for rows, columns in zip(sources, places, strict=True):
        for row in rows:
            values = tuple(_converted(row[place], term) for place, term in zip(columns, terms, strict=True))
            if all(value is not None or term.null_safe for value, term in zip(values, terms, strict=True)):
                found[values] = None
    return list(found)


def _constant_rows(among: Among, inputs: Inputs) -> Iterable[Sequence[SqlValue]]:
    for row in among.rows:
        if len(row) == 1:
            for value in inputs.values(row[0]):
                yield (value,)
        else:
            yield [inputs.values(operand)[0] for operand in row]


def _converted(value: SqlValue, term: Term) -> SqlValue:
    for conversion in term.conversions:
        value = _certain(conversion(value))
    return None if value != value else value  # SQLite stores NaN as NULL


def _certain(value: object) -> SqlValue:
    if value is UNCERTAIN:
        raise UncertainValue
    return value  # type: ignore[return-value]


def _between(values: tuple[SqlValue, ...], path: Index, limits: Sequence[Limit], inputs: Inputs) -> list[Bounds]:
    """The part of the keys that begin with `values` in which the next column lies within the limits; it is not NULL."""
    prefix = encode_key(values, path.collations)
    start, stop = prefix + AFTER_NULL, prefix + BEYOND
    for limit in limits:
        value = _certain(limit.conversion(inputs.values(limit.operand)[0]))
        if value is None or value != value:
            return []
        key = encode_key((*values, value), path.collations)
        if limit.operator == ">":
            start = max(start, key + BEYOND)
        elif limit.operator == ">=":
            start = max(start, key)
        elif limit.operator == "<":
            stop = min(stop, key)
        else:
            stop = min(stop, key + BEYOND)
    return [Bounds(start, stop)] if start < stop else []


def _disjoint(ranges: list[Bounds]) -> list[Bounds]:
    """Sorted, and those that overlap or touch made one."""
    found: list[Bounds] = []
    for bounds in sorted(ranges):
        if found and bounds.start <= found[-1].stop:
            if bounds.stop > found[-1].stop:
                found[-1] = Bounds(found[-1].start, bounds.stop)
        else:
            found.append(bounds)
    return found
