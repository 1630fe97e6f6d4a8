"""The mirror: a SQLite database that holds the whole schema, and no rows.

Reflection, EXPLAIN, and the question which tables a statement names are answered by SQLite itself on it; DDL runs
on it first, and the difference of its sqlite_master is the catalog change.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import apsw
from apsw.ext import query_info

from rome.catalog.reflected_table import quote


class Master(NamedTuple):
    """A row of sqlite_master."""

    type: str
    name: str
    table: str
    sql: str


class Inspection(NamedTuple):
    """A prepared statement.

    Attributes:
        read: lower-case names of the tables and views of which it reads columns or counts rows, views expanded.
        written: those that it writes itself (not by foreign key actions); `inserted`: those it may add rows to.
        updated: table and column in lower case, of those that UPDATE sets; `deleted`: tables that DELETE names.
        temporary_read, temporary_written: the same of temporary tables and views, which the others leave out.
        columns: name and declared type of each result column; empty when there is no result set.
        parameter_names: by number; None for a parameter without a name.
    """

    read: frozenset[str]
    written: frozenset[str]
    inserted: frozenset[str]
    updated: frozenset[tuple[str, str]]
    deleted: frozenset[str]
    temporary_read: frozenset[str]
    temporary_written: frozenset[str]
    columns: tuple[tuple[str, str | None], ...]
    parameter_count: int
    parameter_names: tuple[str | None, ...]


class Mirror:
    """One connection's copy of the schema."""

    def __init__(self, image: bytes | None = None) -> None:
        self.connection = apsw.Connection(":memory:")
        if image is not None:
            self.connection.deserialize("main", image)
        else:  # small pages: a schema of 150 objects takes 300 kB, not 1 MB
            self.connection.execute("PRAGMA page_size=1024")
        # What a statement touches is asked of it; a trigger that fires touches nothing but the row that it is about.
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)

    @classmethod
    def of(cls, statements: Iterable[str]) -> Mirror:
        """A mirror made by CREATE statements in order; the last few schemas are remembered, by their texts."""
        texts = tuple(statements)
        if not texts:
            return cls()
        return cls(_image(texts))

    def image(self) -> bytes:
        """Bytes to open an equal mirror from."""
        return self.connection.serialize("main")

    def master(self) -> dict[tuple[str, str], Master]:
        """Tables, indexes and views by (type, name in lower case); indexes of constraints have no text: left out."""
        return self.master_since(0)

    def mark(self) -> int:
        """Where sqlite_master ends now; what is created later is `master_since` this."""
        found = self.connection.execute("SELECT max(rowid) FROM sqlite_master").fetchone()
        return 0 if found is None else found[0] or 0

    def master_since(self, mark: int) -> dict[tuple[str, str], Master]:
        rows = self.connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE rowid > ? AND sql IS NOT NULL", (mark,)
        )
        return {(row[0], row[1].lower()): Master(*row) for row in rows if not row[1].lower().startswith("sqlite_")}

    def replace_table(self, name: str, statements: Iterable[str]) -> None:
        """Make a table anew, by the CREATE statements of it and its indexes. Views and other tables do not notice."""
        self.connection.execute(f"DROP TABLE main.{quote(name)}")
        for statement in statements:
            self.connection.execute(in_main(statement))

    def makes_table(self, sql: str) -> bool:
        """Whether a CREATE TABLE would make one, by the program that SQLite makes of it; it is not run.

        Raises:
            apsw.Error: what SQLite says against the statement.
        """
        program = query_info(self.connection, sql, explain=True).explain or ()
        return any(instruction.opcode == "CreateBtree" for instruction in program)

    def temporary(self) -> tuple[Master, ...]:
        """The connection's temporary tables, views and indexes."""
        return temporary_objects(self.connection)

    def create_temporary(self, objects: Iterable[Master]) -> None:
        """Make temporary objects, in an order in which SQLite listed them."""
        for item in objects:
            # SQLite keeps `CREATE TABLE name ..` of `CREATE TEMP TABLE temp.name ..`; an index goes where its table is.
            self.connection.execute(item.sql if item.type == "index" else item.sql.replace("CREATE", "CREATE TEMP", 1))

    def empty(self, tables: Iterable[tuple[str, str]]) -> None:
        """Delete what CREATE TABLE .. AS has put into tables, given by schema and name."""
        for schema, name in tables:
            self.connection.execute(f"DELETE FROM {schema}.{quote(name)}")

    def inspect(self, sql: str) -> Inspection:
        """What SQLite says of a statement when it prepares it; the statement is not run.

        Raises:
            apsw.Error: what SQLite says against the statement.

        Cost: no I/O; some 50 µs.
        """
        touched: dict[int, set[str]] = {code: set() for code in (apsw.SQLITE_READ, *_WRITES)}
        temporary: dict[int, set[str]] = {code: set() for code in touched}

        updated: set[tuple[str, str]] = set()

        def note(code: int, table: str | None, column: str | None, schema: str | None, __: str | None) -> int:
            if table and code in touched:
                (temporary if schema == "temp" else touched)[code].add(table.lower())
                if code == apsw.SQLITE_UPDATE and column and schema != "temp":
                    updated.add((table.lower(), column.lower()))
            return apsw.SQLITE_OK

        # Not query_info's own actions: it fails on those which name an index, as REINDEX does.
        self.connection.authorizer = note
        try:
            info = query_info(self.connection, sql)
        finally:
            self.connection.authorizer = None
        return Inspection(
            read=frozenset(touched[apsw.SQLITE_READ]),
            written=frozenset().union(*(touched[code] for code in _WRITES)),
            inserted=frozenset(touched[apsw.SQLITE_INSERT]),
            updated=frozenset(updated),
            deleted=frozenset(touched[apsw.SQLITE_DELETE]),
            temporary_read=frozenset(temporary[apsw.SQLITE_READ]),
            temporary_written=frozenset().union(*(temporary[code] for code in _WRITES)),
            columns=tuple(info.description),
            parameter_count=info.bindings_count,
            parameter_names=tuple(info.bindings_names),
        )

    def close(self) -> None:
        self.connection.close()


def in_main(sql: str) -> str:
    """A text of sqlite_master; an index or a trigger gets its schema.

    Otherwise it would be on a temporary table that hides its own.
    """
    if sql.startswith("CREATE TRIGGER "):
        return sql.replace("CREATE TRIGGER ", "CREATE TRIGGER main.", 1)
    head, _, tail = sql.partition(" INDEX ")
    return f"{head} INDEX main.{tail}" if head in ("CREATE", "CREATE UNIQUE") else sql


def temporary_objects(connection: apsw.Connection) -> tuple[Master, ...]:
    """The rows of sqlite_temp_master that were made by a statement, in order.

    Cost: 1 µs when there are none.
    """
    if len(connection.execute("PRAGMA database_list").fetchall()) == 1:  # to look into `temp` would make it
        return ()
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_temp_master WHERE sql IS NOT NULL ORDER BY rowid"
    )
    return tuple(Master(*row) for row in rows if not row[1].startswith("sqlite_"))


@lru_cache(maxsize=32)
def _image(statements: tuple[str, ...]) -> bytes:
    mirror = Mirror()
    # A working set has this function, so CHECK and indexes may call it; here none does, and its name is enough.
    mirror.connection.create_scalar_function("regexp", lambda *_: None, 2, deterministic=True)
    mirror.connection.execute("BEGIN")
    for statement in statements:
        mirror.connection.execute(statement)
    mirror.connection.execute("COMMIT")
    return mirror.image()


_WRITES = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
