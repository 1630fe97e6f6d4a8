"""A statement as logs and traces show it: its text without values, and a short summary.

Invariant: neither shows a string, number, blob or comment of the text. Text in double quotes counts as a name, although
SQLite takes it for a string where nothing has that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rome.sql.tokens import Token, identifier, tokenize

MAX_TEXT = 4096
"""How many characters of a text are shown."""
_MAX_SUMMARY = 255
_VALUES = frozenset(["string", "number", "blob"])
_VERBS = frozenset(["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"])
_SCHEMA_VERBS = frozenset(["CREATE", "DROP", "ALTER"])
_OBJECTS = frozenset(["TABLE", "INDEX", "VIEW", "TRIGGER"])
_BEFORE_TARGET = frozenset(["FROM", "JOIN", "INTO", "UPDATE"])
_JOIN_WORDS = frozenset(["CROSS", "FULL", "INNER", "JOIN", "LEFT", "NATURAL", "ON", "OUTER", "RIGHT", "USING"])
_CLAUSES = frozenset(["EXCEPT", "GROUP", "HAVING", "INTERSECT", "LIMIT", "ORDER", "RETURNING", "SET", "UNION", "WHERE"])
_ENDS_FROM = _JOIN_WORDS | _CLAUSES | {"INDEXED", "NOT", "WINDOW"}


@lru_cache(maxsize=1024)
def without_values(sql: str) -> str:
    """The text with `?` for each literal, `?, ..` for a list of parameters, and blanks for comments.

    Cost: 1 µs per token; the last 1,024 texts are remembered.
    """
    parts: list[str] = []
    end = 0
    size = 0
    for token in tokenize(sql):
        gap = sql[end : token.start]
        parts.append(gap if gap.isspace() else " " if gap else "")
        if token.kind in _VALUES:
            parts.append("?")
        elif token.kind == "run":
            parts.append("?, ..")
        elif token.kind == "illegal":  # it may hold values
            parts.append("..")
        else:
            parts.append(token.text)
        end = token.stop
        size += len(parts[-2]) + len(parts[-1])
        if size > MAX_TEXT:
            return "".join(parts)[:MAX_TEXT] + " .."
    return "".join(parts).strip()


@lru_cache(maxsize=1024)
def summary(sql: str) -> str:
    """The verbs of a statement and their tables, in order, such as "INSERT orders SELECT carts"; up to 255 characters.

    Source: "Generating a summary of the query", OpenTelemetry's semantic conventions for database spans.
    """
    tokens = tokenize(sql)
    words = [token.word for token in tokens]
    if words and words[0] in _SCHEMA_VERBS:
        parts = _of_schema(tokens, words)
    else:
        parts = _of_rows(tokens, words) or [next((word for word in words if word.isalpha()), "")]
    found = " ".join(parts)
    return found if len(found) <= _MAX_SUMMARY else found[:_MAX_SUMMARY].rpartition(" ")[0]


def _of_schema(tokens: Sequence[Token], words: list[str]) -> list[str]:
    """The summary of DDL: CREATE TABLE t for `CREATE TEMP TABLE IF NOT EXISTS t`."""
    at = next((at for at, word in enumerate(words) if word in _OBJECTS), len(words))
    if at == len(words):
        return words[:1]
    name = at + 1
    while words[name : name + 1] and words[name] in ("IF", "NOT", "EXISTS"):
        name += 1
    return [words[0], words[at], *_target(tokens, name)[0]]


def _of_rows(tokens: Sequence[Token], words: list[str]) -> list[str]:
    parts = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        is_function = words[at + 1 : at + 2] == ["("] and word != "SELECT"  # replace(..)
        if word in _VERBS and before not in ("ON", "DO", "FOR", "OR") and not is_function:
            parts.append(word)
        if word not in _BEFORE_TARGET or before in ("ON", "DO", "FOR", "DISTINCT"):
            continue
        target = at + 3 if words[at + 1 : at + 2] == ["OR"] else at + 1  # UPDATE OR IGNORE t
        names, after = _target(tokens, target)
        parts += names
        while word == "FROM" and names and (comma := _comma(tokens, after)):
            names, after = _target(tokens, comma + 1)
            parts += names
    return parts


def _target(tokens: Sequence[Token], at: int) -> tuple[list[str], int]:
    """The name at `at`, with its schema if it has one, and the position after it; [] if no name is there."""
    if at >= len(tokens) or tokens[at].kind not in ("word", "quoted") or tokens[at].word in _VERBS:
        return [], at
    if at + 2 < len(tokens) and tokens[at + 1].word == "." and tokens[at + 2].kind in ("word", "quoted"):
        return [f"{identifier(tokens[at])}.{identifier(tokens[at + 2])}"], at + 3
    return [identifier(tokens[at])], at + 1


def _comma(tokens: Sequence[Token], at: int) -> int | None:
    """The position of the comma that follows a FROM item and its alias; None if no comma does."""
    for token in tokens[at : at + 3]:
        if token.word == ",":
            return at
        if token.kind not in ("word", "quoted") or token.word in _ENDS_FROM:
            return None
        at += 1
    return None
