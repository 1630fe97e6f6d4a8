"""The key encoding: against docs/key-encoding.md, and against SQLite's own comparison."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import cast, get_args

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rome.codec import keys
from rome.codec.keys import AFTER_NULL, encode_key, encode_keys
from rome.codec.values import Collation, SqlValue
from rome.errors import DataError

DOCUMENT = Path(__file__).parents[2] / "docs" / "key-encoding.md"
COLLATIONS: tuple[Collation, ...] = get_args(Collation)

edges = [0, *(1 << bits for bits in (8, 16, 31, 32, 52, 53, 54, 62, 63))]
integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [number for edge in edges for near in (-1, 0, 1) for number in (edge + near, -edge - near) if abs(number) < 2**63]
)
reals = (
    st.floats(allow_nan=False)
    | integers.map(float)
    | integers.map(lambda number: math.nextafter(float(number), math.inf))
    | integers.map(lambda number: math.nextafter(float(number), -math.inf))
    | st.integers(-300, 300).map(lambda number: number / 2)
)
texts = st.text(max_size=12) | st.text("\x00\x01\x02 aAbBzZ[_`{é", max_size=6)
blobs = st.binary(max_size=12) | st.lists(st.sampled_from([0, 1, 2, 0xFE, 0xFF]), max_size=6).map(bytes)
values = st.none() | integers | reals | texts | blobs
collations = st.sampled_from(COLLATIONS)


@pytest.fixture(scope="module")
def sqlite() -> apsw.Connection:
    return apsw.Connection(":memory:")


def _order(sqlite: apsw.Connection, left: SqlValue, right: SqlValue, collation: Collation) -> int:
    """-1, 0 or 1, as ORDER BY places the two. (`<` would answer NULL for NULLs.)"""
    rows = sqlite.execute(
        f"SELECT dense_rank() OVER (ORDER BY v COLLATE {collation})"
        " FROM (SELECT ?1 AS v, 0 AS n UNION ALL SELECT ?2, 1) ORDER BY n",
        (left, right),
    ).fetchall()
    return cast(int, rows[0][0]) - cast(int, rows[1][0])


def _compare(left: bytes, right: bytes) -> int:
    return (left > right) - (left < right)


@given(left=values, right=values, collation=collations)
@example(left=2**53 + 1, right=2.0**53, collation="BINARY")
@example(left=2**63 - 1, right=2.0**63, collation="BINARY")
@example(left=-(2**63), right=-(2.0**63), collation="BINARY")
@example(left=0, right=-0.0, collation="BINARY")
@example(left=0, right=5e-324, collation="BINARY")
@example(left="", right="\x00", collation="BINARY")
@example(left="a\x00", right="a\x01", collation="BINARY")
@example(left="a\x00b", right="A\x00c", collation="NOCASE")
@example(left="a_", right="aB", collation="NOCASE")
@example(left="a ", right="a", collation="RTRIM")
@example(left="É", right="é", collation="NOCASE")
def test_one_value_sorts_as_sqlite_sorts_it(
    sqlite: apsw.Connection, left: SqlValue, right: SqlValue, collation: Collation
) -> None:
    encoded = _compare(encode_key([left], [collation]), encode_key([right], [collation]))
    assert encoded == _order(sqlite, left, right, collation)


@given(number=integers, real=reals)
def test_integers_and_reals_share_one_exact_order(number: int, real: float) -> None:
    """Python compares the two exactly, as SQLite does."""
    encoded = _compare(encode_key([number], ["BINARY"]), encode_key([real], ["BINARY"]))
    assert encoded == (number > real) - (number < real)


@given(data=st.data(), collated=st.lists(collations, min_size=1, max_size=3))
def test_rows_sort_as_sqlite_sorts_them(
    sqlite: apsw.Connection, data: st.DataObject, collated: list[Collation]
) -> None:
    few = st.sampled_from(data.draw(st.lists(values, min_size=1, max_size=4)))
    rows = data.draw(st.lists(st.tuples(*[few | values] * len(collated)), min_size=2, max_size=8))
    columns = [f"c{number}" for number in range(len(collated))]
    order = ", ".join(f"{column} COLLATE {collation}" for column, collation in zip(columns, collated, strict=True))
    with sqlite:
        sqlite.execute("DROP TABLE IF EXISTS t")
        sqlite.execute(f"CREATE TABLE t ({', '.join(columns)})")
        sqlite.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
        expected = [cast(int, row[0]) for row in sqlite.execute(f"SELECT rowid FROM t ORDER BY {order}, rowid")]
    assert sorted(range(1, len(rows) + 1), key=lambda rowid: encode_key(rows[rowid - 1], collated)) == expected


@given(left=st.lists(values, min_size=1, max_size=3), data=st.data(), collation=collations)
def test_no_key_is_a_proper_prefix_of_another(left: list[SqlValue], data: st.DataObject, collation: Collation) -> None:
    near = st.sampled_from(left).flatmap(
        lambda value: st.just(value + "\x00") if isinstance(value, str) else st.just(value)
    )
    right = data.draw(st.lists(values | near, min_size=len(left), max_size=len(left)))
    short, long = encode_key(left, [collation] * 3), encode_key(right, [collation] * 3)
    assert short == long or not (long.startswith(short) or short.startswith(long))


@given(row=st.lists(values, min_size=2, max_size=3), bound=values, collation=collations)
def test_ranges_from_a_value_hold_just_the_keys_compared_with_it(
    sqlite: apsw.Connection, row: list[SqlValue], bound: SqlValue, collation: Collation
) -> None:
    """The table "What holds" of the document, for keys with further columns behind."""
    key, value = encode_key(row, [collation] * 3), encode_key([bound], [collation])
    order = _order(sqlite, row[0], bound, collation)
    assert (value <= key < value + b"\xff") == (order == 0)
    assert (value + b"\xff" <= key) == (order > 0)
    assert (value <= key) == (order >= 0)
    assert (key < value) == (order < 0)
    assert (key >= AFTER_NULL) == (row[0] is not None)
    assert key[0] < 0xF0


@given(row=st.lists(values, max_size=3))
def test_key_of_the_first_columns_is_the_first_part_of_the_key(row: list[SqlValue]) -> None:
    whole = encode_key(row, ["NOCASE", "RTRIM", "BINARY"])
    for length in range(len(row) + 1):
        assert whole.startswith(encode_key(row[:length], ["NOCASE", "RTRIM", "BINARY"]))


columns = st.one_of(*(st.lists(kind, min_size=3, max_size=3) for kind in (values, integers, texts, st.integers(0))))


@given(given=st.lists(st.tuples(columns, collations), min_size=1, max_size=3))
@example(given=[([0, 255, 2**56 - 1], "BINARY"), (["", "a\x00", "b"], "BINARY")])
@example(given=[([2**56 - 1, 2**56, 1], "BINARY"), (["a", "ä ", "\x01"], "RTRIM")])
def test_keys_made_column_by_column_are_the_same(given: list[tuple[list[SqlValue], Collation]]) -> None:
    collated = [collation for _, collation in given]
    try:
        expected = [encode_key(row, collated) for row in zip(*(column for column, _ in given), strict=True)]
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(str(error))):
            encode_keys([column for column, _ in given], collated)
        return
    assert encode_keys([column for column, _ in given], collated) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (2**200, "64 bits"),
        (math.nan, "NaN"),
        ("a\ud800", "lone surrogate"),
    ],
)
def test_value_that_sqlite_cannot_store_is_refused(value: SqlValue, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_key([value], ["BINARY"])


def _table(header: str) -> Sequence[list[str]]:
    """The rows of the document's table that has this header, without the quotes around code."""
    _, below = DOCUMENT.read_text(encoding="utf-8").split(header + "\n", 1)
    rows = takewhile(lambda line: line.startswith("|"), below.splitlines()[1:])
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize(("value", "collation", "key"), _table("| value | collation | key |"))
def test_golden_bytes_of_the_document(value: str, collation: Collation, key: str) -> None:
    assert encode_key([eval(value)], [collation]) == bytes.fromhex(key)


def test_type_codes_of_the_document_are_those_of_the_code() -> None:
    documented = {
        code
        for row in _table("| code | what | length | encoding |")
        for first, last in [re.fullmatch(r"(\w\w)(?:` - `(\w\w))?", row[0]).groups()]  # type: ignore[union-attr]
        for code in range(int(first, 16), int(last or first, 16) + 1)
    }
    used = {value for name, value in vars(keys).items() if name.endswith("_CODE") and name != "_ZERO_CODE"}
    used |= {keys._ZERO_CODE + length for length in range(-8, 9)}
    assert documented == used
