"""A statement's text for persons: normalized, so that calls which differ in values only are one statement, and short.

Invariant: neither form shows a string, number, blob or comment of the text (see rome.sql.display).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rome.sql.tokens import Token, tokenize

MAX_TEXT = 8192
"""How many characters of a text are kept."""

_VALUES = frozenset(["string", "number", "blob", "variable", "run"])
_NO_GAP_BEFORE = frozenset([",", ")", ".", ";"])
_NO_GAP_AFTER = frozenset(["(", "."])
_MANY = ".."
_LIST = "(..)"
_LISTS = "(..), .."


@lru_cache(maxsize=2048)
def normalized(sql: str) -> str:
    """The text with `?` for each value, `..` for each list of values, and one blank where the text has any gap.

    `IN (1)`, `IN (?, ?)` and `IN (?, ?, ?)` are all `IN (..)`; the rows of VALUES are `(..), ..`.

    Cost: 2 µs per token; the last 2,048 texts are remembered.
    """
    tokens = [token for token in tokenize(sql) if token.kind != "illegal"]
    found: list[str] = []
    at = end = 0
    while at < len(tokens):
        token = tokens[at]
        last = _end_of_values(tokens, at, found)
        text = _LIST if last > at else ".." if token.kind == "run" else "?" if token.kind in _VALUES else token.text
        gap = token.start > end and text not in _NO_GAP_BEFORE and not (found and found[-1] in _NO_GAP_AFTER)
        if text == _LIST and len(found) > 1 and found[-1] == "," and found[-2].strip() in (_LIST, _LISTS):
            del found[-1]
            found[-1] = f" {_LISTS}" if found[-1].startswith(" ") else _LISTS
        else:
            found.append(f" {text}" if gap and found else text)
        end = tokens[last].stop
        at = last + 1
    joined = "".join(found)
    return joined if len(joined) <= MAX_TEXT else joined[:MAX_TEXT] + " .."


def _end_of_values(tokens: Sequence[Token], at: int, before: Sequence[str]) -> int:
    """The position of the parenthesis that ends a list of values; `at` if none begins there.

    Args:
        before: what is shown of the tokens before.
    """
    if tokens[at].word != "(":
        return at
    last = at + 1
    while last + 2 < len(tokens) and tokens[last].kind in _VALUES and tokens[last + 1].word == ",":
        last += 2
    if last + 1 >= len(tokens) or tokens[last].kind not in _VALUES or tokens[last + 1].word != ")":
        return at
    many = last > at + 1 or tokens[last].kind == "run"
    follows = before[-1].strip().upper() if before else ""
    in_rows = follows == "," and len(before) > 1 and before[-2].strip() in (_LIST, _LISTS)
    return last + 1 if many or in_rows or follows in ("IN", "VALUES") else at


@lru_cache(maxsize=4096)
def condensed(text: str) -> str:
    """A normalized text on one line of a table: without the columns of SELECT, INSERT and RETURNING."""
    tokens = tokenize(text)
    parts: list[str] = []
    end = 0
    for start, stop in _long_lists(tokens):
        parts += [text[end:start], _MANY]
        end = stop
    return "".join([*parts, text[end:]])


def _long_lists(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Where in the text the lists of columns are that are left out."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(tokens):
        word = tokens[at].word
        if word == "SELECT" and not (found and tokens[at].start < found[-1][1]):
            last = _end_of_list(tokens, at + 1)
            if last - at > 4:
                begin = at + 2 if tokens[at + 1].word in ("DISTINCT", "ALL") else at + 1
                found.append((tokens[begin].start, tokens[last - 1].stop))
                at = last
                continue
        if word == "INTO":
            opening = next((n for n in range(at + 1, min(at + 5, len(tokens))) if tokens[n].word == "("), None)
            closing = next((n for n in range(opening or len(tokens), len(tokens)) if tokens[n].word == ")"), None)
            if opening is not None and closing is not None and closing - opening > 4:
                found.append((tokens[opening].stop, tokens[closing].start))
                at = closing
        at += 1
    return found


def _end_of_list(tokens: Sequence[Token], at: int) -> int:
    """The position of the FROM that ends the columns of a SELECT, or of what else ends them."""
    depth = 0
    while at < len(tokens):
        word = tokens[at].word
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and word in ("FROM", "UNION", "EXCEPT", "INTERSECT", "ORDER", "LIMIT", ";")):
            return at
        at += 1
    return at


_CLAUSES = frozenset(
    [
        "FROM",
        "WHERE",
        "GROUP",
        "HAVING",
        "ORDER",
        "LIMIT",
        "VALUES",
        "SET",
        "RETURNING",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "LEFT",
        "INNER",
        "JOIN",
        "CROSS",
        "FULL",
    ]
)
_JOINED = frozenset(["LEFT", "INNER", "CROSS", "FULL", "OUTER", "NATURAL"])


@lru_cache(maxsize=4096)
def in_lines(text: str) -> str:
    """A normalized text with a line for each of its outermost clauses."""
    parts: list[str] = []
    depth = end = 0
    before = ""
    for token in tokenize(text):
        depth += {"(": 1, ")": -1}.get(token.word, 0)
        breaks = depth == 0 and token.word in _CLAUSES and not (token.word == "JOIN" and before in _JOINED)
        gap = text[end : token.start]
        parts += ["\n" if breaks and parts else gap, token.text]
        end, before = token.stop, token.word
    return "".join(parts)
