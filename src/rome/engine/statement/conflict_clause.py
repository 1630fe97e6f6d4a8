"""Conflict clauses: what SQLite does with a row that breaks a constraint. Statements have them, and constraints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from rome.sql.tokens import Token, tokenize

ConflictClause = Literal["ABORT", "FAIL", "REPLACE"]


@lru_cache(maxsize=256)
def with_conflict_clause(sql: str, clause: ConflictClause) -> str:
    """The statement as `INSERT OR <clause>` or `UPDATE OR <clause>`; any other statement unchanged.

    ON CONFLICT DO .. still comes first, for the key that it names.
    """
    verb, old = _main_verb(tokenize(sql))
    if verb is None or verb.word == "REPLACE":
        return sql
    return f"{sql[: verb.stop]} OR {clause}{sql[verb.stop if old is None else old.stop :]}"


def own_clause(tokens: Sequence[Token]) -> str | None:
    """The word after INSERT OR or UPDATE OR; REPLACE for REPLACE INTO; None if the constraints decide."""
    verb, clause = _main_verb(tokens)
    if verb is not None and verb.word == "REPLACE":
        return "REPLACE"
    return None if clause is None else clause.word


def has_upsert_clause(tokens: Sequence[Token]) -> bool:
    """Whether it has ON CONFLICT .. DO UPDATE or DO NOTHING."""
    return any(word.word == "ON" and after.word == "CONFLICT" for word, after in pairwise(tokens))


def does_nothing(tokens: Sequence[Token]) -> bool:
    """Whether it has ON CONFLICT .. DO NOTHING."""
    return has_upsert_clause(tokens) and any(
        word.word == "DO" and after.word == "NOTHING" for word, after in pairwise(tokens)
    )


@lru_cache(maxsize=1024)
def clauses_of_constraints(sql: str) -> frozenset[str]:
    """The words behind ON CONFLICT in a CREATE TABLE."""
    tokens = tokenize(sql)
    return frozenset(
        clause.word
        for word, after, clause in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if word.word == "ON" and after.word == "CONFLICT"
    )


def _main_verb(tokens: Sequence[Token]) -> tuple[Token | None, Token | None]:
    """The main verb, if it is INSERT, UPDATE or REPLACE INTO, and the word behind OR."""
    depth = 0
    for token, after, behind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0 and (token.word in ("INSERT", "UPDATE") or (token.word == "REPLACE" and after.word == "INTO")):
            return token, behind if after.word == "OR" else None
    return None, None
