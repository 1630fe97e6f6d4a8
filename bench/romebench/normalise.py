"""Normalise statements that the dialects write differently, so that requests of different peers can be compared."""

from __future__ import annotations

import re

_STEPS = (
    (re.compile(r"[`\"]"), ""),
    (re.compile(r"::\w+(?: VARYING)?(?:\(\d+\))?"), ""),
    (re.compile(r"%\(\w+\)s|%s"), "?"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"\bINNER JOIN\b"), "JOIN"),
    (re.compile(r"%%"), "%"),
    (re.compile(r"\bid=last_insert_id\(\w+\.id\), "), ""),
    (re.compile(r"IN \(NULL\) AND \(1 != 1\)|IN \(SELECT 1 FROM \(SELECT 1\) WHERE 1!=1\)"), "IN ()"),
    (re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)"), "(?)"),
    (re.compile(r"(VALUES \(\?\))(?:, \(\?\))+"), r"\1"),
    (re.compile(r" RETURNING .*$"), ""),
    (re.compile(r" LIMIT \?(?:, \?| OFFSET \?)?"), " LIMIT"),
    (re.compile(r" (?:IS (?:NOT )?)?(?:true|false)\b", re.IGNORECASE), " ?"),
    (re.compile(r"= [01]\b"), "= ?"),
    (re.compile(r"\bLOCK IN SHARE MODE\b|\bFOR UPDATE\b"), ""),
)


def normalise(statement: str) -> str:
    """A statement without the dialect's own ways of quotes, parameters, casts, RETURNING and LIMIT."""
    for pattern, replacement in _STEPS:
        statement = pattern.sub(replacement, statement)
    return statement.strip()
