"""Alembic's operations on Rome. Importing this module registers them, once per process.

Alembic picks its implementation by the dialect's name, "sqlite", so this one takes the place of SQLite's; for other
drivers than Rome's it does what SQLite's does. A subclass registers itself: alembic has no other way.

Without batch mode: Rome runs the ALTER TABLE that alembic's default implementation writes, so no operation needs batch
mode. Batch mode itself copies a table only where a copy may come to another result than ALTER TABLE.

In batch mode: alembic copies a table, drops it, and gives its name to the copy. Rome enforces foreign keys by default,
which SQLite does not, and DROP TABLE then deletes the table's rows first: ON DELETE CASCADE would empty the tables that
refer to it, and RESTRICT would end the migration. So this one DROP TABLE runs with foreign keys off. Switching them off
for the whole migration would need a PRAGMA before its transaction begins, and would let the migration store wrong rows.

Transactions: alembic is told that DDL is transactional, so all revisions of an upgrade are one transaction, or one each
with `transaction_per_migration`. Revisions written for SQLite rely on one difference: on SQLite each begins outside of
a transaction, so a PRAGMA foreign_keys in it has effect. On Rome it has effect, too, in any transaction that was not
begun with BEGIN (rome.engine.session.connection_pragmas).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from alembic.ddl.base import DropColumn, visit_drop_column
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy import Integer, PrimaryKeyConstraint
from sqlalchemy.ext.compiler import compiles

from rome.dbapi.connection import Connection

if TYPE_CHECKING:
    from typing import TextIO

    from alembic.operations.batch import ApplyBatchImpl, BatchOperationsImpl
    from sqlalchemy import Column, Constraint, Dialect, Table
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy.sql.compiler import DDLCompiler


class DropColumnCascade(DropColumn):
    """DROP COLUMN .. CASCADE: it also drops the indexes and constraints that need the column, as batch mode does."""


@compiles(DropColumnCascade)
def _drop_column_cascade(element: DropColumnCascade, compiler: DDLCompiler, **kw: Any) -> str:
    return f"{visit_drop_column(element, compiler, **kw)} CASCADE"


class RomeImpl(SQLiteImpl):
    """SQLite's implementation. On Rome it alters tables in place, and batch mode deletes no rows of other tables."""

    __dialect__ = "sqlite"

    _replaced: Table | None = None

    def __init__(
        self,
        dialect: Dialect,
        connection: SqlConnection | None,
        as_sql: bool,
        transactional_ddl: bool | None,
        output_buffer: TextIO | None,
        context_opts: dict[str, Any],
    ) -> None:
        """Take alembic's arguments; `transactional_ddl` is None unless the application's env.py sets it."""
        if transactional_ddl is None and dialect.driver == "rome":
            transactional_ddl = True
        super().__init__(dialect, connection, as_sql, transactional_ddl, output_buffer, context_opts)

    @property
    def _on_rome(self) -> bool:
        """Whether the dialect is Rome's, also without a connection (`alembic upgrade --sql`)."""
        return bool(self.dialect.driver == "rome")

    # ------------------------------------------------------------ without batch mode
    def alter_column(self, table_name: str, column_name: str, **kw: Any) -> None:
        """ALTER COLUMN; on Rome without the comment, which SQLite does not store and CREATE TABLE leaves out, too."""
        if self._on_rome:
            kw.pop("comment", None)
        super().alter_column(table_name, column_name, **kw)

    def add_constraint(self, const: Constraint, **kw: Any) -> None:
        """ALTER TABLE .. ADD CONSTRAINT; on SQLite alembic refuses it outside of batch mode."""
        if self._on_rome:
            DefaultImpl.add_constraint(self, const, **kw)
        else:
            super().add_constraint(const, **kw)

    def drop_constraint(self, const: Constraint, **kw: Any) -> None:
        """ALTER TABLE .. DROP CONSTRAINT; on SQLite alembic refuses it outside of batch mode."""
        if self._on_rome:
            DefaultImpl.drop_constraint(self, const, **kw)
        else:
            super().drop_constraint(const, **kw)

    def drop_column(
        self,
        table_name: str,
        column: Column[Any],
        *,
        schema: str | None = None,
        if_exists: bool | None = None,
        **kw: Any,
    ) -> None:
        """ALTER TABLE .. DROP COLUMN; on Rome with the indexes and constraints that need the column."""
        if self._on_rome:
            self._exec(DropColumnCascade(table_name, column, schema=schema, if_exists=if_exists))
        else:
            super().drop_column(table_name, column, schema=schema, if_exists=if_exists, **kw)

    # ------------------------------------------------------------ autogenerate
    def compare_type(self, inspector_column: Column[Any], metadata_column: Column[Any]) -> bool:
        """Whether the types differ. The INTEGER that `ddl=portable` writes for a BIGINT primary key counts as equal."""
        if getattr(self.dialect, "portable_ddl", False) and (
            metadata_column.table.autoincrement_column is metadata_column and isinstance(inspector_column.type, Integer)
        ):
            return False
        return bool(super().compare_type(inspector_column, metadata_column))

    # ------------------------------------------------------------ batch mode
    def requires_recreate_in_batch(self, batch_op: BatchOperationsImpl) -> bool:
        """Whether recreate="auto" copies the table; on Rome only if the result may differ from ALTER TABLE's."""
        return bool(super().requires_recreate_in_batch(batch_op)) and not (self._on_rome and _alters_alike(batch_op))

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Remember which table batch mode is about to replace."""
        super().prep_table_for_batch(batch_impl, table)
        self._replaced = table

    def drop_table(self, table: Table, **kw: Any) -> None:
        """DROP TABLE; foreign keys are off meanwhile if batch mode replaces the table."""
        with self._foreign_keys_off() if table is self._replaced else nullcontext():
            super().drop_table(table, **kw)

    def _foreign_keys_off(self) -> AbstractContextManager[None]:
        connection = None if self.connection is None else self.connection.connection.dbapi_connection
        return connection.session.foreign_keys_off() if isinstance(connection, Connection) else nullcontext()


def _alters_alike(batch_op: BatchOperationsImpl) -> bool:
    """Whether ALTER TABLE comes to the same result as a copy.

    It does not where a copy finds constraints by the names that a naming convention gives them, casts values to a new
    type, replaces a primary key, or lets later operations use a renamed column's old name.
    """
    if batch_op.naming_convention or batch_op.copy_from is not None or batch_op.table_args or batch_op.table_kwargs:
        return False
    if batch_op.partial_reordering or batch_op.reflect_args or len(batch_op.reflect_kwargs["listeners"]) > 1:
        return False
    return all(_alters_alike_once(name, arguments, options) for name, arguments, options in batch_op.batch)


def _alters_alike_once(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    match name:
        case "create_index" | "drop_index" | "drop_constraint":
            return True
        case "add_constraint":
            return not isinstance(arguments[0], PrimaryKeyConstraint)
        case "alter_column":
            return options.get("name") is None and options.get("type_") is None
    return False
