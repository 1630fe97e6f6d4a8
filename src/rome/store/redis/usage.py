"""The answer of usage.lua, in the terms of the SPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rome.store.redis.names import unescape
from rome.store.spi import Claim, PinnedSnapshot, RecentCommit, Retention, StoreUsage


def decode_usage(told: Sequence[Any], memory: Mapping[str, str]) -> StoreUsage:
    """What a database takes.

    Args:
        told: the script's answer.
        memory: the section of INFO.

    Raises:
        ValueError, TypeError, IndexError: something other than Rome wrote into the database's keys.
    """
    _, version, retention_ms, max_bytes, history_bytes, commits, now, times, sequences, queue, pins, recent = told
    ages = [(now - each) / 1000 for each in times]
    limit = int(memory.get("maxmemory", 0))
    return StoreUsage(
        version=int(version),
        commits=commits,
        history_bytes=int(history_bytes),
        oldest_s=max(ages, default=None),
        newest_s=min(ages, default=None),
        retention=Retention(int(retention_ms) / 1000, int(max_bytes)),
        queue=[[_claim(claim) for claim in claims] for claims in queue],
        sequences={int(name): int(last) for name, last in zip(sequences[::2], sequences[1::2], strict=True)},
        pins=pinned(pins),
        used_bytes=int(memory["used_memory"]) if "used_memory" in memory else None,
        max_bytes=limit or None,
        recent=_commits(recent, now),
    )


def pinned(told: Sequence[Any]) -> list[PinnedSnapshot]:
    """The pins as the scripts tell them, the oldest version first.

    Raises:
        ValueError, TypeError: something other than Rome wrote them.
    """
    return sorted(
        PinnedSnapshot(version, owner.decode(), age_ms / 1000, left_ms / 1000)
        for version, owner, age_ms, left_ms in told
    )


def _claim(argument: bytes) -> Claim:
    table, _, key = argument.partition(b":")
    return Claim(int(table), unescape(key) or None)


def _commits(elements: Sequence[Sequence[Any]], now: int) -> list[RecentCommit]:
    """The commits; a large one has several elements in the trim queue, all of its version."""
    found: dict[int, tuple[int, list[tuple[int, bytes]]]] = {}
    for version, time_ms, *rows in elements:
        _, known = found.setdefault(version, (time_ms, []))
        known += zip(rows[::2], map(unescape, rows[1::2]), strict=True)
    return [
        RecentCommit(version, (now - time_ms) / 1000, list(dict.fromkeys(rows)))
        for version, (time_ms, rows) in found.items()
    ]
