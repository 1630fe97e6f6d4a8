"""Guards: the stored rows that decide whether a change violates a constraint, and what foreign keys do then.

A statement's plan covers what the statement reads. Its constraints look further: at the rows with the same unique
key, at the parent a foreign key names, at the children that refer to a row. These are derived from the rows that a
run of the statement wrote; the engine reads those it does not know, and runs the statement again if there were any.

A guard enters the read set by key: it holds while no such row comes or goes, so that updating a parent does not
conflict with inserting its children. Where no index leads to the rows, the whole table is the guard, row by row.

What of this depends on the schema alone is found out once for each table: its unique keys, and the ways to its parents
and children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rome.catalog.schema import ROWID, Catalog, Index, Table
from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.engine.statement.foreign_keys import child_lookups, parent_lookups, whole
from rome.planner.plan import PlannedRow
from rome.store.spi import ORDER_INDEX
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, merged
from rome.workingset.workingset import Event, SqlRow

KeyComputer = Callable[[Table, int, Sequence[SqlValue]], Iterable[tuple[Index, Sequence[SqlValue]]]]
"""A row's keys that SQLite has to compute: table, rowid and values -> index and key (see WorkingSet.computed_keys)."""
Known = Mapping[int, SqlValue]
"""Values of a row by column position, ROWID for its rowid; what is missing is not known."""
Whole = tuple[SqlValue, ...]
"""All values of a row with its rowid as the last, so that it is found at ROWID, which is -1."""


