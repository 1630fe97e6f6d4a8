"""The conflict clause of INSERT and UPDATE: what SQLite does with a row that breaks a constraint."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from rome.sql.tokens import Token, tokenize

ConflictClause = Literal["ABORT", "FAIL", "REPLACE"]


@lru_cache(maxsize=256)
def with_conflict_clause(sql: str, clause: ConflictClause) -> str:
    """The statement as `INSERT OR <clause>` or `UPDATE OR <clause>`; every other one as it is.

    ON CONFLICT DO .. still comes first, for the key that it names.
    """
    verb, old = _find(sql)
    if verb is None:
        return sql
    return f"{sql[: verb.stop]} OR {clause}{sql[verb.stop if old is None else old.stop :]}"


def has_conflict_clause(sql: str) -> bool:
    """Whether it is INSERT OR .. or UPDATE OR .., and so says itself what the constraints otherwise would."""
    return _find(sql)[1] is not None


@lru_cache(maxsize=1024)
def rolls_back(sql: str) -> bool:
    """Whether it is INSERT OR ROLLBACK or UPDATE OR ROLLBACK, which ends the transaction when it fails."""
    _, clause = _find(sql)
    return clause is not None and clause.word == "ROLLBACK"


def _find(sql: str) -> tuple[Token | None, Token | None]:
    """The main verb, if it is INSERT or UPDATE, and the word behind OR."""
    depth = 0
    tokens = tokenize(sql)
    for token, after, behind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0 and token.word in ("INSERT", "UPDATE"):
            return token, behind if after.word == "OR" else None
    return None, None
