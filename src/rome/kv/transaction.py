"""One transaction of rome.kv, and plain keys in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rome.errors import InterfaceError
from rome.kv.collection import Collection
from rome.kv.feed import KnownState
from rome.kv.keys import Key, bounds_of, checked_limit, encode_whole
from rome.kv.layout import KEYS
from rome.kv.values import Value, decode_value, encode_value
from rome.kv.view import RecordView, entry_of_key
from rome.kv.watch import FeedPosition
from rome.store.spi import ORDER_INDEX, Version

if TYPE_CHECKING:
    from rome.kv.database import KvDatabase


class KvTransaction:
    """Reads at one snapshot, and writes that COMMIT applies together; `KvDatabase.transaction` makes it.

    It sees its own writes. One thread may use it at a time, inside its `with` block.

    Attributes:
        version: the commit's version, after the block, if something was written; None before.
    """

    def __init__(self, database: KvDatabase, view: RecordView, known: KnownState) -> None:
        self._database = database
        self._known = known
        self._view: RecordView | None = view
        self._uses: dict[bytes, Version] = {}
        self.version: Version | None = None

    # ------------------------------------------------------------ reads
    def get(self, key: Key, default: Any = None) -> Value:
        """Return the value of a key; `default` if the key is not there.

        Raises:
            DataError: it is no key.

        Cost: one round trip, unless this transaction has read or written the key.
        """
        (row,) = self._open().get(KEYS, [encode_whole(key)])
        return default if row is None else decode_value(row)[1]

    def get_many(self, keys: Sequence[Key], default: Any = None) -> list[Value]:
        """Return the values of keys, in their order. One round trip for all."""
        rows = self._open().get(KEYS, [encode_whole(key) for key in keys])
        return [default if row is None else decode_value(row)[1] for row in rows]

    def range(
        self,
        prefix: Key = (),
        *,
        start: Key | None = None,
        after: Key | None = None,
        stop: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[Key, Value]]:
        """Return keys with their values, in order.

        Args:
            prefix: only keys that begin with these parts.
            start: only keys from this one on.
            after: only keys behind this one; to go on after a `limit`.
            stop: only keys before this one (and before all that begin with it).
            limit: the most to return.
            reverse: from the last one down.

        Cost: one round trip; more if the store cuts a large answer into pieces.
        """
        bounds = bounds_of(prefix, start, stop, after)
        most = checked_limit(limit)
        if bounds[0] >= bounds[1]:
            self._open()
            return []
        rows = self._open().scan(KEYS, ORDER_INDEX, bounds, entry_of_key, most, reverse=reverse)
        return [decode_value(row) for row in rows]

    def count(self, prefix: Key = (), *, start: Key | None = None, stop: Key | None = None) -> int:
        """Return how many keys a range has. The store counts.

        Cost: one round trip, and one more for keys that this transaction has written without having read them.
        """
        bounds = bounds_of(prefix, start, stop)
        if bounds[0] >= bounds[1]:
            self._open()
            return 0
        return self._open().count(KEYS, ORDER_INDEX, bounds, entry_of_key)

    @property
    def position(self) -> str:
        """From where a watch gives all changes that this transaction's snapshot does not have, as text.

        Cost: one round trip if nothing was read before.
        """
        transaction = self._open().transaction
        transaction.fix_snapshot()
        assert transaction.snapshot is not None
        incarnation, version = transaction.snapshot.incarnation, transaction.snapshot.version
        epoch = self._known.state.epoch if self._known.incarnation == incarnation else 0
        return str(FeedPosition(incarnation, epoch, version))

    # ------------------------------------------------------------ writes
    def put(self, key: Key, value: Value) -> None:
        """Insert or replace a value. No round trip: two transactions that put without reading do not conflict.

        Raises:
            DataError: it is no key; the value is too large, or of a type that would come back changed.
        """
        view, row_key = self._open(), encode_whole(key)
        view.put(KEYS, row_key, key, encode_value(key, value))

    def delete(self, key: Key) -> None:
        """Delete a key; if it is not there, nothing happens. No round trip."""
        self._open().delete(KEYS, encode_whole(key), key)

    # ------------------------------------------------------------ its end
    def view_of(self, collection: Collection[Any]) -> tuple[RecordView, dict[bytes, Version]]:
        """For collections: the records, and {key of a definition: its version} of the collections used so far.

        Raises:
            InterfaceError: the transaction has ended, or the collection is of another database.
        """
        view = self._open()
        self._database.require(collection)
        return view, self._uses

    def _open(self) -> RecordView:
        if self._view is None:
            raise InterfaceError("this transaction has ended: use it inside its `with db.transaction()` block")
        if self._view.conflict is not None:
            raise self._view.conflict
        return self._view

    def end(self) -> None:
        """Refuse everything from here on."""
        self._view = None
