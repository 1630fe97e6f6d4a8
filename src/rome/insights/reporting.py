"""The figures of one or several processes, put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from rome.insights.entries import (
    FORMAT,
    CommitEntry,
    ConflictEntry,
    Part,
    Process,
    RepeatEntry,
    StatementEntry,
    Times,
    Totals,
)

Entry = TypeVar("Entry", StatementEntry, RepeatEntry, ConflictEntry, CommitEntry)


class Report(Struct):
    """What is known of some processes, the most important entries first.

    Attributes:
        statements: {id: entry}, by their total time.
        damaged: lines of a file that cannot be read, since the process was killed that wrote them.
        repeats: by their executions; conflicts: by their number; commits: by the time within which 95 % end.
    """

    processes: list[Process] = []
    totals: Totals = field(default_factory=Totals)
    statements: dict[str, StatementEntry] = {}
    repeats: list[RepeatEntry] = []
    conflicts: list[ConflictEntry] = []
    commits: list[CommitEntry] = []
    damaged: int = 0
    rome_insights: int = FORMAT

    @property
    def databases(self) -> list[str]:
        """The databases that occur, such as "redis: nova"."""
        return sorted({entry.database for entry in self.statements.values()})

    @property
    def commit_times(self) -> Times:
        """Those of all commits."""
        times = Times()
        for entry in self.commits:
            times.add(entry.times)
        return times

    def text_of(self, statement: str | None) -> str:
        """The text of a statement, by its id."""
        entry = None if statement is None else self.statements.get(statement)
        return "a statement that is not kept any more" if entry is None else entry.text


def merged(parts: Iterable[Part]) -> Report:
    """The report of some processes. The parts are used up."""
    processes: list[Process] = []
    totals = Totals()
    statements: dict[str, StatementEntry] = {}
    repeats: dict[str, RepeatEntry] = {}
    conflicts: dict[str, ConflictEntry] = {}
    commits: dict[str, CommitEntry] = {}
    for part in parts:
        processes.append(part.process)
        totals.add(part.totals)
        _take(statements, part.statements)
        _take(repeats, part.repeats)
        _take(conflicts, part.conflicts)
        _take(commits, part.commits)
    by_time = sorted(statements.values(), key=lambda entry: -entry.times.total_s)
    return Report(
        sorted(processes, key=lambda process: process.began),
        totals,
        {entry.id: entry for entry in by_time},
        sorted(repeats.values(), key=lambda entry: -entry.calls),
        sorted(conflicts.values(), key=lambda entry: -entry.conflicts),
        sorted(commits.values(), key=lambda entry: -entry.times.quantile_s(0.95)),
    )


def _take(mine: dict[str, Entry], theirs: Iterable[Entry]) -> None:
    for entry in theirs:
        known = mine.get(entry.id)
        if known is None:
            mine[entry.id] = entry
        else:
            known.add(entry)


def as_json(report: Report) -> Any:
    """The report for programs: plain lists and dicts. Times are in milliseconds, and statements named by their text."""
    made: Any = msgspec.to_builtins(report)
    made["databases"] = report.databases
    made["statements"] = list(made["statements"].values())
    times = [entry.times for entry in report.statements.values()], [entry.times for entry in report.commits]
    for entry, measured in zip([*made["statements"], *made["commits"]], [*times[0], *times[1]], strict=True):
        del entry["times"]
        entry |= _milliseconds(measured)
    for entry in made["repeats"]:
        entry["statement"] = report.text_of(entry["statement"])
        entry["leader"] = None if entry["leader"] is None else report.text_of(entry["leader"])
        entry["total_ms"] = round(entry.pop("total_s") * 1000, 3)
    for entry in made["conflicts"]:
        for role in ("losers", "winners"):
            entry[role] = {report.text_of(each): number for each, number in entry[role].items()}
    made["totals"]["time_ms"] = round(made["totals"].pop("time_s") * 1000, 3)
    return made


def _milliseconds(times: Times) -> dict[str, float]:
    found = {"total": times.total_s, "mean": times.mean_s, "p95": times.quantile_s(0.95), "max": times.max_s}
    return {"calls": times.count} | {f"{name}_ms": round(value * 1000, 3) for name, value in found.items()}
