"""Ordered maps with keys beyond LMDB's limit, against a dictionary that is sorted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rome.store.lmdb import ordered
from rome.store.lmdb.ordered import CUT

HEADER = b"E\x00\x00\x00\x01\x00\x00\x00\x02"
NEIGHBOURS = [b"E\x00\x00\x00\x01\x00\x00\x00\x01", b"E\x00\x00\x00\x01\x00\x00\x00\x03"]

# Keys that share their first CUT - 1 bytes or more, and end around the cut or far behind it.
tails = st.binary(max_size=3) | st.text("ab", max_size=3).map(str.encode)
long_keys = st.builds(
    lambda fill, length, tail: fill * length + tail,
    st.sampled_from([b"a", b"b", b"\xfe"]),
    st.sampled_from([CUT - 2, CUT - 1, CUT, CUT + 1, CUT + 32, 600, 5000]),
    tails,
)
keys = (
    long_keys
    | tails.map(lambda tail: b"a" + tail)
    | st.binary(min_size=1, max_size=3).filter(lambda key: key < b"\xff")
)
bounds = keys | keys.map(lambda key: key + b"\xff") | st.sampled_from([b"", b"\xff"])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lmdb.Environment]:
    with lmdb.open(str(tmp_path_factory.mktemp("ordered")), map_size=1 << 30, sync=False) as opened:
        yield opened


def test_stored_keys_fit() -> None:
    assert len(HEADER) <= ordered.MAX_HEADER_BYTES
    assert len(ordered.stored_key(b"h" * ordered.MAX_HEADER_BYTES, b"k" * 10_000)) == 511


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(held=st.dictionaries(keys, st.binary(max_size=3), max_size=12), start=bounds, stop=bounds, data=st.data())
def test_walks_are_exact_and_in_order(
    environment: lmdb.Environment, held: dict[bytes, bytes], start: bytes, stop: bytes, data: st.DataObject
) -> None:
    txn = environment.begin(write=True)
    try:
        for key, value in held.items():
            assert ordered.put(txn, HEADER, key, value)
            assert not ordered.put(txn, HEADER, key, b"not written", overwrite=False)
            for neighbour in NEIGHBOURS:
                ordered.put(txn, neighbour, key, b"of another map")
        if held:
            gone = data.draw(st.sampled_from(sorted(held)))
            assert ordered.delete(txn, HEADER, gone)
            assert not ordered.delete(txn, HEADER, gone)
            assert ordered.get(txn, HEADER, gone) is None
            del held[gone]
        within = sorted((key, value) for key, value in held.items() if start <= key < stop)
        assert list(ordered.between(txn, HEADER, start, stop)) == within
        assert list(ordered.between(txn, HEADER, start, stop, reverse=True)) == within[::-1]
        assert ordered.count(txn, HEADER, start, stop) == len(within)
        try:
            blocks = [*chain(*(zip(*block, strict=True) for block in ordered.blocks(txn, HEADER, start, stop)))]
        except ordered.LongKeyError:
            assert max(map(len, [start, stop, *dict(within)])) > CUT
        else:
            assert blocks == [(HEADER + key, value) for key, value in within]
        assert {key: ordered.get(txn, HEADER, key) for key in held} == held
        ordered.clear(txn, HEADER)
        assert list(ordered.between(txn, HEADER, b"", b"\xff")) == []
        assert len(list(ordered.between(txn, NEIGHBOURS[0], b"", b"\xff"))) >= len(held)
    finally:
        txn.abort()


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 10, 11, 42, 43, 200, 298, 299, 554, 700, 701])
def test_blocks_hold_all_there_is_up_to_the_bound(environment: lmdb.Environment, rows: int) -> None:
    txn = environment.begin(write=True)
    try:
        for number in range(700):
            ordered.put(txn, HEADER, number.to_bytes(2, "big"), b"v")
        blocks = ordered.blocks(txn, HEADER, b"", rows.to_bytes(2, "big"))
        found = [*chain(*(zip(*block, strict=True) for block in blocks))]
        assert found == [(HEADER + number.to_bytes(2, "big"), b"v") for number in range(min(rows, 700))]
    finally:
        txn.abort()
