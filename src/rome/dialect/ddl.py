"""The DDL that SQLAlchemy writes for Rome: SQLite's, or one that other databases' migrations can go on from.

Migrations that were written for MySQL and PostgreSQL rest on what SQLite does not do: a constraint without a name gets
one, by which it is dropped later; every integer primary key gives ids; and no primary key holds NULL. With
`ddl=portable` in the URL SQLAlchemy writes the names, as PostgreSQL makes them, such a key's type as INTEGER, and NOT
NULL. It is not the default, since applications that know SQLite count on the opposite: Alembic's naming conventions
apply to constraints without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, SmallInteger
from sqlalchemy.dialects.sqlite.base import SQLiteDDLCompiler

if TYPE_CHECKING:
    from sqlalchemy import Column, ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint
    from sqlalchemy.sql.schema import ColumnCollectionConstraint


class RomeDDLCompiler(SQLiteDDLCompiler):
    """SQLite's; what differs does so for `ddl=portable` alone."""

    # SQLAlchemy has no types for these methods of SQLiteDDLCompiler: hence Any.

    def get_column_specification(self, column: Column[Any], **kw: Any) -> Any:
        text: Any = super().get_column_specification(column, **kw)  # type: ignore[no-untyped-call]
        if not (self._portable and column.primary_key):
            return text
        if column.table.autoincrement_column is column and isinstance(column.type, BigInteger | SmallInteger):
            name = self.preparer.format_column(column)
            declared = self.dialect.type_compiler_instance.process(column.type, type_expression=column)
            text = f"{name} INTEGER{text.removeprefix(f'{name} {declared}')}"
        return f"{text} NOT NULL" if column.nullable else text

    def visit_primary_key_constraint(self, constraint: PrimaryKeyConstraint, **kw: Any) -> Any:
        text = super().visit_primary_key_constraint(constraint, **kw)  # type: ignore[no-untyped-call]
        return self._named(constraint, text, [], "pkey")

    def visit_unique_constraint(self, constraint: UniqueConstraint, **kw: Any) -> Any:
        text = super().visit_unique_constraint(constraint, **kw)  # type: ignore[no-untyped-call]
        return self._named(constraint, text, [column.name for column in constraint.columns], "key")

    def visit_foreign_key_constraint(self, constraint: ForeignKeyConstraint, **kw: Any) -> Any:
        text = super().visit_foreign_key_constraint(constraint, **kw)  # type: ignore[no-untyped-call]
        return self._named(constraint, text, [element.parent.name for element in constraint.elements], "fkey")

    @property
    def _portable(self) -> bool:
        return bool(getattr(self.dialect, "portable_ddl", False))

    def _named(self, constraint: ColumnCollectionConstraint, text: str | None, columns: list[str], kind: str) -> Any:
        """The constraint with PostgreSQL's name for it, if it has none; one that is not written stays so."""
        if not (self._portable and text) or constraint.name is not None:
            return text
        name = "_".join([constraint.table.name, *columns, kind])
        return f"CONSTRAINT {self.preparer.quote(name)} {text}"
