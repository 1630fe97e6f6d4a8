"""The conflict clause of INSERT and UPDATE: what SQLite does with a row that breaks a constraint."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from rome.planner.tokens import tokenize

ConflictClause = Literal["FAIL", "REPLACE"]


@lru_cache(maxsize=256)
def with_conflict_clause(sql: str, clause: ConflictClause) -> str:
    """The statement as `INSERT OR <clause>` or `UPDATE OR <clause>`; every other one as it is.

    ON CONFLICT DO .. still comes first, for the key that it names.
    """
    depth = 0
    tokens = tokenize(sql)
    for token, after, behind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0 and token.word in ("INSERT", "UPDATE"):
            stop = behind.stop if after.word == "OR" else token.stop
            return f"{sql[: token.stop]} OR {clause}{sql[stop:]}"
    return sql
