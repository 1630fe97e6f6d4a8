"""Reads a fetch through the access path that finds the fewest rows.

No statistics are kept: the store knows how many entries a range has. The trip that brings the first rows of one way
brings the sizes of all, too. If these rows are all, as most often, that was it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rome.engine.reading.reader import Reader, to_request
from rome.planner.plan import Fetch, Many
from rome.store.spi import Count, Reserve
from rome.transaction.incremental_scan import IncrementalScan
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest

FEW = 200
"""Up to this many rows are read without comparing other ways: they take no longer than a round trip."""

_MAX_RANGES = 50
"""A way with more ranges than this is not compared with others: each range costs the store as much as a row."""


class Trial(Struct, frozen=True, gc=False):
    """A fetch that several ways lead to: a few rows are read of one of them."""

    fetch: Fetch
    ways: tuple[Fetch, ...]
    tried: Fetch
    request: ReadRequest


def read_few(
    reader: Reader,
    fetches: Sequence[Fetch],
    check: Validation,
    extra: Sequence[ReadRequest] = (),
    reserves: Sequence[Reserve] = (),
    scan: IncrementalScan | None = None,
    ahead: Sequence[ReadRequest] = (),
    *,
    hydrates: bool = True,
) -> tuple[list[ReadRequest | Many], list[int]]:
    """Read and hydrate fetches, each by one of its ways; the other arguments are as those of `Reader.read`.

    Args:
        hydrates: False: only read.

    Returns:
        For each fetch what was read, or how much there is; the reserved.

    Cost: one round trip; another one if some way that was tried finds many rows, and its fetch may not wait.
    """
    requests = [to_request(fetch, check) for fetch in fetches]
    trials: dict[int, Trial] = {}
    limited: dict[int, Fetch] = {}
    for number, fetch in enumerate(fetches):
        if fetch.instead or fetch.may_wait:
            trial = _trial(reader, fetch, check)
            if trial is not None:
                trials[number] = trial
                requests[number] = trial.request
        if fetch.most is not None:
            limited[number] = fetch
            requests[number] = replace(requests[number], most=fetch.most)
    counts = [count for trial in trials.values() for way in trial.ways for count in _counts(way)] if trials else ()
    reserved = reader.read([*requests, *extra] if extra else requests, reserves, scan, counts, ahead)
    if not (trials or limited):
        if hydrates:
            reader.hydrate([*requests, *extra])
        return list(requests), reserved
    found: list[ReadRequest | Many] = list(requests)
    again: list[ReadRequest] = []
    for number, trial in trials.items():
        chosen = found[number] = _chosen(reader, trial, check)
        if isinstance(chosen, ReadRequest):
            again.append(chosen)
    for number, fetch in limited.items():
        complete = to_request(fetch, check)
        if reader.has_read(complete):
            found[number] = complete
            again.append(complete)
        else:
            found[number] = Many(fetch.most or 0, fetch)
    if again:
        reader.read(again)
    if hydrates:
        reader.hydrate([*(each for each in found if isinstance(each, ReadRequest)), *extra])
    return found, reserved


def _trial(reader: Reader, fetch: Fetch, check: Validation) -> Trial | None:
    """What to try; None if the fetch has only one way, or is read as it is."""
    ways = (replace(fetch, instead=(), may_wait=False), *fetch.instead)
    if fetch.table.id >= reader.first_new_table or sum(len(way.ranges) for way in ways) > _MAX_RANGES:
        return None
    known = next((way for way in ways if reader.has_read(to_request(way, check))), None)
    if known is not None:
        return Trial(fetch, (), known, to_request(known, check))
    tried = ways[reader.schema.fewest.get(_paths(ways), 0)]
    return Trial(fetch, ways, tried, replace(to_request(tried, check), most=FEW))


def _chosen(reader: Reader, trial: Trial, check: Validation) -> ReadRequest | Many:
    """What to read, now that the first rows and the sizes are known."""
    way = trial.tried
    if not reader.has_read(to_request(way, check)):
        sizes = [sum(map(reader.transaction.cache.sizes.__getitem__, _counts(way))) for way in trial.ways]
        fewest = min(range(len(sizes)), key=sizes.__getitem__)
        reader.schema.fewest[_paths(trial.ways)] = fewest
        way = trial.ways[fewest]
        if trial.fetch.may_wait and sizes[fewest] > FEW:
            return Many(sizes[fewest], way)
    return to_request(way, check)


def _counts(way: Fetch) -> list[Count]:
    return [Count(way.table.id, way.path.id, start, stop) for start, stop in way.ranges]


def _paths(ways: Sequence[Fetch]) -> tuple[int, ...]:
    return tuple([way.path.id for way in ways])
