"""The DDL that SQLAlchemy writes for Rome: SQLite's, or with `ddl=portable` one that suits other databases' migrations.

Migrations written for MySQL and PostgreSQL rely on what SQLite does not do: a constraint without a name gets one, by
which a later migration drops it; every integer primary key generates ids; and no primary key holds NULL. With
`ddl=portable` in the URL SQLAlchemy therefore writes PostgreSQL's names for such constraints, INTEGER as the type of
such a key, and NOT NULL. It is not the default, since applications that know SQLite rely on the opposite: Alembic's
naming conventions apply to constraints without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, SmallInteger
from sqlalchemy.dialects.sqlite.base import SQLiteDDLCompiler

if TYPE_CHECKING:
    from sqlalchemy import Column, ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint
    from sqlalchemy.sql.schema import ColumnCollectionConstraint


class RomeDDLCompiler(SQLiteDDLCompiler):
    """SQLite's DDL; it differs only with `ddl=portable`."""

    # SQLiteDDLCompiler's methods have no types: hence Any.

    def get_column_specification(self, column: Column[Any], **kw: Any) -> Any:
        """The column; with `ddl=portable` a primary key is NOT NULL, and INTEGER if it generates ids."""
        text: Any = super().get_column_specification(column, **kw)  # type: ignore[no-untyped-call]
        if not (self._portable and column.primary_key):
            return text
        if column.table.autoincrement_column is column and isinstance(column.type, BigInteger | SmallInteger):
            name = self.preparer.format_column(column)
            declared = self.dialect.type_compiler_instance.process(column.type, type_expression=column)
            text = f"{name} INTEGER{text.removeprefix(f'{name} {declared}')}"
        return f"{text} NOT NULL" if column.nullable else text

    def visit_primary_key_constraint(self, constraint: PrimaryKeyConstraint, **kw: Any) -> Any:
        """PRIMARY KEY; with `ddl=portable` it is named <table>_pkey unless it has a name."""
        text = super().visit_primary_key_constraint(constraint, **kw)  # type: ignore[no-untyped-call]
        return self._named(constraint, text, [], "pkey")

    def visit_unique_constraint(self, constraint: UniqueConstraint, **kw: Any) -> Any:
        """UNIQUE; with `ddl=portable` it is named <table>_<columns>_key unless it has a name."""
        text = super().visit_unique_constraint(constraint, **kw)  # type: ignore[no-untyped-call]
        return self._named(constraint, text, [column.name for column in constraint.columns], "key")

    def visit_foreign_key_constraint(self, constraint: ForeignKeyConstraint, **kw: Any) -> Any:
        """FOREIGN KEY; with `ddl=portable` it is named <table>_<columns>_fkey unless it has a name."""
        text = super().visit_foreign_key_constraint(constraint, **kw)  # type: ignore[no-untyped-call]
        return self._named(constraint, text, [element.parent.name for element in constraint.elements], "fkey")

    @property
    def _portable(self) -> bool:
        return bool(getattr(self.dialect, "portable_ddl", False))

    def _named(self, constraint: ColumnCollectionConstraint, text: str | None, columns: list[str], kind: str) -> Any:
        """The constraint's text, with PostgreSQL's name for it if it has none; None if it is not written."""
        if not (self._portable and text) or constraint.name is not None:
            return text
        name = "_".join([constraint.table.name, *columns, kind])
        return f"CONSTRAINT {self.preparer.quote(name)} {text}"
