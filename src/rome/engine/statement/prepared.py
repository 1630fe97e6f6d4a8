"""A statement, prepared: what SQLite says of it, what it writes, and its fetch plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import apsw

from rome.catalog.mirror import Inspection, Mirror
from rome.catalog.schema import ROWID, Catalog, Table
from rome.codec.values import SqlValue
from rome.engine.statement.conflict_clause import has_conflict_clause, rolls_back
from rome.engine.statement.foreign_keys import are_usual, parent_positions
from rome.engine.statement.parameters import wrong_count
from rome.errors import DataError, NotSupportedError, ProgrammingError
from rome.planner.parse.statement import Statement, StatementKind
from rome.planner.plan import FetchPlan
from rome.planner.planning import plan_statement
from rome.sql.index_hints import without_index_hints
from rome.sql.tokens import identifier, tokenize
from rome.workingset.sqlite_errors import translate

SEQUENCE_TABLE = "sqlite_sequence"
_ROWID_NAMES = frozenset({"ROWID", "_ROWID_", "OID"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """One statement under one catalog.

    Attributes:
        plan: what it has to read.
        target: the table that INSERT adds rows to, or None.
        sets_rowid: it may set the rowid of a table that has no INTEGER PRIMARY KEY.
        foreign_keys: it may concern some: it adds rows to a table that has foreign keys, sets columns of such a key, or
            deletes rows that some may refer to; or it writes a temporary table.
        upserts: it has ON CONFLICT DO UPDATE, which looks into the rows that are in the way of new ones.
        rewrites_unseen: it may write a row several times, of whose unique keys only the last ones are shown.
        only_adds: it neither updates nor replaces rows, and no foreign key of its tables is of an unusual kind.
        on_mirror: it asks for the schema, which the mirror answers; or it is about sqlite_sequence.
        on_sequences: it is about sqlite_sequence (rome.engine.attempt.sequence_table).
        in_batches: with many sets of parameters it may run as if it were one statement.
        may_end_transaction: a row that breaks a constraint may make SQLite roll back.
        leaves_out: a constraint of its tables has ON CONFLICT IGNORE, and may leave rows out.
        ignores: the same, or it says so itself.
    """

    statement: Statement
    inspection: Inspection
    plan: FetchPlan
    target: Table | None
    sets_rowid: bool
    foreign_keys: bool
    upserts: bool
    rewrites_unseen: bool
    only_adds: bool
    on_mirror: bool
    on_sequences: bool
    in_batches: bool
    may_end_transaction: bool
    leaves_out: bool
    ignores: bool

    @property
    def writes(self) -> bool:
        return bool(self.inspection.written or self.inspection.temporary_written)

    def bind(self, parameters: Sequence[object] | Mapping[str, object]) -> tuple[SqlValue, ...]:
        """The parameters, which are plain (rome.engine.statement.parameters), by number, as SQLite takes them.

        Raises:
            ProgrammingError: too many, too few, or of a type that SQLite does not know. DataError: an integer beyond
                64 bits; text with a lone surrogate.
        """
        wanted, names = self.inspection.parameter_count, self.inspection.parameter_names
        if type(parameters) is not tuple and isinstance(parameters, Mapping):  # a tuple is told in a tenth of the time
            given: Sequence[object] = [_named(parameters, name, i) for i, name in enumerate(names)]
        else:
            if len(parameters) != wanted:
                raise wrong_count(wanted, len(parameters))
            given = parameters
        # In one expression, since most values are taken as they are: 0.1 us each, and 0.4 by a call.
        return tuple(
            [
                value  # type: ignore[misc]
                if (kind := type(value)) in _EXACT
                or (kind is str and value.isascii())  # type: ignore[attr-defined]
                or (kind is int and _LEAST <= value <= _GREATEST)  # type: ignore[operator]
                else _checked(value, number)
                for number, value in enumerate(given)
            ]
        )


_EXACT = frozenset({type(None), float, bytes})
_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1


def _named(parameters: Mapping[str, object], name: str | None, number: int) -> object:
    if name is None:
        raise ProgrammingError(
            f"Binding {number + 1} has no name, but you supplied a dictionary (which has only names)."
        )
    try:
        return parameters[name]
    except KeyError:
        raise ProgrammingError(f"You did not supply a value for binding parameter :{name}.") from None


def _checked(value: object, number: int) -> SqlValue:
    """A value that is not seen at a glance to be one that SQLite takes."""
    if type(value) is int:
        if not _LEAST <= value <= _GREATEST:
            raise DataError(f"parameter {number + 1}: {value} does not fit into SQLite's 64-bit INTEGER")
        return value
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"parameter {number + 1} holds a lone surrogate, which is not text") from error
        return value
    raise ProgrammingError(f"Error binding parameter {number + 1}: type '{_name(type(value))}' is not supported")


def _name(kind: type) -> str:
    """A type's name as CPython has it, and sqlite3 writes it: with its module, unless that is written in Python."""
    in_python = kind.__flags__ & _HEAP_TYPE or kind.__module__ == "builtins"
    return kind.__name__ if in_python else f"{kind.__module__}.{kind.__name__}"


