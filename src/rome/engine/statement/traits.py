"""What a statement may do, according to its tokens and the schema; this decides how it may be run.

One function finds each trait. In doubt, it gives the answer that makes the engine more careful.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from rome.catalog.mirror import Inspection
from rome.catalog.schema import ROWID, Catalog, Table
from rome.engine.statement.conflict_clause import (
    clauses_of_constraints,
    does_nothing,
    has_upsert_clause,
    own_clause,
)
from rome.engine.statement.foreign_keys import are_usual, parent_positions
from rome.planner.algebra.scope import ROWID_NAMES
from rome.planner.parse.statement import Statement, StatementKind
from rome.planner.plan import FetchPlan
from rome.sql.tokens import Token, identifier, tokenize

_TELL_RUNS_APART = frozenset({"changes", "total_changes", "last_insert_rowid"})


class Traits(Struct, frozen=True, gc=False):
    """How one statement may be run under one schema.

    Attributes:
        sets_rowid: it may set the rowid of a table without INTEGER PRIMARY KEY.
        foreign_keys: it may concern foreign keys: it adds rows to a table that has some, sets columns of one, deletes
            rows that others may refer to, or that have deferred ones, or writes a temporary table.
        upserts: it has ON CONFLICT DO UPDATE, which looks at the rows that new ones conflict with.
        rewrites_unseen: it may write a row several times, and only the last unique keys of that row are visible.
        only_adds: it neither updates nor replaces rows, and no foreign key of its tables is of an unusual kind.
        in_batches: its runs with many sets of parameters may be treated as one statement.
        may_end_transaction: a row that breaks a constraint may make SQLite roll back.
        leaves_out: a constraint of its tables has ON CONFLICT IGNORE and may leave rows out.
        ignores: as leaves_out, or the statement itself says IGNORE.
        unguarded: it is UPDATE or DELETE, and no row outside of its plan can affect it.
        names_parents: it would be unguarded, but sets columns of foreign keys that name rows of other tables: no row
            outside of its plan can affect it but these.
        needs_rows: it is UPDATE or DELETE, and does nothing if there is no row of the tables that it writes; nor can it
            be refused then, because of a trigger or a foreign key that names what is not there.
        adds_plainly: it is INSERT .. VALUES of constants and parameters, and SQLite either stores exactly these or
            refuses all of them: nothing else is written, left out or computed.
    """

    sets_rowid: bool = False
    foreign_keys: bool = False
    upserts: bool = False
    rewrites_unseen: bool = False
    only_adds: bool = False
    in_batches: bool = False
    may_end_transaction: bool = False
    leaves_out: bool = False
    ignores: bool = False
    unguarded: bool = False
    names_parents: bool = False
    needs_rows: bool = False
    adds_plainly: bool = False


class _AskedTrait(NamedTuple):
    """The input of the functions below. `written`: the stored tables; `inserted`: those that may get rows."""

    statement: Statement
    tokens: Sequence[Token]
    inspection: Inspection
    plan: FetchPlan
    catalog: Catalog
    firing: Collection[str]
    written: Sequence[Table]
    inserted: Sequence[Table]
    clause: str | None

    @property
    def constraint_clauses(self) -> frozenset[str]:
        """The conflict clauses of constraints, over all tables that the statement writes."""
        return frozenset().union(*(clauses_of_constraints(table.sql) for table in self.written))


def traits_of(
    statement: Statement, inspection: Inspection, plan: FetchPlan, catalog: Catalog, firing: Collection[str]
) -> Traits:
    """Find the traits of a statement.

    Args:
        firing: lower-case names of the tables whose change may fire a trigger.

    Cost: no I/O; some 20 µs for one that writes, nothing for a query.
    """
    if not (inspection.written or inspection.temporary_written):
        return Traits()
    tokens, tables = tokenize(statement.text), catalog.tables
    asked = _AskedTrait(
        statement,
        tokens,
        inspection,
        plan,
        catalog,
        firing,
        [tables[name] for name in sorted(inspection.written) if name in tables],
        [tables[name] for name in sorted(inspection.inserted) if name in tables],
        own_clause(tokens),
    )
    foreign_keys = _concerns_foreign_keys(asked)
    leaves_out, unguarded = _leaves_out(asked), _is_unguarded(asked)
    return Traits(
        sets_rowid=_sets_rowid(asked),
        foreign_keys=foreign_keys,
        upserts=bool(inspection.inserted and inspection.updated),
        rewrites_unseen=_rewrites_unseen(asked),
        only_adds=_only_adds(asked),
        in_batches=_runs_in_batches(asked),
        may_end_transaction=_may_end_transaction(asked),
        leaves_out=leaves_out,
        ignores=leaves_out or asked.clause == "IGNORE" or does_nothing(tokens),
        unguarded=not foreign_keys and unguarded,
        names_parents=foreign_keys and unguarded and _names_parents(asked),
        needs_rows=_needs_rows(asked),
        adds_plainly=_adds_plainly(asked),
    )


def may_replace(clause: str | None, table: Table) -> bool:
    """Whether INSERT or UPDATE with this clause can delete conflicting rows of the table."""
    return clause == "REPLACE" or "REPLACE" in clauses_of_constraints(table.sql)


def calls(tokens: Iterable[Token], names: Collection[str]) -> bool:
    """Whether a function with one of these lower-case names is called; its name may be quoted."""
    return any(
        after.word == "(" and word.kind in ("word", "quoted") and identifier(word).lower() in names
        for word, after in pairwise(tokens)
    )


def _sets_rowid(asked: _AskedTrait) -> bool:
    """Whether the column list of an INSERT names the rowid of a table whose columns have other names."""
    if not asked.inserted or asked.statement.kind is not StatementKind.INSERT:
        return False
    names = ROWID_NAMES - asked.inserted[0].positions.keys()
    return any(identifier(token).lower() in names for token in _column_list(asked.tokens))


def _column_list(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens in the parentheses after INTO and the table's name."""
    words = [token.word for token in tokens]
    at = words.index("INTO") + 2
    if words[at : at + 1] == ["."]:
        at += 2
    if words[at : at + 1] == ["AS"]:
        at += 2
    return tokens[at + 1 : words.index(")", at)] if words[at : at + 1] == ["("] else ()


