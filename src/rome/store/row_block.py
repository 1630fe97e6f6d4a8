"""Many rows as the store holds them, each made into an object only when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, overload

from rome.store.spi import Row

MANY = 64
"""As many rows are worth a block: below, one costs more than it saves."""

STAMP_BYTES = 8
"""A stored value begins with the version that wrote it, the highest byte first."""

_record, _key = attrgetter("record"), attrgetter("key")

Entries = Any
"""What a store knows rows by."""
KeysOf = Callable[[Entries], list[bytes]]
"""Makes row keys of it."""


class RowBlock(Sequence[Row]):
    """The rows of a scan, in its order. It never changes.

    Args:
        size: of all values, if it is known.

    Attributes:
        values: of each row what the store holds: `before` bytes, and its record.
        record_bytes: the size of all records.

    Cost: nothing for each row, until `keys` or a row is asked for; then 0.2 µs for each, once.
    """

    __slots__ = ("_keys", "_parts", "_rows", "before", "record_bytes", "values")

    def __init__(
        self,
        parts: Sequence[tuple[Entries, KeysOf]],
        values: Sequence[bytes],
        size: int | None = None,
        before: int = STAMP_BYTES,
    ) -> None:
        self._parts = parts
        self.values, self.before = values, before
        self.record_bytes = (sum(map(len, values)) if size is None else size) - before * len(values)
        self._keys: list[bytes] | None = None
        self._rows: Sequence[Row] | None = None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RowBlock:
        """A block of rows that are objects already; the rows themselves if they are a block."""
        if type(rows) is RowBlock:
            return rows
        made = cls((), list(map(_record, rows)), before=0)
        made._rows = rows
        return made

    def keys(self) -> list[bytes]:
        """The keys of the rows, in order."""
        if self._keys is None:
            if self._parts:
                self._keys = list(chain.from_iterable(keys_of(entries) for entries, keys_of in self._parts))
            else:
                self._keys = list(map(_key, self.rows()))
        return self._keys

    def records(self) -> Sequence[bytes]:
        """The records of the rows."""
        return self.values if self.before == 0 else [value[self.before :] for value in self.values]

    def rows(self) -> Sequence[Row]:
        """The rows as objects."""
        if self._rows is None:
            number = int.from_bytes
            self._rows = [
                Row(key, number(value[:STAMP_BYTES]), value[STAMP_BYTES:])
                for key, value in zip(self.keys(), self.values, strict=True)
            ]
        return self._rows

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        return self.rows()[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self.rows()) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RowBlock({self.rows()!r})"


def joined(parts: Iterable[Sequence[Row]]) -> Sequence[Row]:
    """The rows of several answers, one after the other."""
    pieces = [part for part in parts if part]
    if len(pieces) == 1:
        return pieces[0]
    blocks = [part for part in pieces if isinstance(part, RowBlock) and part._parts]
    if blocks and len(blocks) == len(pieces):
        parts_of_all = [part for block in blocks for part in block._parts]
        size = sum([block.record_bytes + STAMP_BYTES * len(block) for block in blocks])
        return RowBlock(parts_of_all, list(chain.from_iterable(block.values for block in blocks)), size)
    return list(chain.from_iterable(pieces))


def record_bytes(rows: Sequence[Row]) -> int:
    """The size of all records."""
    return rows.record_bytes if type(rows) is RowBlock else sum(map(len, map(_record, rows)))
