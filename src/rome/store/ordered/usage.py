"""What a database takes of an engine with ordered keys.

It keeps no log of the rows that a commit wrote: these are in the engine's history, as long as that is not discarded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from rome.store.commit_queue import CommitQueue
from rome.store.ordered import committing
from rome.store.ordered.driver import Range, RangeResult, Revision
from rome.store.ordered.head import Head
from rome.store.ordered.layout import Layout, number_of
from rome.store.ordered.trimming import Past, read_past
from rome.store.pins import Pins
from rome.store.spi import MAX_TOLD_ROWS, RecentCommit, StoreUsage

TOLD_BYTES = 1024 * 1024
"""About how many bytes of rows the recent commits have written together: the engine sends them with their keys."""

LOOKED_AT = 250
"""How many records are read at each end of the history. If there are more, its bytes are estimated from these."""


def usage_ranges(layout: Layout, recent: int) -> list[Range]:
    """What usage_of must know: how many records there are, the oldest, the newest, and the sequences."""
    newest = max(recent, LOOKED_AT)
    return [
        Range(*layout.commits, count_only=True),
        Range(*layout.commits, limit=LOOKED_AT),
        Range(*layout.commits, limit=newest, reverse=True),
        Range(*layout.sequences),
    ]


def usage_of(layout: Layout, head: Head, found: Sequence[RangeResult], recent: int) -> StoreUsage:
    """What the ranges say.

    Records are ordered by the snapshots of their commits, so that the first of them are about the oldest.

    Raises:
        ValueError, IndexError: something other than Rome wrote a record.
    """
    counted, first, last, sequences = found
    known = {each.key: each for each in read_past((*first.pairs, *last.pairs), head.base)}
    commits = [each for each in known.values() if layout.commit_of(each.key)[1] == 0]
    share = counted.count / len(known) if known else 0.0
    now_ms = committing.now_in_ms()
    ages = [max(0.0, (now_ms - each.record.time_ms) / 1000) for each in commits]
    return StoreUsage(
        version=head.version,
        commits=round(len(commits) * share),
        history_bytes=round(sum(each.record.size for each in commits) * share),
        oldest_s=max(ages, default=None),
        newest_s=min(ages, default=None),
        retention=head.retention,
        queue=[place.claims for place in CommitQueue(head.queue, committing.clock()).places],
        pins=Pins(head.pins, committing.clock()).shown(),
        sequences={layout.sequence_of(pair.key): number_of(pair.value) for pair in sequences.pairs},
        recent=list(_recent(sorted(commits, key=_version, reverse=True)[:recent], now_ms)),
    )


def with_rows(
    layout: Layout, base: Revision, commits: Sequence[RecentCommit], changes: Sequence[tuple[Revision, bytes]]
) -> list[RecentCommit]:
    """The newest commits with the rows that they wrote, given the changes of the engine in their time."""
    rows: dict[Revision, list[tuple[int, bytes]]] = {}
    for revision, key in changes:
        row = layout.row_of(key)
        if row is not None:
            rows.setdefault(revision, []).append(row)
    told: list[RecentCommit] = []
    room = MAX_TOLD_ROWS
    for commit in commits:
        if room <= 0:
            break
        told.append(replace(commit, rows=rows.get(base + commit.version, [])))
        room -= len(told[-1].rows or ())
    return told


def _recent(newest_first: Sequence[Past], now_ms: int) -> Iterator[RecentCommit]:
    room = TOLD_BYTES
    for past in newest_first:
        if room <= 0:
            break
        room -= past.record.size
        yield RecentCommit(past.version, max(0.0, (now_ms - past.record.time_ms) / 1000))


def _version(past: Past) -> int:
    return past.version