def _concerns_foreign_keys(asked: _AskedTrait) -> bool:
    """Whether the statement can violate a foreign key or trigger its action."""
    return bool(asked.inspection.temporary_written) or any(_concerns_keys_of(asked, table) for table in asked.written)


def _concerns_keys_of(asked: _AskedTrait, table: Table) -> bool:
    """Whether the statement's effect on one table can violate a foreign key or trigger its action."""
    name, inspection = table.name.lower(), asked.inspection
    referring = asked.catalog.referencing.get(name, ())
    if not (table.foreign_keys or referring):
        return False
    if table.has_generated or may_replace(asked.clause, table):
        return True
    if name in inspection.deleted and (referring or not are_usual(asked.catalog, table)):
        return True
    if name in inspection.inserted and (table.foreign_keys or not are_usual(asked.catalog, table)):
        return True
    keys = {position for key in table.foreign_keys for position in key.columns}
    for _, key in referring:
        keys.update(parent_positions(table, key))
    return not keys.isdisjoint(_updated(asked, table))


def _updated(asked: _AskedTrait, table: Table) -> set[int]:
    """Return the positions of the columns that the statement sets in existing rows."""
    name = table.name.lower()
    found = {table.positions.get(column, ROWID) for changed, column in asked.inspection.updated if changed == name}
    if table.rowid_alias is not None and not found.isdisjoint({ROWID, table.rowid_alias}):
        found |= {ROWID, table.rowid_alias}
    return found


def _rewrites_unseen(asked: _AskedTrait) -> bool:
    return any(
        table.has_generated
        and any(index.unique and index.computed is not None for index in table.indexes)
        and (bool(asked.inspection.updated) or may_replace(asked.clause, table))
        for table in asked.inserted
    )


def _only_adds(asked: _AskedTrait) -> bool:
    inspection = asked.inspection
    return (
        inspection.written == inspection.inserted
        and not inspection.updated
        and all(are_usual(asked.catalog, table) and not may_replace(asked.clause, table) for table in asked.inserted)
    )


def _may_end_transaction(asked: _AskedTrait) -> bool:
    return asked.clause == "ROLLBACK" or "ROLLBACK" in asked.constraint_clauses


def _leaves_out(asked: _AskedTrait) -> bool:
    inspection = asked.inspection
    adds_or_sets = bool(inspection.inserted or inspection.updated)
    return adds_or_sets and asked.clause is None and "IGNORE" in asked.constraint_clauses


