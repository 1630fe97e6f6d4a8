"""Alembic's operations on Rome; importing this module registers them, once per process.

Alembic picks its implementation by the dialect's name, "sqlite", so this one takes the place of SQLite's, and acts
differently on Rome alone. Registering is done by subclassing: alembic has no other way.

Batch mode copies a table, drops it, and gives its name to the copy. With foreign keys enforced, which they are on Rome
and not on SQLite by default, DROP TABLE deletes the table's rows first: ON DELETE CASCADE would empty the tables that
refer to it, and RESTRICT would end the migration. So that one DROP TABLE leaves other tables alone. Switching the keys
off for the whole migration would need a PRAGMA before its transaction begins, and would let it store wrong rows.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from alembic.ddl.sqlite import SQLiteImpl

from rome.dbapi.connection import Connection

if TYPE_CHECKING:
    from alembic.operations.batch import ApplyBatchImpl
    from sqlalchemy import Table


class RomeImpl(SQLiteImpl):
    """SQLite's, but a table that batch mode replaces takes no other rows with it."""

    __dialect__ = "sqlite"

    _replaced: Table | None = None

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        super().prep_table_for_batch(batch_impl, table)
        self._replaced = table

    def drop_table(self, table: Table, **kw: Any) -> None:
        with self._foreign_keys_off() if table is self._replaced else nullcontext():
            super().drop_table(table, **kw)

    def _foreign_keys_off(self) -> AbstractContextManager[None]:
        connection = None if self.connection is None else self.connection.connection.dbapi_connection
        return connection.session.foreign_keys_off() if isinstance(connection, Connection) else nullcontext()
