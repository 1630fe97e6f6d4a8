"""Run one DDL statement: on the mirror, whose difference is the change of the catalog, and on the working set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import apsw

from rome.catalog.definition import Evolution
from rome.catalog.mirror import Mirror
from rome.catalog.reflected_table import quote
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.reading.reader import Reader
from rome.engine.statement.foreign_keys import whole
from rome.engine.statement.schema import SchemaVersion
from rome.engine.writing import alter
from rome.errors import NotSupportedError
from rome.planner.parse.statement import Statement, StatementKind, classify
from rome.sql import alter_table
from rome.sql.alter_table import Alteration
from rome.sql.create_trigger import CreateTrigger
from rome.sql.tokens import tokenize
from rome.workingset import ddl as working_ddl
from rome.workingset.contents import Stored
from rome.workingset.sqlite_errors import translate

_NEEDS_ROWS = frozenset(
    {"NOT", "CHECK", "REFERENCES", "AS", "GENERATED", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"}
)


@lru_cache(maxsize=1024)
def _words(sql: str) -> tuple[str, ...]:
    """Keywords and operators of a statement, in upper case; empty for all else."""
    return tuple(token.word for token in tokenize(sql))


def refuse(statement: Statement, schema: SchemaVersion) -> None:
    """Refuse DDL that Rome does not support, before anything is done.

    Raises:
        NotSupportedError: the message names the construct and another way.
    """
    words = _words(statement.text)
    if statement.kind is StatementKind.CREATE_TRIGGER:
        _refuse_trigger(CreateTrigger(statement.text), schema)
    if words[:2] == ("CREATE", "VIRTUAL"):
        raise NotSupportedError("CREATE VIRTUAL TABLE is not supported: its content would not be in the store")


def _refuse_trigger(trigger: CreateTrigger, schema: SchemaVersion) -> None:
    reason = trigger.refusal()
    table = schema.catalog.tables.get(trigger.table)
    if reason is None and trigger.table in schema.catalog.temporary:
        reason = f"{trigger.table} is a temporary table"
    if reason is None and table is not None and table.rowid_alias is None and trigger.names_rowid():
        reason = f"it names the rowid of table {table.name}, which is known only after the run"
    if reason is not None:
        raise NotSupportedError(
            f"CREATE TRIGGER is not supported where a trigger does more than look at OLD and NEW, and RAISE: {reason}. "
            "No fetch plan foresees what it would read and write: put its work into the application, a CHECK or "
            "DEFAULT clause, or foreign key actions"
        )


@lru_cache(maxsize=1024)
def source(statement: Statement) -> str | None:
    """Return the query of CREATE TABLE .. AS, which fills the table; None for any other statement."""
    tokens = tokenize(statement.text)
    words = [token.word for token in tokens]
    at = 2 if words[1:2] in (["TEMP"], ["TEMPORARY"]) else 1
    if [words[0], *words[at : at + 1]] != ["CREATE", "TABLE"]:
        return None
    at += 4 if words[at + 1 : at + 4] == ["IF", "NOT", "EXISTS"] else 1
    at += 3 if words[at + 1 : at + 2] == ["."] else 1
    return statement.text[tokens[at].stop :] if words[at : at + 1] == ["AS"] else None


def run(
    statement: Statement, parameters: Sequence[SqlValue], reader: Reader, mirror: Mirror, *, foreign_keys: bool
) -> SchemaVersion:
    """The schema after the statement; the reader's is replaced by it. Temporary objects are no part of it.

    Args:
        parameters: those of the `source`, whose rows are in the working set.

    Raises:
        rome.errors.Error: what SQLite says against it; then the mirror may have changed, and must be opened again.

    Cost: one round trip when the transaction has no snapshot yet; CREATE INDEX, and ALTER TABLE that adds a
    constraint or may convert values, read the whole table.
    """
    reader.working_set.drop_lookups()
    alteration = alter_table.parse(statement.text)
    if alteration is None or _is_temporary(alteration, statement, mirror):
        return _run(statement, parameters, reader, mirror, foreign_keys=foreign_keys)
    if alteration.change != "DROP COLUMN":
        return alter.rewrite(alteration, reader, mirror, foreign_keys=foreign_keys)
    return _drop_column(alteration, reader, mirror, foreign_keys=foreign_keys)


def _drop_column(alteration: Alteration, reader: Reader, mirror: Mirror, *, foreign_keys: bool) -> SchemaVersion:
    """With CASCADE: first what needs the column, and keeps SQLite from dropping it."""
    table = alter.table_of(alteration, reader.schema)
    if alteration.if_exists and alteration.name.lower() not in table.positions:
        return reader.schema
    if alteration.cascade:
        for index in alter.indexes_of_column(reader.schema, table, alteration.name):
            _run(classify(f"DROP INDEX main.{quote(index)}"), (), reader, mirror, foreign_keys=foreign_keys)
        alter.rewrite(alteration, reader, mirror, foreign_keys=foreign_keys)
    last = classify(f"ALTER TABLE main.{quote(table.name)} DROP COLUMN {quote(alteration.name)}")
    return _run(last, (), reader, mirror, foreign_keys=foreign_keys)


def _is_temporary(alteration: Alteration, statement: Statement, mirror: Mirror) -> bool:
    """Whether a temporary table is altered, by SQLite's own means."""
    name = alteration.table.lower()
    return "." not in _words(statement.text)[:4] and any(item.name.lower() == name for item in mirror.temporary())


