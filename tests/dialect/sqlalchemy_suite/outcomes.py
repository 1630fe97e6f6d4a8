"""What became of each test of a run, from pytest's report."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from rome.dialect.requirements import REFUSED

NOT_THERE = "not there"
"""The test names the drivers that it is for, and Rome is none of them."""

REFUSED_BY_ROME = "refused"
"""It was skipped for one of the reasons in rome.dialect.requirements.REFUSED."""


def outcomes(report: Path) -> dict[str, str]:
    """Each test's outcome, by a name that is the same on Rome and on SQLite.

    Besides the two above: passed (also if it failed, as it must), failure, error, skipped.
    """
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        suite = re.sub(r"_sqlite\+[a-z]+(_async)?_[0-9_]+$", "", case.get("classname", ""))
        suite = suite.removeprefix("test.dialect.")
        found[f"{suite}::{case.get('name', '').replace('RomeCompiler', 'SQLiteCompiler')}"] = _outcome(case)
    return found


def _outcome(case: ElementTree.Element) -> str:
    for child in case:
        message = child.get("message", "")
        if child.tag == "skipped" and re.search(r" : not .*\+(pysqlite|aiosqlite)\b", message):
            return NOT_THERE
        if child.tag == "skipped" and any(message.endswith(reason) for reason in REFUSED.values()):
            return REFUSED_BY_ROME
        if child.tag in ("failure", "error", "skipped"):
            return child.tag
    return "passed"
