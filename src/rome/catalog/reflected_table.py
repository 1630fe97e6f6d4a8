"""The shape of a table, as SQLite itself understands its CREATE statements.

Everything here comes from SQLite's PRAGMAs on a database with the schema only; no text is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from rome.catalog.index_text import IndexText, read_index
from rome.catalog.schema import ROWID, Affinity, Column, Computed, ForeignKey, ForeignKeyAction
from rome.codec.values import Collation, SqlValue
from rome.sql.tokens import identifier, tokenize

if TYPE_CHECKING:
    import apsw

_COLLATIONS = ("BINARY", "NOCASE", "RTRIM")
_DEFERRED = re.compile(r"initially\s+deferred", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """A column without its number. `default` is the text of its DEFAULT clause."""

    name: str
    declared: str
    affinity: Affinity
    collation: Collation
    not_null: bool
    generated: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class IndexShape:
    """An index without its number; `origin` is SQLite's: c(reate), u(nique), pk."""

    name: str
    unique: bool
    origin: str
    columns: tuple[int, ...]
    collations: tuple[Collation, ...]
    computed: Computed | None


@dataclass(frozen=True)
class ReflectedTable:
    """A table without numbers."""

    columns: tuple[ColumnShape, ...]
    key_columns: tuple[int, ...]
    key_collations: tuple[Collation, ...]
    rowid_alias: int | None
    without_rowid: bool
    indexes: tuple[IndexShape, ...]
    foreign_keys: tuple[ForeignKey, ...]

    @cached_property
    def first_columns(self) -> tuple[Column, ...]:
        """The columns as CREATE TABLE numbers them; every record has a value for each."""
        return tuple(
            Column(number, c.name, c.affinity, c.collation, c.not_null, c.generated, None)
            for number, c in enumerate(self.columns, 1)
        )


def affinity_of(declared: str, strict: bool) -> Affinity:
    """The column affinity of a declared type. Source: sqlite.org/datatype3.html, section 3.1."""
    text = declared.upper()
    if strict and text == "ANY":
        return "BLOB"
    if "INT" in text:
        return "INTEGER"
    if "CHAR" in text or "CLOB" in text or "TEXT" in text:
        return "TEXT"
    if not text or "BLOB" in text:
        return "BLOB"
    if "REAL" in text or "FLOA" in text or "DOUB" in text:
        return "REAL"
    return "NUMERIC"


def describe_table(database: apsw.Connection, name: str, sql: str) -> ReflectedTable:
    """Ask SQLite for the shape of one table, whose CREATE statement is `sql`.

    Cost: no I/O; about ten PRAGMAs of a few microseconds each.
    """
    quoted = quote(name)
    without_rowid, strict = next(
        (bool(row[4]), bool(row[5])) for row in database.execute(f"PRAGMA main.table_list({quoted})")
    )
    columns = []
    primary: list[tuple[int, int]] = []
    for position, column, declared, not_null, default, key_position, hidden in database.execute(
        f"PRAGMA main.table_xinfo({quoted})"
    ):
        collation = database.column_metadata("main", name, column)[1].upper()
        columns.append(
            ColumnShape(
                name=column,
                declared=declared,
                affinity=affinity_of(declared, strict),
                collation=cast("Collation", collation if collation in _COLLATIONS else "BINARY"),
                not_null=bool(not_null),
                generated=hidden in (2, 3),
                default=default,
            )
        )
        if key_position:
            primary.append((key_position, position))
    indexes = [
        _describe_index(database, columns, *row[1:5]) for row in database.execute(f"PRAGMA main.index_list({quoted})")
    ]
    indexes.reverse()  # SQLite lists the newest first
    key_index = next((index for index in indexes if index.origin == "pk"), None)
    alias = primary[0][1] if primary and key_index is None and not without_rowid else None
    if key_index is not None and (without_rowid or key_index.computed is None):
        count = len(primary)  # the key index of a WITHOUT ROWID table has all columns
        key_columns, key_collations = key_index.columns[:count], key_index.collations[:count]
        indexes.remove(key_index)
    else:
        key_columns, key_collations = (alias if alias is not None else ROWID,), ("BINARY",)
    return ReflectedTable(
        columns=tuple(columns),
        key_columns=key_columns,
        key_collations=key_collations,
        rowid_alias=alias,
        without_rowid=without_rowid,
        indexes=tuple(indexes),
        foreign_keys=_foreign_keys(
            database, name, {c.name.lower(): i for i, c in enumerate(columns)}, bool(_DEFERRED.search(sql))
        ),
    )


