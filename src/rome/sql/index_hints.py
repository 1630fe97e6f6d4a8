"""Remove INDEXED BY, which would make SQLite use that index or fail.

A working set has only unique indexes, so SQLite would fail there. Which index Rome reads by, the planner decides.
"""

from __future__ import annotations

from rome.sql.tokens import tokenize


def without_index_hints(sql: str) -> str:
    """The text without INDEXED BY and the name that follows. SQLite has checked on the mirror that the index exists.

    INDEXED BY has no other meaning, since BY is a name only in quotes.
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
