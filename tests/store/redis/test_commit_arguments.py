"""The arguments of commit.lua say what the request says, by the header of commit.lua."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rome.store.redis.messages import commit_arguments
from rome.store.redis.names import unescape
from rome.store.spi import CommitRequest, Drop, Snapshot

AT = 300
"""The version of the snapshot."""

KEYS = st.binary(max_size=3) | st.sampled_from([b"\x00", b"\x00\xff", b"a\x00", b"\xff"])
TABLES = st.sampled_from([0, 1, 2, 255, 256, 2**31])


def _maps(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(keys, values, max_size=4)


REQUESTS = st.builds(
    CommitRequest,
    transaction_id=st.just(b"t" * 16),
    snapshot=st.just(Snapshot(b"i", AT)),
    points=_maps(TABLES, _maps(KEYS, st.integers(0, 9))),
    ranges=_maps(
        st.tuples(TABLES, st.integers(0, 2), st.booleans()),
        _maps(st.tuples(KEYS, KEYS), st.integers(AT, AT + 2)),
    ),
    rows=_maps(TABLES, _maps(KEYS, st.none() | st.binary(max_size=3))),
    entries=_maps(st.tuples(TABLES, st.integers(1, 2)), _maps(st.tuples(KEYS, KEYS), st.booleans())),
    drops=st.lists(st.builds(Drop, st.integers(7, 9), st.none() | st.integers(0, 3)), max_size=2),
    sequences=_maps(st.integers(1, 3), st.integers(-1, 2**63)),
    settings=_maps(st.integers(4, 6), st.integers(0, 2**63)),
)


def _numbers(packed: bytes) -> list[int]:
    body = packed[1:]
    return list(body) if packed[:1] == b"1" else list(struct.unpack(f">{len(body) // 4}I", body))


def _entry(stored: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(stored[-4:], "big")
    return unescape(stored[: -4 - length]), unescape(stored[-4 - length : -4])


def _stated(arguments: list[bytes]) -> dict[str, Any]:
    """What commit.lua is told."""
    numbers, words = iter(_numbers(arguments[0])), iter(arguments[1:])
    range_tables, tables, ranges, indexes, drops, sequences, count_set = (next(numbers) for _ in range(7))

    def take(count: int) -> list[bytes]:
        return [next(words) for _ in range(count)]

    fields = [tuple(take(2)) for _ in range(range_tables)]
    stated: dict[str, Any] = {"points": {}, "rows": {}, "ranges": {}, "entries": {}, "drops": []}
    ids = []
    for _ in range(tables):
        puts, deletes, others = (next(numbers) for _ in range(3))
        table = int(take(2)[0])
        ids.append(table)
        keys = list(map(unescape, take(puts + deletes + others)))
        for key, stamp in zip(keys, take(len(keys)), strict=True):
            if stamp != b"*":
                stated["points"][table, key] = int.from_bytes(stamp, "big")
        stated["rows"].update({(table, key): record for key, record in zip(keys, take(puts), strict=False)})
        stated["rows"].update({(table, key): None for key in keys[puts : puts + deletes]})
    for _ in range(ranges):
        of, table, index, later, rows, count = (next(numbers) for _ in range(6))
        assert fields[of - 1] == (b"t%d" % table, b"f%d" % table)
        for _ in range(count):
            bounds = unescape(next(words)), unescape(next(words))
            stated["ranges"][table, index, bool(rows), bounds] = AT + later
    for _ in range(indexes):
        of, removed, added = (next(numbers) for _ in range(3))
        name = next(words)
        next(words)
        table, index = map(int, name.split(b"."))
        assert ids[of - 1] == table
        for present, count in ((False, removed), (True, added)):
            stated["entries"].update({(table, index, *_entry(each)): present for each in take(count)})
    for _ in range(drops):
        table, index = next(numbers), next(numbers)
        stated["drops"].append(Drop(table, index - 1 if index else None))
    names = list(map(int, take(sequences)))
    stated["sequences"] = dict(zip(names, map(int, take(sequences)), strict=True))
    stated["settings"] = dict(_pairs(words, count_set))
    assert not [*numbers, *words]
    return stated


def _pairs(words: Iterator[bytes], count: int) -> Iterator[tuple[int, int]]:
    for _ in range(count):
        yield int(next(words)), int(next(words))


@settings(max_examples=150, deadline=None)
@given(REQUESTS)
def test_the_script_is_told_what_the_request_says(request_: CommitRequest) -> None:
    arguments, only_deletes = commit_arguments(request_)
    assert _stated(arguments) == {
        "points": {(table, key): v for table, found in request_.points.items() for key, v in found.items()},
        "rows": {(table, key): v for table, found in request_.rows.items() for key, v in found.items()},
        "ranges": {(*place, bounds): v for place, found in request_.ranges.items() for bounds, v in found.items()},
        "entries": {(*place, *entry): v for place, found in request_.entries.items() for entry, v in found.items()},
        "drops": request_.drops,
        "sequences": {sequence: v for sequence, v in request_.sequences.items() if v > 0},
        "settings": request_.settings,
    }
    puts = any(record is not None for found in request_.rows.values() for record in found.values())
    adds = any(present for found in request_.entries.values() for present in found.values())
    assert only_deletes is not bool(puts or adds or request_.sequences or request_.settings)
