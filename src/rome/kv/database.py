"""A database: where transactions, collections and watches come from."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload
from weakref import WeakSet

from rome.codec.shown_key import shown_values
from rome.errors import CommitAbortedError, ConflictError, InterfaceError, OperationalError, ProgrammingError
from rome.kv.administration import Administration
from rome.kv.collection import Collection
from rome.kv.committing import commit
from rome.kv.definition import CollectionDefinition, Fields
from rome.kv.feed import EPOCH_COMMITS, EPOCH_S, TRIM_ROWS, TRIM_ROWS_OF_SMALL, KnownState, read_state, turn_over
from rome.kv.keys import Key
from rome.kv.layout import DIRECTORY, KEYS
from rome.kv.models import model_of
from rome.kv.pool import PooledStore, StorePool
from rome.kv.transaction import KvTransaction
from rome.kv.view import RecordView
from rome.kv.watch import POLL_S, FeedPosition, Watch, wanted
from rome.retry.attempts import Attempts, Policy
from rome.store.spi import Store
from rome.transaction.memory_budget import MemoryBudget
from rome.transaction.read_set import Validation
from rome.transaction.totals import DatabaseLabel
from rome.transaction.transaction import Transaction
from rome.transaction.write_set import CommitLimits

T = TypeVar("T")
P = ParamSpec("P")

_RETRIES = "transactional of rome.kv"


class _ThreadState(threading.local):
    is_in_transaction = False


class KvDatabase:
    """Keys, values and collections of one database; `rome.kv.open` makes it. Threads may share it.

    As a context manager it closes at the end of the block.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        check: Validation,
        limits: CommitLimits,
        max_bytes: int,
        commit_turn: bool,
        label: DatabaseLabel,
    ) -> None:
        self._open_store = open_store
        self._names: dict[int, str] = {}
        self._pool = StorePool(open_store, commit_turn=commit_turn, label=label, names=self._names)
        self._administration = Administration(self._pool, limits, max_bytes)
        self._check = check
        self._limits = limits
        self._max_bytes = max_bytes
        self._of_thread = _ThreadState()
        self._lock = threading.Lock()
        self._collections: WeakSet[Collection[Any]] = WeakSet()
        self._commits = 0
        self._turned_over = time.monotonic()
        with self._pool.lent() as lent:
            self._known = read_state(lent.store)

    # ------------------------------------------------------------ transactions
    @contextmanager
    def transaction(self) -> Iterator[KvTransaction]:
        """Run a block in a transaction: it commits at its end, and writes nothing if an exception leaves it.

        The first read fixes the snapshot. A block that has written nothing needs no COMMIT.

        Raises:
            ConflictError: what was read has been changed since by others; nothing was written. Run the block again, or
                use `transactional`.
            CommitUnknownError: the connection broke; everything was written, or nothing: see rome.was_committed.
            InterfaceError: this thread has a transaction of this database already.

        Cost: one round trip for COMMIT if something was written.
        """
        of_thread = self._of_thread
        if of_thread.is_in_transaction:
            raise InterfaceError(
                "this thread is in a transaction of this database already, and the two would not see each other's "
                "writes: hand the open one to the function that needs it"
            )
        of_thread.is_in_transaction = True
        try:
            with self._pool.lent() as lent:
                started, known = time.monotonic(), self._known
                lent.turn.before_first_read(lent.store.last_snapshot().incarnation)
                view = RecordView(Transaction(lent.store, MemoryBudget(self._max_bytes)), self._check)
                tr = KvTransaction(self, view, known)
                try:
                    yield tr
                    if view.conflict is not None:  # the block has caught it, and COMMIT cannot go by what was not read
                        raise view.conflict
                except ConflictError as conflict:  # of a read, whose snapshot is gone
                    self._describe(conflict)
                    lent.turn.met(conflict, started, view.transaction.read_set)
                    lent.turn.failed()
                    raise
                except BaseException:
                    lent.turn.leave()
                    raise
                finally:
                    tr.end()
                    lent.count_reads(view.transaction)
                if view.writes:
                    tr.version, known = commit(
                        view, lent.store, lent.turn, known, self._limits, started, self._describe
                    )
                    lent.count_commit(view.transaction, len(view.changes))
                    self._committed(lent, known)
                else:
                    lent.turn.committed(wrote=False)
        finally:
            of_thread.is_in_transaction = False

    @overload
    def transactional(self, function: Callable[Concatenate[KvTransaction, P], T], /) -> Callable[P, T]: ...
    @overload
    def transactional(
        self, /, **options: Any
    ) -> Callable[[Callable[Concatenate[KvTransaction, P], T]], Callable[P, T]]: ...
    def transactional(self, function: Any = None, /, **options: Any) -> Any:
        """Decorate a function as a transaction that is run again after a conflict, a bounded number of times.

        Callers leave out its first parameter, the transaction. The function may run several times, so its effects
        outside the database must tolerate that; what it writes is committed once. After CommitUnknownError, when
        nobody knows whether it was committed, it is not run again. In a transaction that is open already, call
        `function.__wrapped__(tr, ..)`.

        Args:
            options: max_attempts, first_wait_s, max_wait_s: those of rome.run_transaction.

        Raises:
            TypeError: it is an async function or a generator: its work would be done after the commit.
        """
        policy = Policy(**options)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            for asks in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
                if asks(function):
                    raise TypeError(
                        "transactional takes a function that has done its work when it returns, not a generator nor "
                        "an async function; asyncio.to_thread runs the decorated one beside a loop"
                    )

            @functools.wraps(function)
            def run(*args: Any, **named: Any) -> Any:
                attempts = Attempts(policy, _RETRIES)
                while True:
                    try:
                        with self.transaction() as tr:
                            result = function(tr, *args, **named)
                        return result
                    except Exception as error:
                        wait_s = attempts.wait_s(error)
                        if wait_s is None:
                            raise
                    time.sleep(wait_s)

            return run

        return decorate if function is None else decorate(function)

    # ------------------------------------------------------------ collections
    def collection(
        self,
        name: str,
        kind: type[T],
        *,
        key: str | Sequence[str],
        indexes: Sequence[str | Sequence[str]] = (),
        unique: Sequence[str | Sequence[str]] = (),
    ) -> Collection[T]:
        """Open a collection, and create it unless it exists.

        Indexes that it lacks are built, in steps, while others use the collection. Indexes that it has and that are
        not named here stay, and are maintained.

        Args:
            kind: a msgspec Struct, a dataclass or a pydantic model.
            key: the field, or the fields, that identify an object.
            indexes: each a field, or several, by which objects are found.
            unique: the same; no two objects may have the same values of these, except with None among them.

        Raises:
            ProgrammingError: the collection was made with another key, or an index is unique there and not here; or
                the type lacks a field of the key or of an index.
            UniqueViolation: objects that are there forbid a unique index; it was not made.
        """
        if not isinstance(name, str) or not name:
            raise InterfaceError(f"a collection's name is a text, and not {name!r}")
        self._refuse_inside("open a collection")
        model, key_fields = model_of(kind), _fields(key)
        wished = [*((_fields(each), False) for each in indexes), *((_fields(each), True) for each in unique)]
        for fields in (key_fields, *(fields for fields, _ in wished)):
            if not fields:
                raise InterfaceError(f"collection {name}: a key or an index has at least one field")
            for field in fields:
                if field not in model.fields:
                    raise ProgrammingError(f"{kind.__name__} has no field {field!r} for collection {name}")
        stored = self._administration.define(name, key_fields, wished)
        made = Collection(self, model, stored)
        building = [index.id for index in stored.definition.indexes if index.building]
        for index_id in building:
            self._administration.build(made, index_id)
        if building:
            made.adopt(self._administration.load(name))
        with self._lock:
            self._collections.add(made)
            self._names[made.definition.table_id] = name
        return made

    def collections(self) -> list[CollectionDefinition]:
        """The definitions of all collections, by name. One round trip."""
        return self._administration.load_all()

    def drop_collection(self, name: str) -> bool:
        """Delete a collection with all its objects; returns whether there was one.

        All open transactions of the database, also SQL's, meet a conflict, since their snapshots may not read what is
        gone.
        """
        self._refuse_inside("drop a collection")
        return self._administration.drop(name)

    def drop_index(self, name: str, fields: str | Sequence[str]) -> bool:
        """Remove an index of a collection; returns whether there was one on exactly these fields.

        Open transactions meet a conflict, as in drop_collection.
        """
        self._refuse_inside("drop an index")
        return self._administration.drop_index(name, _fields(fields))

    def require(self, collection: Collection[Any]) -> None:
        """For transactions: bring a collection's definition up to date, where it is known to be outdated.

        Raises:
            InterfaceError: it is of another database.
            ProgrammingError: it has been dropped, or does not fit its type any more.
        """
        if collection.owner is not self:
            raise InterfaceError(f"{collection!r} was opened by another database object")
        if collection.is_outdated:
            collection.adopt(self._administration.load(collection.name))
            with self._lock:
                self._names[collection.definition.table_id] = collection.name

    # ------------------------------------------------------------ watching
    def position(self) -> str:
        """Where a watch that begins now would begin, as text. One round trip."""
        with self._pool.lent() as lent:
            known, snapshot = read_state(lent.store), lent.store.last_snapshot()
        return str(FeedPosition(snapshot.incarnation, known.state.epoch, snapshot.version))

    def watch(
        self,
        prefix: Key = (),
        *,
        collection: Collection[Any] | None = None,
        since: str | None = None,
        poll_s: float = POLL_S,
    ) -> Watch:
        """Watch keys, or a collection's objects: an iterator over changes, in the order of the commits.

        Args:
            prefix: only keys that begin with these parts; () for all. A key alone is itself and all that it begins.
            collection: watch its objects instead of plain keys; `prefix` is then of their keys.
            since: a position; None for changes from now on.
            poll_s: how long an iteration waits between two questions to the store.
        """
        if collection is not None:
            self.require(collection)
        table_id = KEYS if collection is None else collection.definition.table_id
        ask = wanted(table_id, prefix)
        start = None if since is None else FeedPosition.parse(since)
        if self._pool.is_closed:
            raise InterfaceError("this database is closed")
        return Watch(self._open_store(), start, ask, self._names.get, poll_s)

    # ------------------------------------------------------------ its end
    def close(self) -> None:
        """Close all connections; a transaction that is open may still end. Idempotent. Watches are closed alone."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------ within
    def _committed(self, lent: PooledStore, known: KnownState) -> None:
        """Note a commit, and see to the feed from time to time."""
        now = time.monotonic()
        with self._lock:
            self._known = known
            self._commits += 1
            due = self._commits >= EPOCH_COMMITS or now - self._turned_over >= EPOCH_S
            if due:
                self._commits, self._turned_over = 0, now
        if due:
            self._turn_over(lent)

    def _turn_over(self, lent: PooledStore) -> None:
        """Begin a new epoch of the feed, and discard its old entries."""
        most, more = TRIM_ROWS, True
        while more:
            try:
                transaction = Transaction(lent.store, MemoryBudget(self._max_bytes))
                writes, more = turn_over(transaction, lent.store.retention().seconds, most)
                transaction.commit(writes, b"", self._limits)
            except (ConflictError, CommitAbortedError):  # somebody else has done it
                return
            except OperationalError:
                if most == TRIM_ROWS_OF_SMALL:  # the next commit tells the application what is wrong
                    return
                most = TRIM_ROWS_OF_SMALL

    def _refuse_inside(self, what: str) -> None:
        if self._of_thread.is_in_transaction:
            raise InterfaceError(f"{what} outside of a transaction: it is a transaction of its own")

    def _describe(self, conflict: ConflictError) -> None:
        """Put keys and names into the message of a conflict."""
        if conflict.table is not None and conflict.key is not None:
            parts = ", ".join(map(repr, shown_values(conflict.key)))
            if conflict.table == DIRECTORY:
                name = next(iter(shown_values(conflict.key)), None)
                conflict.tell_row(f"the definition of collection {name!r}")
                for collection in self._collections:
                    if collection.name == name:
                        collection.is_outdated = True
            elif conflict.table == KEYS:
                what = f"key ({parts})" if conflict.index is None else f"keys from ({parts}) on"
                (conflict.tell_row if conflict.index is None else conflict.tell_rows)(what)
            else:
                whose = f"of collection {self._names.get(conflict.table, conflict.table)}"
                if conflict.index is None:
                    conflict.tell_row(f"object ({parts}) {whose}")
                else:
                    conflict.tell_rows(f"objects {whose} from ({parts}) on")
        conflict.advise(_RETRIES)


def _fields(given: str | Sequence[str]) -> Fields:
    return (given,) if isinstance(given, str) else tuple(given)
