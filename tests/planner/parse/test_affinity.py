"""Conversions against SQLite's own: the same value and type, or UNCERTAIN."""

from __future__ import annotations

from typing import Any

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rome.catalog.schema import Affinity
from rome.codec.values import SqlValue
from rome.planner.parse.affinity import UNCERTAIN, key_conversion, stored, to_numeric, to_text
from rome.planner.parse.canonical import literal
from rome.sql.tokens import tokenize

DB = apsw.Connection(":memory:")
AFFINITIES: list[Affinity] = ["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB"]
NUMERIC_TEXT = st.from_regex(r"[ \t]?[+-]?[0-9]{0,20}(\.[0-9]{0,8})?([eE][+-]?[0-9]{1,3})?[ \n]?", fullmatch=True)
SQL_VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    NUMERIC_TEXT,
    st.builds("{}\0{}".format, NUMERIC_TEXT, NUMERIC_TEXT),
    st.builds(round, st.floats(-1e9, 1e9), st.integers(0, 12)),
    st.binary(max_size=4),
)


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and (one == other or one != one)


@pytest.mark.parametrize("affinity", AFFINITIES)
@given(value=SQL_VALUES)
@example(value="1.0")
@example(value="9223372036854775808")
@example(value=9.3e18)
@example(value=-0.0)
@example(value=" 12 ")
@example(value="0x10")
@example(value="4\0")
@example(value=" 4.5\0x")
@example(value="\0")
@example(value=77.2969202912201)
@example(value=0.0009848551712)
@example(value=-0.1)
@example(value=1234567890.5)
def test_stored_value_is_sqlites(affinity: Affinity, value: SqlValue) -> None:
    table = f"create temp table if not exists {affinity}_column (c {affinity if affinity != 'BLOB' else ''})"
    DB.execute(f"{table}; delete from {affinity}_column")
    DB.execute(f"insert into {affinity}_column values (?)", (value,))
    [(kept,)] = DB.execute(f"select c from {affinity}_column")
    found = stored(value, affinity)
    assert found is UNCERTAIN or same(found, kept) or (kept is None and found != found)


@given(SQL_VALUES, SQL_VALUES)
def test_comparison_with_a_column_converts_as_sqlite_does(kept: SqlValue, value: SqlValue) -> None:
    """A column's stored value equals a constant in SQLite exactly when it equals the converted constant as it is."""
    for affinity in AFFINITIES:
        column: Any = stored(kept, affinity)
        conversion = key_conversion(affinity, None)
        assert conversion is not None
        converted: Any = conversion(value)
        if UNCERTAIN in (column, converted):
            continue
        kind = affinity if affinity != "BLOB" else ""
        [(equal,)] = DB.execute("select ? = ?", (converted, column))
        DB.execute(f"create temp table if not exists {affinity}_column (c {kind}); delete from {affinity}_column")
        DB.execute(f"insert into {affinity}_column values (?)", (kept,))
        [(expected,)] = DB.execute(f"select c = ? from {affinity}_column", (value,))
        assert equal == expected, (affinity, kept, value)


@pytest.mark.parametrize(
    ("target", "other", "expected"),
    [
        ("INTEGER", "TEXT", "numeric"),
        ("INTEGER", "BLOB", "numeric"),
        ("INTEGER", None, "numeric"),
        ("REAL", "INTEGER", "as is"),
        ("TEXT", None, "text"),
        ("TEXT", "TEXT", "as is"),
        ("TEXT", "BLOB", "as is"),
        ("TEXT", "NUMERIC", None),
        ("BLOB", None, "as is"),
        ("BLOB", "TEXT", "as is"),
        ("BLOB", "REAL", None),
    ],
)
def test_key_conversion(target: Affinity, other: Affinity | None, expected: str | None) -> None:
    conversion = key_conversion(target, other)
    names: dict[object, str | None] = {to_numeric: "numeric", to_text: "text", None: None}
    assert names.get(conversion, "as is") == expected


@given(
    st.one_of(
        st.integers(0, 2**64).map(str),
        st.floats(0, allow_infinity=False).map(str),
        st.from_regex(r"[0-9]{1,6}\.[0-9]{0,6}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
        st.integers(0, 2**64 - 1).map(hex),
        st.text("ab'", max_size=5).map(lambda text: "'" + text.replace("'", "''") + "'"),
        st.binary(max_size=3).map(lambda data: f"x'{data.hex()}'"),
    )
)
@example("1_000")
@example("9223372036854775808")
def test_literal_is_read_as_sqlite_reads_it(text: str) -> None:
    [token] = tokenize(text)
    [(expected,)] = DB.execute(f"select {text}")
    value = literal(token).value
    assert value is UNCERTAIN or same(value, expected)
