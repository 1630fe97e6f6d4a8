"""docs/fetch-plan.md names a test for every rule; here, that there are such tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fetch-plan.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
HEADINGS = sorted(
    set(re.findall(r"`((?:traps|plans)\.sql): ([^`]+)`", PAGE)) - {("traps.sql", "heading"), ("plans.sql", "heading")}
)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_test_exists(file: str, name: str) -> None:
    assert re.search(rf"^ *def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize(("file", "heading"), HEADINGS)
def test_heading_has_statements(file: str, heading: str) -> None:
    lines = (ROOT / "tests" / "planner" / file).read_text().splitlines()
    at = lines.index(f"-- {heading}")
    assert lines[at + 1].endswith(";")


def test_every_rule_names_a_test() -> None:
    rules = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| rule |")]
    assert len(rules) > 40
    for rule in rules:
        assert re.search(r"`(tests/|traps\.sql: |plans\.sql: )[^`]+`", rule.rsplit(" | ", 1)[1]), rule
