"""A catalog from CREATE statements, as the engine makes it; and the tables that SQLite finds in a statement."""

from __future__ import annotations

from collections.abc import Iterable

from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.schema import Catalog


def make_catalog(statements: Iterable[str]) -> tuple[Mirror, Catalog]:
    """Run the statements, one after the other, as DDL."""
    mirror, definition = Mirror(), Definition.empty()
    for statement in statements:
        mirror.connection.execute(statement)
        definition = definition.evolve(mirror).definition
    return mirror, definition.catalog


def base_tables(mirror: Mirror, catalog: Catalog, sql: str) -> frozenset[str]:
    """The base tables that SQLite itself finds in a statement."""
    inspection = mirror.inspect(sql)
    return frozenset(name for name in inspection.read | inspection.written if name in catalog.tables)
