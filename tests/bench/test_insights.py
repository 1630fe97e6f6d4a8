"""What recording costs, in calls of Rome's functions: docs/insights.md says so."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from calls import OPERATIONS, count, prepare

import rome
from tests.support.strict_memory import make_memory_plain

PAGE = Path(__file__).parents[2] / "docs" / "insights.md"


def calls(*, recorded: bool) -> list[int]:
    if recorded:
        rome.insights.record()
    try:
        with closing(rome.connect("rome+memory://", tracing="off")) as connection:
            prepare(connection)
            return [len(count(connection, operation)) for operation in OPERATIONS]
    finally:
        rome.insights.stop()


def test_recording_costs_no_more_calls_than_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    make_memory_plain(monkeypatch)
    found = re.search(r"(\d+) more calls", PAGE.read_text())
    assert found is not None
    more = [on - off for off, on in zip(calls(recorded=False), calls(recorded=True), strict=True)]
    assert max(more) == int(found[1]), more
