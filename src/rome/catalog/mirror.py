"""The mirror: an SQLite database that holds the whole schema and no rows.

SQLite itself answers on it reflection, EXPLAIN, and which tables a statement names. DDL runs on it first; the
difference of its sqlite_master is the change of the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import apsw
from apsw.ext import query_info
from msgspec import Struct

from rome.catalog.reflected_table import quote


class Master(NamedTuple):
    """A row of sqlite_master."""

    type: str
    name: str
    table: str
    sql: str


class Inspection(Struct, frozen=True):
    """A prepared statement.

    Attributes:
        read: lower-case names of the tables and views of which it reads columns or counts rows, views expanded.
        written: names of those that it writes itself (not by foreign key actions).
        inserted: names of those to which it may add rows.
        updated: (table, column) in lower case, for each column that UPDATE sets.
        deleted: names of the tables that DELETE names.
        temporary_read, temporary_written: as `read` and `written`, for temporary tables and views only.
        columns: name and declared type of each result column; empty without a result set.
        parameter_names: in order of their numbers; None for a parameter without a name.
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
        else:  # with small pages a schema of 150 objects takes 300 kB, not 1 MB
            self.connection.execute("PRAGMA page_size=1024")
        # Only what the statement itself touches matters: a trigger touches nothing except the row that fires it.
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)

    @classmethod
    def of(cls, statements: Iterable[str]) -> Mirror:
        """A mirror made by CREATE statements in order. The last few schemas are cached by their texts."""
        texts = tuple(statements)
        if not texts:
            return cls()
        return cls(_image(texts))

    def image(self) -> bytes:
        """Bytes from which an equal mirror can be opened."""
        return self.connection.serialize("main")

    def master(self) -> dict[tuple[str, str], Master]:
        """{(type, name in lower case): row}, without the indexes of constraints, which have no text."""
        return self.master_since(0)

    def mark(self) -> int:
        """The current end of sqlite_master, for `master_since`."""
        found = self.connection.execute("SELECT max(rowid) FROM sqlite_master").fetchone()
        return 0 if found is None else found[0] or 0

    def master_since(self, mark: int) -> dict[tuple[str, str], Master]:
        """What `master` has of objects that were created after a mark."""
        rows = self.connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE rowid > ? AND sql IS NOT NULL", (mark,)
        )
        return {(row[0], row[1].lower()): Master(*row) for row in rows if not row[1].lower().startswith("sqlite_")}

    def replace_table(self, name: str, statements: Iterable[str]) -> None:
        """Make a table again, with the CREATE statements of it and its indexes; views and others do not notice."""
        self.connection.execute(f"DROP TABLE main.{quote(name)}")
        for statement in statements:
            self.connection.execute(in_main(statement))

    def makes_table(self, sql: str) -> bool:
        """Whether a CREATE TABLE would make a table. SQLite compiles it and does not run it.

        Raises:
            apsw.Error: SQLite refuses the statement.
        """
        program = query_info(self.connection, sql, explain=True).explain or ()
        return any(instruction.opcode == "CreateBtree" for instruction in program)

    def temporary(self) -> tuple[Master, ...]:
        """The connection's temporary tables, views and indexes."""
        return temporary_objects(self.connection)

    def create_temporary(self, objects: Iterable[Master]) -> None:
        """Create temporary objects, in the order in which SQLite listed them."""
        for item in objects:
            # SQLite stores `CREATE TABLE name ..` for `CREATE TEMP TABLE temp.name ..`; an index goes where its table
            # is.
            self.connection.execute(item.sql if item.type == "index" else item.sql.replace("CREATE", "CREATE TEMP", 1))

    def empty(self, tables: Iterable[tuple[str, str]]) -> None:
        """Delete the rows that CREATE TABLE .. AS has inserted.

        Args:
            tables: (schema, name) of each.
        """
        for schema, name in tables:
            self.connection.execute(f"DELETE FROM {schema}.{quote(name)}")

    def inspect(self, sql: str) -> Inspection:
        """What SQLite finds in a statement when it prepares it. The statement is not run.

        Raises:
            apsw.Error: SQLite refuses the statement.

        Cost: no I/O; about 50 µs.
        """
        actions: set[tuple[int, str | None, str | None, str | None]] = set()

        def note(code: int, table: str | None, column: str | None, schema: str | None, _: str | None) -> int:
            actions.add((code, table, None if code == _READ else column, schema))
            return _OK

        # query_info's own actions are not used: it fails on those that name an index, such as REINDEX.
        self.connection.authorizer = note
        try:
            info = query_info(self.connection, sql)
        finally:
            self.connection.authorizer = None
        touched: dict[int, set[str]] = {code: set() for code in (_READ, *_WRITES)}
        temporary: dict[int, set[str]] = {code: set() for code in touched}
        updated: set[tuple[str, str]] = set()
        for code, table, column, schema in actions:
            if table and code in touched:
                (temporary if schema == "temp" else touched)[code].add(table.lower())
                if code == apsw.SQLITE_UPDATE and column and schema != "temp":
                    updated.add((table.lower(), column.lower()))
        return Inspection(
            read=frozenset(touched[_READ]),
            written=frozenset().union(*(touched[code] for code in _WRITES)),
            inserted=frozenset(touched[apsw.SQLITE_INSERT]),
            updated=frozenset(updated),
            deleted=frozenset(touched[apsw.SQLITE_DELETE]),
            temporary_read=frozenset(temporary[_READ]),
            temporary_written=frozenset().union(*(temporary[code] for code in _WRITES)),
            columns=tuple(info.description),
            parameter_count=info.bindings_count,
            parameter_names=tuple(info.bindings_names),
        )

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def in_main(sql: str) -> str:
    """A text of sqlite_master, with the schema main for an index or a trigger.

    Otherwise it would belong to a temporary table that hides its own table.
    """
    if sql.startswith("CREATE TRIGGER "):
        return sql.replace("CREATE TRIGGER ", "CREATE TRIGGER main.", 1)
    head, _, tail = sql.partition(" INDEX ")
    return f"{head} INDEX main.{tail}" if head in ("CREATE", "CREATE UNIQUE") else sql


def temporary_objects(connection: apsw.Connection) -> tuple[Master, ...]:
    """The rows of sqlite_temp_master that a statement has made, in order.

    Cost: 1 µs if there are none.
    """
    if len(connection.execute("PRAGMA database_list").fetchall()) == 1:  # looking into `temp` would create it
        return ()
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_temp_master WHERE sql IS NOT NULL ORDER BY rowid"
    )
    return tuple(Master(*row) for row in rows if not row[1].startswith("sqlite_"))


@lru_cache(maxsize=32)
def _image(statements: tuple[str, ...]) -> bytes:
    mirror = Mirror()
    # Working sets have this function, so CHECK and indexes may call it. Nothing here calls it, so the name is enough.
    mirror.connection.create_scalar_function("regexp", lambda *_: None, 2, deterministic=True)
    mirror.connection.execute("BEGIN")
    for statement in statements:
        mirror.connection.execute(statement)
    mirror.connection.execute("COMMIT")
    return mirror.image()


_OK, _READ = apsw.SQLITE_OK, apsw.SQLITE_READ
_WRITES = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
