"""The fast paths from values to keys, for the accesses that most statements are made of; the rest is in `bounds`.

Invariant: what they read is what `bounds.fetches` reads for the same access.
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.catalog.schema import Index
from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.errors import DataError
from rome.planner.access.access import Access, Term
from rome.planner.access.bounds import Inputs, UncertainValue, whole
from rome.planner.algebra.predicates import FixedValue, InList, Leaf
from rome.planner.parse.affinity import UNCERTAIN, Conversion, Uncertain, as_is, to_numeric, to_text
from rome.planner.parse.canonical import Constant, Slot
from rome.planner.plan import Fetch
from rome.store.spi import BEYOND

MAX_ROWS = 100
"""For more rows than these the general way takes no longer, since it works column by column."""


class PointRead:
    """A fast path for the common case that the columns of one path equal single constants.

    Cost: 2 µs and the encoding of the key, a tenth of the general way.
    """

    __slots__ = ("_decides", "_parts", "_table", "finds_one", "path")

    def __init__(self, access: Access, slots: Sequence[Slot], *, decides: bool = False) -> None:
        self._table, self.path, self._decides = access.table, access.path, decides
        whole_key = len(access.terms) == len(access.path.columns) and access.path.id == access.table.key.id
        self.finds_one = whole_key and not any(term.null_safe for term in access.terms)  # NULL is not unique
        self._parts = [_single(term, slots) for term in access.terms]

    @classmethod
    def of(cls, accesses: Sequence[Access], slots: Sequence[Slot], *, decides: bool = False) -> PointRead | None:
        """The fast path for these accesses; None if they are not that simple.

        Args:
            decides: see Fetch.
        """
        if len(accesses) != 1 or accesses[0].limits:
            return None
        single = all(isinstance(term.supplier, InList) and term.supplier.is_single for term in accesses[0].terms)
        return cls(accesses[0], slots, decides=decides) if single else None

    def finds(self, compared: Index) -> bool:
        """Whether the rows that it finds are those that have one key in an index of these columns."""
        width = len(self._parts)
        mine = zip(self.path.columns[:width], self.path.collations[:width], strict=True)
        return width == len(compared.columns) and {*mine} == {*zip(compared.columns, compared.collations, strict=True)}

    def fetch(self, parameters: Sequence[SqlValue]) -> Fetch | None:
        """What to read; None if no row can match."""
        try:
            key = self.key(parameters)
        except (UncertainValue, DataError):
            return whole(self._table)
        if key is None:
            return None
        if self.finds_one:
            return Fetch(self._table, self.path, (key,), (), decides=self._decides)
        return Fetch(self._table, self.path, (), ((key, key + BEYOND),), decides=self._decides)

    def key(self, parameters: Sequence[SqlValue]) -> bytes | None:
        """The key of the constants; None if one is NULL that must not be.

        Raises:
            UncertainValue, DataError: no key can be made of a value.
        """
        values: list[SqlValue] = []
        for position, value, kept, conversions, null_safe in self._parts:
            if position is not None:
                value = parameters[position] if position < len(parameters) else None
            if type(value) not in kept:
                for conversion in conversions:
                    if value is not UNCERTAIN:
                        value = conversion(value)
            if value is UNCERTAIN:
                raise UncertainValue
            if value is None and not null_safe:
                return None
            values.append(value)
        return encode_key(values, self.path.collations)


_Part = tuple[int | None, SqlValue | Uncertain, frozenset[type], tuple[Conversion, ...], bool]


def _single(term: Term, slots: Sequence[Slot]) -> _Part:
    """A parameter's position or a literal; the types of which all conversions leave a value as it is; the conversions;
    and whether NULL is a value."""
    assert isinstance(term.supplier, InList)
    operand = term.supplier.rows[0][term.places[0]]
    slot = Constant(operand.value) if isinstance(operand, FixedValue) else slots[operand.slot]
    kept = _kept(term)
    if isinstance(slot, int):
        return slot, None, kept, term.conversions, term.null_safe
    assert isinstance(slot, Constant)
    return None, slot.value, kept, term.conversions, term.null_safe


def _kept(term: Term) -> frozenset[type]:
    return _TYPES.intersection(*(_KEPT.get(conversion, frozenset()) for conversion in term.conversions))


_TYPES: frozenset[type] = frozenset({int, float, str, bytes, type(None)})
_KEPT: dict[Conversion, frozenset[type]] = {
    as_is: _TYPES,
    to_text: _TYPES - {int, float},
    to_numeric: _TYPES - {str},
}
"""The types whose values a conversion leaves as they are."""


class KeyedRead:
    """A fast path for a join: columns of one path equal columns of another leaf's rows, or single constants.

    Cost: 2 µs, and for each row 0.5 µs and the encoding of a key: a fifth of the general way for one row.
    """

    __slots__ = ("_columns", "_constants", "_decides", "_finds_one", "_leaf", "_path", "_table")

    def __init__(self, access: Access, slots: Sequence[Slot], *, decides: bool = False) -> None:
        self._table, self._path, self._decides = access.table, access.path, decides
        self._finds_one = len(access.terms) == len(access.path.columns) and access.path.id == access.table.key.id
        self._columns: list[tuple[int, int, frozenset[type]]] = []
        self._constants: list[_Part | None] = []
        for number, term in enumerate(access.terms):
            if isinstance(term.supplier, InList):
                self._constants.append(_single(term, slots))
            else:
                self._constants.append(None)
                (self._leaf,) = term.supplier
                self._columns.append((number, term.places[0], _kept(term)))

    @classmethod
    def of(cls, accesses: Sequence[Access], slots: Sequence[Slot], *, decides: bool = False) -> KeyedRead | None:
        """The fast path for these accesses; None if they are not that simple. See PointRead."""
        if len(accesses) != 1 or accesses[0].limits:
            return None
        leaves: set[Leaf] = set()
        for term in accesses[0].terms:
            if isinstance(term.supplier, InList):
                if term.null_safe or not term.supplier.is_single:
                    return None
            elif term.null_safe or not term.in_row or len(term.supplier) != 1:
                return None
            else:
                leaves.update(term.supplier)
        return cls(accesses[0], slots, decides=decides) if len(leaves) == 1 else None

    def fetches(self, inputs: Inputs) -> list[Fetch] | None:
        """What to read; None if the general way must say."""
        supplied = inputs.rows[self._leaf]
        if sum(map(len, supplied)) > MAX_ROWS:
            return None
        values: list[SqlValue] = []
        for part in self._constants:
            if part is None:
                values.append(None)  # until a row's comes in its place
                continue
            position, value, kept, _, _ = part
            if position is not None:
                value = inputs.parameters[position] if position < len(inputs.parameters) else None
            if value is UNCERTAIN or value is None or type(value) not in kept:
                return None
            values.append(value)
        keys: dict[bytes, None] = {}
        collations = self._path.collations
        for rows in supplied:
            for row in rows:
                for number, place, kept in self._columns:
                    supplied_value = row[place]
                    if supplied_value is None:
                        break
                    if type(supplied_value) not in kept:
                        return None
                    values[number] = supplied_value
                else:
                    try:
                        keys[encode_key(values, collations)] = None
                    except DataError:
                        return None
        if not keys:
            return []
        if self._finds_one:
            return [Fetch(self._table, self._path, tuple(keys), (), decides=self._decides)]
        ranges = tuple([(key, key + BEYOND) for key in sorted(keys)])
        return [Fetch(self._table, self._path, (), ranges, decides=self._decides)]
