"""What this process believes of a database: which rows index entries lead to, and where sequences stand.

Correctness does not depend on the beliefs. A wrong belief costs a round trip, and a right one saves one: the rows that
an index range led to before are requested together with the range, and a sequence is raised from its believed value.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from rome.store.ordered.strides import Strides
from rome.store.spi import Version

MAX_ENTRIES = 2_000
"""The most entries kept per index; if there are more, those of the index are forgotten."""

MAX_INDEXES = 500

MAX_BELIEVING = 100
"""Of how many databases a process has beliefs; those that it has connected to most recently."""

MAX_DATABASES = 10_000
"""Of how many databases a process knows the newest version. It is no belief: with it a restored copy is noticed."""


class Hints:
    """The beliefs about one database, used by all connections of this process, each in its own thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._indexes: dict[tuple[int, int], tuple[list[bytes], dict[bytes, bytes]]] = {}
        self.numbers: dict[int, bytes] = {}
        """Sequence -> its stored value; empty if there is none."""
        self.strides = Strides()
        self.newest: Version = 0
        """The newest version that this process has heard of. A new connection that finds an older one knows that the
        engine was restored from a copy."""

    def add(self, table: int, index: int, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Add existing entries, with the row keys that they lead to."""
        with self._lock:
            if len(self._indexes) > MAX_INDEXES:
                self._indexes.clear()
            order, rows = self._indexes.setdefault((table, index), ([], {}))
            for entry, row_key in entries:
                if entry not in rows:
                    insort(order, entry)
                rows[entry] = row_key
            if len(order) > MAX_ENTRIES:
                del self._indexes[table, index]

    def remove(self, table: int, index: int, entry: bytes) -> None:
        """Remove an entry that no longer exists."""
        with self._lock:
            order, rows = self._indexes.get((table, index), ([], {}))
            if rows.pop(entry, None) is not None:
                del order[bisect_left(order, entry)]

    def forget(self) -> None:
        """Forget all beliefs, and keep what is known: the newest version."""
        with self._lock:
            self._indexes.clear()
        self.numbers, self.strides = {}, Strides()

    def rows(self, table: int, index: int, start: bytes, stop: bytes, most: int, *, reverse: bool) -> list[bytes]:
        """Return the first `most` row keys that a range may lead to."""
        with self._lock:
            order, rows = self._indexes.get((table, index), ([], {}))
            first, last = bisect_left(order, start), bisect_left(order, stop)
            chosen = order[max(first, last - most) : last] if reverse else order[first : min(last, first + most)]
            return list(dict.fromkeys(rows[entry] for entry in chosen))


_known: OrderedDict[tuple[object, bytes], Hints] = OrderedDict()
_believing: OrderedDict[tuple[object, bytes], Hints] = OrderedDict()
"""Those that still have their beliefs. Both are in the order of the last connection to the database."""
_known_lock = Lock()


def hints_of(engine: object, incarnation: bytes) -> Hints:
    """Return the hints of the database with this incarnation; all connections share them."""
    database = engine, incarnation
    with _known_lock:
        hints = _believing[database] = _known.setdefault(database, Hints())
        _known.move_to_end(database)
        _believing.move_to_end(database)
        if len(_known) > MAX_DATABASES:
            _known.popitem(last=False)
        if len(_believing) > MAX_BELIEVING:
            _believing.popitem(last=False)[1].forget()
        return hints
