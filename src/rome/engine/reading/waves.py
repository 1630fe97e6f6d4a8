"""Read and hydrate what a plan says, wave by wave, with one round trip for each wave."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence

from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.reading.page import pages, read_page
from rome.engine.reading.reader import Reader, to_request
from rome.engine.reading.smallest_range import read_few
from rome.planner.plan import FetchedRows, FetchPlan, Many, Values, Wave
from rome.store.spi import Reserve
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, merged


def gather(
    reader: Reader,
    plan: FetchPlan,
    parameters: Sequence[SqlValue],
    check: Validation,
    extra: Sequence[ReadRequest] = (),
    reserves: Sequence[Reserve] = (),
) -> list[int]:
    """Read and hydrate all waves of a plan; `extra` requests and reserves share the first trip.

    Returns:
        The reserved.
    """
    if plan.reads_points:
        requests = []
        for fetch in plan.points(parameters):
            requests.append(ReadRequest(fetch.table.id, fetch.path.id, fetch.keys, fetch.ranges, check))
        requests += extra
        reserved = reader.read(requests, reserves)
        reader.hydrate(requests)
        return reserved
    return _gather(reader, plan.waves(parameters), check, extra, reserves)


def _gather(
    reader: Reader,
    waves: Generator[Wave, FetchedRows, None],
    check: Validation,
    extra: Sequence[ReadRequest],
    reserves: Sequence[Reserve],
) -> list[int]:
    reserved: list[int] = []
    wave = next(waves, None)
    if wave is None:
        reserved = reader.read(extra, reserves)
        reader.hydrate(extra)
        return reserved
    while wave is not None:
        page = next((fetch for fetch in wave if fetch.page and pages(reader, fetch)), None)
        if page is None:
            found, ids = read_few(reader, wave, check, extra, reserves)
        else:
            found, ids = read_page(reader, page, wave, check, extra, reserves)
        reserved += ids
        extra, reserves = (), ()
        try:
            wave = waves.send(_answers(reader, wave, found))
        except StopIteration:
            wave = None
    return reserved


def _answers(reader: Reader, wave: Wave, found: Iterable[ReadRequest | Many]) -> Iterator[list[Values] | Many]:
    for fetch, each in zip(wave, found, strict=True):
        yield each if isinstance(each, Many) else _seen(reader, fetch.table, each)


def gather_first(
    reader: Reader,
    plans: Iterable[Generator[Wave, FetchedRows, None]],
    check: Validation,
    extra: Sequence[ReadRequest],
    reserves: Sequence[Reserve],
) -> tuple[bool, list[int]]:
    """Read and hydrate the first waves of many plans, and `extra` requests, in one round trip.

    Returns:
        Whether that is all that the plans need; the reserved.
    """
    first = [(plan, wave) for plan in plans if (wave := next(plan, None)) is not None]
    at_once = [(plan, wave) for plan, wave in first if not any(pages(reader, fetch) for fetch in wave)]
    requests = merged([*(to_request(fetch, check) for _, wave in at_once for fetch in wave), *extra])
    reserved = reader.read(requests, reserves)
    reader.hydrate(requests)
    finished = [_is_finished(reader, plan, wave, check) for plan, wave in at_once]
    return len(at_once) == len(first) and all(finished), reserved


def _is_finished(reader: Reader, plan: Generator[Wave, FetchedRows, None], wave: Wave, check: Validation) -> bool:
    try:
        plan.send(_seen(reader, fetch.table, to_request(fetch, check)) for fetch in wave)
    except StopIteration:
        return True
    return False


def _seen(reader: Reader, table: Table, request: ReadRequest) -> list[Values]:
    """Return the rows that key the next wave: the stored rows, and every row that this transaction has written."""
    new = table.id >= reader.first_new_table
    rows: list[Values] = [] if new else [stored.values for stored in reader.stored(table, request)]
    contents = reader.working_set.contents.tables.get(table.id)
    if new or (contents is not None and contents.whole):
        rows.extend(values for _, values in reader.working_set.all_rows(table))
    elif contents is not None:
        finals = reader.working_set.final_rows(table, list(contents.touched.values()))
        rows.extend(final[1] for final in finals if final is not None)
    return rows
