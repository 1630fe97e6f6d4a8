"""A connection's two SQLite databases of one schema: the mirror, and the working set."""

from __future__ import annotations

from collections.abc import Callable

from rome.catalog.mirror import Mirror
from rome.codec.values import SqlValue
from rome.engine.schema import Schema
from rome.workingset.functions import guarded
from rome.workingset.workingset import WorkingSet

Function = Callable[..., SqlValue]


class Workspace:
    """Mirror and working set, opened anew when the schema changes, with the functions that the application defined.

    Attributes:
        schema: the one that both were opened for; DDL of the open transaction comes on top.
    """

    def __init__(self, schema: Schema) -> None:
        self._functions: dict[tuple[str, int], tuple[Function | None, bool]] = {}
        self.schema = schema
        self.mirror: Mirror
        self.working_set: WorkingSet
        self.open_mirror(schema)
        self.working_set = schema.open_working_set()

    @property
    def has_functions(self) -> bool:
        return any(function is not None for function, _ in self._functions.values())

    def take(self, schema: Schema) -> None:
        """Go on with another schema, and an empty working set."""
        self.schema = schema
        self.open_mirror(schema)
        self.open_working_set(schema)

    def open_mirror(self, schema: Schema) -> None:
        self.mirror = schema.open_mirror()
        for (name, narg), (function, deterministic) in self._functions.items():
            self.mirror.connection.create_scalar_function(name, function, narg, deterministic=deterministic)

    def open_working_set(self, schema: Schema) -> None:
        counters = self.working_set.counters
        self.working_set = schema.open_working_set()
        self.working_set.counters = counters
        for (name, narg), (function, deterministic) in self._functions.items():
            self.working_set.create_function(name, narg, function, deterministic)

    def create_function(self, name: str, narg: int, function: Function | None, deterministic: bool) -> None:
        function = None if function is None else guarded(function)
        self._functions[name.lower(), narg] = (function, deterministic)
        self.working_set.create_function(name, narg, function, deterministic)
        self.mirror.connection.create_scalar_function(name, function, narg, deterministic=deterministic)

    def close(self) -> None:
        self.working_set.close()
        self.mirror.close()
