"""INDEXED BY, which binds SQLite to an index: a working set has only unique ones, and the store has its own choice."""

from __future__ import annotations

from rome.sql.tokens import tokenize


def without_index_hints(sql: str) -> str:
    """A text without INDEXED BY and the name behind it. That there is such an index, SQLite has seen on the mirror.

    INDEXED BY can mean nothing else, as BY is no name unless it is quoted.
    """
    if "INDEXED" not in sql.upper():
        return sql
    kept, copied = [], 0
    tokens = tokenize(sql)
    for at, token in enumerate(tokens[:-2]):
        if (token.word, tokens[at + 1].word) == ("INDEXED", "BY"):
            kept.append(sql[copied : token.start])
            copied = tokens[at + 2].stop
    return "".join([*kept, sql[copied:]])