def _describe_index(
    database: apsw.Connection, columns: list[ColumnShape], name: str, unique: int, origin: str, partial: int
) -> IndexShape:
    positions: list[int] = []
    collations: list[str] = []
    for _, position, _, _, collation, key in database.execute(f"PRAGMA main.index_xinfo({quote(name)})"):
        if key:
            positions.append(position)
            collations.append(collation.upper())
    is_plain = not partial and all(
        position == ROWID or (position >= 0 and not columns[position].generated) for position in positions
    )
    return IndexShape(
        name=name,
        unique=bool(unique),
        origin=origin,
        columns=tuple(positions),
        collations=cast("tuple[Collation, ...]", tuple(collations)),
        computed=None if is_plain else _computed(database, columns, name, positions),
    )


def _computed(
    database: apsw.Connection, columns: Sequence[ColumnShape], name: str, positions: Sequence[int]
) -> Computed:
    """What SQLite computes for an index. The index of a constraint has no text, and columns only."""
    (sql,) = next(database.execute("SELECT sql FROM main.sqlite_master WHERE type = 'index' AND name = ?", (name,)))
    if sql is None:
        text = IndexText(tuple(quote(columns[position].name) for position in positions), None)
    else:
        text = read_index(sql)
    mentioned = {identifier(token).lower() for part in (*text.keys, text.condition or "") for token in tokenize(part)}
    meant = [column for column in columns if column.name.lower() in mentioned]
    if any(column.generated for column in meant):
        meant = list(columns)
    return Computed(*text, tuple((column.name.lower(), column.affinity, column.collation) for column in meant))


def _foreign_keys(
    database: apsw.Connection, name: str, positions: dict[str, int], deferred: bool
) -> tuple[ForeignKey, ...]:
    found: dict[int, list[tuple[int, str, str, str | None, str, str]]] = {}
    for number, sequence, parent, column, parent_column, on_update, on_delete, _ in database.execute(
        f"PRAGMA main.foreign_key_list({quote(name)})"
    ):
        found.setdefault(number, []).append((sequence, parent, column, parent_column, on_update, on_delete))
    return tuple(
        ForeignKey(
            columns=tuple(positions[part[2].lower()] for part in parts),
            parent=parts[0][1],
            parent_columns=None if parts[0][3] is None else tuple(str(part[3]) for part in parts),
            on_update=cast("ForeignKeyAction", parts[0][4]),
            on_delete=cast("ForeignKeyAction", parts[0][5]),
            deferred=deferred,
        )
        for _, parts in sorted(found.items(), reverse=True)
        for parts in [sorted(parts)]
    )


def evaluate_default(database: apsw.Connection, column: ColumnShape) -> SqlValue:
    """The value that SQLite stores for a column's DEFAULT clause, after affinity; None without a clause.

    `database` is used as scratch space: a temporary table is created and dropped in it.
    """
    if column.default is None:
        return None
    database.execute("SAVEPOINT scratch")
    try:
        database.execute(f"CREATE TEMP TABLE scratch_default (a, b {column.declared} DEFAULT ({column.default}))")
        database.execute("INSERT INTO scratch_default (a) VALUES (0)")
        return cast("SqlValue", next(database.execute("SELECT b FROM scratch_default"))[0])
    finally:
        database.execute("ROLLBACK TO scratch")
        database.execute("RELEASE scratch")


def quote(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'
