"""Keys that SQLite must compute: those of partial and expression indexes, and of indexes over generated columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw

from rome.catalog.reflected_table import quote
from rome.catalog.schema import Index, Table
from rome.codec.values import SqlValue
from rome.sql.create_table import CreateTable
from rome.workingset.blank import idle_columns
from rome.workingset.functions import add_regexp
from rome.workingset.sqlite_errors import not_unicode, translate
from rome.workingset.tables import statements_of


class ComputedKeys:
    """An empty twin of one table, into which rows are put one at a time to ask SQLite for their keys.

    The twin is in a database of its own. In the working set it would affect counts of changes and hooks.

    Cost: 15 µs for a row of 10 columns.
    """

    def __init__(self, table: Table) -> None:
        self._indexes = table.computed
        self._statements = statements_of(table)
        self._connection = apsw.Connection(":memory:")
        add_regexp(self._connection)
        self._connection.execute("PRAGMA ignore_check_constraints=ON")  # a row may be older than a constraint
        # A column on which no key depends may fail for a stored row.
        self._connection.execute(CreateTable(table.sql).with_blank(idle_columns(table, table.computed)))
        name = quote(table.name)
        texts: list[str] = []
        for index in self._indexes:
            assert index.computed is not None
            condition = index.computed.condition
            if condition is None:
                texts += ["1", *index.computed.keys]
            else:  # SQLite computes no key of a row that the index leaves out, since that might fail
                texts += [f"({condition}) IS TRUE"]
                texts += [f"CASE WHEN {condition} THEN {key} END" for key in index.computed.keys]
        self._select = f"SELECT {', '.join(texts)} FROM main.{name}"
        self._delete = f"DELETE FROM main.{name}"

    def of_row(self, rowid: int, values: Sequence[SqlValue]) -> Iterator[tuple[Index, tuple[SqlValue, ...]]]:
        """The key's values in each index that has an entry for the row.

        Raises:
            rome.errors.Error: SQLite cannot compute them, as in the statement that writes the row.
        """
        try:
            self._connection.execute(self._delete)  # first, since a row that failed, or was interrupted, is still there
            self._connection.execute(self._statements.insert, *self._statements.bindings([(rowid, values)]))
            found: tuple[SqlValue, ...] = next(self._connection.execute(self._select))
        except apsw.Error as error:
            raise translate(error) from error
        except UnicodeDecodeError as error:
            raise not_unicode(error) from error
        at = 0
        for index in self._indexes:
            stop = at + 1 + len(index.columns)
            if found[at]:
                yield index, found[at + 1 : stop]
            at = stop

    def close(self) -> None:
        """Close the twin's database."""
        self._connection.close()
