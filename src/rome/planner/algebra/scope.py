"""Names: which column of which FROM item an expression means, by SQLite's rules.

Invariant: a name is resolved to the column that SQLite takes it for, or not at all (None). An unresolved name makes
its predicate opaque, which only widens the plan. Hence the search stops wherever SQLite might find something that is
not visible here (an unnamed expression of a derived table, a table-valued function, an alias).
Source: lookupName() in SQLite's src/resolve.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, field
from msgspec.structs import replace
from sqlglot import exp

from rome.catalog.schema import ROWID, Table
from rome.planner.algebra.predicates import ColumnTerm, Leaf, Operand, Predicate, Source

ROWID_NAMES = frozenset(["rowid", "oid", "_rowid_"])
"""Names of the rowid, unless a column has them."""
Output = tuple[str | None, ColumnTerm]
"""A result column: its name in lower case (None if SQLite makes one up), and what it shows."""


class CommonTable(Struct, eq=False):
    """A common table expression. While `expanding`, its own query is being read, so that its name is a recursion."""

    query: exp.Expression
    columns: list[str]
    names: Names
    expanding: bool = False


class Names(Struct, eq=False):
    """The common table expressions that a query sees, and what the placeholders of its text stand for."""

    slots: Callable[[str], Operand]
    outer: Names | None = None
    tables: dict[str, CommonTable] = field(default_factory=dict)

    def find(self, name: str) -> CommonTable | None:
        """The innermost common table expression of this name (in lower case)."""
        if name in self.tables:
            return self.tables[name]
        return self.outer.find(name) if self.outer else None


class Scope:
    """The FROM items that the expressions of one SELECT see, and the scope around it.

    Attributes:
        names: the common table expressions that can be named.
        aliases: of result columns. An unqualified name that no FROM item has may be one.
        merged: {name: column that USING or NATURAL merged others into; None if it cannot be named}.
        facts: predicates that are true of every row of this SELECT that matters, for the subqueries in its expressions.
    """

    def __init__(self, names: Names, outer: Scope | None) -> None:
        self.names = names
        self.outer = outer
        self.sources: list[Source] = []
        self.aliases: set[str] = set()
        self.merged: dict[str, ColumnTerm | None] = {}
        self.facts: list[Predicate] = []

    def without_facts(self) -> Scope:
        """A scope with the same names, in which nothing is known of the rows."""
        scope = Scope(self.names, self.outer)
        scope.sources, scope.aliases, scope.merged = self.sources, self.aliases, self.merged
        return scope

    def all_facts(self) -> list[Predicate]:
        """What is known of the rows of this scope and of the scopes around it."""
        return self.facts + (self.outer.all_facts() if self.outer else [])

    def resolve(self, name: str, qualifier: str | None = None) -> ColumnTerm | None:
        """The column that a name means; None if that is not known."""
        name = name.lower()
        if qualifier is None:
            return self._unqualified(name)
        qualifier = qualifier.lower()
        found, complete = None, True
        for source in self.sources:
            if source.name == qualifier:
                column = lookup(source, name)
                if column is not None and found is not None:
                    return None
                found, complete = found or column, complete and source.complete
        if found is not None or not complete or self.outer is None:
            return found
        return self.outer.resolve(name, qualifier)

    def _unqualified(self, name: str) -> ColumnTerm | None:
        found = [column for source in self.sources if (column := source.column(name))]
        if len(found) == 1:
            return found[0]
        if found:
            return self.merged.get(name)
        if not all(source.complete for source in self.sources) or name in self.aliases:
            return None
        if name in ROWID_NAMES and self.sources:
            return lookup(self.sources[0], name) if len(self.sources) == 1 else None
        return self.outer.resolve(name) if self.outer else None


def lookup(source: Source, name: str) -> ColumnTerm | None:
    """The source's column of this name (in lower case), or its rowid; None if it has neither."""
    column = source.column(name)
    if column is None and name in ROWID_NAMES and source.leaf is not None and not source.leaf.table.without_rowid:
        alias = source.leaf.table.rowid_alias
        column = source.stored(ROWID if alias is None else alias)
    return column


def table_source(name: str, leaf: Leaf) -> Source:
    """The source for a base table under a name."""
    return Source(name.lower(), leaf)


def written_source(name: str, table: Table | None) -> Source:
    """The source for the table written to, in RETURNING and upsert: its values are not those that were read.

    Args:
        table: None for a temporary table.
    """
    source = Source(name.lower())
    for column in table.positions if table is not None else ():
        source.add(column, ColumnTerm((source,)))
    source.complete = False
    return source


def derived_source(name: str, outputs: Iterable[Output] | None) -> Source:
    """The source for a derived table, view or common table expression.

    Args:
        outputs: its columns; None if they are not known.
    """
    source = Source(name.lower())
    if outputs is None:
        source.complete = False
        return source
    for label, column in outputs:
        source.add(label, replace(column, sources=(source, *column.sources)))
        source.complete = source.complete and label is not None
    return source