def _runs_in_batches(asked: _AskedTrait) -> bool:
    """Whether running a batch one by one and as one statement gives the same, if no run fails.

    The rows of INSERT must be known in advance. There must be no conflict clause, which may delete rows without
    counting them. Of a row with generated columns only the last values are seen, so a unique key that an earlier run
    has set would not be looked for. And nothing may ask what an earlier run has counted.
    """
    inspection, tokens = asked.inspection, asked.tokens
    if not inspection.written or inspection.temporary_written or inspection.temporary_read:
        return False
    if tokens[0].word not in ("INSERT", "UPDATE", "DELETE") or asked.clause is not None or has_upsert_clause(tokens):
        return False
    if asked.statement.kind is StatementKind.INSERT and not asked.plan.inserts_only:
        return False
    if not asked.constraint_clauses.isdisjoint({"REPLACE", "ROLLBACK"}):
        return False
    if any(table.has_generated and _may_set_key(asked, table) for table in asked.written):
        return False
    texts = [table.sql for table in asked.written]
    if asked.catalog.views.keys() & {identifier(token).lower() for token in tokens}:
        texts += [view.sql for view in asked.catalog.views.values()]  # one view may read another
    return not calls(tokens, _TELL_RUNS_APART) and not any(map(_tells_runs_apart, texts))


@lru_cache(maxsize=1024)
def _tells_runs_apart(sql: str) -> bool:
    return calls(tokenize(sql), _TELL_RUNS_APART)


def _may_set_key(asked: _AskedTrait, table: Table) -> bool:
    """Whether an UPDATE may change a unique key of the table; one in an index may be computed from any column."""
    updated = _updated(asked, table)
    return bool(updated) and (
        any(index.unique for index in table.indexes) or not updated.isdisjoint({ROWID, *table.key.columns})
    )


def _is_unguarded(asked: _AskedTrait) -> bool:
    """Whether UPDATE sets no column of a unique key, and UPDATE or DELETE has no other effect and computes nothing.

    (The caller has checked foreign keys.)
    """
    if asked.inserted or asked.clause is not None or asked.constraint_clauses:
        return False
    if len(asked.written) < len(asked.inspection.written):
        return False
    return all(_keeps_keys(asked, table) for table in asked.written)


def _keeps_keys(asked: _AskedTrait, table: Table) -> bool:
    if table.has_generated or table.computed or table.name.lower() in asked.firing:
        return False
    keys = {ROWID, *table.key.columns, *(at for index in table.indexes if index.unique for at in index.columns)}
    return keys.isdisjoint(_updated(asked, table))


def _names_parents(asked: _AskedTrait) -> bool:
    """Whether an UPDATE concerns only those foreign keys of its table that it sets columns of."""
    if asked.inspection.temporary_written or asked.inspection.deleted or len(asked.written) != 1:
        return False
    (table,) = asked.written
    updated, name = _updated(asked, table), table.name.lower()
    referred = (parent_positions(table, key) for _, key in asked.catalog.referencing.get(name, ()))
    return (
        are_usual(asked.catalog, table)
        and all(updated.isdisjoint(positions) for positions in referred)
        and not any(key.parent.lower() == name for key in table.foreign_keys)
    )


def _needs_rows(asked: _AskedTrait) -> bool:
    """SQLite looks at the foreign keys and triggers of all tables that actions may lead to, also without a row."""
    inspection = asked.inspection
    if asked.inserted or inspection.temporary_written or len(asked.written) < len(inspection.written):
        return False
    names, reached = {*inspection.written}, set[str]()
    while names:
        name = names.pop()
        if name in asked.firing or not are_usual(asked.catalog, asked.catalog.tables[name]):
            return False
        reached.add(name)
        names |= {child.name.lower() for child, _ in asked.catalog.referencing.get(name, ())} - reached
    return True


def _adds_plainly(asked: _AskedTrait) -> bool:
    if len(asked.inserted) != 1 or not asked.plan.inserts_only or not _only_adds(asked):
        return False
    if asked.clause not in (None, "ABORT") or has_upsert_clause(asked.tokens):
        return False
    if asked.statement.returning and asked.plan.inserted_row is None:
        return False
    (table,) = asked.inserted
    if table.has_generated or table.computed or table.name.lower() in asked.firing:
        return False
    return not clauses_of_constraints(table.sql) and not _has_computed_default(table.sql)


@lru_cache(maxsize=1024)
def _has_computed_default(sql: str) -> bool:
    """Whether a column of a CREATE TABLE has DEFAULT (expression), whose value may be of any type."""
    return any(word.word == "DEFAULT" and after.word == "(" for word, after in pairwise(tokenize(sql)))
