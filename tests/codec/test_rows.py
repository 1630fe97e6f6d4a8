"""Records: values survive encoding and decoding, and bytes that are not a record are recognized."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rome.codec.rows import decode_alike, decode_record, encode_record
from rome.codec.values import SqlValue
from rome.errors import CorruptRecordError, DataError

integers = st.integers(-(2**63), 2**63 - 1)
values = st.none() | integers | st.floats(allow_nan=False) | st.text() | st.binary()


def _exact(row: Sequence[SqlValue]) -> list[tuple[type, str]]:
    """Told apart by type and, for reals, by sign of zero."""
    return [(type(value), repr(value)) for value in row]


@given(layout=st.integers(0, 2**31), rowid=integers, row=st.lists(values))
@example(layout=1, rowid=1, row=[0.0, -0.0, 1, 1.0, math.inf, -math.inf, "\0a\0", b"\0a\0", "", b"", None])
@example(layout=1, rowid=-(2**63), row=[2**63 - 1, -(2**63)])
def test_types_and_values_come_back_exactly(layout: int, rowid: int, row: list[SqlValue]) -> None:
    found_layout, found_rowid, found = decode_record(encode_record(layout, rowid, row))
    assert (found_layout, found_rowid) == (layout, rowid)
    assert _exact(found) == _exact(row)


@given(rows=st.lists(st.tuples(integers, st.lists(values, min_size=2, max_size=2)), max_size=5))
def test_records_that_are_alike_are_decoded_together_as_one_by_one(rows: list[tuple[int, list[SqlValue]]]) -> None:
    records = [encode_record(3, rowid, row) for rowid, row in rows]
    found = decode_alike(records, 3, 2)
    if any(isinstance(value, bytes) for _, row in rows for value in row):
        assert found is None
    else:
        assert found is not None
        assert [(*_exact(each),) for each in found] == [(*_exact([3, rowid, *row]),) for rowid, row in rows]


@pytest.mark.parametrize(
    "record",
    [
        encode_record(2, 1, [1, 2]),
        encode_record(3, 1, [1]),
        encode_record(3, 1, [1, 2, 3]),
        encode_record(3, 1, [1, b"blob"]),
        encode_record(3, 1, [1, 2])[:-1],
        msgspec.msgpack.encode([3, None, 1, 2]),
        msgspec.msgpack.encode([3, "1", 1, 2]),
        msgspec.msgpack.encode([3, 1, 1, True]),
        msgspec.msgpack.encode([3, 1, 1, 2**63]),
        b"",
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_one_record_of_another_kind_keeps_all_from_being_decoded_together(record: bytes) -> None:
    alike = encode_record(3, 1, [1, 2])
    assert decode_alike([alike, alike], 3, 2) is not None
    assert decode_alike([alike, record], 3, 2) is None


@pytest.mark.parametrize(
    ("value", "message"), [("a\ud800", "lone surrogate"), (2**64, "64 bits"), (-(2**63) - 1, "64 bits")]
)
def test_value_that_cannot_be_stored_is_refused(value: SqlValue, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_record(1, 1, [value])


@given(record=st.binary(max_size=40))
def test_arbitrary_bytes_are_a_record_or_corrupt(record: bytes) -> None:
    _decode_or_refuse(record)


@given(row=st.lists(values, max_size=5), data=st.data())
def test_damaged_record_is_a_record_or_corrupt(row: list[SqlValue], data: st.DataObject) -> None:
    record = bytearray(encode_record(1, 1, row))
    record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(record))


@given(row=st.lists(values, max_size=5), data=st.data())
def test_cut_or_extended_record_is_corrupt(row: list[SqlValue], data: st.DataObject) -> None:
    record = encode_record(1, 1, row)
    with pytest.raises(CorruptRecordError):
        decode_record(record[: data.draw(st.integers(0, len(record) - 1))])
    with pytest.raises(CorruptRecordError):
        decode_record(record + data.draw(st.binary(min_size=1)))


@pytest.mark.parametrize("blob", [[], [b""]], ids=["without blobs", "with a blob"])
@pytest.mark.parametrize(
    "value",
    [True, 2**63, [1], {"a": 1}, {(): 1}, msgspec.msgpack.Ext(3, b"\0"), msgspec.Raw(b"\xd6\xff\0\0\0\0")],
    ids=["bool", "uint64", "array", "map", "unhashable", "extension", "timestamp"],
)
def test_msgpack_that_is_no_storage_class_is_corrupt(value: object, blob: list[object]) -> None:
    with pytest.raises(CorruptRecordError, match="not a record"):
        decode_record(msgspec.msgpack.encode([1, 1, *blob, value]))


@pytest.mark.parametrize(
    "record",
    [
        b"\x93\x01\x01\x81\x80\x01",
        b"",
        b"\x90",
        b"\x91\x01",
        b"\x92\x01\xc0",
        b"\x92\x01\xa1a",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x93\x01\x01\xa2\xff\xfe",
        b"\x91" * 100_000,
        b"\x93\x01\x01" + b"\x91" * 100_000,
        b"\x94\x01\x01\xc4\x00" + b"\x91" * 100_000,
    ],
    ids=[
        "a map for a key",
        "nothing",
        "no layout",
        "no rowid",
        "rowid NULL",
        "rowid text",
        "4 G values",
        "4 GB text",
        "not UTF-8",
        "deep",
        "deep value",
        "deep value beside a blob",
    ],
)
def test_malformed_record_is_corrupt(record: bytes) -> None:
    with pytest.raises(CorruptRecordError, match="not a record"):
        decode_record(record)


def _decode_or_refuse(record: bytes) -> None:
    """What decodes can be stored again; everything else raises CorruptRecordError, and nothing but that."""
    try:
        layout, rowid, row = decode_record(record)
    except CorruptRecordError:
        return
    assert _exact(decode_record(encode_record(layout, rowid, row))[2]) == _exact(row)
