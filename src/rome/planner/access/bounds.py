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
from rome.planner.access.access import Access, Limit, Term
from rome.planner.algebra.predicates import FixedValue, InList, Leaf, Operand
from rome.planner.parse.affinity import UNCERTAIN, Conversion, Uncertain
from rome.planner.parse.canonical import Constant, Constants, Slot
from rome.planner.plan import Fetch, Values
from rome.store.spi import BEYOND, Bounds

MAX_COMBINATIONS = 1_000
"""Several lists of values (`a IN (..) AND b IN (..)`) make at most so many keys; beyond it, fewer columns are used."""

MAX_WAVE_KEYS = 2_000
"""So many keys may come from other tables' rows; beyond it, one range is read from the smallest to the largest."""

WHOLE: Bounds = (b"", BEYOND)


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
        if isinstance(slot, Constants):
            return [_certain(value) for value in slot.values]
        return self.parameters[slot.start : slot.stop]


class PointRead:
    """The common case made quick: the columns of one path equal single constants.

    Cost: 2 µs and the encoding of the key, a tenth of what the general way takes.
    """

    __slots__ = ("_parts", "_path", "_row", "_table")

    def __init__(self, access: Access, slots: Sequence[Slot]) -> None:
        self._table, self._path = access.table, access.path
        whole_key = len(access.terms) == len(access.path.columns) and access.path.id == access.table.key.id
        self._row = whole_key and not any(term.null_safe for term in access.terms)  # with a NULL there may be several
        self._parts = [_single(term, slots) for term in access.terms]

    @classmethod
    def of(cls, accesses: Sequence[Access], slots: Sequence[Slot]) -> PointRead | None:
        """The quick way for these accesses, if they are so simple."""
        if len(accesses) != 1 or accesses[0].limits:
            return None
        single = all(isinstance(term.supplier, InList) and term.supplier.is_single for term in accesses[0].terms)
        return cls(accesses[0], slots) if single else None

    def finds(self, compared: Index) -> bool:
        """Is it a row's own key, and would the row found have no other key in an index of these columns?"""
        one, other = (set(zip(index.columns, index.collations, strict=True)) for index in (compared, self._path))
        return self._row and one == other

    def fetch(self, parameters: Sequence[SqlValue]) -> Fetch | None:
        """What is read; None: no row can match."""
        try:
            key = self.key(parameters)
        except (UncertainValue, DataError):
            return whole(self._table)
        if key is None:
            return None
        if self._row:
            return Fetch(self._table, self._path, (key,), ())
        return Fetch(self._table, self._path, (), ((key, key + BEYOND),))

    def key(self, parameters: Sequence[SqlValue]) -> bytes | None:
        """The key of the constants; None: one that must not be NULL is.

        Raises:
            UncertainValue, DataError: there is none.
        """
        values = []
        for position, value, conversions, null_safe in self._parts:
            if position is not None:
                value = parameters[position] if position < len(parameters) else None
            for conversion in conversions:
                if value is not UNCERTAIN:
                    value = conversion(value)
            if value is None and not null_safe:
                return None
            values.append(_certain(value))
        return encode_key(values, self._path.collations)


def _single(term: Term, slots: Sequence[Slot]) -> tuple[int | None, SqlValue | Uncertain, tuple[Conversion, ...], bool]:
    """A parameter's position or a literal; what to do to it; is NULL a value?"""
    assert isinstance(term.supplier, InList)
    operand = term.supplier.rows[0][term.places[0]]
    slot = Constant(operand.value) if isinstance(operand, FixedValue) else slots[operand.slot]
    if isinstance(slot, int):
        return slot, None, term.conversions, term.null_safe
    assert isinstance(slot, Constant)
    return None, slot.value, term.conversions, term.null_safe


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


def exact_ranges(access: Access, inputs: Inputs, *, present: bool) -> list[Bounds] | None:
    """The parts of the path in which the rows lie that the access is to find, and no others; None: not so to be had.

    Args:
        present: leave out those whose next column is NULL.

    Raises:
        UncertainValue, DataError: a value that makes no key.
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


def ranges_of(accesses: Iterable[Access], inputs: Inputs) -> list[Bounds]:
    """The parts of their one path that the accesses read, sorted and disjoint.

    Raises:
        UncertainValue, DataError: a value that makes no key.
    """
    keys: set[bytes] = set()
    ranges: list[Bounds] = []
    for access in accesses:
        _read(access, inputs, keys, ranges)
    return _disjoint([*ranges, *((key, key + BEYOND) for key in keys)])


def whole(table: Table) -> Fetch:
    """All rows of a table."""
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
    """The values that the first columns may have together."""
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
    for number, rows in enumerate(_supplies(supplier, inputs)):
        # Column by column: converting 32,766 values one row at a time takes five times as long.
        columns = [_converted([row[term.places[number]] for row in rows], term) for term in terms]
        found.update(dict.fromkeys(zip(*columns, strict=True)))
    strict = [place for place, term in enumerate(terms) if not term.null_safe]
    return [values for values in found if all(values[place] is not None for place in strict)]


def _supplies(supplier: InList | tuple[Leaf, ...], inputs: Inputs) -> list[Sequence[Sequence[SqlValue]]]:
    """The rows of the constants, or of each leaf."""
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
    return [(start, stop)] if start < stop else []


def _disjoint(ranges: list[Bounds]) -> list[Bounds]:
    """Sorted, and those that overlap or touch made one."""
    found: list[Bounds] = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1]:
            if stop > found[-1][1]:
                found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
