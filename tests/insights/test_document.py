"""The page as a text: what is escaped, and what an empty one says."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from rome.engine.observing.full_scans import FullScan
from rome.insights.document import CONTENT_SECURITY_POLICY, MOST_ROWS, document
from rome.insights.entries import CommitEntry, ConflictEntry, Part, Process, RepeatEntry, StatementEntry, Totals
from rome.insights.figures import count, duration, number, share
from rome.insights.findings import LEAST_REPEATS
from rome.insights.reporting import Report, merged

EVIL = "<script>alert('x')</script>\"&"


def evil_report() -> Report:
    statement = StatementEntry("s1", EVIL, f'SELECT "{EVIL}"', EVIL, places={EVIL: 1}, parameters=EVIL)
    statement.scans = [FullScan(EVIL, EVIL, (EVIL,))]
    statement.rows_read = 1000
    repeat = RepeatEntry("r1", EVIL, "s1", "s1", EVIL, False, 1, 100, 100, 1.0, 100)
    conflict = ConflictEntry("c1", EVIL, EVIL, EVIL, True, 5, 5, {"s1": 5}, {"s1": 5}, 0, {EVIL: 5})
    commit = CommitEntry("w1", EVIL, EVIL, EVIL)
    for entry in (statement, commit):
        entry.times.note(0.5)
    process = Process("p", EVIL, 1, EVIL, 0.0, 1.0)
    return merged(
        [
            Part(
                process=process,
                totals=Totals(statements=1),
                statements=[statement],
                repeats=[repeat],
                conflicts=[conflict],
                commits=[commit],
            )
        ]
    )


@pytest.mark.parametrize("live", [False, True])
def test_everything_from_an_application_is_escaped(live: bool) -> None:
    shown = document(evil_report(), live=live)
    assert shown.count("alert(") > 10
    assert "<script>alert" not in shown
    assert shown.count("<script>") == 1


def test_the_policy_names_just_the_style_and_the_script_of_the_page() -> None:
    shown = document(Report(), live=True)
    for element in ("style", "script"):
        [content] = re.findall(f"<{element}>(.*?)</{element}>", shown, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert " style=" not in shown
    assert not re.search(r"\son\w+=", document(evil_report()))


def test_a_file_carries_the_policy_with_it() -> None:
    assert 'http-equiv="Content-Security-Policy"' in document(Report())
    assert "http-equiv" not in document(Report(), live=True)


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", document(evil_report(), live=True))


def test_an_empty_page_says_what_to_do() -> None:
    shown = document(Report(), live=True)
    assert "Nothing is recorded yet" in shown
    assert "rome.insights.record()" in shown


def test_a_page_has_the_first_of_very_many() -> None:
    part = Part(process=Process("p", "x", 1, "x", 0.0, 1.0), totals=Totals())
    for rank in range(MOST_ROWS + 50):
        entry = StatementEntry(f"s{rank}", "memory: x", f"SELECT {rank}", "SELECT")
        entry.times.note(1 / (1 + rank))
        part.statements.append(entry)
        conflict = ConflictEntry(f"c{rank}", "memory: x", "t", f"row {rank}", True, 1000 - rank)
        conflict.losers["s240" if rank == 0 else "s241" if rank == 240 else "s1"] = 1
        part.conflicts.append(conflict)
    shown = document(merged([part]))
    ids = {*re.findall(r'<tr id="([^"]*)"', shown)}
    assert ids == {f"{kind}{rank}" for kind in "sc" for rank in range(MOST_ROWS)} | {"s240"}  # which c0 names
    assert f"The first {MOST_ROWS} of each kind are below" in shown
    assert f'href="#time">Time <span class="count">{MOST_ROWS + 50}</span>' in shown


def test_shares_are_those_of_all_statements() -> None:
    part = Part(process=Process("p", "x", 1, "x", 0.0, 1.0), totals=Totals(statements=MOST_ROWS * 2))
    for rank in range(MOST_ROWS * 2):
        entry = StatementEntry(f"s{rank}", "memory: x", f"SELECT {rank}", "SELECT")
        entry.times.note(MOST_ROWS * 2.0 if rank == 0 else 1.0)
        part.statements.append(entry)
    assert '<span class="share">50 %</span>' in document(merged([part]))


def test_commits_of_which_none_was_measured_have_no_time() -> None:
    entry = StatementEntry("s", "memory: x", "INSERT INTO t VALUES (?)", "INSERT t")
    entry.times.note(1.0)
    totals = Totals(statements=1, commits=1)
    shown = document(merged([Part(process=Process("p", "x", 1, "x", 0.0, 1.0), totals=totals, statements=[entry])]))
    assert '<dd>1</dd><dd class="more">as part of statements</dd>' in shown
    assert '<dd class="more">95 % within' not in shown
    assert "nothing was committed, except under AUTOCOMMIT" in shown


def test_what_stands_out_does_not_deny_what_is_listed() -> None:
    entry = StatementEntry("s", "memory: x", "SELECT a FROM t WHERE id = ?", "SELECT t")
    entry.times.note(1.0)
    repeat = RepeatEntry("r", "memory: x", "s", None, None, False, 1, LEAST_REPEATS - 1, LEAST_REPEATS - 1)
    process = Process("p", "x", 1, "x", 0.0, 1.0)
    shown = document(merged([Part(process=process, totals=Totals(statements=1), statements=[entry], repeats=[repeat])]))
    assert f"Nothing: no N+1 load of {LEAST_REPEATS} calls, " in shown
    assert 'href="#repeats">N+1 loads <span class="count">1</span>' in shown


def test_rows_name_their_database_if_there_are_several() -> None:
    part = Part(process=Process("p", "x", 1, "x", 0.0, 1.0), totals=Totals())
    for name in "abcdef":
        entry = StatementEntry(f"s{name}", f"redis: {name}", "SELECT a FROM t", "SELECT t")
        entry.times.note(1.0)
        part.statements.append(entry)
    shown = document(merged([part]))
    assert "redis: a · redis: b · redis: c · redis: d · and 2 more databases" in shown
    assert shown.count('<p class="note">in redis: f</p>') == 1
    del part.statements[1:]
    assert "in redis:" not in document(merged([part]))


def test_an_id_occurs_once() -> None:
    ids = re.findall(r'\sid="([^"]*)"', document(evil_report(), live=True))
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0000042, "0.004 ms"),
        (0.00042, "0.42 ms"),
        (0.0123, "12.3 ms"),
        (0.9994, "999 ms"),
        (0.99951, "1.00 s"),
        (12.34, "12.3 s"),
        (119.4, "119 s"),
        (200, "3.33 min"),
    ],
)
def test_durations_have_a_unit_for_persons(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown.replace(" ", "\N{NO-BREAK SPACE}")


def test_numbers_are_short() -> None:
    assert [number(value) for value in (0, 1, 1.04, 1.25, 0.5, 0.031, 99.94, 1234.5, 1_000_000)] == [
        "0",
        "1",
        "1",
        "1.2",
        "0.5",
        "0.031",
        "99.9",
        "1,234",
        "1,000,000",
    ]
    assert (share(1, 3), share(0, 0), share(1, 1000)) == ("33 %", "0 %", "< 1 %")
    assert (count(1, "row"), count(2, "row"), count(2, "query", "queries")) == ("1 row", "2 rows", "2 queries")
