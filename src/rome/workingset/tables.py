"""The statements with which the working set reads and writes whole rows of one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from weakref import WeakValueDictionary

from rome.catalog.reflected_table import quote
from rome.catalog.rows import row_key
from rome.catalog.schema import ROWID, Table
from rome.codec.values import SqlValue
from rome.errors import NotSupportedError
from rome.workingset.blank import idle_columns
from rome.workingset.contents import Identity


class TableStatements:
    """The texts for one table, each made when it is first needed; `statements_of` makes them once for a table.

    A row is inserted as its rowid (0 for WITHOUT ROWID) and its values in column order, None for generated columns. It
    is read in the same form, its rowid with a statement of its own.

    Attributes:
        binds_values: the parameters of `insert` are a row's values as they are.
        idle_columns: the VIRTUAL columns that need not be computed when a row is hydrated (see rome.workingset.blank).
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._stored = [i for i, column in enumerate(table.columns) if not column.generated]
        self._exists: dict[tuple[int, ...], str] = {}
        self.has_generated = len(self._stored) < len(table.columns)
        self.idle_columns = idle_columns(table, (index for index in table.indexes if index.unique))
        name = self._name = quote(table.name)
        names = [quote(table.columns[i].name) for i in self._stored]
        self._rowid = self._rowid_name()
        explicit = table.rowid_alias is None and not table.without_rowid
        targets = [self._rowid, *names] if explicit else names
        self._explicit = explicit
        self.binds_values = not (explicit or self.has_generated)
        self._into = f"INSERT INTO main.{name} ({', '.join(targets)})"
        # Each connection prepares this, and without the names SQLite does so in three fifths of the instructions.
        into = f"INSERT INTO main.{name}" if self.binds_values else self._into
        self.insert = f"{into} VALUES ({', '.join('?' * len(targets))})"

    @cached_property
    def _select(self) -> str:
        """Without the rowid, since a table may have as many columns as a result set."""
        outputs = ["NULL" if column.generated else quote(column.name) for column in self.table.columns]
        return f"SELECT {', '.join(outputs)} FROM main.{self._name}"

    @property
    def _in_order(self) -> str:
        return "" if self.table.without_rowid else f" ORDER BY {self._rowid}"

    @cached_property
    def _where_key(self) -> str:
        table = self.table
        if table.without_rowid:
            # The key's collations may be others than the columns', and only by its own is it unique.
            key = zip(table.key.columns, table.key.collations, strict=True)
            return " AND ".join(f"{quote(table.columns[i].name)} COLLATE {collation} = ?" for i, collation in key)
        return f"{self._rowid} = ?"

    @cached_property
    def select_all(self) -> str:
        """All rows, in rowid order."""
        return f"{self._select}{self._in_order}"

    @cached_property
    def select_rowids(self) -> str:
        """The rowids of `select_all`."""
        return f"SELECT {self._rowid or 0} FROM main.{self._name}{self._in_order}"

    @cached_property
    def select_one(self) -> str:
        """The row that `where` names."""
        return f"{self._select} WHERE {self._where_key}"

    @cached_property
    def delete_one(self) -> str:
        """Deletes the row that `where` names."""
        return f"DELETE FROM main.{self._name} WHERE {self._where_key}"

    @cached_property
    def move(self) -> str:
        """Gives a row another rowid."""
        return f"UPDATE main.{self._name} SET {self._rowid} = ? WHERE {self._rowid} = ?"

    @cached_property
    def max_rowid(self) -> str:
        """The greatest rowid."""
        return f"SELECT max({self._rowid}) FROM main.{self._name}"

    def insert_from(self, function: str) -> str:
        """An INSERT of what a function of rows returns, whose argument is the parameter. See BlockLoader."""
        outputs = [f"c{position}" for position in self._stored]
        if self._explicit:
            outputs.insert(0, "rowid")
        return f"{self._into} SELECT {', '.join(outputs)} FROM {function}(?)"

    def _rowid_name(self) -> str:
        """A name of the rowid that no column has."""
        if self.table.without_rowid:
            return ""
        if self.table.rowid_alias is not None:
            return quote(self.table.columns[self.table.rowid_alias].name)
        for name in ("rowid", "_rowid_", "oid"):
            if name not in self.table.positions:
                return name
        raise NotSupportedError(
            f"table {self.table.name} has columns named rowid, _rowid_ and oid, so that its rowid cannot be reached: "
            "rename one, or give it an INTEGER PRIMARY KEY"
        )

    def exists(self, positions: tuple[int, ...]) -> str:
        """The text that finds a row by the values of these columns (possibly ROWID)."""
        found = self._exists.get(positions)
        if found is None:
            columns = self.table.columns
            names = [self._rowid if position == ROWID else quote(columns[position].name) for position in positions]
            conditions = " AND ".join(f"{name} = ?" for name in names)
            found = self._exists[positions] = f"SELECT 1 FROM main.{quote(self.table.name)} WHERE {conditions} LIMIT 1"
        return found

    def bindings(self, rows: Iterable[tuple[int, Sequence[SqlValue]]]) -> list[Sequence[SqlValue]]:
        """The parameters of `insert` for (rowid, values) of each row."""
        if self.has_generated:
            rows = [(rowid, [values[i] for i in self._stored]) for rowid, values in rows]
        if self._explicit:
            return [[rowid, *values] for rowid, values in rows]
        return [values for _, values in rows]

    def identities(self, rows: Iterable[tuple[int, Sequence[SqlValue]]]) -> list[Identity]:
        """What identifies each of these rows."""
        if self.table.without_rowid:
            return [row_key(self.table, 0, values) for _, values in rows]
        return [rowid for rowid, _ in rows]

    def identity(self, rowid: int, values: Sequence[SqlValue]) -> Identity:
        """What identifies this row."""
        return row_key(self.table, 0, values) if self.table.without_rowid else rowid

    def where(self, rowid: int, values: Sequence[SqlValue]) -> tuple[SqlValue, ...]:
        """The parameters of `select_one` and `delete_one` for a row."""
        if self.table.without_rowid:
            return tuple(values[i] for i in self.table.key.columns)
        return (rowid,)


_made: WeakValueDictionary[int, TableStatements] = WeakValueDictionary()
"""By the id() of the table, which lives as long as its statements do."""


def statements_of(table: Table) -> TableStatements:
    """The texts for a table, which all connections of the process share."""
    found = _made.get(id(table))
    if found is None:
        found = _made[id(table)] = TableStatements(table)
    return found
