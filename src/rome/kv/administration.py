"""Changes of the directory: each is a transaction of its own, run again after conflicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rome.errors import CommitAbortedError, ConflictError, ProgrammingError, UniqueViolation
from rome.kv import building, directory
from rome.kv.collection import Collection
from rome.kv.definition import CollectionDefinition, Fields, StoredDefinition
from rome.kv.layout import DIRECTORY
from rome.kv.pool import StorePool
from rome.retry.attempts import Attempts, Policy
from rome.store.spi import Drop, Version
from rome.transaction.memory_budget import MemoryBudget
from rome.transaction.transaction import Transaction
from rome.transaction.write_set import CommitLimits, WriteSet

T = TypeVar("T")

DirectoryWork = Callable[[Transaction, WriteSet], T]

_POLICY = Policy(max_attempts=20)


class Administration:
    """Defines, builds and drops collections and their indexes."""

    def __init__(self, pool: StorePool, limits: CommitLimits, max_bytes: int) -> None:
        self._pool = pool
        self._limits = limits
        self._max_bytes = max_bytes

    def define(self, name: str, key: Fields, wished: Sequence[tuple[Fields, bool]]) -> StoredDefinition:
        """Have the collection and its indexes in the directory; those that are new there are to be built.

        Args:
            wished: the fields of each index, and whether it is unique.

        Raises:
            ProgrammingError: what is there differs.
        """

        def work(transaction: Transaction, writes: WriteSet) -> tuple[CollectionDefinition, Version]:
            stored = directory.load(transaction, name)
            if stored is None:
                definition, version = directory.create(transaction, writes, name, key), 0
            else:
                definition, version = stored.definition, stored.version
            if definition.key != key:
                raise ProgrammingError(
                    f"collection {name} has the key {', '.join(definition.key)}, and not {', '.join(key)}: open it "
                    "with its key, or copy its objects into another collection"
                )
            for fields, unique in wished:
                index = definition.index_on(fields)
                if index is None:
                    definition = building.add(definition, fields, unique, writes)
                elif index.unique != unique:
                    raise ProgrammingError(
                        f"collection {name} has {index.label}, and is opened with one that is "
                        f"{'' if unique else 'not '}unique: name it as it is, or remove it with drop_index first"
                    )
            return definition, version

        (definition, version), committed = self._run(work)
        return StoredDefinition(definition, version if committed is None else committed)

    def build(self, collection: Collection[Any], index_id: int) -> None:
        """Give all objects their entries in an index.

        Raises:
            UniqueViolation: two objects have the same values; the index is removed.
        """
        try:
            while self._run(lambda transaction, writes: building.step(transaction, collection, index_id, writes))[0]:
                pass
        except UniqueViolation:
            index = next(index for index in collection.definition.indexes if index.id == index_id)
            self.drop_index(collection.name, index.fields)
            raise

    def load(self, name: str) -> StoredDefinition:
        """Read a definition.

        Raises:
            ProgrammingError: there is none.
        """
        found, _ = self._run(lambda transaction, _: directory.load(transaction, name))
        if found is None:
            raise ProgrammingError(f"collection {name} has been dropped: open it again to create it, empty")
        return found

    def load_all(self) -> list[CollectionDefinition]:
        """Read the definitions of all collections, by name."""
        return self._run(lambda transaction, _: directory.load_all(transaction))[0]

    def drop(self, name: str) -> bool:
        """Delete a collection; returns whether there was one."""

        def work(transaction: Transaction, writes: WriteSet) -> bool:
            stored = directory.load(transaction, name)
            if stored is None:
                return False
            rows = writes.rows.setdefault(DIRECTORY, {})
            rows[directory.definition_key(name)] = None
            for index in stored.definition.indexes:
                if index.building:
                    rows.update(dict.fromkeys(directory.progress_keys(name, index.id)))
            directory.drop(transaction, writes, [Drop(stored.definition.table_id)])
            return True

        return self._run(work)[0]

    def drop_index(self, name: str, fields: Fields) -> bool:
        """Remove an index; returns whether there was one on exactly these fields."""
        return self._run(lambda transaction, writes: building.remove(transaction, name, fields, writes))[0]

    def _run(self, work: DirectoryWork[T]) -> tuple[T, Version | None]:
        """Run and commit; returns also the commit's version, if something was written."""
        attempts = Attempts(_POLICY, "rome.kv")
        while True:
            try:
                with self._pool.lent() as lent:
                    transaction, writes = Transaction(lent.store, MemoryBudget(self._max_bytes)), WriteSet()
                    result = work(transaction, writes)
                    version = transaction.commit(writes, b"", self._limits) if writes else None
                return result, version
            except (ConflictError, CommitAbortedError) as error:
                wait_s = attempts.wait_s(error)
                if wait_s is None:
                    raise
            time.sleep(wait_s)
