"""A definition with what is derived from it; shared by all connections of the process that are at its version."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from threading import Lock

from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.objects import decode_objects
from rome.engine.prepared import Prepared, prepare
from rome.planner.statement import Statement
from rome.store.spi import Row, Snapshot
from rome.workingset.ddl import statements as working_statements
from rome.workingset.functions import add_regexp
from rome.workingset.workingset import WorkingSet

_MAX_PREPARED = 2000
_MAX_SCHEMAS = 256


class Schema:
    """One version of a database's schema."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.catalog = definition.catalog
        self._prepared: dict[str, Prepared] = {}

    @classmethod
    def empty(cls) -> Schema:
        return cls(Definition.empty())

    @cached_property
    def with_generated(self) -> frozenset[str]:
        """Lower-case names of the tables with generated columns."""
        return frozenset(
            name for name, table in self.catalog.tables.items() if any(column.generated for column in table.columns)
        )

    def open_mirror(self) -> Mirror:
        mirror = Mirror.of(self.definition.statements())
        add_regexp(mirror.connection)
        return mirror

    def open_working_set(self) -> WorkingSet:
        return WorkingSet(working_statements(self.definition.master, self.catalog))

    def prepare(self, statement: Statement, mirror: Mirror) -> Prepared:
        """The prepared statement, from the cache by text if it was met before.

        Raises:
            rome.errors.Error: what SQLite says against it.
        """
        found = self._prepared.get(statement.text)
        if found is None:
            found = prepare(statement, self.catalog, mirror)
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            self._prepared[statement.text] = found
        return found


_schemas: dict[Snapshot, Schema] = {}
_lock = Lock()


def known(incarnation: bytes, version: int) -> Schema | None:
    """The schema at a catalog version, if this process has met it."""
    if version == 0:
        return Schema.empty()
    return _schemas.get(Snapshot(incarnation, version))


def load(incarnation: bytes, version: int, rows: Iterable[Row]) -> Schema:
    """The schema that the rows of the catalog's table make, remembered for the process's other connections."""
    return remember(incarnation, Schema(Definition.load(version, decode_objects((r.key, r.record) for r in rows))))


def remember(incarnation: bytes, schema: Schema) -> Schema:
    with _lock:
        if len(_schemas) >= _MAX_SCHEMAS:
            _schemas.pop(next(iter(_schemas)))
        return _schemas.setdefault(Snapshot(incarnation, schema.catalog.version), schema)