_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def prepare(statement: Statement, catalog: Catalog, mirror: Mirror) -> Prepared:
    """Ask SQLite and the planner about a statement.

    Raises:
        rome.errors.Error: what SQLite says against it. NotSupportedError: Rome cannot give its result.

    Cost: no I/O; some 50 µs for SQLite, 0.1 to 1 ms for the planner.
    """
    try:
        inspection = mirror.inspect(statement.text)
    except apsw.Error as error:
        raise translate(error) from error
    if (text := without_index_hints(statement.text)) != statement.text:
        statement = replace(statement, text=text)
    tables = catalog.tables
    _refuse(statement, inspection, tables)
    read = inspection.read | (inspection.written - inspection.inserted)
    mentioned = read | inspection.written | inspection.temporary_read | inspection.temporary_written
    inserted = [tables[name] for name in inspection.inserted if name in tables]
    plan = plan_statement(statement.text, catalog, frozenset(name for name in read if name in tables))
    leaves_out = (
        bool(inspection.inserted or inspection.updated)
        and not has_conflict_clause(statement.text)
        and any(_has_clause_ignore(tables[name]) for name in inspection.written if name in tables)
    )
    return Prepared(
        statement=statement,
        inspection=inspection,
        plan=plan,
        target=inserted[0] if inserted else None,
        sets_rowid=bool(inserted) and statement.kind is StatementKind.INSERT and _names_rowid(statement.text),
        foreign_keys=bool(inspection.temporary_written)
        or any(_concerns_foreign_keys(statement, inspection, catalog, name) for name in inspection.written),
        upserts=bool(inspection.inserted and inspection.updated),
        rewrites_unseen=any(
            table.has_generated
            and any(index.unique and index.computed is not None for index in table.indexes)
            and (bool(inspection.updated) or _may_replace(statement, table))
            for table in inserted
        ),
        only_adds=inspection.written == inspection.inserted
        and not inspection.updated
        and all(are_usual(catalog, table) and not _may_replace(statement, table) for table in inserted),
        on_mirror=any(name.startswith(("sqlite_", "pragma_")) for name in mentioned),
        on_sequences=SEQUENCE_TABLE in mentioned,
        in_batches=_runs_in_batches(statement, inspection, plan, tables),
        may_end_transaction=rolls_back(statement.text)
        or any("ROLLBACK" in tables[name].sql.upper() for name in inspection.written if name in tables),
        leaves_out=leaves_out,
        ignores=leaves_out or any(word in statement.text.upper() for word in ("IGNORE", "NOTHING")),
    )


