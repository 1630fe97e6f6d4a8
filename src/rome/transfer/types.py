"""The type of a column in the other database."""

from __future__ import annotations

import struct
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    Time,
    literal_column,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

_DIGITS_OF_A_REAL = 15
_LENGTH_OF_A_KEY = 255
_MYSQL = ("mysql", "mariadb")

Translated = tuple[TypeEngine[Any], str | None]
"""A type, and what is lost with it; None if nothing is."""


def into_sqlite(found: TypeEngine[Any]) -> Translated:
    """The type in SQLite or Rome for a type that was reflected elsewhere."""
    name = found.__class__.__name__
    if name == "YEAR":
        return Integer(), None
    if name == "SET":
        return Text(), "SET becomes TEXT: other texts are not refused"
    generic = _generic(found)
    if generic is None or not _is_known_to_sqlite(generic):
        return Text(), f"type {name} becomes TEXT"
    if isinstance(generic, Enum):
        return String(max(map(len, generic.enums), default=1)), "ENUM becomes VARCHAR: other texts are not refused"
    if (
        isinstance(generic, Numeric)
        and not isinstance(generic, Float)
        and (generic.precision or 99) > _DIGITS_OF_A_REAL
    ):
        return generic, f"{generic} is kept as REAL, with {_DIGITS_OF_A_REAL} digits"
    if isinstance(generic, DateTime | Time) and generic.timezone:
        return DateTime() if isinstance(generic, DateTime) else Time(), "times are kept as UTC, without their zone"
    if isinstance(generic, String):
        return Text() if _is_long(generic) else String(generic.length), None
    return generic, None


def out_of_sqlite(found: TypeEngine[Any], *, is_key: bool) -> Translated:
    """The type elsewhere for a type of SQLite or Rome.

    SQLite's integers have 64 bits and its reals 53, whatever their declared types say; its texts and blobs have no end.

    Args:
        is_key: whether the column is in a key or an index, which MySQL does not allow for texts of any length.
    """
    generic = _generic(found)
    if generic is None:
        return Text(), "it has no type and becomes TEXT"
    if isinstance(generic, Integer):
        return BigInteger(), None
    if isinstance(generic, Float):
        return Double(), None
    if isinstance(generic, DateTime):
        return DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL), None
    if isinstance(generic, Time):
        return Time().with_variant(mysql.TIME(fsp=6), *_MYSQL), None
    if isinstance(generic, LargeBinary):
        return LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL), None
    if isinstance(generic, String) and not isinstance(generic, Enum) and _is_long(generic):
        if is_key:
            short = String(_LENGTH_OF_A_KEY)
            return Text().with_variant(short, *_MYSQL), f"in MySQL it holds at most {_LENGTH_OF_A_KEY} characters"
        return Text().with_variant(mysql.LONGTEXT(), *_MYSQL), None
    return generic, None


class SinglePrecision(TypeDecorator[float]):
    """MySQL's FLOAT, read exactly: the server writes it with six digits, of which another FLOAT may come.

    The value is the shortest decimal that stands for the same FLOAT, so that 1.1 is 1.1.
    """

    impl = Float
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """As DOUBLE, which the server writes with all digits."""
        return column.op("+", return_type=self)(literal_column("0e0"))

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        """The shortest decimal of a FLOAT that was read as DOUBLE."""
        if value is None:
            return None
        exact = _SINGLE.pack(value)
        return next(short for digits in range(6, 10) if _SINGLE.pack(short := float(f"{value:.{digits}g}")) == exact)


_SINGLE = struct.Struct("<f")
_BITS_OF_A_SINGLE = 24


def exact(found: TypeEngine[Any], *, is_mysql: bool) -> TypeEngine[Any]:
    """The type by which a column's values are read and written as they are.

    SQLAlchemy gives DOUBLE as a Decimal with ten digits after the point.
    """
    if is_mysql and isinstance(found, mysql.FLOAT) and (found.precision or 0) <= _BITS_OF_A_SINGLE:
        return SinglePrecision()
    return Double() if isinstance(found, Float) and found.asdecimal else found


def _generic(found: TypeEngine[Any]) -> TypeEngine[Any] | None:
    try:
        generic: TypeEngine[Any] = found.as_generic()
    except NotImplementedError:
        return None
    return None if isinstance(generic, NullType) else generic


def _is_long(found: String) -> bool:
    return isinstance(found, Text) or found.length is None


def _is_known_to_sqlite(kind: TypeEngine[Any]) -> bool:
    try:
        kind.compile(dialect=sqlite.dialect())
    except CompileError:
        return False
    return True