class TableGuards:
    """What guards the rows of one table.

    Attributes:
        unique: the keys that no two rows may share, the order index first; not those that SQLite has to compute.
        parent_ways: the foreign keys of the table.
    """

    __slots__ = ("_children", "parent_ways", "table", "unique")

    def __init__(self, catalog: Catalog, table: Table) -> None:
        self.table = table
        self.unique = (table.key, *(index for index in table.indexes if index.unique and index.computed is None))
        self.parent_ways = parent_lookups(catalog, table)
        self._children = child_lookups(catalog, table)

    # ------------------------------------------------------------ new rows
    def of_planned(self, row: PlannedRow) -> list[ReadRequest]:
        """Return the rows that share a known unique key with a planned row of INSERT .. VALUES."""
        known, alias = row.values, self.table.rowid_alias
        if alias is not None and alias in known:
            known = {**known, ROWID: known[alias]}
        requests = []
        for index in self.unique:
            values = []
            for position in index.columns:
                if known.get(position) is None:
                    break
                values.append(known[position])
            else:
                requests.append(self._request(index, encode_key(values, index.collations)))
        return requests

    def all_unique(self, row: PlannedRow) -> list[ReadRequest] | None:
        """As `of_planned`; None unless all unique keys are known, except for an id that is not given."""
        known, alias = row.values, self.table.rowid_alias
        requests = []
        for index in self.unique:
            if index is self.table.key and not row.rowid_given:
                continue
            values = []
            for position in index.columns:
                at = alias if position == ROWID and alias is not None else position
                if at not in known:
                    return None
                values.append(known[at])
            if None not in values:
                requests.append(self._request(index, encode_key(values, index.collations)))
        return requests

    def all_parents(self, known: Known, changed: Sequence[int] | None = None) -> list[ReadRequest] | None:
        """As `parents_of`; None unless all are known, and a key or an index leads to each.

        Args:
            changed: the columns that an UPDATE sets: only keys that have one of them count. None: all keys do.
        """
        requests = []
        for way in self.parent_ways:
            if changed is not None and not any(position in changed for position in way.columns):
                continue
            if way.is_computed or way.rows.index_id is None:
                return None
            values = []
            for position in way.columns:
                if position not in known:
                    return None
                values.append(known[position])
            if None not in values:
                requests.append(way.rows.request(values))
        return requests

    def parents_of_many(self, rows: Sequence[PlannedRow]) -> list[ReadRequest] | None:
        """As `all_parents` for many new rows; one request for all that are found by the same key or index."""
        named = sorted({position for way in self.parent_ways for position in way.columns})
        try:
            distinct = {tuple([row.values[position] for position in named]) for row in rows}
        except KeyError:
            return None
        requests: list[ReadRequest] = []
        for values in distinct:
            found = self.all_parents(dict(zip(named, values, strict=True)))
            if found is None:
                return None
            requests += found
        return merged(requests)

    def parents_set(self, known: Known) -> list[ReadRequest]:
        """The rows that foreign keys refer to all of whose columns are known, if a key or an index leads to them."""
        requests = []
        for way in self.parent_ways:
            values = [known.get(position) for position in way.columns]
            if None not in values and not way.is_computed and way.rows.index_id is not None:
                requests.append(way.rows.request(values))
        return requests

    def parents_of(self, known: Known) -> list[ReadRequest]:
        """Return the rows that a new row's foreign keys refer to."""
        requests = []
        for way in self.parent_ways:
            if way.is_computed:
                requests.append(whole(way.parent))
            values = [known.get(position) for position in way.columns]
            if None not in values:
                requests.append(way.rows.request(values))
        return requests

    def of_new(self, rows: Sequence[tuple[int, SqlRow]]) -> list[ReadRequest]:
        """The rows with a unique key of one of these: of thousands of rows one request for each index."""
        requests = []
        for index in self.unique:
            keys = [key for key in _keys(index, rows) if key is not None]
            if not keys:
                continue
            if index.id == ORDER_INDEX:
                requests.append(ReadRequest(self.table.id, ORDER_INDEX, tuple(keys), (), Validation.KEYS))
            else:
                ranges = tuple([(key, key + b"\xff") for key in keys])
                requests.append(ReadRequest(self.table.id, index.id, (), ranges, Validation.KEYS))
        return requests

    def parents_of_new(self, rows: Sequence[tuple[int, SqlRow]]) -> list[ReadRequest]:
        """The rows that foreign keys of these name; once for those that name the same."""
        named = sorted({position for way in self.parent_ways for position in way.columns})
        distinct = {tuple([row[position] for position in named]): None for _, row in rows} if named else {}
        return [request for values in distinct for request in self.parents_of(dict(zip(named, values, strict=True)))]

    # ------------------------------------------------------------ rows that change
    def of_changed(self, after: Whole, before: Whole) -> list[ReadRequest]:
        """Return the rows that have a unique key which a row did not have before its change."""
        requests = []
        for index in self.unique:
            if _differ(index.columns, after, before):
                values = [after[position] for position in index.columns]
                if None not in values:
                    requests.append(self._request(index, encode_key(values, index.collations)))
        return requests

    def parents(self, row: Whole, unless: Whole | None) -> list[ReadRequest]:
        """Return the rows that a row's foreign keys refer to, unless another form of the row refers to them, too."""
        requests = []
        for way in self.parent_ways:
            if way.is_computed:
                requests.append(whole(way.parent))
            if unless is None or _differ(way.columns, row, unless):
                values = [row[position] for position in way.columns]
                if None not in values:
                    requests.append(way.rows.request(values))
        return requests

    def children(self, before: Whole, after: Whole | None) -> list[ReadRequest]:
        """Return the rows whose foreign keys refer to a key that a row no longer has."""
        requests = []
        for way in self._children:
            if way.is_computed:
                requests.append(whole(way.child))
            if after is None or _differ(way.positions, after, before):
                values = [before[position] for position in way.positions]
                if None not in values:
                    requests.append(way.rows.request(values))
        return requests

    def leaves_children(self, *, deleted: bool) -> bool:
        """Whether a row that is deleted, or gets another key, may leave rows behind that refer to it."""
        keys = [way.key for way in self._children]
        return any((key.on_delete if deleted else key.on_update) == "NO ACTION" for key in keys)

    def everything_near(self) -> list[ReadRequest]:
        """The table, its parents and its children, each as a whole."""
        near = [self.table, *(way.parent for way in self.parent_ways), *(way.child for way in self._children)]
        return [whole(table) for table in near]

    # ------------------------------------------------------------ keys
    def of_computed(
        self,
        had: Iterable[tuple[Index, Sequence[SqlValue]]],
        has: Iterable[tuple[Index, Sequence[SqlValue]]],
    ) -> list[ReadRequest]:
        """Rows that have a unique key of this one which SQLite has computed; known once a statement has run."""
        same = {index.id: encode_key(values, index.collations) for index, values in had}
        requests = []
        for index, values in has:
            if index.unique and None not in values:
                key = encode_key(values, index.collations)
                if same.get(index.id) != key:
                    requests.append(self._request(index, key))
        return requests

    def _request(self, index: Index, key: bytes) -> ReadRequest:
        if index.id == ORDER_INDEX:
            return ReadRequest(self.table.id, ORDER_INDEX, (key,), (), Validation.KEYS)
        return ReadRequest(self.table.id, index.id, (), ((key, key + b"\xff"),), Validation.KEYS)


