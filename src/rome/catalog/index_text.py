"""What CREATE INDEX says of its keys: expressions and conditions, which only SQLite can compute."""

from __future__ import annotations

from typing import NamedTuple

from rome.sql.tokens import Token, tokenize


class IndexText(NamedTuple):
    """The texts of the indexed columns and expressions, and of WHERE (None without one)."""

    keys: tuple[str, ...]
    condition: str | None


def read_index(sql: str) -> IndexText:
    """Parse a CREATE INDEX from sqlite_master."""
    tokens = [token for token in tokenize(sql) if token.word != ";"]
    words = [token.word for token in tokens]
    at = words.index("(", words.index("ON")) + 1
    keys = []
    start, depth = at, 0
    while depth >= 0:
        if depth == 0 and words[at] in (",", ")"):
            keys.append(_text(sql, tokens[start:at]))
            start = at + 1
        depth += (words[at] == "(") - (words[at] == ")")
        at += 1
    return IndexText(tuple(keys), _text(sql, tokens[at + 1 :]) if words[at : at + 1] == ["WHERE"] else None)


def _text(sql: str, tokens: list[Token]) -> str:
    if tokens[-1].word in ("ASC", "DESC"):
        tokens = tokens[:-1]
    return sql[tokens[0].start : tokens[-1].stop]