def _run(
    statement: Statement, parameters: Sequence[SqlValue], reader: Reader, mirror: Mirror, *, foreign_keys: bool
) -> SchemaVersion:
    """One that SQLite has."""
    before = reader.schema
    temporary = mirror.temporary()
    mark = mirror.mark() if _words(statement.text)[0] == "CREATE" else None
    try:
        mirror.connection.execute(statement.text, parameters)
    except apsw.Error as error:
        raise translate(error) from error
    evolution = before.definition.evolve(mirror, mark)
    made = [item for item in mirror.temporary() if item not in temporary]
    if source(statement) is not None:
        mirror.empty([("main", item.name) for item in evolution.came] + [("temp", item.name) for item in made])
    stays = evolution.definition.master == before.definition.master
    if made or mirror.temporary() != temporary:
        reader.working_set.temporary_changed = True
    elif stays:  # IF [NOT] EXISTS had nothing to do
        return before
    after = before if stays else SchemaVersion(evolution.definition)
    _hydrate_what_is_checked(statement, reader, before, evolution, foreign_keys=foreign_keys)
    _run_on_working_set(statement, parameters, reader, before, after, evolution, foreign_keys=foreign_keys)
    for old, new in evolution.tables:
        if old is not None and new is not None:
            alter.check_computed_keys(reader, old, new)
    _move_contents(reader, evolution)
    reader.schema = after
    return after


def _hydrate_what_is_checked(
    statement: Statement, reader: Reader, before: SchemaVersion, evolution: Evolution, *, foreign_keys: bool
) -> None:
    """Read whole tables where SQLite looks at every row, or the store needs entries for every row."""
    tables: dict[int, Table] = {}
    for old, new in evolution.tables:
        if old is None:
            continue
        if new is None:
            if foreign_keys:
                tables.update(_referencing(before, old))
        elif alter.adds_index(old, new) or _constrains_rows(_words(statement.text)):
            tables[old.id] = old
    wants = [whole(table) for table in tables.values()]
    reader.read(wants)
    reader.hydrate(wants)


def _constrains_rows(words: tuple[str, ...]) -> bool:
    """Whether it is ADD COLUMN with what SQLite refuses, or checks, when there are rows."""
    if words[0] != "ALTER" or "DROP" in words:
        return False
    return not _NEEDS_ROWS.isdisjoint(words) or ("DEFAULT", "(") in pairwise(words)


def _referencing(schema: SchemaVersion, table: Table) -> dict[int, Table]:
    """The table and all that refer to it, over any number of steps; nothing when none does."""
    found = {table.id: table}
    queue = [table]
    while queue:
        for child, _ in schema.catalog.referencing.get(queue.pop().name.lower(), ()):
            if child.id not in found:
                found[child.id] = child
                queue.append(child)
    return found if len(found) > 1 else {}


def _run_on_working_set(
    statement: Statement,
    parameters: Sequence[SqlValue],
    reader: Reader,
    before: SchemaVersion,
    after: SchemaVersion,
    evolution: Evolution,
    *,
    foreign_keys: bool,
) -> None:
    working_set = reader.working_set
    dropped = {old.name.lower() for old, new in evolution.tables if old is not None and new is None}
    text = _text(statement, before, after, evolution)
    if text is not None:
        working_set.enforce_foreign_keys(foreign_keys and _words(text)[0] == "DROP")
        done = working_set.run(text, [parameters], before.with_generated if dropped else frozenset())
        if done.error is not None:
            raise done.error
        if dropped:  # DROP TABLE deletes its rows, and what foreign keys do then
            events = [event for event in done.events if event.table not in dropped]
            working_set.touch(before.catalog.tables, events)
    if source(statement) is not None:
        for old, new in evolution.tables:
            if old is None and new is not None:
                working_set.contents.of(new.id).whole = True


def _text(statement: Statement, before: SchemaVersion, after: SchemaVersion, evolution: Evolution) -> str | None:
    """What the working set runs in the statement's place; None if it runs nothing."""
    came, gone = evolution.came, evolution.gone
    if not gone and len(came) == 1 and source(statement) is None:
        return working_ddl.statement(came[0], after.catalog)
    if not came and len(gone) == 1 and gone[0].type == "index":  # more than one: with their table
        kept = working_ddl.keeps_index(before.catalog.tables[gone[0].table.lower()], gone[0].name)
        return statement.text if kept else None
    return statement.text


def _move_contents(reader: Reader, evolution: Evolution) -> None:
    """Bring what is known of stored rows into the tables' new columns."""
    contents = reader.working_set.contents
    for old, new in evolution.tables:
        if old is None:
            continue
        if new is None:
            contents.tables.pop(old.id, None)
        elif old.id in contents.tables and [c.id for c in old.columns] != [c.id for c in new.columns]:
            position = {column.id: i for i, column in enumerate(old.columns)}
            hydrated = contents.tables[old.id].hydrated
            for identity, row in hydrated.items():
                values = [
                    row.values[position[column.id]] if column.id in position else column.default
                    for column in new.columns
                ]
                hydrated[identity] = Stored(row.key, row.version, row.rowid, values)
    reader.forget_decoded()
