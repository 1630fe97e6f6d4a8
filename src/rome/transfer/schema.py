"""The schema of one database for the other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import apsw
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable, DefaultClause
from sqlalchemy.types import NullType

from rome.transfer.family import is_mysqls, is_sqlites
from rome.transfer.note import Note
from rome.transfer.prefixes import character_bytes, prefixes
from rome.transfer.types import exact, into_sqlite, out_of_sqlite

_LITERAL = re.compile(r"\(?(-?[0-9]+(\.[0-9]+)?|'([^']|'')*'|NULL|true|false)\)?", re.IGNORECASE)
_NOW = re.compile(r"\(?(current_timestamp|now)(\([0-9]*\))?\)?", re.IGNORECASE)
_CAST = re.compile(r"::[\w ]+(\([0-9, ]+\))?(\[\])?$")


class TableWays(NamedTuple):
    """A table in both databases, with the same columns in the same order; none of them is generated."""

    source: Table
    target: Table


class Schema(NamedTuple):
    """What is to be made.

    Attributes:
        tables: in an order in which a table follows those that it refers to, where there is one.
        before: statements that make the tables and indexes, before the rows.
        after: statements for what comes after the rows: foreign keys, views, triggers.
        notes: what is not kept as it is.
    """

    tables: list[TableWays]
    before: list[Any]
    after: list[Any]
    notes: list[Note]


def schema_of(source: Engine, target: Engine) -> Schema:
    """Read the schema of the source, and translate it for the target.

    Raises:
        SQLAlchemyError: the source cannot be read.
    """
    if is_sqlites(source) and is_sqlites(target):
        return _as_written(source)
    metadata = MetaData()
    metadata.reflect(source)
    translation = _Translation(source, target, metadata.tables)
    made = [translation.table(table) for table in metadata.sorted_tables if table.name not in _OWN]
    notes = translation.notes + _not_copied(source) + _compared_otherwise(source)
    return Schema(made, translation.before, translation.after, notes)


_OWN = frozenset(["rome_bulk"])
"""Tables of rome.bulk, which stay where they are."""


def _as_written(source: Engine) -> Schema:
    """Between two databases of SQLite's SQL the texts are kept, and the values of the columns as they are stored."""
    schema = Schema([], [], [], [])
    metadata = MetaData()
    with source.connect() as connection:
        master = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
        for kind, name, sql in master:
            if name.startswith("sqlite_") or name in _OWN:
                continue
            if kind != "table":
                (schema.before if kind == "index" else schema.after).append(text(_escaped(sql)))
                continue
            if sql.upper().startswith("CREATE VIRTUAL"):
                schema.notes.append(Note(name, "a virtual table is not copied"))
                continue
            schema.before.insert(len(schema.tables), text(_escaped(sql)))
            info = connection.exec_driver_sql(f"PRAGMA table_xinfo({_quoted(name)})").all()
            columns = [(row[1], row[5]) for row in info if row[6] == 0]
            source_table, target_table = (
                Table(name, each, *(Column(column, NullType(), primary_key=bool(key)) for column, key in columns))
                for each in (metadata, MetaData())
            )
            schema.tables.append(TableWays(source_table, target_table))
    return schema


