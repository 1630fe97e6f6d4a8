"""Ordered maps with keys beyond LMDB's limit, against a dictionary that is sorted."""

from __future__ import annotations

from collections.abc import Iterator

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
        assert {key: ordered.get(txn, HEADER, key) for key in held} == held
        ordered.clear(txn, HEADER)
        assert list(ordered.between(txn, HEADER, b"", b"\xff")) == []
        assert len(list(ordered.between(txn, NEIGHBOURS[0], b"", b"\xff"))) >= len(held)
    finally:
        txn.abort()


STAMP = bytes(7) + b"\x01"
CUT_IN_FILE = len(HEADER) + CUT


@pytest.mark.parametrize("below", [1, 2, 255, 256, 257, 511, 512, 513, 700, 701])
@pytest.mark.parametrize("most", [1, 255, 256, 257, 512, 1000])
def test_values_come_up_to_the_bound_or_as_many_as_are_asked_for(
    environment: lmdb.Environment, below: int, most: int
) -> None:
    with environment.begin(write=True) as txn:
        keys = [number.to_bytes(2, "big") for number in range(700)]
        for key in keys:
            ordered.put(txn, HEADER, key, STAMP + key)
        ordered.put(txn, NEIGHBOURS[1], b"k", STAMP)
        with txn.cursor() as cursor:
            assert cursor.set_range(HEADER)
            stop = HEADER + below.to_bytes(2, "big")
            found = ordered.values_from(txn, cursor, stop, CUT_IN_FILE, most, 1 << 30)
        expected = keys[:below]
        assert found.found == [STAMP + key for key in expected[:most]]
        assert found.size == sum(map(len, found.found))
        assert found.left == (HEADER + expected[most] if most < len(expected) else None)
        txn.abort()


def test_values_stop_when_there_is_no_room(environment: lmdb.Environment) -> None:
    with environment.begin(write=True) as txn:
        for number in range(700):
            ordered.put(txn, HEADER, number.to_bytes(2, "big"), STAMP)
        with txn.cursor() as cursor:
            assert cursor.set_range(HEADER)
            found = ordered.values_from(txn, cursor, HEADER + b"\xff", CUT_IN_FILE, 1000, 257 * len(STAMP))
        assert len(found.found) == 512
        assert found.left == HEADER + (512).to_bytes(2, "big")
        txn.abort()


@pytest.mark.parametrize("place", [0, 100, 255, 256, 299])
@pytest.mark.parametrize("value", [STAMP, b"\xff" * 8])
def test_a_key_that_was_cut_is_found_though_keys_are_not_read(
    environment: lmdb.Environment, place: int, value: bytes
) -> None:
    with environment.begin(write=True) as txn:
        for number in range(300):
            key = number.to_bytes(2, "big")
            ordered.put(txn, HEADER, key + b"x" * CUT if number == place else key, value)
        with txn.cursor() as cursor:
            assert cursor.set_range(HEADER)
            with pytest.raises(ordered.LongKeyError):
                ordered.values_from(txn, cursor, HEADER + b"\xff", CUT_IN_FILE, 1000, 1 << 30)
        txn.abort()
