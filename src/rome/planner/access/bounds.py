"""From values to keys: what an access reads, given the parameters and the rows of earlier waves.

Invariant: the keys and ranges cover every row that the access is to find. If a key is uncertain (a conversion may
differ from SQLite's in the last digit), or there are too many, fewer columns are used, or one range, or the whole
table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, product
from math import prod

from rome.catalog.schema import Index, Table
from rome.codec.keys import AFTER_NULL, encode_key
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.access import Access, Limit, Term
from rome.planner.algebra.predicates import FixedValue, InList, Leaf, Operand, Operator
from rome.planner.parse.affinity import UNCERTAIN, Uncertain
from rome.planner.parse.canonical import Constant, Constants, Slot
from rome.planner.plan import Fetch, Values
from rome.store.spi import BEYOND, Bounds

MAX_COMBINATIONS = 1_000
"""Several lists of values (`a IN (..) AND b IN (..)`) make at most this many keys; beyond it, fewer columns count."""

MAX_WAVE_KEYS = 2_000
"""Other tables' rows give at most this many keys; beyond it, one range from the smallest to the largest is read."""

WHOLE: Bounds = (b"", BEYOND)


class UncertainValue(Exception):
    """No key can be made of a value, since SQLite's conversion of it is not certain."""


class Inputs:
    """What a statement is run with: the slots of its text, its parameters, and the rows of earlier waves."""

    __slots__ = ("parameters", "rows", "slots")

    def __init__(self, slots: Sequence[Slot], parameters: Sequence[SqlValue]) -> None:
        self.slots = slots
        self.parameters = parameters
        self.rows: dict[Leaf, list[Sequence[Values]]] = {}

    def values(self, operand: Operand) -> Sequence[SqlValue]:
        """The values of an operand: one, or those of a run of parameters.

        A missing parameter is NULL, as in SQLite.

        Raises:
            UncertainValue: the value of a literal is not certain.
        """
        if isinstance(operand, FixedValue):
            return (_certain(operand.value),)
        slot = self.slots[operand.slot]
        if isinstance(slot, Constant):
            return (_certain(slot.value),)
        if isinstance(slot, int):
            return (self.parameters[slot],) if slot < len(self.parameters) else (None,)
        if isinstance(slot, Constants):
            return [_certain(value) for value in slot.values]
        return self.parameters[slot.start : slot.stop]


def fetches(table: Table, accesses: Iterable[Access], inputs: Inputs) -> list[Fetch]:
    """What the accesses read together: one fetch per path, without those that read nothing."""
    found: dict[int, tuple[Index, set[bytes], list[Bounds]]] = {}
    try:
        for access in accesses:
            _, keys, ranges = found.setdefault(access.path.id, (access.path, set(), []))
            _read(access, inputs, keys, ranges)
    except (UncertainValue, DataError):  # DataError: SQLite is going to refuse the value, too
        return [whole(table)]
    return [
        Fetch(table, path, tuple(keys), tuple(_disjoint(ranges)))
        for path, keys, ranges in found.values()
        if keys or ranges
    ]


def exact_ranges(access: Access, inputs: Inputs, *, present: bool) -> list[Bounds] | None:
    """The ranges of the path that hold exactly the rows that the access finds; None if they hold others, too.

    Args:
        present: leave out the rows whose next column is NULL.

    Raises:
        UncertainValue, DataError: no key can be made of a value.
    """
    tuples = _tuples(access, inputs)
    if tuples and len(tuples[0]) < len(access.terms):
        return None
    ranges: list[Bounds] = []
    for values in tuples:
        if access.limits or access.present or present:
            ranges += _between(values, access.path, access.limits, inputs)
        else:
            key = encode_key(values, access.path.collations)
            ranges.append((key, key + BEYOND))
    return _disjoint(ranges)


def exact_keys(access: Access, inputs: Inputs) -> frozenset[bytes] | None:
    """The keys in the path of the rows that an access finds, whose terms are all of the path's columns.

    Returns:
        None if there are too many combinations of values.

    Raises:
        UncertainValue, DataError: no key can be made of a value.
    """
    tuples = _tuples(access, inputs)
    if tuples and len(tuples[0]) < len(access.terms):
        return None
    return frozenset([encode_key(values, access.path.collations) for values in tuples])


def ranges_of(accesses: Iterable[Access], inputs: Inputs) -> list[Bounds]:
    """The ranges that the accesses, all by one path, read; sorted and disjoint.

    Raises:
        UncertainValue, DataError: no key can be made of a value.
    """
    keys: set[bytes] = set()
    ranges: list[Bounds] = []
    for access in accesses:
        _read(access, inputs, keys, ranges)
    return _disjoint([*ranges, *((key, key + BEYOND) for key in keys)])


def whole(table: Table) -> Fetch:
    """A fetch of all rows of a table."""
    return Fetch(table, table.key, (), (WHOLE,))


