"""Read and hydrate what a plan says, wave by wave, with one round trip for each wave."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload

from rome.catalog.block_rows import decoded
from rome.catalog.schema import Table
from rome.codec.values import SqlValue
from rome.engine.reading.page import pages, read_page
from rome.engine.reading.reader import Reader, to_request
from rome.engine.reading.smallest_range import read_few
from rome.planner.foresight import Foresight
from rome.planner.plan import FetchedRows, FetchPlan, Many, Values, Wave
from rome.store.row_block import RowBlock
from rome.store.spi import Reserve
from rome.transaction.read_set import Validation
from rome.transaction.transaction import ReadRequest, merged
from rome.workingset.contents import Stored


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
    reserved = gather_unless_empty(reader, plan, parameters, check, extra, reserves, stops=False)
    assert reserved is not None
    return reserved


def gather_unless_empty(
    reader: Reader,
    plan: FetchPlan,
    parameters: Sequence[SqlValue],
    check: Validation,
    extra: Sequence[ReadRequest] = (),
    reserves: Sequence[Reserve] = (),
    *,
    stops: bool,
) -> list[int] | None:
    """Do as `gather`; None if it `stops` because the statement has no result, as FetchPlan.may_be_empty says."""
    if plan.reads_points:
        wave = plan.points(parameters)
        requests = []
        for each in wave:
            requests.append(ReadRequest(each.table.id, each.path.id, each.keys, each.ranges, check))
        deciding = wave if stops else ()
        if not (extra or reserves):
            return None if reader.hydrate(requests, deciding, reader.fetch_all(requests)) is None else []
        requests += extra
        reserved = reader.read(requests, reserves)
        reader.hydrate(requests)
        return reserved
    all_reserved: list[int] = []

    def read(wave: Wave, ahead: Sequence[ReadRequest]) -> Sequence[ReadRequest | Many] | None:
        nonlocal extra, reserves
        brought = _read(reader, wave, check, extra, reserves, ahead, stops=stops)
        extra, reserves = (), ()
        if brought is None:
            return None
        found, reserved = brought
        all_reserved.extend(reserved)
        return found

    if not follow(reader, plan, parameters, read):
        return None
    if extra or reserves:  # there was no wave
        all_reserved = reader.read(extra, reserves)
        reader.hydrate(extra)
    return all_reserved


def follow(
    reader: Reader,
    plan: FetchPlan,
    parameters: Sequence[SqlValue],
    read: Callable[[Wave, Sequence[ReadRequest]], Sequence[ReadRequest | Many] | None],
) -> bool:
    """Read a plan's waves, one after the other.

    Args:
        read: reads one wave, and returns what was read of each fetch; None ends it. What may be wanted next can be
            read ahead on the same trip (see Transaction.read).

    Returns:
        Whether all was read.
    """
    waves = plan.waves(parameters)
    wave = next(waves, None)
    if wave is None:
        return True
    ahead: Sequence[ReadRequest] = () if plan.foresight is None else plan.foresight.requests()
    if ahead:
        if any(fetch.page is not None and pages(reader, fetch) for fetch in wave):
            ahead = ()  # a page takes trips of its own
        ahead = [each for each in ahead if each.table_id < reader.first_new_table and not reader.has_read(each)]
    found = read(wave, ahead)
    later: list[ReadRequest | Many] = []
    admitted: list[ReadRequest] = []
    transaction, has_waited, is_spared = reader.transaction, False, False
    while found is not None:
        try:
            wave = waves.send(_Seen(reader, wave, found))
        except StopIteration:
            break
        before = transaction.waves
        if ahead:
            admitted += reader.admit(wave)
        found = read(wave, ())
        if transaction.waves != before:
            has_waited = True
        else:
            is_spared = True
        if found is not None:
            later += found
    else:
        waves.close()
    if ahead or has_waited:
        transaction.drop_ahead()
        if plan.foresight is None:
            plan.foresight = Foresight()
        if ahead:
            plan.foresight.judge(helped=is_spared)
        if has_waited:
            plan.foresight.learn([each for each in later if isinstance(each, ReadRequest)], ahead, admitted)
    return found is not None


def _read(
    reader: Reader,
    wave: Wave,
    check: Validation,
    extra: Sequence[ReadRequest] = (),
    reserves: Sequence[Reserve] = (),
    ahead: Sequence[ReadRequest] = (),
    *,
    stops: bool,
) -> tuple[Sequence[ReadRequest | Many], list[int]] | None:
    """Read and hydrate one wave; return what was read of each fetch, and the reserved.

    Returns:
        None if it `stops`, since a fetch that decides has found no row.
    """
    page, is_plain = None, True
    requests = []
    for fetch in wave:
        if fetch.page is not None and page is None and pages(reader, fetch):
            page = fetch
        elif fetch.instead or fetch.may_wait or fetch.most is not None:
            is_plain = False
        requests.append(ReadRequest(fetch.table.id, fetch.path.id, fetch.keys, fetch.ranges, check))
    if page is not None:
        return read_page(reader, page, wave, check, extra, reserves)
    if is_plain and not (extra or reserves):
        came = reader.hydrate(requests, wave if stops else (), reader.fetch_all(requests, ahead))
        return None if came is None else (requests, [])
    found, reserved = read_few(reader, wave, check, extra, reserves, ahead=ahead, hydrates=False)
    requests = [each for each in found if type(each) is ReadRequest]
    deciding = wave if stops and len(requests) == len(found) else ()
    is_empty = reader.hydrate([*requests, *extra] if extra else requests, deciding) is None
    return None if is_empty else (found, reserved)


def read_wave(
    reader: Reader, wave: Wave, check: Validation, passes: Callable[[Stored], bool]
) -> list[ReadRequest] | None:
    """Read a plan's only wave, without hydrating it; None if some of it was only counted.

    Args:
        passes: whether a row passes WHERE.
    """
    page = next((fetch for fetch in wave if fetch.page and pages(reader, fetch)), None)
    if page is None:
        found, _ = read_few(reader, wave, check, hydrates=False)
    else:
        found, _ = read_page(reader, page, wave, check, (), (), passes)
    requests = [each for each in found if isinstance(each, ReadRequest)]
    return requests if len(requests) == len(found) else None


def gather_beside(
    reader: Reader,
    plan: FetchPlan,
    parameters: Sequence[SqlValue],
    check: Validation,
    table: Table,
    rows: Sequence[Values],
) -> None:
    """Read and hydrate all that a plan says, except for one table, of which it has these rows.

    Cost: one round trip for each wave that brings something new.
    """
    waves = plan.waves(parameters)
    wave = next(waves, None)
    while wave is not None:
        others = [fetch for fetch in wave if fetch.table.id != table.id]
        found = iter(read_few(reader, others, check)[0])
        answers: list[Sequence[Values] | Many] = []
        for fetch in wave:
            if fetch.table.id == table.id:
                answers.append(rows)
            else:
                each = next(found)
                answers.append(each if isinstance(each, Many) else _seen(reader, fetch.table, each))
        try:
            wave = waves.send(answers)
        except StopIteration:
            wave = None


class _Seen:
    """What keys the next wave of a plan: the rows of each fetch, made when they are asked for."""

    __slots__ = ("_found", "_reader", "_wave")

    def __init__(self, reader: Reader, wave: Wave, found: Sequence[ReadRequest | Many]) -> None:
        self._reader, self._wave, self._found = reader, wave, found

    def __getitem__(self, number: int) -> Sequence[Values] | Many:
        each = self._found[number]
        return _seen(self._reader, self._wave[number].table, each) if isinstance(each, ReadRequest) else each


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
        plan.send(_Seen(reader, wave, [to_request(fetch, check) for fetch in wave]))
    except StopIteration:
        return True
    return False


class _BlockValues(Sequence[Values]):
    """The values of a block's rows, decoded when one of them is asked for; how many there are is known before."""

    def __init__(self, table: Table, block: RowBlock) -> None:
        self._table, self._block = table, block

    @cached_property
    def _values(self) -> Sequence[Values]:
        return [values for _, values in decoded(self._table, self._block)]

    def __len__(self) -> int:
        return len(self._block)

    @overload
    def __getitem__(self, place: int) -> Values: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Values]: ...
    def __getitem__(self, place: int | slice) -> Values | Sequence[Values]:
        return self._values[place]

    def __iter__(self) -> Iterator[Values]:
        return iter(self._values)


def _seen(reader: Reader, table: Table, request: ReadRequest) -> Sequence[Values]:
    """Return the rows that key the next wave: the stored rows, and every row that this transaction has written."""
    block = reader.transaction.block(request) if reader.transaction.cache.has_blocks else None
    if block is not None and reader.is_unchanged(table):
        return _BlockValues(table, block)
    new = table.id >= reader.first_new_table
    rows: list[Values] = [] if new else [stored.values for stored in reader.stored(table, request)]
    contents = reader.working_set.contents.tables.get(table.id)
    if new or (contents is not None and contents.whole):
        rows.extend(values for _, values in reader.working_set.all_rows(table))
    elif contents is not None and contents.touched:
        finals = reader.working_set.final_rows(table, list(contents.touched.values()))
        rows.extend(final[1] for final in finals if final is not None)
    return rows