class _Translation:
    def __init__(self, source: Engine, target: Engine, tables: Iterable[str]) -> None:
        self._source = source
        self._into_sqlite = is_sqlites(target)
        self._character_bytes = character_bytes(target) if is_mysqls(target) else None
        self._taken = {name.lower() for name in tables}
        self._target = target
        self._metadata = MetaData()
        self.before: list[Any] = []
        self.after: list[Any] = []
        self.notes: list[Note] = []

    def table(self, found: Table) -> TableWays:
        """Translate one table, its indexes and its foreign keys."""
        made = Table(found.name, self._metadata)
        for column in found.columns:
            made.append_column(self._column(found, column))
        if found.primary_key.columns:
            made.append_constraint(PrimaryKeyConstraint(*(column.name for column in found.primary_key.columns)))
        for constraint in sorted(found.constraints, key=lambda each: (str(each.name or ""), type(each).__name__)):
            self._constraint(made, constraint)
        self.before.append(CreateTable(made))
        for index in sorted(found.indexes, key=lambda each: str(each.name)):
            self._index(found, made, index)
        return TableWays(plain(self._source, found), plain(self._target, made))

    def _column(self, table: Table, column: Column[Any]) -> Column[Any]:
        where = f"{table.name}.{column.name}"
        if self._into_sqlite:
            kind, loss = into_sqlite(column.type)
        else:
            kind, loss = out_of_sqlite(column.type, is_key=_is_key(table, column))
        if loss:
            self.notes.append(Note(where, loss))
        is_id = [*table.primary_key.columns] == [column] and isinstance(kind, Integer)
        if is_id and self._into_sqlite:
            kind = Integer()  # only INTEGER PRIMARY KEY takes ids by itself; it has 64 bits
        if column.computed is not None:
            self.notes.append(Note(where, "a generated column becomes one that holds its present values"))
        default = self._default(where, column)
        return Column(
            column.name, kind, nullable=column.nullable, server_default=default, autoincrement=is_id or "ignore_fk"
        )

    def _default(self, where: str, column: Column[Any]) -> DefaultClause | None:
        if not isinstance(column.server_default, DefaultClause):
            return None
        written = _CAST.sub("", str(getattr(column.server_default.arg, "text", column.server_default.arg)).strip())
        if " on update " in written.lower():
            self.notes.append(Note(where, "ON UPDATE is not kept: the application has to set the value"))
            written = re.split(" on update ", written, flags=re.IGNORECASE)[0]
        if written.lower().startswith("nextval("):
            return None  # ids, which INTEGER PRIMARY KEY takes by itself
        if _NOW.fullmatch(written):
            return DefaultClause(text("CURRENT_TIMESTAMP"))
        if _LITERAL.fullmatch(written):
            return DefaultClause(text(_escaped(written)))
        self.notes.append(Note(where, f"DEFAULT {written} is not kept: the application has to set the value"))
        return None

    def _constraint(self, made: Table, constraint: object) -> None:
        if isinstance(constraint, UniqueConstraint):
            made.append_constraint(UniqueConstraint(*constraint.columns.keys(), name=constraint.name))
        elif isinstance(constraint, CheckConstraint):
            check = CheckConstraint(text(_escaped(str(constraint.sqltext))), name=constraint.name)
            if self._into_sqlite and not _is_sqlites(made, check):
                self.notes.append(Note(made.name, f"CHECK ({constraint.sqltext}) is not kept"))
            else:
                made.append_constraint(check)
        elif isinstance(constraint, ForeignKeyConstraint):
            columns = [element.parent.name for element in constraint.elements]
            refers = [element.target_fullname for element in constraint.elements]
            key = ForeignKeyConstraint(
                columns, refers, constraint.name, constraint.onupdate, constraint.ondelete, constraint.deferrable,
                constraint.initially, use_alter=not self._into_sqlite,
            )  # fmt: skip
            made.append_constraint(key)
            if not self._into_sqlite:
                self.after.append(key)

    def _index(self, found: Table, made: Table, index: Index) -> None:
        name = str(index.name)
        options = {key: value for key, value in index.dialect_kwargs.items() if value is not None}
        prefix = [key for key in options if key.endswith(("_length", "_prefix"))]
        if prefix and any("FULLTEXT" in str(options[key]) or "SPATIAL" in str(options[key]) for key in prefix):
            self.notes.append(Note(made.name, f"index {name} is of a kind that is not kept"))
            return
        if any(key.endswith("_length") for key in prefix):
            self.notes.append(Note(made.name, f"index {name} holds whole values instead of their beginnings"))
        columns = [column.name for column in index.columns]
        if len(columns) != len(index.expressions):
            self.notes.append(Note(made.name, f"index {name} on an expression is not kept"))
            return
        condition = next((value for key, value in options.items() if key.endswith("_where")), None)
        where: dict[str, Any] = {}
        if condition is not None:
            where[f"{self._dialect_key}_where"] = text(_escaped(str(condition)))
        if self._character_bytes is not None:
            lengths = prefixes([made.c[column] for column in columns], self._character_bytes)
            if lengths and index.unique:
                self.notes.append(Note(made.name, f"unique index {name} is too long for MySQL and not kept"))
                return
            if lengths:
                shown = ", ".join(f"{column}({length})" for column, length in lengths.items())
                self.notes.append(
                    Note(made.name, f"index {name} holds the beginnings {shown}, as MySQL's keys are short")
                )
                where["mysql_length"] = where["mariadb_length"] = lengths
        copied = Index(
            self._free_name(made.name, name), *(made.c[column] for column in columns), unique=index.unique, **where
        )
        self.before.append(CreateIndex(copied))

    def _free_name(self, table: str, name: str) -> str:
        """A name for an index: in MySQL it is its table's, elsewhere the database's, and in SQLite no table's name."""
        if name.lower() in self._taken:
            found = f"{table}_{name}"
            self.notes.append(Note(table, f"index {name} is named {found}, as its name is taken"))
            name = found
        self._taken.add(name.lower())
        return name

    @property
    def _dialect_key(self) -> str:
        return "sqlite" if self._into_sqlite else self._target.dialect.name