def _read(access: Access, inputs: Inputs, keys: set[bytes], ranges: list[Bounds]) -> None:
    path, collations = access.path, access.path.collations
    tuples, limits = _tuples(access, inputs), access.limits
    width = len(tuples[0]) if tuples else 0
    joined = any(not isinstance(term.supplier, InList) for term in access.terms)
    if (limits or (access.present and not joined)) and width == len(access.terms):
        for values in tuples:
            ranges += _between(values, path, limits, inputs)
        return
    if joined and len(tuples) > MAX_WAVE_KEYS and {*map(type, chain.from_iterable(tuples))} == {int}:
        # Integers are ordered as their keys are: encoding all of them to find the ends would take most of the time.
        ranges.append((encode_key(min(tuples), collations), encode_key(max(tuples), collations) + BEYOND))
        return
    points = width == len(path.columns) and path.id == access.table.key.id
    encoded = [(encode_key(values, collations), points and None not in values) for values in tuples]
    if joined and len(encoded) > MAX_WAVE_KEYS:
        ranges.append((min(encoded)[0], max(encoded)[0] + BEYOND))
        return
    for key, point in encoded:
        if point:
            keys.add(key)
        else:
            ranges.append((key, key + BEYOND))


def _tuples(access: Access, inputs: Inputs) -> list[tuple[SqlValue, ...]]:
    """The combinations of values that the first columns may have."""
    terms = access.terms
    while True:
        suppliers = list(dict.fromkeys(term.supplier for term in terms if term.in_row))
        groups = [[term for term in terms if term.in_row and term.supplier == supplier] for supplier in suppliers]
        groups += [[term] for term in terms if not term.in_row]
        supplied = [_supplied(group, inputs) for group in groups]
        if not all(supplied):
            return []
        combinations = prod(map(len, supplied))
        if combinations <= MAX_COMBINATIONS or sum(len(rows) > 1 for rows in supplied) <= 1:
            break
        terms = terms[:-1]
    if len(groups) == 1:
        return supplied[0]
    places = [term for group in groups for term in group]
    arrangement = [places.index(term) for term in terms]
    flat = (tuple(value for part in parts for value in part) for parts in product(*supplied))
    return [tuple(values[place] for place in arrangement) for values in flat]


def _supplied(terms: Sequence[Term], inputs: Inputs) -> list[tuple[SqlValue, ...]]:
    """The distinct values, row by row, that one supplier gives to its terms. A row with NULL matches nothing."""
    supplier = terms[0].supplier
    found: dict[tuple[SqlValue, ...], None] = {}
    has_null = False
    for number, rows in enumerate(_supplies(supplier, inputs)):
        # Column by column: converting 32,766 values one row at a time takes five times as long.
        columns = [_converted([row[term.places[number]] for row in rows], term) for term in terms]
        found.update(dict.fromkeys(zip(*columns, strict=True)))
        has_null = has_null or any(None in column for column in columns)
    if not has_null:
        return list(found)
    strict = [place for place, term in enumerate(terms) if not term.null_safe]
    return [values for values in found if all(values[place] is not None for place in strict)]


def _supplies(supplier: InList | tuple[Leaf, ...], inputs: Inputs) -> list[Sequence[Sequence[SqlValue]]]:
    """The rows of the constants, or those of each leaf."""
    if not isinstance(supplier, InList):
        return [[row for rows in inputs.rows[leaf] for row in rows] for leaf in supplier]
    if len(supplier.columns) == 1:
        return [[(value,) for row in supplier.rows for value in inputs.values(row[0])]]
    return [[[inputs.values(operand)[0] for operand in row] for row in supplier.rows]]


def _converted(values: Sequence[SqlValue], term: Term) -> Sequence[SqlValue]:
    for conversion in term.conversions:
        converted = [conversion(value) for value in values]
        if UNCERTAIN in converted:
            raise UncertainValue
        values = [value for value in converted if value is not UNCERTAIN]
    return [None if value != value else value for value in values]  # SQLite stores NaN as NULL


def _certain(value: SqlValue | Uncertain) -> SqlValue:
    if value is UNCERTAIN:
        raise UncertainValue
    return value


def _between(values: tuple[SqlValue, ...], path: Index, limits: Sequence[Limit], inputs: Inputs) -> list[Bounds]:
    """The ranges of keys that begin with `values` and whose next column lies within the limits and is not NULL."""
    prefix = encode_key(values, path.collations)
    start, stop = prefix + AFTER_NULL, prefix + BEYOND
    for limit in limits:
        value = _certain(limit.conversion(inputs.values(limit.operand)[0]))
        if value is None or value != value:
            return []
        operator, further = _further(limit, inputs) if limit.further else (limit.operator, ())
        key = encode_key((*values, value, *further), path.collations)
        if operator == ">":
            start = max(start, key + BEYOND)
        elif operator == ">=":
            start = max(start, key)
        elif operator == "<":
            stop = min(stop, key)
        else:
            stop = min(stop, key + BEYOND)
    return [(start, stop)] if start < stop else []


def _further(limit: Limit, inputs: Inputs) -> tuple[Operator, list[SqlValue]]:
    """What the columns behind the first are compared with, as far as keys can be made of it, and how.

    Rows that equal all values before a NULL compare as NULL; only those beyond them are found.
    """
    found: list[SqlValue] = []
    for operand, conversion in limit.further:
        try:
            value = _certain(conversion(inputs.values(operand)[0]))
        except UncertainValue:
            return ("<=" if limit.operator[0] == "<" else ">="), found
        if value is None or value != value:
            return ("<" if limit.operator[0] == "<" else ">"), found
        found.append(value)
    return limit.operator, found


def _disjoint(ranges: list[Bounds]) -> list[Bounds]:
    """The ranges sorted; those that overlap or touch are merged."""
    found: list[Bounds] = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1]:
            if stop > found[-1][1]:
                found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
