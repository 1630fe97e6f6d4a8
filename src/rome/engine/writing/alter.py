"""ALTER TABLE as an edit of the table's CREATE statement, with a check of its rows where they need one.

SQLite has no way to do most of it; batch copies, which its users resort to, write every row, and a commit is bounded.
Here the catalog changes. Rows are read, all of them, where a new constraint must hold for them, or a new type may
convert them; they are written where a value was converted. Only a change of the primary key, by which rows are stored,
writes all of them, as those of a new table.
"""

from __future__ import annotations

import apsw

from rome.catalog.mirror import Master, Mirror
from rome.catalog.reflected_table import quote
from rome.catalog.schema import ForeignKey, Table
from rome.engine.reading.reader import Reader
from rome.engine.statement.foreign_keys import parent_positions, rows_by, whole
from rome.engine.statement.schema import SchemaVersion
from rome.errors import ForeignKeyViolation, OperationalError
from rome.sql.alter_table import Alteration, edited
from rome.sql.create_table import CreateTable
from rome.sql.tokens import identifier, tokenize
from rome.transaction.transaction import ReadRequest
from rome.workingset import ddl as working_ddl
from rome.workingset.sqlite_errors import translate


def rewrite(alteration: Alteration, reader: Reader, mirror: Mirror, *, foreign_keys: bool) -> SchemaVersion:
    """The schema after an edit of one table's statement; the reader's is replaced by it.

    Raises:
        rome.errors.Error: what SQLite says against the new statement, or against a row; the caller undoes it all.
    """
    before = reader.schema
    old = table_of(alteration, before)
    text = edited(CreateTable(old.sql), alteration)
    if text == old.sql:
        return before
    try:
        beside = [item.sql for item in (*_indexes(before, old), *_triggers(before, old))]
        mirror.replace_table(old.name, [text, *beside])
    except apsw.Error as error:
        raise translate(error) from error
    evolution = before.definition.evolve(mirror)
    after = SchemaVersion(evolution.definition)
    new = after.catalog.tables[old.name.lower()]
    added_key = new.foreign_keys[-1] if foreign_keys and alteration.kind == "FOREIGN KEY" else None
    converts = [column.affinity for column in old.columns] != [column.affinity for column in new.columns]
    stricter = any(now.not_null and not was.not_null for was, now in zip(old.columns, new.columns, strict=True))
    checks = stricter or alteration.kind == "CHECK" or added_key is not None or adds_index(old, new)
    if checks or converts or new.id != old.id:
        _hydrate(reader, [whole(old)])
    if added_key is not None:
        _hydrate(reader, _parents(reader, old, added_key))
    items = after.definition.master["table", new.name.lower()], *_indexes(after, new), *_triggers(after, new)
    texts = [working_ddl.statement(item, after.catalog) for item in items]
    reader.working_set.replace_table(old, new, [text for text in texts if text is not None])
    check_computed_keys(reader, old, new, anew=converts or new.id != old.id)
    if added_key is not None:
        _check_newest_key(reader, new)
    contents = reader.working_set.contents
    if new.id != old.id:
        contents.tables.pop(old.id, None)
    if new.id != old.id or converts:
        contents.of(new.id).whole = True
    reader.forget_decoded()
    reader.schema = after
    return after


def table_of(alteration: Alteration, schema: SchemaVersion) -> Table:
    """The table that is altered.

    Raises:
        OperationalError: there is none of this name.
    """
    name = alteration.table
    found = schema.catalog.tables.get(name.lower())
    if found is not None:
        return found
    if name.lower() in schema.catalog.views:
        raise OperationalError(f'cannot alter view "{name}"')
    raise OperationalError(f"no such table: {name}")


def indexes_of_column(schema: SchemaVersion, table: Table, column: str) -> list[str]:
    """The indexes made by CREATE INDEX that name a column, also in an expression or a condition."""
    found = []
    for item in _indexes(schema, table):
        tokens = tokenize(item.sql)
        start = [token.word for token in tokens].index("(")
        names = {identifier(token).lower() for token in tokens[start:] if token.kind in ("word", "quoted")}
        if column.lower() in names:
            found.append(item.name)
    return found


def adds_index(old: Table, new: Table) -> bool:
    """Whether an index needs all rows: for its entries, and to see that it is unique."""
    return bool(new.indexes_beyond(old))


def check_computed_keys(reader: Reader, old: Table, new: Table, *, anew: bool = False) -> None:
    """See that SQLite can compute the keys that a new index has for the rows in the working set.

    COMMIT writes the entries, but an expression that fails for a row is an error of the statement that makes the index.

    Args:
        anew: all keys are made anew, since the rows are.

    Raises:
        rome.errors.Error: what SQLite says of the expression.
    """
    if new.computed and (anew or any(index.computed is not None for index in new.indexes_beyond(old))):
        for rowid, values in reader.working_set.all_rows(new):
            for _ in reader.working_set.computed_keys(new, rowid, values):
                pass


def _indexes(schema: SchemaVersion, table: Table) -> list[Master]:
    """What CREATE INDEX has made on a table."""
    items = schema.definition.master.values()
    return [item for item in items if item.type == "index" and item.table.lower() == table.name.lower()]


def _triggers(schema: SchemaVersion, table: Table) -> list[Master]:
    """The triggers of a table, which SQLite drops with it."""
    items = schema.definition.master.values()
    return [item for item in items if item.type == "trigger" and item.table.lower() == table.name.lower()]


def _hydrate(reader: Reader, requests: list[ReadRequest]) -> None:
    reader.read(requests)
    reader.hydrate(requests)


def _parents(reader: Reader, child: Table, key: ForeignKey) -> list[ReadRequest]:
    """What the child's rows refer to by a key; if it is the child itself, that is there already."""
    parent = reader.schema.catalog.tables.get(key.parent.lower())
    if parent is None or parent.id == child.id:
        return []
    if any(child.columns[position].generated for position in key.columns):
        return [whole(parent)]
    positions = parent_positions(parent, key)
    rows = reader.working_set.all_rows(child)
    wanted = dict.fromkeys(tuple(values[position] for position in key.columns) for _, values in rows)
    requests = [rows_by(parent, positions, values, child, key.columns) for values in wanted if None not in values]
    return list(dict.fromkeys(requests))


def _check_newest_key(reader: Reader, table: Table) -> None:
    """The foreign key that the table's text names last; SQLite counts them from there.

    Raises:
        ForeignKeyViolation: a row has no parent.
    """
    violations = reader.working_set.query(f"PRAGMA main.foreign_key_check({quote(table.name)})", ())
    if any(row[3] == 0 for row in violations):
        raise ForeignKeyViolation("FOREIGN KEY constraint failed")