class Guards:
    """What guards the rows of a schema's tables; made once for each, when it is first needed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tables: dict[str, TableGuards] = {}

    def of(self, name: str) -> TableGuards:
        """The guards of a table, by its name in lower case."""
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = TableGuards(self._catalog, self._catalog.tables[name])
        return found

    def planned(self, table: Table, rows: Iterable[PlannedRow], *, foreign_keys: bool) -> list[ReadRequest]:
        """Guards of INSERT .. VALUES, before it runs; a row whose id the store hands out needs none for its key."""
        of_table = self.of(table.name.lower())
        requests: list[ReadRequest] = []
        for row in rows:
            requests += of_table.of_planned(row)
            if foreign_keys:
                requests += of_table.parents_of(row.values)
        return requests

    def of_events(
        self,
        events: Iterable[Event],
        *,
        foreign_keys: bool,
        old_values: Callable[[Table, int], SqlRow | None],
        new_values: Callable[[Table, int], SqlRow | None],
        computed_keys: KeyComputer,
        failed: bool = False,
    ) -> list[ReadRequest]:
        """Return the guards of the rows that a run has written.

        The parents of what rows were are among them where other rows name parents, or may be left without one: SQLite
        counts a row whose parent is not there when it comes, or when the parent goes, and takes one off when the row
        goes, so that a row with an unread parent would make up for another that has none.

        Args:
            failed: a foreign key was violated: it may be one that was set to what it was, which SQLite checks, too.
            old_values, new_values: the row's values before and after, for an event that has none (generated columns).
        """
        requests: list[ReadRequest] = []
        parents: list[ReadRequest] = []
        former_parents: list[ReadRequest] = []
        leaves_children = False
        inserted: dict[str, list[tuple[int, SqlRow]]] = {}
        written = 0
        for written, event in enumerate(events, 1):  # noqa: B007
            of_table = self.of(event.table)
            table = of_table.table
            if table.without_rowid and event.old is None and event.new is None:
                requests += of_table.everything_near()  # generated columns: nothing tells which row it was
                continue
            old, new = event.old, event.new
            if old is None and event.kind != "INSERT":
                old = old_values(table, event.rowid_before)
            if new is None and event.kind != "DELETE":
                new = new_values(table, event.rowid_after)
            if new is not None and table.computed:
                had = [] if old is None else list(computed_keys(table, event.rowid_before, old))
                requests += of_table.of_computed(had, computed_keys(table, event.rowid_after, new))
            if old is None:
                if new is not None:
                    inserted.setdefault(event.table, []).append((event.rowid_after, new))
                continue
            before = (*old, event.rowid_before)
            after = None if new is None else (*new, event.rowid_after)
            if after is not None:
                requests += of_table.of_changed(after, before)
            if foreign_keys:
                if after is not None:
                    parents += of_table.parents(after, None if failed else before)
                former_parents += of_table.parents(before, after)
                requests += of_table.children(before, after)
                leaves_children = leaves_children or of_table.leaves_children(deleted=after is None)
        for name, rows in inserted.items():
            requests += self.of(name).of_new(rows)
            if foreign_keys:
                parents += self.of(name).parents_of_new(rows)
        # Of a single row, what it takes off comes before its own children are counted.
        miscounts = parents or (leaves_children and written > 1)
        return requests + parents + (former_parents if miscounts else [])


def _keys(index: Index, rows: Iterable[tuple[int, SqlRow]]) -> Iterator[bytes | None]:
    """Each row's key in an index; None if it holds a NULL, which equals nothing."""
    columns, collations = index.columns, index.collations
    for rowid, row in rows:
        values = [rowid if position == ROWID else row[position] for position in columns]
        yield None if None in values else encode_key(values, collations)


def _differ(positions: Iterable[int], one: Whole, other: Whole) -> bool:
    for position in positions:
        mine, theirs = one[position], other[position]
        if mine is not theirs and (type(mine) is not type(theirs) or mine != theirs):
            return True
    return False