def plain(engine: Engine, table: Table, columns: Iterable[Column[Any]] | None = None) -> Table:
    """The table for reading and writing rows: only its columns, their types and the primary key.

    Args:
        columns: which of them, in this order; by default all.
    """
    is_mysql = is_mysqls(engine)
    return Table(
        table.name,
        MetaData(),
        *(
            Column(
                each.name,
                exact(each.type, is_mysql=is_mysql),
                primary_key=each.primary_key,
                info={"generated": each.computed is not None},
            )
            for each in (table.columns if columns is None else columns)
        ),
    )


def _is_key(table: Table, column: Column[Any]) -> bool:
    """Whether the column is in a key or an index."""
    constraints = (each for each in table.constraints if not isinstance(each, CheckConstraint))
    named = [*(each.columns for each in constraints if hasattr(each, "columns")), *(i.columns for i in table.indexes)]
    return any(column.name in columns for columns in named)


def _is_sqlites(table: Table, check: CheckConstraint) -> bool:
    """Whether SQLite takes a CHECK that another database has written down."""
    scratch = Table(table.name, MetaData(), *(Column(column.name, column.type) for column in table.columns))
    scratch.append_constraint(CheckConstraint(check.sqltext))
    try:
        apsw.Connection(":memory:").execute(str(CreateTable(scratch).compile(dialect=sqlite.dialect())))
    except apsw.Error:
        return False
    return True


def _not_copied(source: Engine) -> list[Note]:
    """Views and triggers, whose texts only their own database understands."""
    notes = [Note(name, "the view is not copied") for name in inspect(source).get_view_names()]
    if source.dialect.name in ("mysql", "mariadb", "postgresql"):
        schema = "DATABASE()" if source.dialect.name != "postgresql" else "current_schema()"
        query = (
            "SELECT DISTINCT event_object_table, trigger_name FROM information_schema.triggers "
            f"WHERE trigger_schema = {schema} ORDER BY 1, 2"
        )
        with source.connect() as connection:
            for table, trigger in connection.execute(text(query)):
                notes.append(Note(str(table), f"the trigger {trigger} is not copied"))
    return notes


def _compared_otherwise(source: Engine) -> list[Note]:
    """One remark on all texts that MySQL compares without regard to case."""
    if not is_mysqls(source):
        return []
    query = text(
        "SELECT count(*), count(DISTINCT table_name), min(concat(table_name, '.', column_name)) "
        "FROM information_schema.columns WHERE table_schema = DATABASE() AND collation_name LIKE '%\\_ci%'"
    )
    with source.connect() as connection:
        columns, tables, first = connection.execute(query).one()
    if not columns:
        return []
    what = "texts are compared and ordered by their characters' codes: 'a' and 'A' are no longer equal"
    return [Note(first, what if columns == 1 else f"and {columns - 1:,} more columns in {tables} tables: {what}", True)]


def _escaped(sql: str) -> str:
    """For text(), which takes :name for a parameter."""
    return re.sub(r"(?<!:):(?=\w)", r"\\:", sql)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
