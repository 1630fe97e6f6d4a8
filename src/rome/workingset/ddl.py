"""CREATE statements as the working set runs them: the same tables, fewer indexes, ids from Rome.

The working set has only primary keys and unique indexes, which execution needs. Keeping the others up to date would
cost twice what hydration does. (It gets them for a while where a statement looks up many rows; see
rome.workingset.lookups.)
Every INTEGER PRIMARY KEY becomes AUTOINCREMENT, since SQLite then takes ids from sqlite_sequence, where Rome puts those
that the store has handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from rome.catalog.mirror import Master, in_main
from rome.catalog.schema import Catalog, Table
from rome.sql.create_table import CreateTable
from rome.sql.create_trigger import CreateTrigger
from rome.sql.index_hints import without_index_hints


def statements(master: Mapping[tuple[str, str], Master], catalog: Catalog) -> Iterator[str]:
    """The statements that make an empty working set of this schema, in order."""
    for kind in ("table", "index", "view", "trigger"):
        for item in master.values():
            if item.type == kind:
                found = statement(item, catalog)
                if found is not None:
                    yield found


def statement(item: Master, catalog: Catalog) -> str | None:
    """What the working set runs for one schema object; None if it does not have the object."""
    if item.type == "table":
        table = catalog.tables[item.name.lower()]
        return item.sql if table.rowid_alias is None else with_autoincrement(item.sql)
    if item.type == "index":
        return in_main(item.sql) if keeps_index(catalog.tables[item.table.lower()], item.name) else None
    if item.type == "trigger":
        return CreateTrigger(in_main(item.sql)).for_working_set()
    return without_index_hints(item.sql)


def keeps_index(table: Table, name: str) -> bool:
    """Whether the working set has this index."""
    return any(index.unique for index in table.indexes if index.name.lower() == name.lower())


@lru_cache(maxsize=1024)
def with_autoincrement(sql: str) -> str:
    """A CREATE TABLE with an INTEGER PRIMARY KEY, with `PRIMARY KEY AUTOINCREMENT`."""
    return CreateTable(sql).with_autoincrement()
