"""rows.c gives the rows that Python's decoder gives, and refuses the records that it refuses."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import apsw
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rome import compiled
from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.rows import decode_row
from rome.catalog.schema import Table
from rome.codec.rows import encode_record
from rome.codec.values import SqlValue
from rome.errors import CorruptRecordError
from rome.workingset.block_loader import packed, shape_of

integers = st.integers(-(2**63), 2**63 - 1)
values = st.none() | integers | st.floats(allow_nan=False) | st.text() | st.binary()
OTHER_CODES = [
    b"\xc2",  # true
    b"\xc1",  # never used
    b"\x80",  # a map
    b"\x90",  # an array
    b"\xd4\x01\x02",  # an extension
    b"\xcf" + struct.pack(">Q", 2**63),
    b"\xcf" + struct.pack(">Q", 2**63 - 1),
    b"\xca" + struct.pack(">f", 1.5),
    b"\xd9\x02\xc3\x28",
    b"\xd9\x03\xed\xa0\x80",  # a surrogate
    b"\xd9\x04\xf4\x90\x80\x80",  # beyond Unicode
    b"\xd9\x02\xc0\x80",  # NUL in two bytes
    b"\xd9\x03\xe0\x80\x80",
    b"\xd9\x04\xf0\x80\x80\x80",
    b"\xd9\x09aaaaaaa\xc3\xa4",
    b"\xd9\x09aaaaaaaa\xc3",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\x00\x00\x00\x01",
    b"\xc4\x00",
    b"\xd0\x80",
    b"\xd1\x80\x00",
    b"\xd2\x80\x00\x00\x00",
    b"\xd3" + b"\x80" + b"\x00" * 7,
    b"\xcb" + struct.pack(">d", float("nan")),
]


def _table() -> Table:
    made, mirror = Definition.empty(), Mirror()
    mirror.connection.execute("CREATE TABLE t (a, id INTEGER PRIMARY KEY, b, c DEFAULT 'old')")
    table = made.evolve(mirror).definition.catalog.tables["t"]
    a, b, c = (table.columns[position].id for position in (0, 2, 3))
    # 1: as it is; 2: before c was added; 3: with a column that was dropped since, in another order
    return replace(table, layout=1, layouts={1: (a, b, c), 2: (a, b), 3: (b, 99, a)})


TABLE = _table()
COLUMNS = ["c0", "c1", "c2", "c3"]


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    path = compiled.library()
    if path is None:
        pytest.skip(compiled.described())
    made = apsw.Connection(":memory:")
    compiled.load(made, path)
    for name, before in (("r", 0), ("stamped", 8)):
        made.execute(
            "SELECT rome_rows_define(?, ?)", (name, shape_of(TABLE, before, 3, COLUMNS, ordered=True))
        ).fetchall()
    return made


def _decode(connection: apsw.Connection, records: Sequence[bytes]) -> list[tuple[SqlValue, ...]] | None:
    """Rowid and values, and their types; None if they are refused."""
    text = "SELECT rowid, c0, c1, c2, c3 FROM r(?)"
    try:
        return [row for block in packed(records) for row in connection.execute(text, (block,)).fetchall()]
    except apsw.SQLError:
        return None


def _expected(records: Sequence[bytes]) -> list[tuple[SqlValue, ...]] | None:
    try:
        rows = [decode_row(TABLE, b"k", record) for record in records]
    except CorruptRecordError:
        return None
    return [(rowid, *(None if value != value else value for value in values)) for rowid, values in rows]


def _exact(rows: list[tuple[SqlValue, ...]] | None) -> object:
    return None if rows is None else [[(type(value), repr(value)) for value in row] for row in rows]


def _same(connection: apsw.Connection, records: Sequence[bytes]) -> None:
    assert _exact(_decode(connection, records)) == _exact(_expected(records)), records


@given(rows=st.lists(st.tuples(st.sampled_from([1, 2, 3]), integers, st.lists(values, min_size=3, max_size=3))))
@example(rows=[(1, 1, [0.0, -0.0, 1.0]), (1, -(2**63), ["\0a\0", b"\0a\0", ""]), (1, 2, [b"", None, float("inf")])])
@example(rows=[(1, n, [f"text {n}" * n, b"b" * n, "ä" * n]) for n in (1, 31, 32, 255, 256, 65535, 65536)])
@example(rows=[(1, sign * 2**n + by, [2**n, -(2**n), None]) for n in range(63) for sign in (1, -1) for by in (0, -1)])
@settings(max_examples=200, deadline=None)
def test_what_was_encoded_is_decoded(connection: apsw.Connection, rows: list[tuple[int, int, list[SqlValue]]]) -> None:
    records = [encode_record(layout, rowid, row[: len(TABLE.layouts[layout])]) for layout, rowid, row in rows]
    assert _decode(connection, records) is not None
    _same(connection, records)


@pytest.mark.parametrize("code", OTHER_CODES, ids=bytes.hex)
@pytest.mark.parametrize("place", range(5))
def test_a_code_that_is_seldom_or_never_stored(connection: apsw.Connection, code: bytes, place: int) -> None:
    parts = [b"\x01", b"\x07", b"\xa1x", b"\xc0", b"\x05"]
    parts[place] = code
    _same(connection, [b"\x95" + b"".join(parts)])


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x90",
        b"\x91\x01",
        b"\x92\x01\x01",
        b"\x94\x02\x01\x01\x01",
        b"\x95\x04\x01\x01\x01\x01",  # an unknown layout
        b"\x95\x01\x01\x01\x01\x01\x01",
        b"\xdc\x00\x05\x01\x01\x01\x01\x01",
        b"\xdd\x00\x00\x00\x05\x01\x01\x01\x01\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdc\x00",
        b"\x95\xc0\x01\x01\x01\x01",
        b"\x95\x01\xa1x\x01\x01\x01",
        b"\x95\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x01\x01\x01\x01",  # layout 1.0
    ],
    ids=bytes.hex,
)
def test_an_array_that_is_no_record(connection: apsw.Connection, record: bytes) -> None:
    _same(connection, [record])


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_records(connection: apsw.Connection, data: st.DataObject) -> None:
    row = data.draw(st.lists(values, min_size=3, max_size=3))
    record = bytearray(encode_record(1, data.draw(integers), row))
    match data.draw(st.sampled_from(["cut", "changed", "inserted", "random"])):
        case "cut":
            del record[data.draw(st.integers(0, len(record) - 1)) :]
        case "changed":
            record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
        case "inserted":
            record.insert(data.draw(st.integers(0, len(record))), data.draw(st.integers(0, 255)))
        case "random":
            record[1:] = data.draw(st.binary(max_size=40))
    good = encode_record(1, 1, [1, 2, 3])
    _same(connection, [good, bytes(record), good])


@given(
    block=st.binary(max_size=40)
    | st.tuples(st.integers(0, 4), st.binary(max_size=40)).map(
        lambda part: part[0].to_bytes(4, sys.byteorder) + part[1]
    )
)
@settings(max_examples=200, deadline=None)
def test_a_block_that_was_not_packed(connection: apsw.Connection, block: bytes) -> None:
    try:
        rows = connection.execute("SELECT * FROM r(?)", (block,)).fetchall()
    except apsw.SQLError:
        return
    count = int.from_bytes(block[:4], sys.byteorder)
    lengths = array("I", block[4 : 4 + 4 * count])
    assert (len(rows), 4 + 4 * count + sum(lengths)) == (count, len(block))


@given(shape=st.binary(max_size=60) | st.lists(integers | st.text(max_size=5) | st.none()).map(msgspec.msgpack.encode))
@settings(max_examples=200, deadline=None)
def test_a_shape_that_is_none(connection: apsw.Connection, shape: bytes) -> None:
    with pytest.raises(apsw.SQLError, match="not the shape"):
        connection.execute("SELECT rome_rows_define('other', ?)", (shape,)).fetchall()


def test_a_damaged_shape_is_refused_or_read_within_its_bounds(connection: apsw.Connection) -> None:
    whole, record = shape_of(TABLE, 0, 3, COLUMNS, ordered=True), encode_record(1, 1, [1, "two", 3.0])
    for place in range(len(whole)):
        for byte in (0, 1, 0x7F, 0x80, 0xDD, 0xFF, whole[place] ^ 1):
            shape = whole[:place] + bytes([byte]) + whole[place + 1 :]
            with suppress(apsw.SQLError):
                connection.execute("SELECT rome_rows_define('damaged', ?)", (shape,)).fetchall()
                for block in packed([record]):
                    connection.execute("SELECT *, rowid FROM damaged(?)", (block,), can_cache=False).fetchall()
        with pytest.raises(apsw.SQLError):
            connection.execute("SELECT rome_rows_define('cut', ?)", (whole[:place],)).fetchall()


def test_bytes_before_a_record_are_passed_over(connection: apsw.Connection) -> None:
    stored = [b"\xff" * 8 + encode_record(1, n, [n, None, None]) for n in (1, 2)]
    (block,) = packed(stored)
    assert connection.execute("SELECT rowid, c0 FROM stamped(?)", (block,)).fetchall() == [(1, 1), (2, 2)]
    (block,) = packed([b"\xff" * 7])
    with pytest.raises(apsw.SQLError, match="not a record"):
        connection.execute("SELECT rowid, c0 FROM stamped(?)", (block,)).fetchall()


def test_blocks_come_one_after_the_other(connection: apsw.Connection) -> None:
    records = [encode_record(1, n, [n, f"text {n}", None]) for n in range(1, 10)]
    blocks = [*packed(records[:4]), *packed(records[:0]), (0).to_bytes(4, sys.byteorder), *packed(records[4:])]
    sources = {(3, n): block for n, block in enumerate(blocks)}
    connection.create_scalar_function("rome_rows_block", lambda *place: sources.get(place))
    # max() keeps a text beyond the block that it was in.
    found = connection.execute("SELECT count(*), max(c2), min(c2), sum(c0), max(rowid) FROM r").fetchall()
    assert found == [(9, "text 9", "text 1", 45, 9)]
    assert connection.execute("SELECT count(*) FROM r AS one, r AS other").fetchall() == [(81,)]
    assert [row for (row,) in connection.execute("SELECT c1 FROM r ORDER BY rowid")] == [*range(1, 10)]
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT c1 FROM r ORDER BY rowid").fetchall()
    assert [line[3] for line in plan] == ["SCAN r VIRTUAL TABLE INDEX 0:"]


def test_an_error_of_whoever_gives_blocks_comes_through(connection: apsw.Connection) -> None:
    def fails(*_: object) -> bytes:
        raise LookupError("mine")

    connection.create_scalar_function("rome_rows_block", fails)
    with pytest.raises(LookupError, match="mine"):
        connection.execute("SELECT * FROM r").fetchall()
