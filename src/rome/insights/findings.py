"""What stands out in a report: the few things at which a person should look first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rome.insights.entries import CommitEntry, ConflictEntry, RepeatEntry, StatementEntry
from rome.insights.reporting import Report

MOST = 6
LEAST_REPEATS = 10
"""Executions that an N+1 load must have had."""
LEAST_ROWS = 100
"""Rows per call that a full scan must read."""
LEAST_CONFLICTS = 3
LEAST_COMMIT_S = 0.01
"""A commit is slow if it takes so long, and SLOWER times as long as half of all commits."""
SLOWER = 3

Entry = RepeatEntry | ConflictEntry | StatementEntry | CommitEntry


class Finding(NamedTuple):
    """One of them; `weight` is about how many seconds it has cost."""

    weight: float
    entry: Entry


def findings(report: Report) -> list[Finding]:
    """The heaviest, but at least one of each kind that there is."""
    found = sorted(_all(report), key=lambda finding: -finding.weight)
    first = {type(finding.entry): finding for finding in reversed(found)}
    chosen = [*first.values(), *(finding for finding in found if finding is not first[type(finding.entry)])]
    return sorted(chosen[:MOST], key=lambda finding: -finding.weight)


def _all(report: Report) -> Iterator[Finding]:
    for repeat in report.repeats:
        if repeat.calls >= LEAST_REPEATS:
            yield Finding(repeat.total_s, repeat)
    mean = report.totals.time_s / max(report.totals.commits, 1)
    for conflict in report.conflicts:
        if conflict.is_row and conflict.conflicts >= LEAST_CONFLICTS:
            yield Finding(conflict.conflicts * mean, conflict)
    for statement in report.statements.values():
        if is_large_scan(statement):
            yield Finding(statement.times.total_s, statement)
    for commit in slow_commits(report):
        if not commit.conflicts:  # else the hot row is what stands out
            yield Finding(commit.times.total_s, commit)


def is_large_scan(statement: StatementEntry) -> bool:
    """Whether a statement reads a table of some size whole, of which it needs little."""
    read = statement.rows_read
    needs_little = any(scan.indexes for scan in statement.scans) or statement.rows_returned * 10 < read
    return bool(statement.scans) and read >= LEAST_ROWS * statement.times.count and needs_little


def slow_commits(report: Report) -> list[CommitEntry]:
    """Those of which some take far longer than the commits of this report do."""
    usual = report.commit_times.quantile_s(0.5)
    return [commit for commit in report.commits if commit.times.quantile_s(0.95) >= max(LEAST_COMMIT_S, SLOWER * usual)]
