"""CREATE statements as the working set runs them: same tables, fewer indexes, ids from Rome.

The working set keeps primary keys and unique indexes only, which execution needs; keeping the others up to date
costs twice what hydration does. Every INTEGER PRIMARY KEY becomes AUTOINCREMENT, since that makes SQLite take ids
from sqlite_sequence, where Rome puts those that the store has handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import sqlglot

from rome.catalog.mirror import Master
from rome.catalog.schema import Catalog, Table
from rome.errors import NotSupportedError


def statements(master: Mapping[tuple[str, str], Master], catalog: Catalog) -> Iterator[str]:
    """What makes an empty working set of this schema, in order."""
    for kind in ("table", "index", "view"):
        for item in master.values():
            if item.type == kind:
                found = statement(item, catalog)
                if found is not None:
                    yield found


def statement(item: Master, catalog: Catalog) -> str | None:
    """What the working set runs for one schema object; None: nothing."""
    if item.type == "table":
        table = catalog.tables[item.name.lower()]
        return item.sql if table.rowid_alias is None else with_autoincrement(item.sql)
    if item.type == "index":
        return item.sql if keeps_index(catalog.tables[item.table.lower()], item.name) else None
    return item.sql


def keeps_index(table: Table, name: str) -> bool:
    return any(index.unique for index in table.indexes if index.name.lower() == name.lower())


@lru_cache(maxsize=1024)
def with_autoincrement(sql: str) -> str:
    """A CREATE TABLE with an INTEGER PRIMARY KEY, as `PRIMARY KEY AUTOINCREMENT`.

    Raises:
        NotSupportedError: the key is not found where SQLite's grammar has it.
    """
    tokens = sqlglot.tokenize(sql, dialect="sqlite")
    words = [token.text.upper() for token in tokens]
    if "AUTOINCREMENT" in words:
        return sql
    found = next((i for i, token in enumerate(tokens) if token.token_type.name == "PRIMARY_KEY"), None)
    if found is None:
        raise NotSupportedError(f"cannot find the PRIMARY KEY in: {sql}")
    end = found
    if words[end + 1 : end + 2] == ["("]:  # a table constraint: `PRIMARY KEY (id AUTOINCREMENT)`
        end = words.index(")", end) - 1
    else:  # a column constraint: `PRIMARY KEY ASC ON CONFLICT ABORT AUTOINCREMENT`
        if words[end + 1] in ("ASC", "DESC"):
            end += 1
        if words[end + 1 : end + 3] == ["ON", "CONFLICT"]:
            end += 3
    at = tokens[end].end + 1
    return f"{sql[:at]} AUTOINCREMENT{sql[at:]}"