def _concerns_foreign_keys(statement: Statement, inspection: Inspection, catalog: Catalog, name: str) -> bool:
    """Can what a statement does to a table of this name violate a foreign key, or set off its action?"""
    table = catalog.tables.get(name)
    referring = catalog.referencing.get(name, ())
    if table is None or not (table.foreign_keys or referring):
        return False
    if name in inspection.deleted or table.has_generated or _may_replace(statement, table):
        return True
    if name in inspection.inserted and (table.foreign_keys or not are_usual(catalog, table)):
        return True
    keys = {position for key in table.foreign_keys for position in key.columns}
    for _, key in referring:
        keys.update(parent_positions(table, key))
    updated = {table.positions.get(column, ROWID) for changed, column in inspection.updated if changed == name}
    if table.rowid_alias is not None and not updated.isdisjoint({ROWID, table.rowid_alias}):
        updated |= {ROWID, table.rowid_alias}
    return not keys.isdisjoint(updated)


def _has_clause_ignore(table: Table) -> bool:
    """Whether a constraint may have ON CONFLICT IGNORE."""
    text = table.sql.upper()
    return "CONFLICT" in text and "IGNORE" in text


def _may_replace(statement: Statement, table: Table) -> bool:
    """Can INSERT or UPDATE delete rows that are in its way?"""
    return "REPLACE" in statement.text.upper() or "REPLACE" in table.sql.upper()


def _runs_in_batches(
    statement: Statement, inspection: Inspection, plan: FetchPlan, tables: Mapping[str, Table]
) -> bool:
    """Whether its runs with many sets of parameters give the same one by one and as one statement, if none fails.

    The rows of INSERT must be known before. A conflict clause may delete rows, which nobody counts. And nothing may ask
    what a run before has counted.
    """
    if not inspection.written or inspection.temporary_written or inspection.temporary_read:
        return False
    words = [token.word for token in tokenize(statement.text)]
    if words[:1] not in (["INSERT"], ["UPDATE"], ["DELETE"]) or words[1] == "OR" or "CONFLICT" in words:
        return False
    if statement.kind is StatementKind.INSERT and not plan.inserts_only:
        return False
    texts = (statement.text, *(tables[name].sql for name in inspection.written if name in tables))
    return not any(word in text.upper() for text in texts for word in _TELLS_RUNS_APART)


_TELLS_RUNS_APART = ("REPLACE", "ROLLBACK", "CHANGES", "LAST_INSERT_ROWID")  # TOTAL_CHANGES among them


def _refuse(statement: Statement, inspection: Inspection, tables: Mapping[str, Table]) -> None:
    """Raise for RETURNING that would show a rowid which is replaced, after the run, by one from the store."""
    if not (statement.returning and statement.kind is StatementKind.INSERT):
        return
    tokens = tokenize(statement.text)
    after = max(at for at, token in enumerate(tokens) if token.word == "RETURNING")
    names = {identifier(token).lower() for token in tokens[after:] if token.kind in ("word", "quoted")}
    for table in (tables[name] for name in inspection.inserted if name in tables):
        if table.rowid_alias is None and not table.without_rowid:
            rowids = {name.lower() for name in _ROWID_NAMES} - table.positions.keys()
            if not rowids.isdisjoint(names):
                raise NotSupportedError(
                    f"RETURNING the rowid of table {table.name} is not supported, since it is known only after the "
                    "run: give the table an INTEGER PRIMARY KEY, or ask for the cursor's lastrowid"
                )


def _names_rowid(sql: str) -> bool:
    """Whether the column list of an INSERT names the rowid."""
    words = [token.word for token in tokenize(sql)]
    start = words.index("INTO") + 1
    while start < len(words) and words[start] not in ("(", "VALUES", "SELECT", "DEFAULT", "WITH"):
        start += 1
    if words[start : start + 1] != ["("]:
        return False
    return not _ROWID_NAMES.isdisjoint(words[start : words.index(")", start)])
